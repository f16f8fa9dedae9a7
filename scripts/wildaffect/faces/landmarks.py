"""The landmark drawing that TSAV takes as a fourth channel beside the crop."""

import os

import cv2
import numpy as np

from wildaffect.faces.alignment import ARCFACE, align, map_points
from wildaffect.faces.tables import read_trial

SIDE = 112
_JPEG_100 = [cv2.IMWRITE_JPEG_QUALITY, 100]
# (first landmark, last landmark, closed, grey value), drawn in this order, later strokes over earlier ones
# (TSAV spec 2.4). The nose bridge starts at 28, not 27, and grey 95 is left out, as in the original.
STROKES = (
    (48, 59, True, 255),  # outer lips
    (17, 21, False, 223),  # image-left brow
    (22, 26, False, 191),  # image-right brow
    (36, 41, True, 159),  # image-left eye
    (42, 47, True, 127),  # image-right eye
    (28, 30, False, 63),  # nose bridge
    (6, 10, False, 31),  # chin
)


def draw_landmarks(points68: np.ndarray) -> np.ndarray:
    """Draw the mask uint8 (112, 112) of landmarks (68, 2) in crop pixels; black if any is NaN.

    Polylines one pixel wide, 8-connected, without antialiasing; vertices rounded to the nearest whole pixel, halves to
    even (TSAV spec 2.4). The original stores its masks as JPEG, so its own greys waver by a few units.
    """
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if np.isnan(points68).any():
        return mask
    vertices = np.rint(points68).astype(np.int32)
    for first, last, closed, grey in STROKES:
        cv2.polylines(mask, [vertices[first : last + 1]], closed, grey, thickness=1, lineType=cv2.LINE_8)
    return mask


def through_jpeg(mask: np.ndarray) -> np.ndarray:
    """A grey image as it comes back from a JPEG file of quality 100: a few greys off."""
    return cv2.imdecode(cv2.imencode(".jpg", mask, _JPEG_100)[1], cv2.IMREAD_GRAYSCALE)


class LandmarkMasks:
    """The masks that belong to a trial's 112-pixel crops aligned to the ArcFace points, from the table of persons.

    ``len``: decoded frames N; ``valid`` bool (N,): frames with 68 landmarks.
    """

    def __init__(self, persons: str | os.PathLike, trial: str, *, jpeg: bool = False):
        """``jpeg``: as they come back from files like the original's, see `through_jpeg`."""
        self._finish = through_jpeg if jpeg else np.asarray
        faces = read_trial(persons, trial)
        self.valid = faces.valid & ~np.isnan(faces.points68).any(axis=(1, 2))
        self._points = faces.points68.copy()
        for frame in np.flatnonzero(self.valid):
            transform = align(faces.points5[frame], faces.boxes[frame], ARCFACE)
            self._points[frame] = map_points(transform, self._points[frame])

    def __len__(self) -> int:
        return len(self.valid)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Draw the masks uint8 (n, 112, 112) of the frames ``rows`` (n,), black where there are no landmarks."""
        masks = np.zeros((len(rows), SIDE, SIDE), np.uint8)
        for out, row in zip(masks, np.asarray(rows).tolist(), strict=True):
            if self.valid[row]:
                out[...] = self._finish(draw_landmarks(self._points[row]))
        return masks
