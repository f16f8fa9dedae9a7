"""MFCC12_0_D_A: 39 values every 10 ms, computed by openSMILE (LFAN spec 2.5)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wildaffect.features import opensmile_stream
from wildaffect.features.frames import BY_INDEX, Clock
from wildaffect.features.signal import RATE
from wildaffect.features.spec import pair
from wildaffect.features.store import Rows, Spool, picked

# In HTK-compatible mode the values run c1 ... c12, c0, although the program's own headers count 0 ... 12 (LFAN spec 2.5).
_CEPSTRA = (*(f"c{k}" for k in range(1, 13)), "c0")
COLUMNS = (*_CEPSTRA, *(f"{c}_delta" for c in _CEPSTRA), *(f"{c}_delta_delta" for c in _CEPSTRA))
FEATURES = pair(
    __name__,
    columns=COLUMNS,
    source="openSMILE",
    indexed=BY_INDEX,
    description="12 mel-frequency cepstra and c0 with deltas and accelerations (MFCC12_0_D_A)",
    notice=opensmile_stream.NOTICE,
)
_CONFIGURATION = Path(__file__).with_name("mfcc39.conf")
_WINDOW = 400  # samples; shorter signals are padded with silence to give one row


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    return {
        "rate_hz": RATE,
        "window_s": 0.025,
        "hop_s": 0.01,
        "window": "Hamming",
        "preemphasis": 0.97,
        "mel_bands": 26,
        "band_hz": [0, 8000],
        "lifter": 22,
        "delta_window": 2,
        "configuration": _CONFIGURATION.name,
        "opensmile": opensmile_stream.version(),
    }


def descriptors(speech: Rows) -> Spool:
    """Cepstra every 10 ms.

    Args:
        speech: int16 (S,) at 16 kHz.

    Returns:
        float32 (R, 39), R = 1 + (max(S, 400) - 400) // 160; row r starts at r * 10 ms. Columns are c1 ... c12, c0, then their deltas, then
        their accelerations.
    """
    return opensmile_stream.descriptors(speech, len(COLUMNS), _CONFIGURATION, "mfcc39", shortest=_WINDOW)


def frame_values(speech: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """The rows of `descriptors` that belong to the frames, float32 (frames, 39) in blocks."""
    rows = descriptors(speech)
    return picked(rows, clock.rows(len(rows)))
