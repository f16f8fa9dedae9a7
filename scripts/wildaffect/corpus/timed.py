"""Annotations that say when they hold: events of BIDS, and segments of audformat. Their times count from the beginning of the media file.

A frame has the label of the last segment that begins before the frame's middle, unless that has ended: times that are off by less than half
a frame do no harm.

Tables of ranges that a person marks (`read_ranges`) count from frame 0.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wildaffect.config import nearest
from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.tables import read_all
from wildaffect.textfiles import decimal, read_lines, read_rows

MISSING = frozenset(("", "n/a", "nan", "none", "<na>"))
EVENTS = "_events.tsv"
TABLE = re.compile(r"db\.(.+)\.(csv|parquet)")
ALIASES = {"emotion": "expression"}
"""Columns of other data sets that mean one of ours."""
RANGE_COLUMNS = ("trial", "video", "start_s", "end_s", "label")


class Range(NamedTuple):
    """A stretch of one trial from ``start_s`` on and before ``end_s``, in seconds from frame 0, and the user's word for it."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True)
class Segments:
    """Rows of a table that hold for a stretch each, in the order of their begins.

    Attributes:
        begins, ends: Seconds from the beginning of the media file (N,).
        cells: Texts (N,) by column, empty where missing.
    """

    begins: np.ndarray
    ends: np.ndarray
    cells: Mapping[str, Sequence[str]]

    def at(self, times: np.ndarray) -> np.ndarray:
        """Row that holds at each time (M,), -1 for none."""
        if not len(self.begins):
            return np.full(len(times), -1)
        rows = np.searchsorted(self.begins, times, side="right") - 1
        return np.where((rows >= 0) & (times < self.ends[rows]), rows, -1)

    def columns(self, task: str) -> list[str]:
        """Columns with labels of a task; for valence and arousal both or none."""
        return task_columns(task, list(self.cells))


def task_columns(task: str, columns: Sequence[str]) -> list[str]:
    """Columns among ``columns`` with labels of a task; for valence and arousal both or none."""
    if task == "va":
        return [*VALENCE_AROUSAL] if {*VALENCE_AROUSAL} <= {*columns} else []
    return [name for name in columns if (name == "expression" if task == "expr" else re.fullmatch("AU[0-9]+", name))]


def known_name(name: str) -> str:
    """What a column is called here: lower case but for action units, and by its alias."""
    lower = name.lower()
    return name.upper() if re.fullmatch("au[0-9]+", lower) else ALIASES.get(lower, lower)


def is_timed(path: Path) -> bool:
    """Whether an annotation file says when its rows hold."""
    return path.name.endswith(EVENTS) or TABLE.fullmatch(path.name) is not None


def start_in_file(about: Mapping[str, Any]) -> float:
    """Seconds from the beginning of a media file, whose audio may be first, to its frame 0, by the metadata of its frame table."""
    video, audio = about.get("video_start_s"), about.get("audio_start_s")
    return 0.0 if video is None or audio is None else max(0.0, float(video) - float(audio))


def middles(times: np.ndarray) -> np.ndarray:
    """Time of the middle of each frame (N,); the last one is taken to be as long as that before it."""
    steps = np.diff(times)
    return times + np.append(steps, steps[-1:] if len(steps) else [0.0] * len(times)) / 2


def read_segments(path: Path, media: str) -> Segments:
    """Rows of an annotation file that concern a media file.

    Args:
        path: Events or a table.
        media: Path of the media file below the corpus' folder; events concern a single one.

    Raises:
        InputError: The file cannot be read or is no such table.
    """
    if path.name.endswith(EVENTS):
        return _events(path, _stamp(path))
    files, segments = _table(path, _stamp(path))
    return files.get(media) or Segments(np.empty(0), np.empty(0), {name: [] for name in segments})


def media_of_table(path: Path) -> list[str]:
    """Media files that an audformat table has rows of, in its order."""
    return list(_table(path, _stamp(path))[0])


def read_ranges(path: Path, video_of: Mapping[str, str]) -> dict[str, list[Range]]:
    """Ranges of a table by trial, in its order.

    Args:
        path: A table with ``start_s`` and ``end_s`` in seconds and ``trial``, or ``video`` for all trials of one; ``label`` may be absent.
        video_of: Video of each trial.

    Raises:
        InputError: The table cannot be read, or names what the corpus does not have, or times that are none.
    """
    found: dict[str, list[Range]] = {}
    for where, row in read_rows(path, RANGE_COLUMNS, ("start_s", "end_s")):
        trials = _trials(where, row, video_of)
        try:
            start, end = (decimal(row[name]) for name in ("start_s", "end_s"))
        except ValueError as error:
            raise InputError(f"{where}: start_s and end_s are seconds, such as 12.5 ({error}).") from None
        if not 0 <= start < end:
            raise InputError(
                f"{where}: the segment from {start:g} to {end:g} s has no length, or begins before frame 0."
            )
        for trial in trials:
            found.setdefault(trial, []).append(Range(start, end, row.get("label", "")))
    return found


def _trials(where: str, row: Mapping[str, str], video_of: Mapping[str, str]) -> list[str]:
    """Trials that a row names."""
    trial, video = row.get("trial", ""), row.get("video", "")
    if not trial and not video:
        raise InputError(f"{where}: names neither a trial nor a video.")
    if trial and trial not in video_of:
        raise InputError(f"{where}: the corpus has no trial {trial!r}{nearest(trial, video_of)}.")
    if trial and video and video_of[trial] != video:
        raise InputError(f"{where}: {trial!r} is no trial of the video {video!r}, but of {video_of[trial]!r}.")
    if trial:
        return [trial]
    if video not in video_of.values():
        raise InputError(f"{where}: the corpus has no video {video!r}{nearest(video, {*video_of.values()})}.")
    return [name for name, own in video_of.items() if own == video]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check corpus.root.") from None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _events(path: Path, stamp: tuple[int, int]) -> Segments:
    rows = list(csv.reader(read_lines(path), delimiter="\t"))
    header = [name.strip() for name in rows[0]] if rows else []
    if header[:2] != ["onset", "duration"]:
        raise InputError(f"{path}, line 1: begins with {header[:2]}, expected the columns onset and duration (BIDS).")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise InputError(f"{path}, line {number}: {len(row)} values where {len(header)} are expected.")
    cells = {known_name(name): [_cell(row[index]) for row in rows[1:]] for index, name in enumerate(header)}
    begins, lengths = (_seconds(path, rows[1:], index) for index in (0, 1))
    return _in_order(
        begins, begins + lengths, {name: cells[name] for name in cells if name not in ("onset", "duration")}
    )


def _seconds(path: Path, rows: Sequence[Sequence[str]], index: int) -> np.ndarray:
    found = np.zeros(len(rows))
    for number, row in enumerate(rows):
        try:
            found[number] = float(row[index]) if _cell(row[index]) else 0.0
        except ValueError:
            raise InputError(f"{path}, line {number + 2}: {row[index]!r} is no number of seconds.") from None
    return found


def read_database_table(path: Path) -> Any:
    """A pandas table of an audformat database as CSV (all columns text) or Parquet, its index as columns.

    Raises:
        InputError: The Parquet file is damaged.
        ValueError: The CSV file is.
    """
    import pandas as pd  # the planning of other corpora does without

    return pd.read_csv(path, dtype=str) if path.suffix == ".csv" else read_all(path).to_pandas().reset_index()


@lru_cache(maxsize=4)
def _table(path: Path, stamp: tuple[int, int]) -> tuple[dict[str, Segments], list[str]]:
    """Segments by media file, and the names of the columns."""
    import pandas as pd  # the planning of other corpora does without

    try:
        table = read_database_table(path)
        if "file" not in table:
            raise ValueError("it has no column 'file'")
        spans = [
            pd.to_timedelta(table[name]).dt.total_seconds().to_numpy(float)
            if name in table
            else np.full(len(table), nothing)
            for name, nothing in (("start", 0.0), ("end", np.inf))
        ]
    except (ValueError, TypeError, OSError) as error:
        raise InputError(
            f"{path}: not a readable table of audformat ({error}). Save the database again as CSV."
        ) from None
    spans = [np.where(np.isnan(span), nothing, span) for span, nothing in zip(spans, (0.0, np.inf), strict=True)]
    names = [name for name in table.columns if name not in ("file", "start", "end", "index", "level_0")]
    found = {}
    for file, rows in table.groupby("file", sort=False).indices.items():
        cells = {known_name(name): [_cell(str(cell)) for cell in table[name].to_numpy(object)[rows]] for name in names}
        found[str(file)] = _in_order(spans[0][rows], spans[1][rows], cells)
    return found, [known_name(name) for name in names]


def _in_order(begins: np.ndarray, ends: np.ndarray, cells: Mapping[str, Sequence[str]]) -> Segments:
    order = np.argsort(begins, kind="stable")
    return Segments(begins[order], ends[order], {name: [values[k] for k in order] for name, values in cells.items()})


def _cell(text: str) -> str:
    text = text.strip()
    return "" if text.lower() in MISSING else text
