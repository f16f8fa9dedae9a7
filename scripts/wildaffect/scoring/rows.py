"""Rows of prediction and label tables, matched by (trial, frame) and never by position."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wildaffect.errors import InputError

FRAMES_PER_TRIAL = 2**32


@dataclass(frozen=True)
class Rows:
    """Row keys of a table in sorted order.

    ``trials``: sorted names. ``trial``: int64 index into them, ``frame``: int64, both sorted by name and frame. ``order``: the table row
    behind each sorted row.
    """

    trials: tuple[str, ...]
    trial: np.ndarray
    frame: np.ndarray
    order: np.ndarray

    @property
    def key(self) -> np.ndarray:
        """One int64 per row, ascending."""
        return self.trial * FRAMES_PER_TRIAL + self.frame

    def slices(self) -> dict[str, slice]:
        """Where each trial's rows lie in the sorted order."""
        bounds = np.searchsorted(self.trial, np.arange(len(self.trials) + 1))
        return {name: slice(int(bounds[i]), int(bounds[i + 1])) for i, name in enumerate(self.trials)}


def as_table(table: Any, name: str) -> pa.Table:
    """``table`` as Arrow (Arrow or pandas given), checked for the columns ``trial`` and ``frame``. ``name`` is used in messages."""
    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    missing = [column for column in ("trial", "frame") if column not in table.column_names]
    if missing:
        have = ", ".join(table.column_names)
        raise InputError(f"{name}: column {' and '.join(missing)} missing; the table has {have}.")
    return table


def read_parquet(path: Path) -> pa.Table:
    """A Parquet prediction or label table with all its columns; :class:`InputError` if it cannot be read."""
    try:
        return as_table(pq.read_table(path), str(path))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable Parquet table ({error}). Delete it and run again.") from error


def numbers(table: pa.Table, columns: tuple[str, ...]) -> np.ndarray:
    """Columns as float64 (rows, columns), NaN for null; :class:`InputError` for a column that does not hold numbers."""
    arrays = [_cast(table, column, pa.float64()).to_numpy(zero_copy_only=False) for column in columns]
    return np.column_stack(arrays) if arrays else np.empty((table.num_rows, 0))


def sort_rows(table: pa.Table, name: str) -> Rows:
    """Keys of ``table`` in sorted order; :class:`InputError` for a null, a negative frame or a pair (trial, frame) that occurs twice."""
    if table["trial"].null_count or table["frame"].null_count:
        raise InputError(f"{name}: a row has no trial or no frame number; every row needs both.")
    names = _cast(table, "trial", pa.string()).combine_chunks().dictionary_encode()
    frame = _cast(table, "frame", pa.int64()).to_numpy()
    if frame.size and not 0 <= frame.min() <= frame.max() < FRAMES_PER_TRIAL:
        raise InputError(f"{name}: frame numbers must count from 0, found {frame.min()} to {frame.max()}.")
    spelled = names.dictionary.to_pylist()
    trials = tuple(sorted(spelled))
    place = {name: i for i, name in enumerate(trials)}
    rank = np.array([place[name] for name in spelled], np.int64)
    trial = rank[names.indices.to_numpy()] if frame.size else np.empty(0, np.int64)
    order = np.lexsort((frame, trial))
    rows = Rows(trials, trial[order], frame[order], order)
    twice = np.flatnonzero(np.diff(rows.key) == 0)
    if twice.size:
        at = twice[0]
        raise InputError(
            f"{name}: {twice.size} rows are given more than once, first trial {trials[rows.trial[at]]!r}, frame {rows.frame[at]}. "
            "Keep one row per frame."
        )
    return rows


def find_rows(wanted: Rows, found: Rows) -> np.ndarray:
    """For each sorted row of ``wanted`` the table row of ``found`` with the same trial and frame, -1 where there is none."""
    place = {name: i for i, name in enumerate(found.trials)}
    rank = np.array([place.get(name, -1) for name in wanted.trials], np.int64)
    trial = rank[wanted.trial] if wanted.trial.size else wanted.trial
    key = trial * FRAMES_PER_TRIAL + wanted.frame  # below zero for an unknown trial, so that it equals no key
    have = found.key
    if not have.size:
        return np.full(key.shape, -1)
    at = np.minimum(np.searchsorted(have, key), have.size - 1)
    return np.where(have[at] == key, found.order[at], -1)


def flags(table: pa.Table, column: str) -> np.ndarray:
    """A column of truth values as bool (rows,), null as false."""
    return _cast(table, column, pa.bool_()).fill_null(False).to_numpy(zero_copy_only=False)


def _cast(table: pa.Table, column: str, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return table[column].cast(kind)
    except pa.ArrowException as error:
        raise InputError(f"column {column}: expected {kind} values, found {table[column].type} ({error}).") from error
