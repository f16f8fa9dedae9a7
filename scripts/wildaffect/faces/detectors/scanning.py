"""Searching whole pictures with a detector network, at one or several sizes."""

from dataclasses import dataclass

import cv2
import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.detectors.network import Candidates, FaceNetwork
from wildaffect.faces.geometry import pairwise_iou


@dataclass(frozen=True)
class Found:
    """Faces of one picture in its pixels: boxes (n, 4), scores (n,), points (n, 5, 2), and the size (n,) that found each."""

    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True)
class Scanner:
    """A network with the sizes it searches at and the overlap above which two boxes are one face."""

    network: FaceNetwork
    sizes: tuple[int, ...]
    nms: float

    def check(self, name: str) -> None:
        """:class:`InputError` if the network cannot search at these sizes."""
        fixed, multiple = self.network.fixed, self.network.multiple
        if fixed and (fixed[0] != fixed[1] or self.sizes != (fixed[0],)):
            raise InputError(f"{name}: takes {fixed[1]} x {fixed[0]} pixels only. Set det_sizes: [{fixed[0]}].")
        if odd := [size for size in self.sizes if size % multiple]:
            raise InputError(f"{name}: det_sizes {odd} are no multiples of {multiple}.")

    def scan(self, pictures: list[np.ndarray]) -> list[Found]:
        """The faces of each picture (uint8 RGB (H, W, 3), one shape for all)."""
        results = [empty() for _ in pictures]
        for size in self.sizes:
            for start in range(0, len(pictures), self.network.batch):
                part = range(start, min(start + self.network.batch, len(pictures)))
                fitted = [self.fit(pictures[index], size) for index in part]
                seen = self.network(np.stack([canvas for canvas, _ in fitted]))
                for index, (_, scale), candidates in zip(part, fitted, seen, strict=True):
                    results[index] = self._add(results[index], self.placed(candidates, scale, np.zeros(2), size))
        return results

    def fit(self, picture: np.ndarray, size: int) -> tuple[np.ndarray, float]:
        """The picture shrunk (or enlarged) to ``size`` on its longer side at the top left of a black canvas, and the scale.

        Places are those of insightface's square canvas, whose empty part is left out (the network need not search it) but
        for one stride, which keeps the picture's edge from being the network's edge.
        """
        wide, high, scale = fitted_size(picture, size)
        fitted = cv2.resize(picture, (wide, high))
        below, beside = np.subtract(self.network.fixed or self._canvas(high, wide, size), (high, wide)).tolist()
        if below or beside:
            fitted = cv2.copyMakeBorder(fitted, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        return fitted, scale

    def _canvas(self, high: int, wide: int, size: int) -> tuple[int, int]:
        multiple = self.network.multiple
        return tuple(min(size, -(-(side + multiple) // multiple) * multiple) for side in (high, wide))

    def placed(self, candidates: Candidates, scale: float, corner: np.ndarray, size: int) -> Found:
        """Candidates of a window whose corner (2,) lies in a picture scaled by ``scale``, in picture pixels, one per face."""
        boxes = (candidates.boxes + np.tile(corner, 2).astype(np.float32)) / np.float32(scale)
        points = (candidates.points + corner.astype(np.float32)) / np.float32(scale)
        keep = best_of_overlapping(boxes, self.nms)
        return Found(boxes[keep], candidates.scores[keep], points[keep], np.full(len(keep), size))

    def _add(self, found: Found, other: Found) -> Found:
        """A later size may only add faces; it never replaces an earlier one's."""
        new = (pairwise_iou(other.boxes, found.boxes) <= self.nms).all(axis=1)
        return join([found, select(other, new)])


def fitted_size(picture: np.ndarray, size: int) -> tuple[int, int, float]:
    """Width and height of a picture whose longer side becomes ``size``, rounded as insightface does, and the scale."""
    height, width = picture.shape[:2]
    high, wide = (size, int(size / (height / width))) if height > width else (int(size * (height / width)), size)
    return max(1, wide), max(1, high), max(1, high) / height


def empty() -> Found:
    """No faces."""
    shapes = ((0, 4), (0,), (0, 5, 2))
    return Found(*(np.zeros(shape, np.float32) for shape in shapes), np.zeros(0, int))


def join(parts: list[Found]) -> Found:
    """The faces of several."""
    names = ("boxes", "scores", "points", "sizes")
    return Found(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def select(found: Found, rows: np.ndarray) -> Found:
    """Some of the faces."""
    return Found(found.boxes[rows], found.scores[rows], found.points[rows], found.sizes[rows])


def best_of_overlapping(boxes: np.ndarray, limit: float) -> list[int]:
    """Rows to keep of boxes (n, 4), best first: none overlaps a better one by more than ``limit``."""
    overlap, keep, left = pairwise_iou(boxes, boxes), [], np.arange(len(boxes))
    while len(left):
        keep.append(int(left[0]))
        left = left[1:][overlap[left[0], left[1:]] <= limit]
    return keep
