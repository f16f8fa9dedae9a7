"""Mel spectrogram of the aural NTUA network: the signal ``ntua_mel`` and the windows cut from it (NTUA spec 2.8).

Published are the rate, the hop of 512 samples, and where a frame's window of ten seconds begins. Window length, number of bands,
frequency range, dB reference and normalisation are not: the values here are those of a widely used recipe of the same name and hop, and
**an assumption**. So is the replication of the map to three channels, which is the network's business.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from wildaffect.features.frames import Clock
from wildaffect.features.signal import RANGE_DB, decibel, hann, levels, row_blocks, slaney_filters
from wildaffect.features.spec import signal
from wildaffect.features.store import Rows

RATE, HOP = 44_100, 512
FFT, BANDS, LOWEST_HZ, HIGHEST_HZ = 2048, 128, 20.0, 8300.0  # assumed
SECONDS = 10.0
COLUMNS = int(SECONDS * RATE / HOP)  # 861
ROWS_PER_SECOND = RATE / HOP

FEATURES = (
    signal(
        __name__,
        columns=tuple(f"mel{k}" for k in range(BANDS)),
        rows_per_second=ROWS_PER_SECOND,
        description="log-mel spectrogram of the aural NTUA network, partly assumed",
    ),
)
_HANN = hann(FFT)
_FILTERS = slaney_filters(RATE, FFT, BANDS, LOWEST_HZ, HIGHEST_HZ)


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    return {
        "rate_hz": RATE,
        "hop_s": HOP / RATE,
        "window_s": FFT / RATE,
        "window": "periodic Hann",
        "spectrum": "power, 2048 points, rows centred, silence beyond the ends",
        "mel_bands": BANDS,
        "mel_scale": "Slaney, triangles of area 1 Hz",
        "band_hz": [LOWEST_HZ, HIGHEST_HZ],
        "unit": "dB, at most 80 below the loudest value of the video",
        "assumed": ["window_s", "window", "spectrum", "mel_bands", "mel_scale", "band_hz", "unit"],
    }


def frame_values(wave: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """The spectrogram in dB of the whole ``wave`` int16 (S,) at 44.1 kHz: float32 (1 + S // 512, 128) in blocks, without ``clock``."""
    return levels(lambda: row_blocks(wave, 0, HOP, 1 + len(wave) // HOP, _HANN, FFT, _FILTERS))


def silence(db: np.ndarray) -> np.float32:
    """The level of silence in the signal ``db`` (R, 128): the lowest that it may hold."""
    floor = decibel(np.zeros(1, np.float32))[0]
    return max(db.max(initial=floor) - np.float32(RANGE_DB), floor)


def first_columns(times: np.ndarray, centred: bool = False, seconds: float = SECONDS) -> np.ndarray:
    """Columns at which the windows of frames begin: half their length before.

    Args:
        times: Seconds from frame 0, (n,).
        centred: Windows may begin before the audio, at negative columns.
        seconds: Length of the windows.

    Returns:
        int64 (n,).
    """
    earliest = -np.inf if centred else 0.0
    # A product with the reciprocal would put some frames a column earlier or later than the published quotient.
    return np.floor(np.maximum(earliest, np.asarray(times) - seconds / 2) / (HOP / RATE)).astype(np.int64)


def windows(
    db: np.ndarray, times: np.ndarray, fill: float = 0.0, centred: bool = False, seconds: float = SECONDS
) -> np.ndarray:
    """Windows around frames.

    The original takes frame index / frame rate for the time and fills with 0 dB, which is no silence; its windows are not ``centred``.

    Args:
        db: The signal ``ntua_mel``, (R, 128).
        times: Seconds from frame 0, (n,).
        fill: Value where there is no audio.
        centred: See `first_columns`.
        seconds: Length of the windows; the original's are of ten.

    Returns:
        float32 (n, 128, columns); 861 columns are ten seconds.
    """
    columns = int(seconds * RATE / HOP)
    images = np.full((len(times), db.shape[1], columns), fill, np.float32)
    for image, first in zip(images, first_columns(times, centred, seconds), strict=True):
        found = db[max(first, 0) : max(first + columns, 0)]
        lead = max(-first, 0)
        image[:, lead : lead + len(found)] = found.T
    return images
