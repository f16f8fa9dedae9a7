"""Camera cuts: where one shot ends and the next begins."""

from collections import deque

import cv2
import numpy as np

SIDE = 32
# Of a large picture only every so manieth row and column is read, so that its shorter side keeps this many.
LEAST_READ = 160
# Mean absolute difference of the small pictures, as a share of the full grey range. On real clips hard cuts lie above
# 0.1 and fast motion, hand-held cameras and codec pulses below 0.07.
DIFFERENCE = 0.08
# A cut also stands out from the motion just before it.
TIMES_RECENT = 3.0
RECENT = 8


class CutFinder:
    """Feeds on pictures in order and says of each whether a new shot begins there; keeps a few numbers only.

    Hard cuts only: a dissolve changes too little from frame to frame.
    """

    def __init__(self):
        self._previous = None
        self._recent = deque(maxlen=RECENT)

    def __call__(self, picture: np.ndarray) -> bool:
        """Whether ``picture`` (uint8 (H, W, 3)) starts a new shot. The first picture does not."""
        step = max(1, min(picture.shape[:2]) // LEAST_READ)
        thinned = np.ascontiguousarray(picture[::step, ::step])
        small = cv2.resize(thinned, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        if self._previous is None:
            self._previous = small
            return False
        difference = float(np.abs(small - self._previous).mean())
        usual = float(np.median(self._recent)) if self._recent else 0.0
        self._previous = small
        self._recent.append(difference)
        return difference >= DIFFERENCE and difference >= TIMES_RECENT * usual
