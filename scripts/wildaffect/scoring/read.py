"""Prediction and label tables for the scorer: reading files and folders, matching rows by trial and frame."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from wildaffect.corpus.labels import parse_annotation
from wildaffect.errors import InputError
from wildaffect.integrity import foreign
from wildaffect.names import check_name
from wildaffect.scoring.tasks import Task
from wildaffect.tables import read_all, read_metadata
from wildaffect.textfiles import decimal

KEYS = ("trial", "frame", "time_s", "source")
"""Columns of a prediction table that are no predictions."""
FRAMES_PER_TRIAL = 2**32
NOTES = "notes"
"""Key of a prediction table's metadata: what a reader must know of it, a sentence each."""
MODEL = "model"
"""Key of a prediction table's metadata: where the system came trained, the name of its weights in the manifest of models."""
# What most columns hold, converted all at once.
_SPELLINGS = (
    (r"^-?[0-9]{1,18}$", pa.int64()),
    (r"^-?[0-9]{1,18}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,2})?$", pa.float64()),
)


@dataclass(frozen=True)
class RowIndex:
    """Row keys of a table in sorted order.

    Attributes:
        trials: Sorted names.
        trial: Index into ``trials`` of each sorted row, int64.
        frame: Frame index of each sorted row, int64, ascending within a trial.
        order: The table row behind each sorted row, int64.
    """

    trials: tuple[str, ...]
    trial: np.ndarray
    frame: np.ndarray
    order: np.ndarray

    @property
    def key(self) -> np.ndarray:
        """One int64 per row, ascending: trial and frame in one number."""
        return self.trial * FRAMES_PER_TRIAL + self.frame

    def slices(self) -> dict[str, slice]:
        """Sorted rows of each trial."""
        bounds = np.searchsorted(self.trial, np.arange(len(self.trials) + 1))
        return {name: slice(int(bounds[i]), int(bounds[i + 1])) for i, name in enumerate(self.trials)}


def as_table(table: Any, name: str) -> pa.Table:
    """Make an Arrow table of Arrow or pandas, checked for the columns ``trial`` and ``frame``. ``name`` is used in messages."""
    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    missing = [column for column in ("trial", "frame") if column not in table.column_names]
    if missing:
        have = ", ".join(table.column_names)
        raise InputError(f"{name}: column {' and '.join(missing)} missing; the table has {have}.")
    return table


@contextmanager
def named(name: str) -> Iterator[None]:
    """Begin the message of an `InputError` about a table with the name of the table."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def read_parquet(path: Path) -> pa.Table:
    """Read a Parquet prediction or label table with all its columns; `InputError` if it cannot be read."""
    return as_table(read_all(path), str(path))


def read_notes(path: Path) -> list[str]:
    """The notes in the metadata of a prediction table, and in those of all tables that it was made from, each once."""
    return list(dict.fromkeys(_notes(read_metadata(path))))


def _notes(metadata: Any) -> Iterator[str]:
    if isinstance(metadata, dict):
        yield from metadata.get(NOTES, ())
    if isinstance(metadata, dict | list):
        for value in metadata.values() if isinstance(metadata, dict) else metadata:
            yield from _notes(value)


def numbers(table: pa.Table, columns: tuple[str, ...]) -> np.ndarray:
    """Read columns as float64 (rows, columns), NaN for null; `InputError` for a column that does not hold numbers."""
    arrays = [_cast(table, column, pa.float64()).to_numpy(zero_copy_only=False) for column in columns]
    return np.column_stack(arrays) if arrays else np.empty((table.num_rows, 0))


def sort_rows(table: pa.Table, name: str) -> RowIndex:
    """Sort the keys of ``table``; `InputError` for a null, an impossible name, a negative frame or a repeated (trial, frame)."""
    if table["trial"].null_count or table["frame"].null_count:
        raise InputError(f"{name}: a row has no trial or no frame number; every row needs both.")
    with named(name):
        names = _cast(table, "trial", pa.string()).combine_chunks().dictionary_encode()
        frame = _cast(table, "frame", pa.int64()).to_numpy()
    if frame.size and not 0 <= frame.min() <= frame.max() < FRAMES_PER_TRIAL:
        raise InputError(f"{name}: frame numbers must count from 0, found {frame.min()} to {frame.max()}.")
    try:
        spelled = [check_name(trial, name) for trial in names.dictionary.to_pylist()]
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: a name of a trial is not UTF-8 ({error}).") from error
    trials = tuple(sorted(spelled))
    position = {name: i for i, name in enumerate(trials)}
    rank = np.array([position[name] for name in spelled], np.int64)
    trial = rank[names.indices.to_numpy()] if frame.size else np.empty(0, np.int64)
    order = np.lexsort((frame, trial))
    rows = RowIndex(trials, trial[order], frame[order], order)
    twice = np.flatnonzero(np.diff(rows.key) == 0)
    if twice.size:
        at = twice[0]
        raise InputError(
            f"{name}: {twice.size} rows are given more than once, first trial {trials[rows.trial[at]]!r}, frame {rows.frame[at]}. "
            "Keep one row per frame."
        )
    return rows


def find_rows(wanted: RowIndex, found: RowIndex) -> np.ndarray:
    """Find for each sorted row of ``wanted`` the table row of ``found`` with the same trial and frame, -1 where there is none."""
    position = {name: i for i, name in enumerate(found.trials)}
    rank = np.array([position.get(name, -1) for name in wanted.trials], np.int64)
    trial = rank[wanted.trial] if wanted.trial.size else wanted.trial
    key = trial * FRAMES_PER_TRIAL + wanted.frame  # below zero for an unknown trial, so that it equals no key
    have = found.key
    if not have.size:
        return np.full(key.shape, -1)
    at = np.minimum(np.searchsorted(have, key), have.size - 1)
    return np.where(have[at] == key, found.order[at], -1)


def flags(table: pa.Table, column: str) -> np.ndarray:
    """Read a column of truth values as bool (rows,), null as false."""
    return _cast(table, column, pa.bool_()).fill_null(fill_value=False).to_numpy(zero_copy_only=False)


def _cast(table: pa.Table, column: str, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return table[column].cast(kind)
    except pa.ArrowException as error:
        raise InputError(f"column {column}: expected {kind} values, found {table[column].type} ({error}).") from error


def read_rows(path: Path, task: Task) -> pa.Table:
    """Read predictions or labels of one task in any of their forms.

    Args:
        path: One of

            - a Parquet or CSV table with columns trial, frame (from 0; may be absent in tasks with a row per video) and named values,
            - a folder of ``<trial>.txt`` files: a header and one row per frame, as in annotations and in submissions until 2022,
            - a ``.txt`` list whose rows begin with ``<trial>/<number>.jpg``, as in submissions since 2023 (number 00001 is frame 0).
        task: The track.

    Returns:
        Table (trial, frame, columns of the task). Values outside the label space of a folder (-5, -1) are null.

    Raises:
        InputError: With file and line for anything else.
    """
    path = Path(path)
    if path.is_dir():
        lists = sorted(path.glob("*.txt"))
        if (
            task.format
            and task.format.layout == "list"
            and len(lists) == 1
            and _lines(lists[0])[:1] == [task.format.header]
        ):
            return read_list(lists[0], task)
        return read_folder(path, task)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder.")
    readers = {
        ".parquet": read_all,
        ".csv": lambda file: _read_csv(file, task),
        ".txt": lambda file: read_list(file, task),
    }
    if path.suffix not in readers:
        raise InputError(f"{path}: expected a folder, .parquet, .csv or .txt.")
    try:
        table = readers[path.suffix](path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    if task.unit == "video" and "frame" not in table.column_names:
        table = table.append_column("frame", pa.array(np.zeros(table.num_rows, np.int32)))
    return table


def read_folder(folder: Path, task: Task) -> pa.Table:
    """Read a folder of per-trial text files, trials in the order of names."""
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise InputError(f"{folder}: no .txt files; expected one per trial.")
    if len(task.parts) > 1 or task.name not in ("va", "expr", "au"):
        raise InputError(
            f"{folder}: task {task.name} of {task.edition} has no per-trial files; give a table or a list."
        )
    part, tables = task.parts[0], []
    for file in files:
        annotation = parse_annotation(file, task.name, part.names)
        values = annotation.values
        if part.kind == "units":
            absent = [name for name in part.columns if name not in annotation.columns]
            if absent:
                raise InputError(f"{file}: the header has no {', '.join(absent)}, needed in edition {task.edition}.")
            values = values[:, [annotation.columns.index(name) for name in part.columns]]
        tables.append(_table([file.stem] * len(values), np.arange(len(values)), values, task))
    return pa.concat_tables(tables)


def read_list(file: Path, task: Task) -> pa.Table:
    """Read a list whose fields are an image's path and the values in the organisers' order."""
    lines = _lines(file)
    if task.format is None or task.format.layout != "list":
        raise InputError(
            f"{file}: task {task.name} of {task.edition} has no single list; give a folder of per-trial files."
        )
    if not lines or lines[0] != task.format.header:
        raise InputError(f"{file}, line 1: expected the header {task.format.header!r}.")
    trials, frames, values = [], np.empty(len(lines) - 1, np.int64), np.empty((len(lines) - 1, len(task.columns)))
    for number, line in enumerate(lines[1:], 2):
        location, *fields = line.split(",")
        trial, frame = split_location(location, f"{file}, line {number}")
        trials.append(trial)
        frames[number - 2] = frame
        try:
            values[number - 2] = np.array([decimal(field) for field in fields]).reshape(len(task.columns))
        except ValueError:
            raise InputError(
                f"{file}, line {number}: expected a path and {len(task.columns)} numbers, got {line!r}."
            ) from None
    return _table(trials, frames, values, task)


def split_location(location: str, where: str) -> tuple[str, int]:
    """Split into trial and frame (from 0) of ``<trial>/<number from 1>.jpg``; `InputError` otherwise."""
    found = re.fullmatch(r"([^/]+)/([0-9]{1,9})\.[A-Za-z]+", location)
    if not found or int(found[2]) < 1:
        raise InputError(f"{where}: expected '<trial>/<number from 00001>.jpg', got {location!r}.")
    return found[1], int(found[2]) - 1


def _read_csv(path: Path, task: Task) -> pa.Table:
    """A table of predictions or labels; an empty field is a missing value."""
    # A trial may be called 24 or 24.10, and numbers are checked by their spelling: no type is guessed that could hide it.
    texts = dict.fromkeys(("trial", "frame", *task.columns), pa.string())
    with foreign(path, "a readable CSV table"):
        table = csv.read_csv(
            path, convert_options=csv.ConvertOptions(column_types=texts, null_values=[""], strings_can_be_null=True)
        )
        names = table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}, line 1: column {twice[0]!r} is named more than once. Keep one of each name.")
    for name in set(texts) & set(names) - {"trial"}:
        column = _numbers_of(table[name], f"{path}: column {name}")
        table = table.set_column(names.index(name), name, column)
    return table


def _numbers_of(texts: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Numbers by `decimal` of a column of texts (null where empty), int64 or float64; `InputError` with the first line that has none."""
    for spelling, kind in _SPELLINGS:
        if pc.all(pc.match_substring_regex(texts, spelling)).as_py():
            return texts.cast(kind)
    values: list[float | None] = []
    for line, text in enumerate(texts.to_pylist(), 2):
        try:
            values.append(None if text is None else decimal(text))
        except ValueError as error:
            raise InputError(f"{where}, line {line}: {error}.") from None
    return pa.chunked_array([pa.array(values, pa.float64())])


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text ({error}).") from error


def _table(trials: list[str], frames: np.ndarray, values: np.ndarray, task: Task) -> pa.Table:
    arrays = {"trial": pa.array(trials, pa.string()), "frame": pa.array(frames, pa.int32())}
    for i, name in enumerate(task.columns):
        arrays[name] = pa.array(values[:, i], pa.float64(), from_pandas=True)
    return pa.table(arrays)
