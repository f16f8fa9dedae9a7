"""Which rows a submission must have, and in which order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.names import check_name
from wildaffect.scoring.read import split_location
from wildaffect.scoring.tasks import Format, Task
from wildaffect.textfiles import read_lines


@dataclass(frozen=True)
class Expected:
    """The rows of a submission in order.

    Attributes:
        trials: Names.
        trial: Index into ``trials`` of each row, int64.
        frame: Frame index of each row from 0, int64.
        locations: For lists the path of each row's image, as it is written.
    """

    trials: tuple[str, ...]
    trial: np.ndarray
    frame: np.ndarray
    locations: tuple[str, ...] = ()

    def count(self, name: str) -> int:
        """Count the rows of one trial."""
        return self._counts[name]

    @cached_property
    def _counts(self) -> dict[str, int]:
        counts = np.bincount(self.trial, minlength=len(self.trials))
        return dict(zip(self.trials, counts.tolist(), strict=True))


def known_format(task: Task) -> Format:
    """The task's format; `InputError` where it is not known."""
    if task.format is None:
        raise InputError(f"the submission format of task {task.name} in edition {task.edition} is not known.")
    return task.format


MOST_FRAMES = 10_000_000
"""Frames of one trial, four days at 30 per second; a larger number is a mistake."""


def expected_rows(task: Task, sample: Path | None, frames: Mapping[str, int] | None) -> Expected:
    """Find which rows a submission must have.

    Args:
        task: The track.
        sample: The organisers' sample. List layout: a file that is followed row by row. Folder layout: a folder of ``<trial>.txt``, whose
            rows are counted, or a text file with a line ``<trial>`` or ``<trial>,<frames>`` per trial.
        frames: Number of frames by trial, where the sample does not say. Without a sample these trials in the order of names.

    Returns:
        The rows.

    Raises:
        InputError: For a sample of another task, a trial of unknown length, and impossible names or lengths.
    """
    expected = _expected_rows(task, sample, frames)
    for name in expected.trials:
        check_name(name, str(sample) if sample else "the trials of the submission")
    return expected


def _expected_rows(task: Task, sample: Path | None, frames: Mapping[str, int] | None) -> Expected:
    form = known_format(task)
    if sample is None:
        if not frames:
            raise InputError("neither a sample nor frame counts were given, so the rows of the submission are unknown.")
        return _by_counts(form, {name: int(frames[name]) for name in sorted(frames)})
    sample = Path(sample)
    if form.layout == "list":
        return _by_list(sample, form)
    counts = _folder_counts(sample, form) if sample.is_dir() else read_counts(sample)
    known = {name: count if count is not None else (frames or {}).get(name) for name, count in counts.items()}
    unknown = [name for name, count in known.items() if count is None]
    if unknown:
        raise InputError(
            f"{sample}: {len(unknown)} trials have no frame count, first {unknown[0]!r}; give frame counts."
        )
    return _by_counts(form, {name: count for name, count in known.items() if count is not None})


def read_counts(path: Path) -> dict[str, int | None]:
    """Read ``{trial: frames}`` from lines ``<trial>,<frames>`` or ``<trial>`` (count None), with or without a header ``trial,frames``.

    A trailing ``.txt`` of a name is cut. Raises `InputError` with the line for anything else and for repeated trials.
    """
    counts: dict[str, int | None] = {}
    for number, line in enumerate(sample_lines(path), 1):
        name, _, count = line.partition(",")
        if (number == 1 and (name, count) == ("trial", "frames")) or not line:
            continue
        name = name.strip().removesuffix(".txt")
        if not name or name in counts or not re.fullmatch(r"\s*[0-9]*\s*", count):
            raise InputError(f"{path}, line {number}: expected a new '<trial>' or '<trial>,<frames>', got {line!r}.")
        counts[name] = int(count) if count.strip() else None
    if not counts:
        raise InputError(f"{path}: no trial is listed.")
    return counts


def sample_lines(path: Path) -> list[str]:
    """Read the lines of an organisers' file without byte-order mark, line ends and blanks at the end."""
    return [line.rstrip() for line in read_lines(path)]


def _by_counts(form: Format, counts: Mapping[str, int]) -> Expected:
    for name, count in counts.items():
        if count > MOST_FRAMES:
            raise InputError(
                f"trial {name!r}: {count} frames, at most {MOST_FRAMES} are possible. Correct its number of frames."
            )
    names, lengths = tuple(counts), np.array(list(counts.values()), np.int64)
    trial = np.repeat(np.arange(len(names)), lengths)
    frame = np.concatenate([np.arange(length) for length in lengths])
    locations: tuple[str, ...] = ()
    if form.layout == "list":
        locations = tuple(f"{names[t]}/{f + 1:05d}.jpg" for t, f in zip(trial, frame, strict=True))
    return Expected(names, trial, frame, locations)


def _by_list(sample: Path, form: Format) -> Expected:
    lines = sample_lines(sample)
    if not lines or lines[0].rstrip(",") != form.header:
        raise InputError(
            f"{sample}, line 1: the header is not {form.header!r}; this sample belongs to another task or edition."
        )
    locations = tuple(line.partition(",")[0] for line in lines[1:])
    if not locations:
        raise InputError(f"{sample}: the sample has a header but no rows.")
    keys = [split_location(location, f"{sample}, line {number}") for number, location in enumerate(locations, 2)]
    if len(set(keys)) < len(keys):
        raise InputError(f"{sample}: an image is listed more than once.")
    index = {name: i for i, name in enumerate(dict.fromkeys(name for name, _ in keys))}
    trial = np.array([index[name] for name, _ in keys], np.int64)
    return Expected(tuple(index), trial, np.array([frame for _, frame in keys], np.int64), locations)


def _folder_counts(sample: Path, form: Format) -> dict[str, int]:
    files: Sequence[Path] = sorted(sample.glob("*.txt"))
    if not files:
        raise InputError(f"{sample}: no .txt files; expected one per trial.")
    counts = {}
    for file in files:
        lines = sample_lines(file)
        if not lines or lines[0] != form.header:
            raise InputError(
                f"{file}, line 1: the header is not {form.header!r}; this sample belongs to another task or edition."
            )
        counts[file.stem] = len(lines) - 1
    return counts
