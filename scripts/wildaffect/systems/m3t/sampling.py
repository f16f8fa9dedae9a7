"""Labels of M3T's windows, and which windows are trained on (M3T spec 4)."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from wildaffect.errors import InputError
from wildaffect.systems.interface import Target, TrialData
from wildaffect.systems.m3t.spec import EXPRESSIONS, TEMPLATE

# Share of a window's labels and of its faces that may be missing when resampling.
TOLERATED = 0.25


def task_labels(trial: TrialData, target: Target, task: str, rows: np.ndarray | slice = np.s_[:]) -> np.ndarray:
    """Labels float32 (n, columns) of a task in ``rows``, NaN where missing."""
    if task not in trial.labels:
        return np.full((len(trial.times[rows]), len(target.labels[task])), np.nan, np.float32)
    given = trial.labels[task]
    return np.where(given.valid[rows, None], given.values[rows], np.nan).astype(np.float32)


def check_classes(trials: Sequence[TrialData], target: Target) -> None:
    """:class:`InputError` for an expression that M3T does not have."""
    for trial in trials if "expr" in target.labels else ():
        largest = np.nanmax(task_labels(trial, target, "expr"), initial=0)
        if largest >= len(EXPRESSIONS):
            raise InputError(
                f"trial {trial.name}: expression label {largest:g}; M3T knows the {len(EXPRESSIONS)} classes 0 to {len(EXPRESSIONS) - 1} "
                "of the editions until 2021. Use the target va for this corpus."
            )


def good_starts(labelled: np.ndarray, seen: np.ndarray, window: int, tolerated: float = 0.0) -> np.ndarray:
    """First frames of windows in which at most a share ``tolerated`` of the labels, and of the faces, is missing."""
    if len(labelled) < window:
        return np.empty(0, int)
    missing = [np.lib.stride_tricks.sliding_window_view(~known, window).sum(axis=1) for known in (labelled, seen)]
    return np.flatnonzero(np.max(missing, axis=0) <= tolerated * window)


def training_starts(trial: TrialData, target: Target, window: int, *, sees: bool, resample: bool) -> np.ndarray:
    """Where training windows may begin (M3T spec 4), faces counted if the variant ``sees``.

    With ``resample`` those of negative mean valence stand there twice.
    """
    values = task_labels(trial, target, "va")
    labelled = ~np.isnan(values).any(axis=1)
    seen = trial.crops[TEMPLATE].valid if sees else np.ones(len(labelled), bool)
    if not resample:
        return good_starts(labelled, seen, window)
    starts = good_starts(labelled, seen, window, TOLERATED)
    sums = np.cumsum(np.append(0.0, np.nan_to_num(values[:, 0])))
    negative = sums[starts + window] < sums[starts]
    return np.sort(np.concatenate([starts, starts[negative]]))


def choices(starts: Sequence[np.ndarray], per_trial: int, equal_trials: bool) -> list[np.ndarray]:
    """For every training sample the windows that it is drawn from, int (k, 2): number of the trial and first frame.

    Either ``per_trial`` samples of every trial with any window, however long it is, or as many in total, evenly spread over all windows.
    """
    numbers = np.repeat(np.arange(len(starts)), np.array([len(own) for own in starts], int))
    windows = np.stack([numbers, np.concatenate([np.empty(0, int), *starts])], axis=1).astype(int)
    counts = np.array([len(own) for own in starts if len(own)], int)
    if equal_trials:
        borders = np.append(0, np.cumsum(counts))
        return [windows[a:b] for a, b in pairwise(borders) for _ in range(per_trial)]
    total = per_trial * len(counts)
    first = np.arange(total) * len(windows) // max(total, 1)
    last = np.maximum((np.arange(total) + 1) * len(windows) // max(total, 1), first + 1)
    return [windows[a:b] for a, b in zip(first, last, strict=True)]
