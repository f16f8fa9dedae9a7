"""What a face looks like once its landmarks are known: gradients of the aligned face, and the landmarks themselves.

Appearance and geometry, the two descriptions that OpenFace 2 (Baltrusaitis and others 2018) predicts action units from. Sizes and targets
are this project's.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from wildaffect.faces.alignment import similarity
from wildaffect.faces.detectors.dlib import LICENCE, landmark_file

SIDE = 192
HOG_SIDE = 64
CITATION = "C. Sagonas et al., 300 Faces In-the-Wild Challenge, Image and Vision Computing 47, 2016"
# Where a crop of a face shows it, from the brows to the chin: left, top, right, bottom as fractions of its side.
FACE = np.array([0.06, 0.10, 0.94, 0.98])
# Where the middles of the eyes and of the mouth go in the aligned face.
TARGETS = np.array([[28, 30], [68, 30], [48, 72]]) / 96 * SIDE


def about() -> dict[str, str | Path]:
    """File of the landmark predictor, and what its use obliges to."""
    return {"path": landmark_file(), "licence": LICENCE, "citation": CITATION}


class Hog(nn.Module):
    """Histograms of oriented gradients of grey images (n, 64, 64), float32 (n, 1764)."""

    columns = 9 * 2 * 2 * 7 * 7

    def forward(self, images: Tensor) -> Tensor:
        """On the CPU, image by image."""
        return stacked(map(gradients, images.cpu().numpy()), images.device)


class OfLandmarks(nn.Module):
    """Grey images (n, 192, 192) in [0, 1] of one face each -> what ``describe`` says of each and its landmarks, float32 (n, columns).

    The 68 landmarks are dlib's: found where a crop of a face shows it, then once more in the box around the landmarks found.
    """

    def __init__(self, describe: Callable[[np.ndarray, np.ndarray], np.ndarray], columns: int) -> None:
        super().__init__()
        import dlib

        self.columns, self._describe = columns, describe
        self._rectangle, self._predictor = dlib.rectangle, dlib.shape_predictor(str(landmark_file()))

    def forward(self, images: Tensor) -> Tensor:
        """On the CPU, image by image."""
        grey = (images.cpu().numpy() * 255).round().astype(np.uint8)
        return stacked((self._describe(image, self.landmarks(image)) for image in grey), images.device)

    def landmarks(self, image: np.ndarray) -> np.ndarray:
        """68 points (x, y) in pixels of a square grey image uint8."""
        first = self._points(image, FACE * len(image))
        low, high = first.min(axis=0), first.max(axis=0)
        side = (high - low).max()
        # Foreheads have no landmark, so the middle of a face lies above that of its landmarks.
        corner = (low + high) / 2 - side * np.array([0.5, 0.55])
        return self._points(image, np.concatenate([corner, corner + side]))

    def _points(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
        shape = self._predictor(image, self._rectangle(*(int(value) for value in box)))
        return np.array([(point.x, point.y) for point in shape.parts()], np.float64)


def aligned_hog() -> OfLandmarks:
    """Histograms of oriented gradients of the aligned face."""
    return OfLandmarks(lambda image, points: gradients(aligned(image, points)), Hog.columns)


def aligned_landmarks() -> OfLandmarks:
    """The 68 landmarks in the aligned face as x, y, x, y …, in sides of the image from its top left corner."""
    return OfLandmarks(lambda image, points: move(points, to_aligned(points)).ravel() / SIDE, 2 * 68)


def stacked(rows: Iterable[np.ndarray], device: torch.device) -> Tensor:
    """Rows as one float32 tensor."""
    return torch.from_numpy(np.stack([*rows]).astype(np.float32)).to(device)


def gradients(image: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients (Dalal and Triggs 2005) of a grey image (64, 64) in [0, 1]."""
    from skimage.feature import hog

    return hog(image, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2))


def move(points: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Points (n, 2) by an affine map (2, 3)."""
    return points @ transform[:, :2].T + transform[:, 2]


def to_aligned(points: np.ndarray) -> np.ndarray:
    """Affine map (2, 3) from an image with these 68 landmarks to the aligned face."""
    middles = [points[first:last].mean(axis=0) for first, last in ((36, 42), (42, 48), (48, 60))]
    return similarity(np.stack(middles), TARGETS)


def aligned(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The aligned face, float64 (64, 64) in [0, 1], of a grey image uint8 with these 68 landmarks; the image's edge goes on beyond it."""
    warped = cv2.warpAffine(image, to_aligned(points), (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(warped, (HOG_SIDE, HOG_SIDE), interpolation=cv2.INTER_AREA) / 255
