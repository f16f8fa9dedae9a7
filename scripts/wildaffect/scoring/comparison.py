"""Two runs compared on the same frames: differences of scores with paired intervals.

Both runs are scored on the same resamples of the source videos, so what makes a video hard for both cancels out of the difference. Two
intervals that overlap say little about which run is better; the interval of the difference does.
"""

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa

from wildaffect.errors import InputError
from wildaffect.scoring.editions import find_task, get_task
from wildaffect.scoring.read import as_table, find_rows, sort_rows
from wildaffect.scoring.scorer import Tallied, tally_task
from wildaffect.scoring.tallies import draws, interval, resampled, videos_of
from wildaffect.scoring.tasks import Task

COMPARISON = pa.schema(
    [
        ("metric", pa.string()),
        ("first", pa.float64()),
        ("second", pa.float64()),
        ("difference", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("first_better", pa.float64()),
        ("frames", pa.int64()),
        ("videos", pa.int64()),
        ("note", pa.string()),
    ]
)


def compare(
    first: Any,
    second: Any,
    labels: Any,
    edition: str,
    task: str | None = None,
    *,
    allow_missing: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> pa.Table:
    """Compare two predictions of the same labelled frames.

    Args:
        first: Predictions, as for `wildaffect.scoring.score`.
        second: Predictions to compare with.
        labels: Labels of both.
        edition: Name of the edition by whose rules is scored.
        task: Name of the task; without it the columns of the labels decide.
        allow_missing: Whether rows of ``labels`` that one of the runs does not predict count for neither; the note says how many.
        resamples: Draws of whole source videos, the same for both.
        seed: Of the draws.

    Returns:
        Table ``COMPARISON``, the ranked score first: both values, ``difference`` = first - second with its 95 % percentile interval
        (``low``, ``high``), and ``first_better``, the fraction of draws in which the first is higher (equal counts half), which is no
        significance level. Draws in which either value is undefined are left out and counted in ``note``.

    Raises:
        InputError: Where `wildaffect.scoring.score` does.
    """
    labels = as_table(labels, "labels")
    rules = get_task(edition, task) if task else find_task(edition, labels.column_names)
    tables = {"first": as_table(first, "first run"), "second": as_table(second, "second run")}
    common = _predicted_by_both(labels, tables) if allow_missing else labels
    runs = []
    for name, predictions in tables.items():
        try:
            runs.append(tally_task(predictions, common, rules, rules.parts))
        except InputError as error:
            raise InputError(f"{name} run: {error}") from error
    videos = videos_of(trial for trials in runs[0].trials.values() for trial in trials)
    if not videos:
        raise InputError(
            f"labels: no frame with a valid label of task {rules.name} and a prediction; nothing to compare."
        )
    times = draws(len(videos), resamples, seed)
    values = [_with_score(rules, _joined(run)) for run in runs]
    spread = [_with_score(rules, _resampled(run, videos, times)) for run in runs]
    frames = _frames(runs[0], rules)
    note = f"{resamples} resamples of {len(videos)} videos, seed {seed}"
    note += (
        f", {len(labels) - len(common)} label rows without both predictions left out"
        if len(common) < len(labels)
        else ""
    )
    rows = []
    for metric in values[0]:
        a, b = (float(each[metric]) for each in values)
        differences = spread[0][metric] - spread[1][metric]
        low, high = interval(differences)
        lost = int(np.isnan(differences).sum())
        rows.append(
            {
                "metric": metric, "first": a, "second": b, "difference": a - b, "low": low, "high": high,
                "first_better": _fraction_above_zero(differences), "frames": frames[metric], "videos": len(videos),
                "note": note + (f", {lost} undefined and left out" if lost else ""),
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=COMPARISON)


def _predicted_by_both(labels: pa.Table, runs: Mapping[str, pa.Table]) -> pa.Table:
    """Take the rows of ``labels`` that all runs predict."""
    wanted = sort_rows(labels, "labels")
    found = [find_rows(wanted, sort_rows(run, f"{name} run")) >= 0 for name, run in runs.items()]
    return labels.take(np.sort(wanted.order[np.logical_and.reduce(found)]))


def _joined(run: Tallied) -> dict[str, np.ndarray]:
    return {k: v for trials in run.trials.values() if trials for k, v in reduce(add, trials.values()).metrics().items()}


def _resampled(run: Tallied, videos: list[str], times: np.ndarray) -> dict[str, np.ndarray]:
    return {k: v for trials in run.trials.values() if trials for k, v in resampled(trials, videos, times).items()}


def _with_score(task: Task, metrics: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put the ranked score before the metrics, unless one of its metrics is missing."""
    if not set(task.score) <= set(metrics):
        return dict(metrics)
    return {f"{task.name}_score": sum(weight * metrics[name] for name, weight in task.score.items()), **metrics}


def _frames(run: Tallied, task: Task) -> dict[str, int]:
    """Count the labelled frames behind each metric; of the ranked score, those of its largest part."""
    counts: dict[str, int] = {}
    for trials in run.trials.values():
        if trials:
            total = reduce(add, trials.values())
            counts |= dict.fromkeys(total.metrics(), int(total.frames))
    return counts | {f"{task.name}_score": max(counts.values())}


def _fraction_above_zero(differences: np.ndarray) -> float:
    defined = differences[~np.isnan(differences)]
    return float(np.mean((defined > 0) + 0.5 * (defined == 0))) if defined.size else float("nan")
