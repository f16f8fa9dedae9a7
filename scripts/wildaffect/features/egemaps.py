"""The 23 low-level descriptors of eGeMAPS v01a every 10 ms, computed by openSMILE (LFAN spec 2.6).

Florian Eyben et al., The Geneva Minimalistic Acoustic Parameter Set (GeMAPS), IEEE Trans. Affective Computing 2016.
"""

import numpy as np

from wildaffect.features import smile
from wildaffect.features.grid import Clock

SET = "eGeMAPSv01a"
PARAMETERS = smile.parameters(SET)


def descriptors(speech: np.ndarray) -> np.ndarray:
    """float32 (R, 23) of int16 (S,) at 16 kHz; row r starts at r * 10 ms. Silence gives finite values."""
    return smile.descriptors(speech, SET)


def frame_values(speech: np.ndarray, clock: Clock) -> np.ndarray:
    """float32 (frames, 23): the rows of :func:`descriptors` that belong to the frames."""
    rows = descriptors(speech)
    return rows[clock.rows(len(rows))]
