"""The 88 functionals of eGeMAPS v02 over the three seconds around each frame, computed by openSMILE.

The set is meant for an utterance; here the utterance is a window of 3 s whose centre is the multiple of 0.1 s nearest to the frame.
Frames that share a centre share the values: an approximation of a window per frame, ten windows a second instead of thirty. At the ends
of the audio the window is what of it lies inside; a frame behind the end has the last window.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from wildaffect.features import opensmile_stream
from wildaffect.features.audio.egemaps25 import F0, FORMANTS, MFCC, VOICE
from wildaffect.features.frames import BY_WINDOW, Clock
from wildaffect.features.signal import RATE
from wildaffect.features.spec import per_frame
from wildaffect.features.store import Rows, pieces

_MEAN = ("amean", "stddevNorm")
_CONTOUR = (
    *_MEAN,
    *(f"percentile{k}.0" for k in (20, 50, 80)),
    "pctlrange0-2",
    *(f"{part}{way}Slope" for way in ("Rising", "Falling") for part in ("mean", "stddev")),
)
_VOICED = ("alphaRatioV", "hammarbergIndexV", "slopeV0-500", "slopeV500-1500", "spectralFluxV")
_UNVOICED = tuple(name.replace("V", "UV") for name in _VOICED)
COLUMNS = (
    *(f"{name}_{part}" for name, part in product((f"{F0}_sma3nz", "loudness_sma3"), _CONTOUR)),
    *(f"{name}_sma3_{part}" for name, part in product(("spectralFlux", *MFCC), _MEAN)),
    *(f"{name}_sma3nz_{part}" for name, part in product((*VOICE, *FORMANTS), _MEAN)),
    *(f"{name}_sma3nz_{part}" for name, part in product((*_VOICED, *(f"{name}V" for name in MFCC)), _MEAN)),
    *(f"{name}_sma3nz_amean" for name in _UNVOICED),
    "loudnessPeaksPerSec",
    "VoicedSegmentsPerSec",
    "MeanVoicedSegmentLengthSec",
    "StddevVoicedSegmentLengthSec",
    "MeanUnvoicedSegmentLength",
    "StddevUnvoicedSegmentLength",
    "equivalentSoundLevel_dBp",
)
FEATURES = (
    per_frame(
        __name__,
        columns=COLUMNS,
        source="openSMILE",
        rule=BY_WINDOW,
        description="functionals of the extended Geneva minimalistic set, version 02, over 3 s around the frame",
        notice=opensmile_stream.NOTICE,
    ),
)
STEP = RATE // 10
HALF = 3 * RATE // 2
_SET = "eGeMAPSv02"
_FRAMES = 1024  # at a time


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    return {
        "rate_hz": RATE,
        "window_s": 2 * HALF / RATE,
        "step_s": STEP / RATE,
        "set": _SET,
        "level": "functionals",
        "opensmile": opensmile_stream.version(),
    }


def frame_values(speech: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """Functionals of the windows of the frames.

    Args:
        speech: int16 (S,) at 16 kHz.
        clock: The frames.

    Yields:
        Blocks of float32 (frames, 88). Silence gives finite values.
    """
    steps = np.minimum(np.rint(clock.times * (RATE / STEP)).astype(np.int64), len(speech) // STEP)
    with opensmile_stream.Functionals(_SET) as functionals:
        for wanted in pieces(steps, _FRAMES):
            distinct, index = np.unique(wanted, return_inverse=True)
            windows = (speech[max(centre - HALF, 0) : centre + HALF] for centre in distinct * STEP)
            yield np.stack([functionals(window) for window in windows])[index]
