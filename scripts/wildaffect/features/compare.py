"""The 65 low-level descriptors of the ComParE 2016 set every 10 ms, computed by openSMILE.

Björn Schuller et al., The INTERSPEECH 2016 Computational Paralinguistics Challenge, Interspeech 2016.
"""

import numpy as np

from wildaffect.features import smile
from wildaffect.features.grid import Clock

SET = "ComParE_2016"
PARAMETERS = smile.parameters(SET)


def descriptors(speech: np.ndarray) -> np.ndarray:
    """float32 (R, 65) of int16 (S,) at 16 kHz; row r starts at r * 10 ms. Silence gives finite values."""
    return smile.descriptors(speech, SET)


def frame_values(speech: np.ndarray, clock: Clock) -> np.ndarray:
    """float32 (frames, 65): the rows of :func:`descriptors` that belong to the frames."""
    rows = descriptors(speech)
    return rows[clock.rows(len(rows))]
