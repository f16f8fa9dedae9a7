"""Two runs compared on the same frames: differences of scores with paired intervals.

Both runs are scored on the same resamples of the source videos, so what makes a video hard for both cancels out of the difference. Two
intervals that overlap say little about which run is better; the interval of the difference does.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import combinations
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.scoring.editions import find_task, get_task
from wildaffect.scoring.read import as_table, find_rows, named, read_parquet, sort_rows
from wildaffect.scoring.results import ENSEMBLE, Predicted, grouped, series
from wildaffect.scoring.scorer import Tallied, incomparable, predicted_parts, tally_task
from wildaffect.scoring.tallies import draws, interval, resampled, videos_of
from wildaffect.scoring.tasks import Task, Tracks
from wildaffect.textfiles import safe_cell

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


COMPARED_COLUMNS = ("edition", "task", "first_run", "second_run", "trials", *COMPARISON.names)
"""Of the table of all pairs; a run is named system/variant/target."""


def compare_variants(
    predictions: Sequence[Mapping],
    labels: Mapping[str, Path],
    editions: Tracks,
    output: Path,
    *,
    resamples: int,
    seed: int = 0,
) -> None:
    """Compare every pair of variants on the held-out trials that both predict, and write one CSV file, columns ``COMPARED_COLUMNS``.

    A variant is taken as its folds joined, or as its only fold. Tasks of several parts (multi-task) are not compared, nor is what
    cannot be scored by an edition.

    Args:
        predictions: As for `wildaffect.scoring.results.score_predictions`.
        labels: Label table per task.
        editions: Tracks by edition and name.
        output: CSV to write.
        resamples: Draws of whole source videos, the same for both of a pair.
        seed: Of the draws.
    """
    tables = {task: read_parquet(path) for task, path in labels.items()}
    held_out = dict(_held_out(predictions))
    rows = []
    for edition, tasks in editions.items():
        for task in tasks.values():
            if len(task.parts) != 1 or task.parts[0].name not in tables:
                continue
            part, truth = task.parts[0], tables[task.parts[0].name]
            fitting = {
                run: predicted
                for run, predicted in held_out.items()
                if predicted_parts(predicted.table.column_names, task, tables)
                and not incomparable(predicted.table, _of_trials(truth, _trials(predicted)), part)
            }
            for (first, a), (second, b) in combinations(fitting.items(), 2):
                common = sorted(_trials(a) & _trials(b) & {*pc.unique(truth["trial"]).to_pylist()})
                if not common:
                    continue
                one, other, both = (_of_trials(table, common) for table in (a.table, b.table, truth))
                with named(f"{first} and {second}, edition {edition}"):
                    found = compare(one, other, both, edition, task.name, resamples=resamples, seed=seed)
                names = {"edition": edition, "task": task.name, "first_run": first, "second_run": second}
                rows += [{**names, "trials": len(common), **row} for row in found.to_pylist()]
    with atomic(output) as partial, partial.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, COMPARED_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: "" if value != value else safe_cell(value) for key, value in row.items()})


def _held_out(predictions: Sequence[Mapping]) -> Iterator[tuple[str, Predicted]]:
    """The validation predictions of each variant and target by name: of all folds where there are several, else of the one."""
    for (system, variant), entries in grouped(predictions).items():
        for predicted in series(entries):
            if predicted.partition == "validation" and predicted.fold != ENSEMBLE:
                # The joined folds come after the single ones, and take their place.
                yield f"{system}/{variant}/{predicted.target}", predicted


def _trials(predicted: Predicted) -> set[str]:
    return {*pc.unique(predicted.table["trial"]).to_pylist()}


def _of_trials(table: pa.Table, trials: Any) -> pa.Table:
    return table.filter(pc.is_in(table["trial"], pa.array(sorted(trials), pa.string())))


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
