"""The 88 functionals of eGeMAPS v02 over the three seconds around each frame, computed by openSMILE.

The set is meant for an utterance; here the utterance is a window of 3 s whose centre is the multiple of 0.1 s nearest to the frame.
Frames that share a centre share the values: an approximation of a window per frame, ten windows a second instead of thirty. At the ends
of the sound the window is what of it lies inside; a frame behind the end has the last window.
"""

from collections.abc import Iterator

import numpy as np
import opensmile

from wildaffect.features import opensmile_stream
from wildaffect.features.frames import Clock
from wildaffect.features.store import Rows, pieces
from wildaffect.features.waveform import RATE

STEP = RATE // 10
HALF = 3 * RATE // 2
_FRAMES = 1024  # at a time
PARAMETERS = {
    "rate_hz": RATE,
    "window_s": 2 * HALF / RATE,
    "step_s": STEP / RATE,
    "set": "eGeMAPSv02",
    "level": "functionals",
    "opensmile": opensmile.__version__,
}


def frame_values(speech: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """float32 (frames, 88) in blocks, of int16 (S,) at 16 kHz. Silence gives finite values."""
    steps = np.minimum(np.rint(clock.times * (RATE / STEP)).astype(np.int64), len(speech) // STEP)
    with opensmile_stream.Functionals(PARAMETERS["set"]) as over:
        for wanted in pieces(steps, _FRAMES):
            distinct, place = np.unique(wanted, return_inverse=True)
            windows = (speech[max(centre - HALF, 0) : centre + HALF] for centre in distinct * STEP)
            yield np.stack([over(window) for window in windows])[place]
