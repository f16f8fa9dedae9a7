"""The 23 low-level descriptors of eGeMAPS v01a every 10 ms, computed by openSMILE (LFAN spec 2.6).

Florian Eyben et al., The Geneva Minimalistic Acoustic Parameter Set (GeMAPS), IEEE Trans. Affective Computing 2016.
"""

import warnings
from collections.abc import Callable

import numpy as np
import opensmile

from wildaffect.features.waveform import RATE

PARAMETERS = {
    "rate_hz": RATE,
    "hop_s": 0.01,
    "window_s": "0.06 for pitch, jitter, shimmer, harmonics and formants' amplitudes; 0.02 or 0.025 for the rest",
    "set": "eGeMAPSv01a",
    "level": "low-level descriptors, smoothed over 3 rows",
    "opensmile": opensmile.__version__,
}
_SHORTEST = 960  # samples; openSMILE answers nothing for less, so shorter signals are padded with silence


def descriptors(speech: np.ndarray) -> np.ndarray:
    """float32 (R, 23) of int16 (S,) at 16 kHz; row r starts at r * 10 ms. Silence gives finite values."""
    with warnings.catch_warnings():
        # The package recommends version 02; the published system used 01a.
        warnings.filterwarnings("ignore", message="Feature set .* is deprecated")
        smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv01a, opensmile.FeatureLevel.LowLevelDescriptors)
    signal = np.pad(speech, (0, max(0, _SHORTEST - len(speech)))).astype(np.float32) / 32768
    return smile.process_signal(signal, RATE).to_numpy(np.float32)


def frame_values(speech: np.ndarray, rows_of_frames: Callable[[int], np.ndarray]) -> np.ndarray:
    """float32 (frames, 23): the rows that ``rows_of_frames(number of rows)`` picks from :func:`descriptors`."""
    rows = descriptors(speech)
    return rows[rows_of_frames(len(rows))]
