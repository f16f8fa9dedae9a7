"""The sound itself at 44.1 kHz, from which TSAV cuts its published windows (TSAV spec 2.7, 2.9)."""

import numpy as np

from wildaffect.features.grid import Clock
from wildaffect.features.tsav_mel import RATE

PARAMETERS = {"rate_hz": RATE, "scale": "full scale is 32768"}


def frame_values(wave: np.ndarray, clock: Clock) -> np.ndarray:
    """int16 (S,), as it is; ``clock`` is not needed."""
    return wave
