"""Log-mel spectrogram of VGGish (LFAN spec 2.7; S. Hershey et al., ICASSP 2017)."""

import numpy as np

from wildaffect.features.store import Rows
from wildaffect.features.waveform import RATE

WINDOW, HOP, FFT = 400, 160, 512  # 25 ms, 10 ms at 16 kHz
BANDS, LOWEST_HZ, HIGHEST_HZ, OFFSET = 64, 125.0, 7500.0, 0.01
PATCH = 96  # rows of one example
TAIL = RATE  # the last sample is repeated for one second, so that the last frames have a patch too

PARAMETERS = {
    "rate_hz": RATE,
    "window_s": 0.025,
    "hop_s": 0.01,
    "window": "periodic Hann",
    "spectrum": "magnitude, 512 points",
    "mel_bands": BANDS,
    "band_hz": [LOWEST_HZ, HIGHEST_HZ],
    "log_offset": OFFSET,
    "tail": "last sample repeated for 1 s",
}


def _mel(hz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hz) / 700.0)


def mel_matrix() -> np.ndarray:
    """float64 (257, 64): triangles with edges equally spaced in mel and sides linear in mel; no weight on the DC bin."""
    bins = _mel(np.arange(FFT // 2 + 1) * RATE / FFT)[:, None]
    edges = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), BANDS + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    matrix = np.maximum(0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    matrix[0] = 0.0
    return matrix


_MEL = mel_matrix()
_HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


def row_count(samples: int) -> int:
    """Spectrogram rows of a signal of at least one window; what remains at the end gives no row."""
    return 1 + (samples - WINDOW) // HOP


def patch_starts(samples: int) -> int:
    """Rows at which a patch can start in a signal of ``samples`` samples and its tail."""
    return row_count(samples + TAIL) - PATCH + 1


def log_mel(speech: Rows, rows: np.ndarray) -> np.ndarray:
    """Rows of the log-mel spectrogram: natural logarithm of mel-weighted magnitudes plus 0.01.

    Every row depends on its own 400 samples only. Behind the end the last sample is repeated (silence where there is none).

    Args:
        speech: int16 (S,) at 16 kHz.
        rows: Wanted rows int (R,), ascending; row r starts at sample 160 r.

    Returns:
        float32 (R, 64).
    """
    stretches = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return np.concatenate([_stretch(speech, int(part[0]), len(part)) for part in stretches])


def _stretch(speech: Rows, first: int, count: int) -> np.ndarray:
    size = (count - 1) * HOP + WINDOW
    found = speech[first * HOP : first * HOP + size]
    if len(found) < size:
        found = np.concatenate([found, np.full(size - len(found), (*speech[-1:], 0)[0], found.dtype)])
    frames = np.lib.stride_tricks.sliding_window_view(found, WINDOW)[::HOP] / 32768.0
    magnitude = np.abs(np.fft.rfft(frames * _HANN, FFT))
    return np.log(magnitude @ _MEL + OFFSET).astype(np.float32)
