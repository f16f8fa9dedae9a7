"""Scores of all runs in two tidy tables: one over trials, one per trial."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.scoring.decisions import missing_columns
from wildaffect.scoring.editions import Part, Task, edition_tasks
from wildaffect.scoring.fusion import fuse, join_targets
from wildaffect.scoring.rows import as_table
from wildaffect.scoring.scorer import Tallied, summarise, tally_task, trial_scores

RUN_COLUMNS = ("system", "variant", "target", "fold", "partition")
SCORE_COLUMNS = (*RUN_COLUMNS, "edition", "metric", "value", "frames", "trials", "note")
TRIAL_COLUMNS = (*RUN_COLUMNS, "trial", "metric", "value", "frames")
CROSS_VALIDATION, ENSEMBLE = "cross-validation", "ensemble"
PAIR = ("valence", "arousal")
# What each target predicts: the parts of tasks, and the columns of a part where it is not all of them.
TARGETS = {
    "va": {"va": None},
    "valence": {"va": ("valence",)},
    "arousal": {"va": ("arousal",)},
    "expr": {"expr": None},
    "au": {"au": None},
    "mtl": {"va": None, "expr": None, "au": None},
}


@dataclass(frozen=True)
class Predicted:
    """Predictions of one target: ``fold`` is a number as text, ``cross-validation`` or ``ensemble``."""

    target: str
    fold: str
    partition: str
    table: pa.Table


def score_predictions(
    predictions: Sequence[Mapping],
    labels: Mapping[str, Path],
    scored_editions: Sequence[str],
    scores: Path,
    trials: Path,
    *,
    folds: Path | None = None,
    fusion: Mapping[str, Mapping] | None = None,
    resamples: int = 0,
    seed: int = 0,
) -> None:
    """Score every prediction file and write ``scores`` (``SCORE_COLUMNS``) and ``trials`` (``TRIAL_COLUMNS``), both CSV.

    ``predictions``: one mapping per file with the keys system, variant, target, fold, partition, path. ``labels``: label table per task.
    Besides each fold there are, for every target with several folds, ``cross-validation`` (each trial predicted by the fold that held it
    out, pooled) and for other held-out partitions ``ensemble`` (the folds fused; ``fusion``: arguments of
    :func:`wildaffect.scoring.fusion.fuse` per system, the plain mean by default). Separate targets valence and arousal are also scored
    as the pair ``va``, unless the variant has a target of that name.

    Partitions without labels give no rows. Where predictions or labels do not cover an edition's label space, the score is written as
    an empty value with the reason in ``note``. The per-trial table holds the metrics of the first edition that fits. With the fold
    table ``folds``, :class:`InputError` if a labelled trial of a fold's partition was not predicted at all.
    """
    tables = {task: as_table(pq.read_table(path), str(path)) for task, path in labels.items()}
    assigned = pq.read_table(folds).to_pylist() if folds else []
    score_rows, trial_rows = [], []
    for (system, variant), entries in _grouped(predictions).items():
        for predicted in _series(entries, (fusion or {}).get(system, {})):
            _check_complete(predicted, tables, assigned, f"{system}/{variant}")
            run = dict(
                zip(RUN_COLUMNS, (system, variant, predicted.target, predicted.fold, predicted.partition), strict=True)
            )
            results, single = _score(predicted, tables, scored_editions, resamples, seed, str(run))
            score_rows += [run | row for row in results]
            trial_rows += [run | row for row in single]
    _write_csv(scores, SCORE_COLUMNS, score_rows)
    _write_csv(trials, TRIAL_COLUMNS, trial_rows)


def _grouped(predictions: Sequence[Mapping]) -> dict[tuple[str, str], list[Mapping]]:
    """Entries by (system, variant), sorted; :class:`InputError` for a repeated or unknown one."""
    groups: dict[tuple[str, str], list[Mapping]] = {}
    seen = set()
    for entry in predictions:
        name = tuple(str(entry[column]) for column in RUN_COLUMNS)
        if name in seen:
            raise InputError(f"{entry['path']}: predictions of {'/'.join(name)} are given twice.")
        if entry["target"] not in TARGETS:
            raise InputError(f"{entry['path']}: unknown target {entry['target']!r}; choose from {', '.join(TARGETS)}.")
        seen.add(name)
        groups.setdefault(name[:2], []).append(entry)
    return dict(sorted(groups.items()))


def _series(entries: Sequence[Mapping], fusion: Mapping) -> Iterator[Predicted]:
    """Everything to score for one variant in a fixed order: folds, cross-validation and ensemble of each target, then of the pair."""
    targets = sorted({entry["target"] for entry in entries})
    for target in targets:
        yield from _with_pooled(target, [entry for entry in entries if entry["target"] == target], fusion)
    if set(PAIR) <= set(targets) and "va" not in targets:
        halves = [
            {
                (p.fold, p.partition): p
                for p in _with_pooled(target, [e for e in entries if e["target"] == target], fusion)
            }
            for target in PAIR
        ]
        for fold, partition in halves[0]:
            if (fold, partition) in halves[1]:
                pair = {target: half[fold, partition].table for target, half in zip(PAIR, halves, strict=True)}
                yield Predicted("va", fold, partition, join_targets(pair))


def _with_pooled(target: str, entries: Sequence[Mapping], fusion: Mapping) -> Iterator[Predicted]:
    """Each fold's predictions, then their pool over validation partitions and their fusion on test partitions."""
    for partition in sorted({entry["partition"] for entry in entries}):
        chosen = sorted((e for e in entries if e["partition"] == partition), key=lambda e: int(e["fold"]))
        tables = [as_table(pq.read_table(entry["path"]), str(entry["path"])) for entry in chosen]
        for entry, table in zip(chosen, tables, strict=True):
            yield Predicted(target, str(entry["fold"]), partition, table)
        if len(tables) > 1 and partition == "validation":
            yield Predicted(target, CROSS_VALIDATION, partition, pa.concat_tables(tables, promote_options="default"))
        if len(tables) > 1 and partition == "test":
            yield Predicted(target, ENSEMBLE, partition, fuse(tables, **fusion))


def _score(
    predicted: Predicted, labels: Mapping[str, pa.Table], names: Sequence[str], resamples: int, seed: int, run: str
) -> tuple[list[dict], list[dict]]:
    """Rows of the score table and of the per-trial table for one prediction table."""
    parts = TARGETS[predicted.target]
    chosen = pc.unique(predicted.table["trial"])
    known = {name: labels[name].filter(pc.is_in(labels[name]["trial"], chosen)) for name in parts if name in labels}
    known = {name: table for name, table in known.items() if table.num_rows}
    tallied: dict[Part, Tallied] = {}
    rows, single = [], {}
    for edition in names:
        written = set()
        for task in edition_tasks(edition).values():
            wanted = [
                _narrow(part, parts[part.name]) for part in task.parts if part.name in known and part.name in parts
            ]
            if len(wanted) < len(task.parts):
                continue
            reasons = [reason for part in wanted if (reason := _incomparable(predicted.table, known[part.name], part))]
            if reasons:
                rows.append(_unscored(edition, task, "; ".join(reasons)))
                continue
            for part in wanted:
                if part not in tallied:
                    tallied[part] = _tally(predicted.table, known[part.name], task, part, run)
            merged = Tallied(task, {p.name: tallied[p].trials[p.name] for p in wanted}, 0)
            for row in summarise(merged, resamples, seed).to_pylist():
                if row["metric"] not in written:
                    written.add(row["metric"])
                    rows.append({"edition": edition, **row})
            for row in trial_scores(merged).to_pylist():
                single.setdefault((row["metric"], row["trial"]), row)
    return rows, [single[key] for key in sorted(single)]


def _tally(predictions: pa.Table, labels: pa.Table, task: Task, part: Part, run: str) -> Tallied:
    try:
        return tally_task(predictions, labels, task, [part])
    except InputError as error:
        raise InputError(f"{run}, edition {task.edition}: {error}") from error


def _narrow(part: Part, names: tuple[str, ...] | None) -> Part:
    return part if names is None else replace(part, names=names, columns=names)


def _incomparable(predictions: pa.Table, labels: pa.Table, part: Part) -> str:
    """Why a part cannot be scored: columns that predictions or labels lack, or labels outside the part's classes."""
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


def _unscored(edition: str, task: Task, reason: str) -> dict:
    note = f"not comparable: {reason}"
    return {"edition": edition, "metric": f"{task.name}_score", "value": np.nan, "frames": 0, "trials": 0, "note": note}


def _check_complete(
    predicted: Predicted, labels: Mapping[str, pa.Table], assigned: Sequence[Mapping], run: str
) -> None:
    """Every labelled trial that the fold table puts into this fold's partition must have been predicted."""
    (first, *others) = TARGETS[predicted.target]
    if others or first not in labels or not predicted.fold.isdigit():
        return
    labelled = set(pc.unique(labels[first]["trial"]).to_pylist())
    expected = {
        row["trial"]
        for row in assigned
        if (row["task"], str(row["fold"]), row["partition"]) == (first, predicted.fold, predicted.partition)
    }
    absent = sorted(expected & labelled - set(pc.unique(predicted.table["trial"]).to_pylist()))
    if absent:
        raise InputError(
            f"{run}, target {predicted.target}, fold {predicted.fold}, {predicted.partition}: {len(absent)} labelled trials were not "
            f"predicted, first {absent[0]!r}. Delete the prediction file and run again."
        )


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping]) -> None:
    """Rows as CSV, NaN as an empty field, sorted by run; within a run in the order they were made."""
    rows = sorted(rows, key=_run_order)
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {"value": "" if np.isnan(row["value"]) else repr(row["value"])})


def _run_order(row: Mapping) -> tuple:
    fold = row["fold"]
    rank = (0, int(fold), "") if fold.isdigit() else (1, 0, fold)
    return (row["system"], row["variant"], row["target"], row["partition"], rank)
