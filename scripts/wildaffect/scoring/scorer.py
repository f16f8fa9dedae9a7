"""Scores of a prediction table against a label table by the rules of an edition.

Columns become decisions (values, a class number, units on or off), decisions of a trial a tally (`wildaffect.scoring.tallies`).
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.corpus.label_spaces import AU_THRESHOLD
from wildaffect.errors import InputError
from wildaffect.scoring.editions import find_task, get_task
from wildaffect.scoring.read import RowIndex, as_table, find_rows, flags, named, numbers, sort_rows
from wildaffect.scoring.tallies import Tally, draws, interval, of_trial, resampled, tally, videos_of
from wildaffect.scoring.tasks import Part, Task

NAMES = ("predictions", "labels")
RANGES = {"values": (-1, 1), "intensities": (0, 1), "units": (0, 1)}
"""Least and largest prediction of a part by its kind; classes may be probabilities or any other numbers."""


def missing_columns(columns: Sequence[str], part: Part) -> tuple[str, ...]:
    """List the columns that a prediction table lacks for ``part``.

    Classes come as one column per class, or as one column of class numbers.
    """
    if part.kind == "classes" and part.columns[0] in columns:
        return ()
    return tuple(name for name in part.names if name not in columns)


def predicted_part(columns: Sequence[str], part: Part) -> Part | None:
    """Find what a prediction table with ``columns`` predicts of ``part``: None, all, or of valence and arousal the one that it has."""
    present = tuple(name for name in part.names if name in columns)
    if part.kind == "values" and present:
        return replace(part, names=present, columns=present)
    return part if present or part.columns[0] in columns else None


def predicted_parts(columns: Sequence[str], task: Task, labels: Container[str]) -> list[Part]:
    """The parts of ``task`` as far as they are predicted; none unless all are predicted and among ``labels``."""
    parts = [found for part in task.parts if part.name in labels and (found := predicted_part(columns, part))]
    return parts if len(parts) == len(task.parts) else []


def incomparable(predictions: pa.Table, labels: pa.Table, part: Part) -> str:
    """Say why ``part`` cannot be scored, empty if it can: columns that a table lacks, or labels outside the part's classes."""
    lacking = missing_columns(predictions.column_names, part)
    unlabelled = [name for name in part.columns if name not in labels.column_names]
    if lacking or unlabelled:
        sides = (("predictions", lacking), ("labels", unlabelled))
        return "; ".join(f"{side} have no {', '.join(names)}" for side, names in sides if names)
    if part.kind == "classes":
        highest = pc.max(labels[part.columns[0]]).as_py()
        if highest is not None and highest >= len(part.names):
            return f"labels go up to class {highest}, this edition has {len(part.names)} classes"
    return ""


def decide(table: pa.Table, part: Part) -> np.ndarray:
    """Make decisions float64 (rows, columns of the part), NaN where a row holds no finite prediction.

    Values and intensities as they are. Classes: the number of the largest class column, the first of equals; a column of class numbers has
    precedence.
    Units: on above 0.5, so a value of exactly 0.5 is off (TSAV spec 6).
    """
    if part.kind == "classes" and part.columns[0] in table.column_names:
        return _finite(numbers(table, part.columns))
    predicted = _finite(numbers(table, part.names))
    if part.real:
        return predicted
    if part.kind == "units":
        return np.where(np.isnan(predicted), np.nan, predicted > AU_THRESHOLD)
    undecided = np.isnan(predicted).any(axis=1)
    best = np.where(undecided, 0, np.nan_to_num(predicted).argmax(axis=1))
    return np.where(undecided, np.nan, best)[:, None]


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


SCORES = pa.schema(
    [
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("frames", pa.int64()),
        ("trials", pa.int64()),
        ("note", pa.string()),
    ]
)
TRIAL_SCORES = pa.schema(
    [
        ("trial", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("frames", pa.int64()),
        ("note", pa.string()),
    ]
)


@dataclass(frozen=True)
class Tallied:
    """Tallies of a task: per part, one per trial that has a valid frame of that part.

    Attributes:
        task: The track.
        trials: Tallies by part and trial, trials in sorted order.
        missing: Labelled frames without prediction.
        remarks: What is strange about the predictions of a part, by part.
    """

    task: Task
    trials: dict[str, dict[str, Tally]]
    missing: int
    remarks: Mapping[str, str] = field(default_factory=dict)


def score(
    predictions: Any,
    labels: Any,
    edition: str,
    task: str | None = None,
    *,
    allow_missing: bool = False,
    resamples: int = 0,
    seed: int = 0,
    names: tuple[str, str] = NAMES,
) -> pa.Table:
    """Score predictions against labels by the rules of an edition.

    Rows are matched by trial and frame, columns by name. Labels that are null or the edition's invalid value do not count, nor rows whose
    ``valid`` is false; action units are masked one by one.

    Args:
        predictions: Arrow or pandas with columns trial, frame and named values; frame is 0 in tasks with a row per video.
        labels: Arrow or pandas with columns trial, frame and the label columns.
        edition: Name of the edition, ``abaw2``.
        task: Name of the task; without it the columns of the labels decide.
        allow_missing: Whether labelled frames without prediction are left out and counted in the notes.
        resamples: Draws of whole source videos for 95 % bootstrap intervals, 0 for none.
        seed: Of the draws.
        names: What messages and notes call the predictions and the labels, such as their files.

    Returns:
        Table ``SCORES``: the ranked ``<task>_score`` first (only if all its metrics were computed), then its metrics over all frames
        joined, the mean over trials (``..._per_video_mean``, ``..._per_video_weighted`` by frames), then details, and the bounds of
        intervals (``..._low``, ``..._high``). Predictions far out of their range are scored as they are; a note counts them.

    Raises:
        InputError: For a labelled frame without prediction, repeated rows, missing columns, and predictions that are not numbers.
    """
    labels = as_table(labels, names[1])
    rules = get_task(edition, task) if task else find_task(edition, labels.column_names)
    tallied = tally_task(predictions, labels, rules, rules.parts, allow_missing=allow_missing, names=names)
    if not any(tallied.trials.values()):
        raise InputError(
            f"{names[1]}: no frame with a valid label of task {rules.name} and a prediction; nothing can be scored."
        )
    return summarise(tallied, resamples, seed)


def tally_task(
    predictions: Any,
    labels: Any,
    task: Task,
    parts: Sequence[Part],
    *,
    allow_missing: bool = False,
    names: tuple[str, str] = NAMES,
) -> Tallied:
    """Match rows and count, per part and trial.

    Args:
        predictions: As for `score`.
        labels: As for `score`.
        task: The track.
        parts: Its parts to score, perhaps with fewer values (one of two targets).
        allow_missing: As for `score`.
        names: As for `score`.

    Returns:
        Tallies that can be summed and resampled.

    Raises:
        InputError: As for `score`.
    """
    predicted, known = names
    predictions, labels = as_table(predictions, predicted), as_table(labels, known)
    for part in parts:
        _check_columns(predictions, labels, task, part, names)
    wanted, found = sort_rows(labels, known), sort_rows(predictions, predicted)
    if task.unit == "video":
        _check_one_each(found, predicted)
        _check_one_each(wanted, known)
    row = find_rows(wanted, found)
    lost = np.zeros(row.shape, bool)
    trials = {}
    for part in parts:
        with named(known):
            truth, mask = _truth(labels, task, part)
        truth, mask = truth[wanted.order], mask[wanted.order]
        absent = mask.any(axis=1) & (row < 0)
        if absent.any() and not allow_missing:
            raise InputError(f"{predicted}: {_absent(wanted, absent)}")
        lost |= absent
        mask &= (row >= 0)[:, None]
        decided = np.full(truth.shape, np.nan)
        with named(predicted):
            decided[row >= 0] = decide(predictions, part)[row[row >= 0]]
            _check_decisions(decided, mask, wanted, part)
        trials[part.name] = {
            name: tally(part, truth[rows], decided[rows], mask[rows])
            for name, rows in wanted.slices().items()
            if mask[rows].any()
        }
    remarks = {part.name: text for part in parts if (text := _far_out(predictions, part, predicted))}
    return Tallied(task, trials, int(lost.sum()), remarks)


def _far_out(predictions: pa.Table, part: Part, name: str) -> str:
    """Say how many predictions lie further outside their range than half its width, empty if none does or there is no range."""
    if part.kind not in RANGES:
        return ""
    low, high = RANGES[part.kind]
    values = _finite(numbers(predictions, part.names))
    far = np.abs(values - (low + high) / 2) > high - low
    if not far.any():
        return ""
    columns = ", ".join(column for column, some in zip(part.names, far.any(axis=0), strict=True) if some)
    return (
        f"{far.sum()} of {far.size} predictions are far outside [{low}, {high}] ({columns}: {values[far].min():g} to "
        f"{values[far].max():g}), scored as they are: {name}"
    )


def summarise(tallied: Tallied, resamples: int = 0, seed: int = 0) -> pa.Table:
    """Make the table ``SCORES`` from tallies."""
    videos = videos_of(name for trials in tallied.trials.values() for name in trials)
    left_out = f"{tallied.missing} labelled frames without prediction left out" if tallied.missing else ""
    times = draws(len(videos), resamples, seed) if resamples and videos else None
    metrics: dict[str, float] = {}
    spread: dict[str, np.ndarray] = {}
    counts: dict[str, tuple[int, int]] = {}
    rows: list[dict] = []
    for part, trials in tallied.trials.items():
        if trials:
            found = _part_rows(trials, left_out, tallied.remarks.get(part, ""))
            # One video of a task that has a row per video has no score of its own.
            rows += [row for row in found if tallied.task.unit == "frame" or "_per_video_" not in row["metric"]]
            total = reduce(add, trials.values())
            for metric, value in total.metrics().items():
                metrics[metric], counts[metric] = float(value), (int(total.frames), len(trials))
            if times is not None:
                spread |= resampled(trials, videos, times)
    ranked = _ranked(tallied.task, metrics, counts, _joined(left_out, *tallied.remarks.values()))
    if ranked:
        rows.insert(0, ranked)
        if times is not None:
            spread[ranked["metric"]] = sum(w * spread[m] for m, w in tallied.task.score.items())
            counts[ranked["metric"]] = (ranked["frames"], ranked["trials"])
    for metric, values in spread.items():
        low, high = interval(values)
        note = f"bound of the 95 % interval, {resamples} resamples of {len(videos)} videos, seed {seed}"
        rows += [_row(f"{metric}_low", low, *counts[metric], note), _row(f"{metric}_high", high, *counts[metric], note)]
    return pa.Table.from_pylist(rows, schema=SCORES)


def trial_scores(tallied: Tallied) -> pa.Table:
    """Make the table ``TRIAL_SCORES``: the metrics of every trial by itself, NaN with a note where not defined."""
    rows = [
        {
            "trial": name,
            "metric": metric,
            "value": value,
            "frames": int(part.frames),
            "note": f"not defined: {reason}" if reason else "",
        }
        for trials in tallied.trials.values()
        for name, part in trials.items()
        for metric, (value, reason) in of_trial(part).items()
    ]
    return pa.Table.from_pylist(rows, schema=TRIAL_SCORES)


BY_CLIP = "_per_clip"
"""End of the names of metrics with one decision for each clip."""


def by_clip(predictions: pa.Table, labels: pa.Table, task: Task, part: Part) -> tuple[pa.Table, pa.Table]:
    """Predictions and labels with one row for each trial, for labels that hold for whole clips.

    Values and probabilities are the means over the labelled frames of the trial, class numbers are the most frequent one, of equals the
    least.

    Args:
        predictions: As for `tally_task`, which accepted them.
        labels: Those of trials whose label is the same in all frames.
        task: The track.
        part: The part of it that is scored.
    """
    voted = part.kind == "classes" and part.columns[0] in predictions.column_names
    columns = part.columns if voted else part.names
    wanted, found = sort_rows(labels, "labels"), sort_rows(predictions, "predictions")
    row, mask = find_rows(wanted, found), _truth(labels, task, part)[1][wanted.order].any(axis=1)
    predicted, names, values, firsts = numbers(predictions, columns), [], [], []
    for name, rows in wanted.slices().items():
        kept = np.flatnonzero(mask[rows] & (row[rows] >= 0)) + rows.start
        if kept.size:
            own = predicted[row[kept]]
            values.append([np.bincount(own[:, 0].astype(int)).argmax()] if voted else own.mean(axis=0))
            firsts.append(wanted.order[kept[0]])
            names.append(name)
    keys = {"trial": pa.array(names, pa.string()), "frame": pa.array([0] * len(names), pa.int32())}
    decided = np.array(values, float).reshape(len(names), len(columns))
    known = labels.take(pa.array(firsts, pa.int64()))
    at = known.column_names.index("frame")
    return (
        pa.table({**keys, **{column: decided[:, index] for index, column in enumerate(columns)}}),
        known.set_column(at, "frame", keys["frame"]),
    )


def clip_scores(tallied: Tallied, frames: Mapping[str, int], resamples: int = 0, seed: int = 0) -> list[dict]:
    """Rows of `SCORES` for tallies of `by_clip`, by names of their own; ``frames``: labelled frames behind the clips, by part."""
    rows = summarise(tallied, resamples, seed).to_pylist()
    note = "one decision for each clip"
    return [
        row | {"metric": _of_clips(row["metric"]), "frames": max(frames.values()), "note": _joined(note, row["note"])}
        for row in rows
        if "_per_video_" not in row["metric"]
    ]


def _of_clips(metric: str) -> str:
    for end in ("_low", "_high"):
        if metric.endswith(end):
            return f"{metric.removesuffix(end)}{BY_CLIP}{end}"
    return f"{metric}{BY_CLIP}"


def _part_rows(trials: dict[str, Tally], left_out: str, remark: str) -> Iterable[dict]:
    """Metrics of one part: joined, per video, details."""
    total = reduce(add, trials.values())
    frames, single = int(total.frames), [of_trial(part) for part in trials.values()]
    length = np.array([float(part.frames) for part in trials.values()])
    rows, per_video = [], []
    for metric, value in total.metrics().items():
        undefined = f"undefined: {total.reason(metric)}" if np.isnan(value) else ""
        rows.append(_row(metric, value, frames, len(trials), _joined(undefined or left_out, remark)))
        values = np.array([each[metric][0] for each in single])
        known = ~np.isnan(values)
        reasons = Counter(each[metric][1] for each in single if each[metric][1])
        why = ", ".join(f"{count} because {reason}" for reason, count in sorted(reasons.items()))
        note = f"{(~known).sum()} trials undefined, left out: {why}" if why else ""
        mean = values[known].mean() if known.any() else np.nan
        weighted = np.average(values[known], weights=length[known]) if known.any() else np.nan
        covered = int(length[known].sum()), int(known.sum())
        per_video.append(_row(f"{metric}_per_video_mean", mean, *covered, note))
        per_video.append(_row(f"{metric}_per_video_weighted", weighted, *covered, note))
    details = [_row(metric, value, frames, len(trials), note) for metric, (value, note) in total.details().items()]
    return rows + per_video + details


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _ranked(task: Task, metrics: dict, counts: dict, notes: str) -> dict | None:
    if not set(task.score) <= set(metrics):
        return None
    value = sum(weight * metrics[metric] for metric, weight in task.score.items())
    frames, trials = (max(counts[metric][i] for metric in task.score) for i in (0, 1))
    doubt = f"unconfirmed: {task.unconfirmed}" if task.unconfirmed else ""
    return _row(f"{task.name}_score", value, frames, trials, _joined(task.formula, doubt, notes))


def _row(metric: str, value: float, frames: int, trials: int, note: str) -> dict:
    return {"metric": metric, "value": float(value), "frames": frames, "trials": trials, "note": note}


def _truth(labels: pa.Table, task: Task, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Labels float64 (rows, columns) and which of them count. A frame without valence counts for neither value, nor one without arousal."""
    truth = numbers(labels, part.columns)
    usable = np.ones(len(truth), bool)
    if "valid" in labels.column_names:
        usable = flags(labels, "valid")
    if part.real:
        whole = numbers(labels, next(each for each in task.parts if each.name == part.name).columns)
        low, high = RANGES[part.kind]
        usable &= ((low <= whole) & (whole <= high)).all(axis=1)
        return truth, np.repeat(usable[:, None], truth.shape[1], axis=1)
    highest = len(part.names) - 1 if part.kind == "classes" else 1
    known = ~np.isnan(truth) & (truth != -1) & usable[:, None]
    strange = known & ~np.isin(truth, np.arange(highest + 1))
    if strange.any():
        row, column = np.argwhere(strange)[0]
        raise InputError(
            f"{part.columns[column]} of trial {labels['trial'][row]} frame {labels['frame'][row]} is {truth[row, column]:g}; "
            f"this edition knows 0 to {highest}. Check the edition."
        )
    return truth, known


def _check_columns(predictions: pa.Table, labels: pa.Table, task: Task, part: Part, names: tuple[str, str]) -> None:
    predicted, known = names
    lacking = {
        predicted: missing_columns(predictions.column_names, part),
        known: tuple(column for column in part.columns if column not in labels.column_names),
    }
    for name, columns in lacking.items():
        if columns:
            raise InputError(
                f"{name}: column {', '.join(columns)} missing, needed for task {task.name} of edition {task.edition}."
            )


def _check_one_each(rows: RowIndex, name: str) -> None:
    """`InputError` if a video has several rows, where one is asked for."""
    for trial, own in rows.slices().items():
        if own.stop - own.start > 1:
            raise InputError(
                f"{name}: {own.stop - own.start} rows of {trial!r}; this task has one row per video, frame 0."
            )


def _check_decisions(decided: np.ndarray, mask: np.ndarray, rows: RowIndex, part: Part) -> None:
    wrong = mask & np.isnan(decided)
    if part.kind == "classes":
        wrong |= mask & ~np.isin(decided, np.arange(len(part.names)))
    if wrong.any():
        at, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{part.columns[column]} of {wrong.any(axis=1).sum()} labelled frames is not a usable number, first trial "
            f"{rows.trials[rows.trial[at]]!r}, frame {rows.frame[at]}: {decided[at, column]:g}."
        )


def _absent(rows: RowIndex, absent: np.ndarray) -> str:
    at = np.flatnonzero(absent)
    trials = sorted({rows.trials[i] for i in np.unique(rows.trial[at])})
    return (
        f"{at.size} labelled frames of {len(trials)} trials have no row, first trial {rows.trials[rows.trial[at[0]]]!r}, "
        f"frame {rows.frame[at[0]]}. Predict every frame, or allow missing frames."
    )
