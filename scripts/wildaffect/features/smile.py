"""Feature sets that openSMILE brings along, row by row on the 10 ms grid."""

import warnings

import numpy as np
import opensmile

from wildaffect.features.waveform import RATE

SHORTEST = 960  # samples; openSMILE answers nothing for less, so shorter signals are padded with silence
_WINDOWS = "0.06 for pitch, jitter, shimmer and harmonics; 0.02 or 0.025 for the rest"


def parameters(feature_set: str) -> dict:
    """What ``about.json`` says of the low-level descriptors of ``feature_set``."""
    return {
        "rate_hz": RATE,
        "hop_s": 0.01,
        "window_s": _WINDOWS,
        "set": feature_set,
        "level": "low-level descriptors, smoothed over 3 rows",
        "opensmile": opensmile.__version__,
    }


def extractor(feature_set: str, level: str) -> opensmile.Smile:
    """openSMILE with one of its own configurations; ``level`` is ``LowLevelDescriptors`` or ``Functionals``."""
    with warnings.catch_warnings():
        # The package recommends version 02 of eGeMAPS; one published system used 01a.
        warnings.filterwarnings("ignore", message="Feature set .* is deprecated")
        return opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel[level])


def process(smile: opensmile.Smile, speech: np.ndarray) -> np.ndarray:
    """float32 (R, dim) of int16 (S,) at 16 kHz, S of any size."""
    signal = np.pad(speech, (0, max(0, SHORTEST - len(speech)))).astype(np.float32) / 32768
    return smile.process_signal(signal, RATE).to_numpy(np.float32)


def descriptors(speech: np.ndarray, feature_set: str) -> np.ndarray:
    """Low-level descriptors float32 (R, dim); row r starts at r * 10 ms. Silence gives finite values."""
    return process(extractor(feature_set, "LowLevelDescriptors"), speech)
