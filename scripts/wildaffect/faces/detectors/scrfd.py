"""Detector graphs of the RetinaFace family (SCRFD included): sessions, decoding, and scans of whole images at several sizes.

The layouts are those that insightface reads: per stride one output of scores, one of box distances, one of landmark
distances, all scores first; three strides with two anchors each (9 outputs) or five strides with one (15 outputs). Its
classes decode one image at a time and squares only; this decodes batches of any shape the graph takes, with the same
numbers.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime

from wildaffect.errors import InputError
from wildaffect.faces.tables import pairwise_iou
from wildaffect.integrity import foreign
from wildaffect.sessions import bind_session

# (strides, anchors per position, landmarks) by number of outputs.
LAYOUTS = {
    6: ((8, 16, 32), 2, False),
    9: ((8, 16, 32), 2, True),
    10: ((8, 16, 32, 64, 128), 1, False),
    15: ((8, 16, 32, 64, 128), 1, True),
}
MEAN, SPREAD = 127.5, 128.0


@dataclass(frozen=True)
class Candidates:
    """Faces of one image in pixels of the network's input, best first, overlapping ones not yet removed.

    boxes float32 (n, 4); scores float32 (n,); points float32 (n, 5, 2).
    """

    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray


class DetectorNetwork:
    """A detector file bound to a device.

    ``multiple``: both sides of an image must be multiples of this; ``fixed``: the only (height, width) the graph takes,
    or None; ``batch``: most images of one call; ``provider``: what ONNX Runtime bound.
    """

    def __init__(self, path: Path, device: str, threads: int, threshold: float, batch: int):
        session = bind_session(path, path, device, threads)
        outputs = session.get_outputs()
        if len(outputs) not in LAYOUTS:
            raise InputError(
                f"{path}: a graph with {len(outputs)} outputs is no detector of the RetinaFace or SCRFD layout (9 or 15)."
            )
        self._strides, self._anchors, landmarks = LAYOUTS[len(outputs)]
        if not landmarks:
            raise InputError(f"{path}: this detector gives no landmarks; choose one with five points.")
        self._threshold = threshold
        self.multiple = self._strides[-1]
        with foreign(path, "a graph that takes one batch of RGB images"):
            ((images, channels, *sides),) = (node.shape for node in session.get_inputs())
            if len(sides) != 2 or (isinstance(channels, int) and channels != 3):
                raise ValueError(f"its input has shape {session.get_inputs()[0].shape}")
        self.fixed = tuple(sides) if all(isinstance(side, int) for side in sides) else None
        self.batch = batch if batch == 1 or not isinstance(images, int) else min(batch, images)
        self._session = session
        if batch > 1 and images == 1 and self.fixed is None:
            relaxed = bind_session(_with_free_batch(path), path, device, threads)
            if self._agree(relaxed):
                self._session, self.batch = relaxed, batch
        self.provider = self._session.get_providers()[0]
        with foreign(path, "a detector of the RetinaFace or SCRFD layout"):
            self._try()

    def _try(self) -> None:
        """Raises anything if the outputs for a black image have other shapes than the layout."""
        height, width = self.fixed or (self.multiple, 2 * self.multiple)
        outputs = self._run(self._session, np.zeros((1, height, width, 3), np.uint8))
        levels = [(height // stride) * (width // stride) * self._anchors for stride in self._strides]
        wanted = [(1, rows, values) for values in (1, 4, 10) for rows in levels]
        found = [_by_image(output, 1, self._anchors).shape for output in outputs]
        if found != wanted:
            raise ValueError(f"its outputs have shapes {found}, expected {wanted}")

    def __call__(self, images: np.ndarray) -> list[Candidates]:
        """The candidates of each of ``images``, uint8 RGB (n, H, W, 3) with n up to ``batch``."""
        count, _, width, _ = images.shape
        outputs = [_by_image(output, count, self._anchors) for output in self._run(self._session, images)]
        levels = len(self._strides)
        found = []
        for index in range(count):
            parts = []
            for level, stride in enumerate(self._strides):
                scores, boxes, points = (outputs[level + part * levels][index] for part in range(3))
                rows = np.flatnonzero(scores[:, 0] >= self._threshold)
                position = rows // self._anchors
                centre = stride * np.stack([position % (width // stride), position // (width // stride)], axis=1)
                centre = centre.astype(np.float32)
                distance = boxes[rows] * stride
                corners = np.hstack([centre - distance[:, :2], centre + distance[:, 2:]])
                marks = centre[:, None] + points[rows].reshape(-1, 5, 2) * stride
                parts.append((corners, scores[rows, 0], marks))
            boxes, scores, points = (np.concatenate(columns) for columns in zip(*parts, strict=True))
            order = np.argsort(-scores, kind="stable")
            found.append(Candidates(boxes[order], scores[order], points[order]))
        return found

    @staticmethod
    def _run(session: onnxruntime.InferenceSession, images: np.ndarray) -> list[np.ndarray]:
        # Exact, like OpenCV's blobFromImages, which takes five times as long.
        blob = np.empty((len(images), 3, *images.shape[1:3]), np.float32)
        for planes, image in zip(blob, images, strict=True):
            planes[:] = cv2.split(image)
        blob *= np.float32(1 / SPREAD)
        blob -= np.float32(MEAN / SPREAD)
        return session.run(None, {session.get_inputs()[0].name: blob})

    def _agree(self, relaxed: onnxruntime.InferenceSession) -> bool:
        """Whether two images at once give what they give alone: some graphs have the batch of one built in."""
        images = np.random.default_rng(0).integers(0, 256, (2, self.multiple, 2 * self.multiple, 3), np.uint8)
        try:
            together = [_by_image(output, 2, self._anchors) for output in self._run(relaxed, images)]
        except (onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException, ValueError):
            return False
        alone = [self._run(self._session, images[[index]]) for index in range(2)]
        return all(
            np.allclose(both[index], one[index_output].reshape(both[index].shape), atol=1e-4)
            for index, one in enumerate(alone)
            for index_output, both in enumerate(together)
        )


def _by_image(output: np.ndarray, count: int, anchors: int) -> np.ndarray:
    """An output as (images, positions x anchors, values).

    Graphs exported for batches say so by three axes. Those exported for one image have two, and their export put the
    batch between position and anchor.
    """
    if output.ndim == 3:
        return output
    values = output.shape[1]
    positions = len(output) // (count * anchors)
    return output.reshape(positions, count, anchors, values).swapaxes(0, 1).reshape(count, positions * anchors, values)


def _with_free_batch(path: Path) -> bytes:
    """The graph with the number of images left open."""
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "images"
    for index, output in enumerate(model.graph.output):
        output.type.tensor_type.shape.dim[0].dim_param = f"rows{index}"
    return model.SerializeToString()


@dataclass(frozen=True)
class Found:
    """Faces of one image in its pixels: boxes (n, 4), scores (n,), points (n, 5, 2), and the size (n,) that found each."""

    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True)
class Scanner:
    """A network with the sizes it searches at and the overlap above which two boxes are one face."""

    network: DetectorNetwork
    sizes: tuple[int, ...]
    nms: float

    def check(self, name: str) -> None:
        """`InputError` if the network cannot search at these sizes."""
        fixed, multiple = self.network.fixed, self.network.multiple
        if fixed and (fixed[0] != fixed[1] or self.sizes != (fixed[0],)):
            raise InputError(f"{name}: takes {fixed[1]} x {fixed[0]} pixels only. Set det_sizes: [{fixed[0]}].")
        if odd := [size for size in self.sizes if size % multiple]:
            raise InputError(f"{name}: det_sizes {odd} are no multiples of {multiple}.")

    def scan(self, images: list[np.ndarray]) -> list[Found]:
        """The faces of each image (uint8 RGB (H, W, 3), one shape for all); an image with a large one is searched at no further size."""
        results = [empty() for _ in images]
        due = list(range(len(images)))
        for size in self.sizes:
            for start in range(0, len(due), self.network.batch):
                part = due[start : start + self.network.batch]
                fitted = [self.fit(images[index], size) for index in part]
                seen = self.network(np.stack([canvas for canvas, _ in fitted]))
                for index, (_, scale), candidates in zip(part, fitted, seen, strict=True):
                    results[index] = self._add(results[index], self.placed(candidates, scale, np.zeros(2), size))
            due = [index for index in due if not _has_large(results[index], images[index])]
        return results

    def fit(self, image: np.ndarray, size: int) -> tuple[np.ndarray, float]:
        """The image shrunk (or enlarged) to ``size`` on its longer side at the top left of a black canvas, and the scale.

        Positions are those of insightface's square canvas, whose empty part is left out (the network need not search it) except
        for one stride, which keeps the image's edge from being the network's edge.
        """
        wide, high, scale = fitted_size(image, size)
        fitted = cv2.resize(image, (wide, high))
        below, beside = np.subtract(self.canvas(image, size), (high, wide)).tolist()
        if below or beside:
            fitted = cv2.copyMakeBorder(fitted, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        return fitted, scale

    def canvas(self, image: np.ndarray, size: int) -> tuple[int, int]:
        """Height and width of what `fit` gives."""

        def padded(side: int) -> int:
            return min(size, -(-(side + self.network.multiple) // self.network.multiple) * self.network.multiple)

        wide, high, _ = fitted_size(image, size)
        return self.network.fixed or (padded(high), padded(wide))

    def placed(self, candidates: Candidates, scale: float, corner: np.ndarray, size: int) -> Found:
        """Candidates of a window whose corner (2,) lies in an image scaled by ``scale``, in image pixels, one per face."""
        boxes = (candidates.boxes + np.tile(corner, 2).astype(np.float32)) / np.float32(scale)
        points = (candidates.points + corner.astype(np.float32)) / np.float32(scale)
        keep = best_of_overlapping(boxes, self.nms)
        return Found(boxes[keep], candidates.scores[keep], points[keep], np.full(len(keep), size))

    def _add(self, found: Found, other: Found) -> Found:
        """A later size may only add faces; it never replaces an earlier one's."""
        new = (pairwise_iou(other.boxes, found.boxes) <= self.nms).all(axis=1)
        return join([found, select(other, new)])


# Of the image's longer side. At 640 pixels the networks miss faces of 440 and more; beside one that is found there is no room for another.
LARGE = 0.25


def _has_large(found: Found, image: np.ndarray) -> bool:
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    return bool(sides.max(initial=0) >= LARGE * max(image.shape[:2]))


def fitted_size(image: np.ndarray, size: int) -> tuple[int, int, float]:
    """Width and height of an image whose longer side becomes ``size``, rounded as insightface does, and the scale."""
    height, width = image.shape[:2]
    high, wide = (size, int(size / (height / width))) if height > width else (int(size * (height / width)), size)
    return max(1, wide), max(1, high), max(1, high) / height


def empty() -> Found:
    """No faces."""
    boxes, scores, points = (np.zeros(shape, np.float32) for shape in ((0, 4), (0,), (0, 5, 2)))
    return Found(boxes, scores, points, np.zeros(0, int))


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
