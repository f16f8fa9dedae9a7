"""Predictions and labels from the files that people have: tables, annotation folders, submissions."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from wildaffect.corpus.labels import parse_annotation
from wildaffect.errors import InputError
from wildaffect.scoring.editions import Task


def read_rows(path: Path, task: Task) -> pa.Table:
    """A table (trial, frame, columns of ``task``) from ``path``, which may be

    - a Parquet or CSV table with columns trial, frame (from 0) and named values,
    - a folder of ``<trial>.txt`` files: a header and one row per frame, as in annotations and in submissions until 2022,
    - a ``.txt`` list whose rows begin with ``<trial>/<number>.jpg``, as in submissions since 2023 (number 00001 is frame 0).

    Values outside the label space of a folder (-5, -1) become null. Raises :class:`InputError` with file and line for anything else.
    """
    path = Path(path)
    if path.is_dir():
        lists = sorted(path.glob("*.txt"))
        if task.format and task.format.layout == "list" and len(lists) == 1 and _is_list(lists[0], task):
            return read_list(lists[0], task)
        return read_folder(path, task)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder.")
    readers = {".parquet": pq.read_table, ".csv": _read_csv, ".txt": lambda file: read_list(file, task)}
    if path.suffix not in readers:
        raise InputError(f"{path}: expected a folder, .parquet, .csv or .txt.")
    try:
        return readers[path.suffix](path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error


def read_folder(folder: Path, task: Task) -> pa.Table:
    """Rows of a folder of per-trial text files, trials in the order of names."""
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise InputError(f"{folder}: no .txt files; expected one per trial.")
    if len(task.parts) > 1 or task.name not in ("va", "expr", "au"):
        raise InputError(
            f"{folder}: task {task.name} of {task.edition} has no per-trial files; give a table or a list."
        )
    part, tables = task.parts[0], []
    for file in files:
        annotation = parse_annotation(file, task.name)
        if part.kind == "classes":
            _check_classes(file, part.names)
        values = annotation.values
        if part.kind == "units":
            absent = [name for name in part.columns if name not in annotation.columns]
            if absent:
                raise InputError(f"{file}: the header has no {', '.join(absent)}, needed in edition {task.edition}.")
            values = values[:, [annotation.columns.index(name) for name in part.columns]]
        tables.append(_table([file.stem] * len(values), np.arange(len(values)), values, task))
    return pa.concat_tables(tables)


def read_list(file: Path, task: Task) -> pa.Table:
    """Rows of a list whose fields are a picture's path and the values in the organisers' order."""
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
            values[number - 2] = np.array([float(field) for field in fields]).reshape(len(task.columns))
        except ValueError:
            raise InputError(
                f"{file}, line {number}: expected a path and {len(task.columns)} numbers, got {line!r}."
            ) from None
    return _table(trials, frames, values, task)


def split_location(location: str, where: str) -> tuple[str, int]:
    """Trial and frame (from 0) of ``<trial>/<number from 1>.jpg``; :class:`InputError` otherwise."""
    found = re.fullmatch(r"([^/]+)/([0-9]{1,9})\.[A-Za-z]+", location)
    if not found or int(found[2]) < 1:
        raise InputError(f"{where}: expected '<trial>/<number from 00001>.jpg', got {location!r}.")
    return found[1], int(found[2]) - 1


def _read_csv(path: Path) -> pa.Table:
    # A trial may be called 24 or 24.10: never guess its type.
    return pc.read_csv(path, convert_options=pc.ConvertOptions(column_types={"trial": pa.string()}))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text ({error}).") from error


def _is_list(file: Path, task: Task) -> bool:
    return _lines(file)[:1] == [task.format.header]


def _check_classes(file: Path, names: tuple[str, ...]) -> None:
    header = [field.strip().lower() for field in _lines(file)[0].split(",")]
    if header != [name.lower() for name in names]:
        raise InputError(
            f"{file}, line 1: classes {','.join(header)!r}, this edition has {','.join(names)!r}. Check the edition."
        )


def _table(trials: list[str], frames: np.ndarray, values: np.ndarray, task: Task) -> pa.Table:
    arrays = {"trial": pa.array(trials, pa.string()), "frame": pa.array(frames, pa.int32())}
    for i, name in enumerate(task.columns):
        arrays[name] = pa.array(values[:, i], pa.float64(), from_pandas=True)
    return pa.table(arrays)
