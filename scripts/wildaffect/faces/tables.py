"""The tables of faces: Arrow schemas of detections and persons, and the arrays of boxes and points in them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.errors import InputError
from wildaffect.faces.alignment import misaligned
from wildaffect.tables import read_batches, read_metadata, read_table

DETECTED, INTERPOLATED, HELD, NONE = SOURCES = ("detected", "interpolated", "held", "none")
"""Where a person's face in a frame comes from: found there, between two detections, a repeated detection, nowhere."""
SOURCE_TYPE = "<U12"
GOOD, SMALL, MISALIGNED = "good", "small", "misaligned"
"""How well a crop can show a face: well; from few pixels; by the box alone, because the landmarks are of no use."""
SMALL_SIDE = 32
"""Pixels below which a face is `SMALL` (root of the area of its box): less than a third of a crop of 112."""


def pairwise_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of all pairs of boxes.

    Args:
        first: Boxes (n, 4) as x0, y0, x1, y1.
        second: Boxes (m, 4).

    Returns:
        Overlaps (n, m), 0 where a box is empty.
    """
    return paired_iou(first[:, None], second[None])


def paired_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union (...) of boxes (..., 4) and as many others; shapes are broadcast."""
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    sides = np.maximum(high - low, 0)
    intersection = sides[..., 0] * sides[..., 1]
    union = areas(first) + areas(second) - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def at_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values float32 (n, …) of some rows (n,) of an array (M, …), NaN where the row is -1."""
    found = np.full((len(rows), *values.shape[1:]), np.nan, np.float32)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found


def areas(boxes: np.ndarray) -> np.ndarray:
    """Area (...) of each box (..., 4)."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def centres(boxes: np.ndarray) -> np.ndarray:
    """Centre (n, 2) of each box."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


SIDES = ("x0", "y0", "x1", "y1")
SCORED_BOX = tuple((name, pa.float32()) for name in (*SIDES, "score"))
LANDMARKS = (("points5", pa.list_(pa.float32(), 10)), ("points68", pa.list_(pa.float32(), 136)))

DETECTIONS_SCHEMA = pa.schema(
    [
        ("frame", pa.int32()),
        *SCORED_BOX,
        *LANDMARKS,
        ("identity", pa.list_(pa.float32())),  # length depends on the backend; null where it was not computed
    ]
)


class StoredPoints:
    """The column ``points68`` of a table of detections, read from its file when rows are asked for: float32 (M, 68, 2), NaN where null.

    These points are nine tenths of such a table, and only those of the people whom trials show are ever used.
    """

    schema = pa.schema([DETECTIONS_SCHEMA.field("points68")])

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = path

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Points float32 (n, 68, 2) of some rows (n,) in any order, NaN where the row is -1."""
        points = np.full((len(rows), 68, 2), np.nan, np.float32)
        order, begin = np.argsort(rows, kind="stable"), 0
        for batch in read_batches(self._path, self.schema):
            end = begin + len(batch)
            wanted = order[slice(*np.searchsorted(rows, [begin, end], sorter=order))]
            points[wanted] = read_points(pa.chunked_array([batch["points68"]]))[rows[wanted] - begin]
            begin = end
        return points


@dataclass(frozen=True)
class Detections:
    """Every face of a video, frames ascending: arrays of one row per face (M rows).

    Attributes:
        frame: Frame index int64 (M,).
        boxes: float32 (M, 4) in pixels.
        scores: float32 (M,).
        points5: Landmarks float32 (M, 5, 2) in pixels.
        points68: Landmarks float32 (M, 68, 2), NaN where the backend has none.
        vectors: Identity vectors float32 (K, D) of the faces that have one, in the order of the rows; D is 0 if none has.
        vector: Row in ``vectors`` of each face's int64 (M,), -1 where it was not computed.
    """

    frame: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    points5: np.ndarray
    points68: np.ndarray | StoredPoints
    vectors: np.ndarray
    vector: np.ndarray

    @property
    def identified(self) -> np.ndarray:
        """Bool (M,): rows with an identity vector."""
        return self.vector >= 0

    def identity(self, rows: np.ndarray) -> np.ndarray:
        """Identity vectors float32 (n, D) of some rows, NaN where not computed."""
        which = self.vector[rows]
        found = np.full((len(which), self.vectors.shape[1]), np.nan, np.float32)
        found[which >= 0] = self.vectors[which[which >= 0]]
        return found


def rows_by_frame(frame: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each frame index that occurs in the ascending ``frame`` (M,) with the indices of its rows."""
    frames, starts = np.unique(frame, return_index=True)
    for index, start, stop in zip(frames.tolist(), starts, np.append(starts, len(frame))[1:], strict=True):
        yield index, np.arange(start, stop)


def rows_by_track(tracks: np.ndarray) -> list[np.ndarray]:
    """Rows of each of the tracks 0, 1, …, ascending, from the track number (M,) of each row."""
    counts = np.bincount(tracks, minlength=0) if len(tracks) else np.zeros(0, int)
    return np.split(np.argsort(tracks, kind="stable"), counts.cumsum()[:-1]) if len(counts) else []


def read_detections(path: str | os.PathLike) -> Detections:
    """Read a table of detections, all but the 68 points; `InputError` as for `wildaffect.tables.read_table`."""
    table = read_table(path, pa.schema([field for field in DETECTIONS_SCHEMA if field.name != "points68"]))
    vectors = table["identity"].combine_chunks()
    known = vectors.is_valid().to_numpy(zero_copy_only=False)
    values = vectors.drop_null().flatten().to_numpy()
    length = len(values) // max(1, known.sum())
    return Detections(
        table["frame"].to_numpy().astype(np.int64),
        read_boxes(table).astype(np.float32),
        table["score"].to_numpy(),
        read_points(table["points5"]),
        StoredPoints(path),
        values.reshape(known.sum(), length),
        np.where(known, known.cumsum() - 1, -1),
    )


def read_boxes(table: pa.Table) -> np.ndarray:
    """Read the boxes (n, 4) of a table with the columns of `SCORED_BOX`, NaN where null."""
    return np.stack([table[name].to_numpy() for name in SIDES], axis=1)


def points_column(points: np.ndarray) -> pa.FixedSizeListArray:
    """Pack points (n, k, 2) into n lists of 2k float32; a row with NaN becomes null."""
    flat = np.ascontiguousarray(points, np.float32).reshape(len(points), points.shape[1] * 2)
    missing = pa.array(np.isnan(flat).any(axis=1))
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1], mask=missing)


def read_points(column: pa.ChunkedArray) -> np.ndarray:
    """The inverse: float32 (n, k, 2), NaN where null; not to be written to."""
    array = column.combine_chunks()
    width = array.type.list_size
    if not array.null_count:
        return array.flatten().to_numpy().reshape(len(array), width // 2, 2)
    points = np.full((len(array), width), np.nan, np.float32)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    points[valid] = array.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return points.reshape(len(array), width // 2, 2)


PERSONS_SCHEMA = pa.schema(
    [
        ("trial", pa.string()),
        ("frame", pa.int32()),
        ("source", pa.string()),  # one of SOURCES
        ("track", pa.int32()),  # -1 where none
        *SCORED_BOX,
        *LANDMARKS,
        ("quality", pa.string()),  # GOOD, SMALL or MISALIGNED; null where there is no face
    ]
)


@dataclass(frozen=True)
class TrialFaces:
    """What one trial shows in each of N frames; NaN (track -1) where the source is `NONE`.

    Attributes:
        source: Strings (N,), each one of `SOURCES`.
        track: Track number (N,).
        boxes: float32 (N, 4) in pixels.
        scores: float32 (N,), NaN unless detected.
        points5: Landmarks float32 (N, 5, 2) in pixels.
        points68: Landmarks float32 (N, 68, 2) in pixels.
    """

    source: np.ndarray
    track: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    points5: np.ndarray
    points68: np.ndarray

    @property
    def valid(self) -> np.ndarray:
        """Bool (N,): frames with a face."""
        return self.source != NONE

    @cached_property
    def quality(self) -> np.ndarray:
        """Strings (N,): `GOOD`, `SMALL` or `MISALIGNED`; empty where there is no face."""
        with np.errstate(invalid="ignore"):
            small = np.sqrt(areas(self.boxes)) < SMALL_SIDE
        quality = np.where(small, SMALL, GOOD)
        quality = np.where(misaligned(self.points5, self.boxes), MISALIGNED, quality)
        return np.where(self.valid, quality, "")


def read_trial(persons: str | os.PathLike, trial: str) -> TrialFaces:
    """Read one trial's rows of a table of persons; `InputError` if it has no such trial."""
    table = read_table(persons, PERSONS_SCHEMA)
    if trial not in read_metadata(persons)["trials"]:
        raise InputError(f"{persons}: has no trial {trial!r}. Delete the file and run the face stage again.")
    table = table.filter(pc.equal(table["trial"], trial))
    return TrialFaces(
        np.array(table["source"].to_pylist(), dtype=SOURCE_TYPE),
        table["track"].to_numpy(),
        read_boxes(table),
        table["score"].to_numpy(),
        read_points(table["points5"]),
        read_points(table["points68"]),
    )


def rows_table(trial: str, rows: TrialFaces) -> pa.Table:
    """Make the table of one trial's rows, columns of `PERSONS_SCHEMA`."""
    count = len(rows.source)

    def nullable(values):
        return pa.array(values.astype(np.float32), mask=np.isnan(values))

    columns = [
        pa.array([trial] * count, pa.string()),
        pa.array(np.arange(count, dtype=np.int32)),
        pa.array(rows.source.tolist(), pa.string()),
        pa.array(rows.track.astype(np.int32)),
        *(nullable(rows.boxes[:, side]) for side in range(4)),
        nullable(rows.scores),
        points_column(rows.points5),
        points_column(rows.points68),
        pa.array([quality or None for quality in rows.quality.tolist()], pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=PERSONS_SCHEMA)


ABSENT = "absent"
"""Key of what a table of persons says of a trial, for one of several people who is not in the video."""


def absent_trials(persons: str | os.PathLike) -> set[str]:
    """Trials of a table of persons that stand for people who are not in the video."""
    return {trial for trial, facts in read_metadata(persons).get("trials", {}).items() if facts.get(ABSENT)}


def read_counts(persons: str | os.PathLike) -> dict[str, int]:
    """Frames by trial of a table of persons, without people who are not there."""
    about, absent = read_metadata(persons), absent_trials(persons)
    return {trial: about["frames"] for trial in about["trials"] if trial not in absent}


def source_counts(rows: TrialFaces) -> dict[str, Any]:
    """Count the frames of each source and of each doubtful quality, and ``coverage``: the fraction with a face."""
    counts = {name: int((rows.source == name).sum()) for name in SOURCES}
    counts |= {name: int((rows.quality == name).sum()) for name in (SMALL, MISALIGNED)}
    total = len(rows.source)
    return counts | {"coverage": 1 - counts[NONE] / total if total else 0.0}
