"""The table of detections, faces as NumPy arrays, and the columns that tables of faces and bodies share."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

SIDES = ("x0", "y0", "x1", "y1")
SCORED_BOX = tuple((name, pa.float32()) for name in (*SIDES, "score"))
LANDMARKS = (("points5", pa.list_(pa.float32(), 10)), ("points68", pa.list_(pa.float32(), 136)))

DETECTIONS = pa.schema(
    [
        ("frame", pa.int32()),
        *SCORED_BOX,
        *LANDMARKS,
        ("identity", pa.list_(pa.float32())),  # length depends on the backend; null where it was not computed
    ]
)


@dataclass(frozen=True)
class Detections:
    """Every face of a video, frames ascending: arrays of one row per face (M rows).

    frame int (M,); boxes float32 (M, 4); scores float32 (M,); points5 (M, 5, 2); points68 (M, 68, 2), NaN where the
    backend has none; identity float32 (M, D), NaN where not computed (D is 0 if it never was).
    """

    frame: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    points5: np.ndarray
    points68: np.ndarray
    identity: np.ndarray

    @property
    def identified(self) -> np.ndarray:
        """Bool (M,): rows with an identity vector."""
        if not self.identity.shape[1]:
            return np.zeros(len(self.frame), bool)
        return ~np.isnan(self.identity[:, 0])


def rows_by_frame(frame: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each frame that occurs in the ascending ``frame`` (M,) with the numbers of its rows."""
    frames, starts = np.unique(frame, return_index=True)
    for number, start, stop in zip(frames.tolist(), starts, np.append(starts, len(frame))[1:], strict=True):
        yield number, np.arange(start, stop)


def detections_from_table(table: pa.Table) -> Detections:
    """The arrays of a table of detections."""
    vectors = table["identity"].combine_chunks()
    known = vectors.is_valid().to_numpy(zero_copy_only=False)
    values = vectors.drop_null().flatten().to_numpy()
    length = len(values) // max(1, known.sum())
    identity = np.full((len(table), length), np.nan, np.float32)
    identity[known] = values.reshape(known.sum(), length)
    return Detections(
        table["frame"].to_numpy().astype(np.int64),
        read_boxes(table).astype(np.float32),
        table["score"].to_numpy(),
        read_points(table["points5"]),
        read_points(table["points68"]),
        identity,
    )


def read_boxes(table: pa.Table) -> np.ndarray:
    """Boxes (n, 4) of a table with the columns of :data:`SCORED_BOX`, NaN where null."""
    return np.stack([table[name].to_numpy() for name in SIDES], axis=1)


def points_column(points: np.ndarray) -> pa.FixedSizeListArray:
    """Points (n, k, 2) as n lists of 2k float32; a row with NaN becomes null."""
    flat = np.ascontiguousarray(points, np.float32).reshape(len(points), points.shape[1] * 2)
    missing = pa.array(np.isnan(flat).any(axis=1))
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1], mask=missing)


def read_points(column: pa.ChunkedArray) -> np.ndarray:
    """The inverse: float32 (n, k, 2), NaN where null."""
    array = column.combine_chunks()
    width = array.type.list_size
    points = np.full((len(array), width), np.nan, np.float32)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    points[valid] = array.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return points.reshape(len(array), width // 2, 2)
