"""What samples are cut from: the rows of a trial, and windows over them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from wildaffect.systems.types import TrialData


@dataclass(frozen=True)
class RowSelection:
    """The rows of one trial that its windows run over.

    Attributes:
        trial: The trial.
        rows: int (n,), indices of frames.
        labels: float32 (n, columns), NaN where missing.
        counts: bool (n,), which rows count in the loss.
    """

    trial: TrialData
    rows: np.ndarray
    labels: np.ndarray
    counts: np.ndarray


def labelled_rows(trial: TrialData, task: str, columns: int = 1) -> RowSelection:
    """Rows with a usable label only, gaps closed without a mark; all rows of a trial without labels.

    Both published systems that take windows of labelled frames do so (LFAN spec 2.2, B10; NTUA spec 2.10). ``columns``: those of the task.
    """
    if task not in trial.labels:
        return all_rows(trial, task, columns)
    labels = trial.labels[task]
    rows = np.flatnonzero(labels.valid)
    return RowSelection(trial, rows, labels.values[rows], np.ones(len(rows), bool))


def all_rows(trial: TrialData, task: str, columns: int = 1) -> RowSelection:
    """All decoded frames, so that neighbours in the window are neighbours in time; unlabelled ones do not count."""
    rows = np.arange(len(trial.times))
    if task not in trial.labels:
        return RowSelection(trial, rows, np.full((len(rows), columns), np.nan, np.float32), np.zeros(len(rows), bool))
    return RowSelection(trial, rows, trial.labels[task].values, trial.labels[task].valid)


def windows(length: int, window: int, hop: int) -> list[tuple[int, int]]:
    """Half-open ranges that cover ``length`` rows: one every ``hop``, and always one that ends with the last row.

    A series shorter than ``window`` gives one short range, to be padded at its end; an empty one gives none.
    """
    if length <= window:
        return [(0, length)] if length else []
    return [(start, start + window) for start in range(0, length - window, hop)] + [(length - window, length)]


def average(
    pieces: Iterable[tuple[int, np.ndarray | slice, np.ndarray]], lengths: Sequence[int], columns: int
) -> list[np.ndarray]:
    """Plain mean, float64 (length, columns) per trial, of all windows that cover a row; NaN where none does.

    A piece is the index of its trial, rows there, each once, and their values (rows, columns).
    """
    sums = [np.zeros((length, columns)) for length in lengths]
    covers = [np.zeros((length, 1)) for length in lengths]
    for index, rows, values in pieces:
        sums[index][rows] += values
        covers[index][rows] += 1
    return [
        np.divide(total, cover, out=np.full_like(total, np.nan), where=cover > 0)
        for total, cover in zip(sums, covers, strict=True)
    ]
