"""MFCC12_0_D_A: 39 values every 10 ms, computed by openSMILE (LFAN spec 2.5)."""

from collections.abc import Iterator

import numpy as np
import opensmile

from wildaffect.features import opensmile_stream
from wildaffect.features.frames import Clock
from wildaffect.features.store import Rows, Spool, picked
from wildaffect.features.waveform import RATE

PARAMETERS = {
    "rate_hz": RATE,
    "window_s": 0.025,
    "hop_s": 0.01,
    "window": "Hamming",
    "preemphasis": 0.97,
    "mel_bands": 26,
    "band_hz": [0, 8000],
    "lifter": 22,
    "delta_window": 2,
    "configuration": "mfcc39.conf",
    "opensmile": opensmile.__version__,
}
_WINDOW = 400  # samples; shorter signals are padded with silence to give one row


def descriptors(speech: Rows) -> Spool:
    """float32 (R, 39) of int16 (S,) at 16 kHz, R = 1 + (max(S, 400) - 400) // 160; row r starts at r * 10 ms.

    Columns are c1 ... c12, c0, then their deltas, then their accelerations.
    """
    return opensmile_stream.descriptors(speech, 39, PARAMETERS["configuration"], "mfcc39", shortest=_WINDOW)


def frame_values(speech: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """float32 (frames, 39) in blocks: the rows of :func:`descriptors` that belong to the frames."""
    rows = descriptors(speech)
    return picked(rows, clock.rows(len(rows)))
