"""One detector graph of the RetinaFace family (SCRFD included): pictures in, candidate faces out.

The layouts are those that insightface reads: per stride one output of scores, one of box distances, one of landmark
distances, all scores first; three strides with two anchors each (9 outputs) or five strides with one (15 outputs). Its
classes decode one picture at a time and squares only; this decodes batches of any shape the graph takes, with the same
numbers.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime

from wildaffect.errors import InputError
from wildaffect.faces.detectors.sessions import bind_session

# (strides, anchors per place, landmarks) by number of outputs.
LAYOUTS = {
    6: ((8, 16, 32), 2, False),
    9: ((8, 16, 32), 2, True),
    10: ((8, 16, 32, 64, 128), 1, False),
    15: ((8, 16, 32, 64, 128), 1, True),
}
MEAN, SPREAD = 127.5, 128.0


@dataclass(frozen=True)
class Candidates:
    """Faces of one picture in pixels of what the network saw, best first, overlapping ones not yet removed.

    boxes float32 (n, 4); scores float32 (n,); points float32 (n, 5, 2).
    """

    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray


class FaceNetwork:
    """A detector file bound to a device.

    ``multiple``: both sides of a picture must be multiples of this; ``fixed``: the only (height, width) the graph takes,
    or None; ``batch``: most pictures of one call; ``provider``: what ONNX Runtime bound.
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
        pictures, _, *sides = session.get_inputs()[0].shape
        self.fixed = tuple(sides) if all(isinstance(side, int) for side in sides) else None
        self.batch = batch if batch == 1 or not isinstance(pictures, int) else min(batch, pictures)
        self._session = session
        if batch > 1 and pictures == 1 and self.fixed is None:
            relaxed = bind_session(_with_free_batch(path), path, device, threads)
            if self._agree(relaxed):
                self._session, self.batch = relaxed, batch
        self.provider = self._session.get_providers()[0]

    def __call__(self, pictures: np.ndarray) -> list[Candidates]:
        """The candidates of each of ``pictures``, uint8 RGB (n, H, W, 3) with n up to ``batch``."""
        count, _, width, _ = pictures.shape
        outputs = [_by_picture(output, count, self._anchors) for output in self._run(self._session, pictures)]
        levels = len(self._strides)
        found = []
        for index in range(count):
            parts = []
            for level, stride in enumerate(self._strides):
                scores, boxes, points = (outputs[level + part * levels][index] for part in range(3))
                rows = np.flatnonzero(scores[:, 0] >= self._threshold)
                place = rows // self._anchors
                centre = stride * np.stack([place % (width // stride), place // (width // stride)], axis=1)
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
    def _run(session: onnxruntime.InferenceSession, pictures: np.ndarray) -> list[np.ndarray]:
        blob = cv2.dnn.blobFromImages(list(pictures), 1 / SPREAD, None, (MEAN, MEAN, MEAN))
        return session.run(None, {session.get_inputs()[0].name: blob})

    def _agree(self, relaxed: onnxruntime.InferenceSession) -> bool:
        """Whether two pictures at once give what they give alone: some graphs have the batch of one built in."""
        pictures = np.random.default_rng(0).integers(0, 256, (2, self.multiple, 2 * self.multiple, 3), np.uint8)
        try:
            together = [_by_picture(output, 2, self._anchors) for output in self._run(relaxed, pictures)]
        except (onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException, ValueError):
            return False
        alone = [self._run(self._session, pictures[[index]]) for index in range(2)]
        return all(
            np.allclose(both[index], one[index_output].reshape(both[index].shape), atol=1e-4)
            for index, one in enumerate(alone)
            for index_output, both in enumerate(together)
        )


def _by_picture(output: np.ndarray, count: int, anchors: int) -> np.ndarray:
    """An output as (pictures, places x anchors, values).

    Graphs exported for batches say so by three axes. Those exported for one picture have two, and their export put the
    batch between place and anchor.
    """
    if output.ndim == 3:
        return output
    values = output.shape[1]
    places = len(output) // (count * anchors)
    return output.reshape(places, count, anchors, values).swapaxes(0, 1).reshape(count, places * anchors, values)


def _with_free_batch(path: Path) -> bytes:
    """The graph with the number of pictures left open."""
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "pictures"
    for index, output in enumerate(model.graph.output):
        output.type.tensor_type.shape.dim[0].dim_param = f"rows{index}"
    return model.SerializeToString()
