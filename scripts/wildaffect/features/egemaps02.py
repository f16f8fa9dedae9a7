"""The 25 low-level descriptors of eGeMAPS v02 every 10 ms, computed by openSMILE: version 01a and two formant bandwidths.

Florian Eyben et al., The Geneva Minimalistic Acoustic Parameter Set (GeMAPS), IEEE Trans. Affective Computing 2016.
"""

import numpy as np

from wildaffect.features import smile
from wildaffect.features.grid import Clock

SET = "eGeMAPSv02"
PARAMETERS = smile.parameters(SET)


def descriptors(speech: np.ndarray) -> np.ndarray:
    """float32 (R, 25) of int16 (S,) at 16 kHz; row r starts at r * 10 ms. Silence gives finite values."""
    return smile.descriptors(speech, SET)


def frame_values(speech: np.ndarray, clock: Clock) -> np.ndarray:
    """float32 (frames, 25): the rows of :func:`descriptors` that belong to the frames."""
    rows = descriptors(speech)
    return rows[clock.rows(len(rows))]
