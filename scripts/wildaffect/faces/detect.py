"""From a video to its table of detections, in one streaming pass."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wildaffect.errors import InputError
from wildaffect.faces.columns import points_column
from wildaffect.faces.cuts import CutFinder
from wildaffect.faces.detectors import Faces, open_detector
from wildaffect.faces.geometry import pairwise_iou
from wildaffect.media.decode import decode
from wildaffect.media.frames import read_frames
from wildaffect.tables import write_table

DETECTIONS = pa.schema(
    [
        ("frame", pa.int32()),
        ("x0", pa.float32()),
        ("y0", pa.float32()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("score", pa.float32()),
        ("points5", pa.list_(pa.float32(), 10)),
        ("points68", pa.list_(pa.float32(), 136)),
        ("identity", pa.list_(pa.float32())),  # length depends on the backend; null where it was not computed
    ]
)
# Pictures held at once for each thread: enough to keep the detector busy, few enough for 4K video.
BATCH = 4
# A face that overlaps one of the frame before by this much is the same one, as far as scheduling goes.
SAME_PLACE = 0.4


def detect_faces(
    video: str | os.PathLike,
    frames: str | os.PathLike,
    output: str | os.PathLike,
    *,
    backend: str,
    model: str,
    options: dict[str, Any],
    device: str = "cpu",
    threads: int = 1,
    models_dir: Path | None = None,
) -> None:
    """Find the faces of every frame of ``video`` and write ``output`` (schema :data:`DETECTIONS`), frames ascending.

    ``frames`` is the video's frame table; ``options`` are those of the backend (see ``detectors/``) and
    ``identity_every``: identity vectors, which are slow, are computed where a face appears (or after a cut) and then
    once in that many frames (default 30), five times as often while two faces touch. A frame without a face has no row.
    Metadata: about the detector, ``frames`` (decoded), ``frames_with_face``, ``cuts`` (first frames of new shots),
    ``width``, ``height``, ``identity_distance`` (see ``detectors``).
    """
    about = read_frames(frames).about
    options = dict(options)
    identity_every = options.pop("identity_every", 30)
    if not isinstance(identity_every, int) or identity_every < 1:
        raise InputError(f"faces.options: identity_every must be a whole number from 1 on, not {identity_every!r}.")
    detector = open_detector(backend, model, options, device, threads, models_dir)
    is_cut, schedule = CutFinder(), IdentitySchedule(identity_every)
    parts, cuts, decoded = [DETECTIONS.empty_table()], [], 0
    pictures = (picture for _, picture in decode(Path(video), threads)) if about["frames"] else iter(())
    for batch in _batches(pictures, BATCH * threads):
        rows = []
        for picture, faces in zip(batch, detector.find(batch), strict=True):
            if is_cut(picture):
                cuts.append(decoded)
                schedule.forget()
            due = schedule.due(faces.boxes) if detector.identity is not None else np.zeros(len(faces.boxes), bool)
            vectors = [detector.identify(picture, faces, row) if due[row] else None for row in range(len(due))]
            rows.append(_rows(decoded, faces, vectors))
            decoded += 1
        parts.append(pa.concat_tables(rows).combine_chunks())
    if decoded != about["frames"]:
        raise InputError(
            f"{video}: {decoded} frames decoded, {frames} lists {about['frames']}. Make the frame table again."
        )
    table = pa.concat_tables(parts)
    metadata = detector.about | {
        "identity_distance": detector.identity,
        "identity_every": identity_every,
        "frames": decoded,
        "frames_with_face": len(table["frame"].unique()),
        "cuts": cuts,
        "width": about["width"],
        "height": about["height"],
    }
    write_table(output, table, DETECTIONS, metadata)


class IdentitySchedule:
    """Says which faces of successive frames need an identity vector: new ones, and known ones from time to time."""

    def __init__(self, every: int):
        self._every = every
        self.forget()

    def forget(self) -> None:
        """Take every face of the next frame for new."""
        self._boxes, self._ages = np.zeros((0, 4), np.float32), np.zeros(0, int)

    def due(self, boxes: np.ndarray) -> np.ndarray:
        """Bool (n,) for the boxes (n, 4) of the next frame."""
        ages = np.full(len(boxes), self._every)
        if len(self._boxes):
            overlap = pairwise_iou(boxes, self._boxes)
            seen = overlap.max(axis=1, initial=0) >= SAME_PLACE
            ages[seen] = self._ages[overlap.argmax(axis=1)[seen]] + 1
        touching = (pairwise_iou(boxes, boxes) > 0).sum(axis=1) > 1
        due = ages >= np.where(touching, max(1, self._every // 5), self._every)
        self._boxes, self._ages = boxes, np.where(due, 0, ages)
        return due


def _batches(pictures: Iterator[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    batch = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows(frame: int, faces: Faces, vectors: list[np.ndarray | None]) -> pa.Table:
    count = len(faces.boxes)
    points68 = np.full((count, 68, 2), np.nan) if faces.points68 is None else faces.points68
    columns = [
        pa.array(np.full(count, frame, np.int32)),
        *(pa.array(faces.boxes[:, side].astype(np.float32)) for side in range(4)),
        pa.array(faces.scores.astype(np.float32)),
        points_column(faces.points5),
        points_column(points68),
        pa.array(vectors, pa.list_(pa.float32())),
    ]
    return pa.Table.from_arrays(columns, schema=DETECTIONS)
