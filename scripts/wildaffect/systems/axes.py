"""The rows of a trial that windows of frames run over."""

from dataclasses import dataclass

import numpy as np

from wildaffect.systems.interface import TrialData


@dataclass(frozen=True)
class Axis:
    """The rows of one trial that its windows run over, with their labels (NaN where missing) and which of them count."""

    trial: TrialData
    rows: np.ndarray
    labels: np.ndarray
    counts: np.ndarray


def labelled_axis(trial: TrialData, task: str, columns: int = 1) -> Axis:
    """Rows with a usable label only, gaps closed without a mark; all rows of a trial without labels.

    Both published systems that take windows of labelled frames do so (LFAN spec 2.2, B10; NTUA spec 2.10). ``columns``: those of the task.
    """
    if task not in trial.labels:
        return complete_axis(trial, task, columns)
    labels = trial.labels[task]
    rows = np.flatnonzero(labels.valid)
    return Axis(trial, rows, labels.values[rows], np.ones(len(rows), bool))


def complete_axis(trial: TrialData, task: str, columns: int = 1) -> Axis:
    """All decoded frames, so that neighbours in the window are neighbours in time; unlabelled ones do not count."""
    rows = np.arange(len(trial.times))
    if task not in trial.labels:
        return Axis(trial, rows, np.full((len(rows), columns), np.nan, np.float32), np.zeros(len(rows), bool))
    return Axis(trial, rows, trial.labels[task].values, trial.labels[task].valid)
