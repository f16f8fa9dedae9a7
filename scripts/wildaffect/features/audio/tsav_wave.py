"""The audio itself at 44.1 kHz, from which TSAV cuts its published windows (TSAV spec 2.7, 2.9)."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from wildaffect.features.audio.tsav_mel import RATE
from wildaffect.features.frames import Clock
from wildaffect.features.spec import signal
from wildaffect.features.store import Rows, pieces

FEATURES = (
    signal(
        __name__,
        columns=("amplitude",),
        rows_per_second=RATE,
        description="waveform, from which TSAV's published windows are cut",
        dtype="int16",
    ),
)


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    return {"rate_hz": RATE, "scale": "full scale is 32768"}


def frame_values(wave: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """int16 (S,) in blocks, as it is; ``clock`` is not needed."""
    return pieces(wave, RATE)
