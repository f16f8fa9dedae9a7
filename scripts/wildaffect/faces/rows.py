"""What a trial shows in every frame: the rows of the persons table, which later stages read."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.errors import InputError
from wildaffect.faces.columns import LANDMARKS, SCORED_BOX, points_column, read_boxes, read_points
from wildaffect.tables import read_metadata, read_table

PERSONS = pa.schema(
    [
        ("trial", pa.string()),
        ("frame", pa.int32()),
        ("source", pa.string()),  # detected | interpolated | held | none
        ("track", pa.int32()),  # -1 where none
        *SCORED_BOX,
        *LANDMARKS,
    ]
)


@dataclass(frozen=True)
class Rows:
    """What one trial shows in each of N frames; NaN (track -1) where source is "none".

    source (N,) of str; track (N,); boxes (N, 4); scores (N,), NaN unless detected; points5 (N, 5, 2);
    points68 (N, 68, 2).
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
        return self.source != "none"


def read_trial(persons: str | os.PathLike, trial: str) -> Rows:
    """One trial's rows of a persons table; :class:`InputError` if the table has no such trial."""
    table = read_table(persons, PERSONS)
    if trial not in read_metadata(persons)["trials"]:
        raise InputError(f"{persons}: has no trial {trial!r}. Delete the file and run the face stage again.")
    table = table.filter(pc.equal(table["trial"], trial))
    return Rows(
        np.array(table["source"].to_pylist(), dtype="<U12"),
        table["track"].to_numpy(),
        read_boxes(table),
        table["score"].to_numpy(),
        read_points(table["points5"]),
        read_points(table["points68"]),
    )


def rows_table(trial: str, rows: Rows) -> pa.Table:
    """One trial's rows with the columns of :data:`PERSONS`."""
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
    ]
    return pa.Table.from_arrays(columns, schema=PERSONS)


def source_counts(rows: Rows) -> dict[str, Any]:
    """Frames of each source, and ``coverage``: the share with a face."""
    counts = {name: int((rows.source == name).sum()) for name in ("detected", "interpolated", "held", "none")}
    total = len(rows.source)
    return counts | {"coverage": 1 - counts["none"] / total if total else 0.0}
