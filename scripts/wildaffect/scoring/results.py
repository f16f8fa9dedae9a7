"""Scores of all runs in two tidy tables: one over trials, one per trial."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.corpus.label_spaces import AU8, AU12, EXPRESSIONS8, VALENCE_AROUSAL
from wildaffect.corpus.labels import PER_CLIP
from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.scoring.fusion import join_targets
from wildaffect.scoring.read import named, read_parquet
from wildaffect.scoring.scorer import (
    Tallied,
    by_clip,
    clip_scores,
    incomparable,
    predicted_parts,
    summarise,
    tally_task,
    trial_scores,
)
from wildaffect.scoring.tallies import Tally
from wildaffect.scoring.tasks import Part, Task, Tracks
from wildaffect.tables import read_all, read_metadata
from wildaffect.textfiles import safe_cell

RUN_COLUMNS = ("system", "variant", "target", "fold", "partition")
SCORE_COLUMNS = (*RUN_COLUMNS, "edition", "metric", "value", "frames", "trials", "note")
TRIAL_COLUMNS = (*RUN_COLUMNS, "trial", "metric", "value", "frames", "note")
CROSS_VALIDATION, ENSEMBLE = "cross-validation", "ensemble"
LABEL_SPACES = {"va": {*VALENCE_AROUSAL}, "expr": {"expression", *EXPRESSIONS8}, "au": {*AU8, *AU12}}


@dataclass(frozen=True)
class Predicted:
    """Predictions of one target: ``fold`` is a number as text, ``cross-validation`` or ``ensemble``; ``files`` are where they come from."""

    target: str
    fold: str
    partition: str
    table: pa.Table
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The files in words."""
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"{self.files[0]}{more}"


def score_predictions(
    predictions: Sequence[Mapping],
    labels: Mapping[str, Path],
    editions: Tracks,
    scores: Path,
    trials: Path,
    *,
    folds: Path | None = None,
    resamples: int = 0,
    seed: int = 0,
) -> None:
    """Score every prediction file and write two CSV files: over all trials, and per trial.

    What is scored follows from the columns of a file. The validation predictions of several folds are also pooled as ``cross-validation``
    (each trial predicted by the fold that held it out), and separate targets valence and arousal are also scored as the pair ``va``,
    unless the variant has a target of that name. Trials whose labels hold for whole clips are scored once more by clip (``…_per_clip``).

    Partitions without labels give no rows. Where predictions or labels do not cover an edition's label space, the score is written as
    an empty value with the reason in ``note``. The per-trial table holds the metrics of the first edition that fits.

    Args:
        predictions: One mapping per file with the keys system, variant, target, fold (a number or ``ensemble``), partition, path.
        labels: Label table per task.
        editions: Tracks by edition and name.
        scores: CSV to write, columns ``SCORE_COLUMNS``.
        trials: CSV to write, columns ``TRIAL_COLUMNS``.
        folds: The table of folds, by which predictions must be complete.
        resamples: Resamples of the bootstrap, 0 for no intervals.
        seed: Of the resamples.

    Raises:
        InputError: If a labelled trial of a fold's partition was not predicted at all.
    """
    tables = {task: read_parquet(path) for task, path in labels.items()}
    clips = {task: labelled_by_clip(path) for task, path in labels.items()}
    assigned = read_all(folds).to_pylist() if folds else []
    score_rows, trial_rows = [], []
    for (system, variant), entries in _grouped(predictions).items():
        for predicted in _series(entries):
            names = (system, variant, predicted.target, predicted.fold, predicted.partition)
            with named("/".join(names)):
                _check_complete(predicted, tables, assigned)
            results, single = _score(predicted, tables, labels, clips, editions, resamples, seed, "/".join(names))
            run = dict(zip(RUN_COLUMNS, names, strict=True))
            score_rows += [run | row for row in results]
            trial_rows += [run | row for row in single]
    _write_csv(scores, SCORE_COLUMNS, score_rows)
    _write_csv(trials, TRIAL_COLUMNS, trial_rows)


def labelled_by_clip(labels: Path) -> frozenset[str]:
    """Trials of a label table whose label holds for the whole clip, as the join recorded it."""
    return frozenset(
        trial for trial, facts in read_metadata(labels).get("trials", {}).items() if facts["kind"] == PER_CLIP
    )


def _grouped(predictions: Sequence[Mapping]) -> dict[tuple[str, str], list[Mapping]]:
    """Entries by (system, variant), sorted; `InputError` for one that is given twice."""
    groups: dict[tuple[str, str], list[Mapping]] = {}
    seen = set()
    for entry in predictions:
        name = tuple(str(entry[column]) for column in RUN_COLUMNS)
        if name in seen:
            raise InputError(f"{entry['path']}: predictions of {'/'.join(name)} are given twice.")
        seen.add(name)
        groups.setdefault((name[0], name[1]), []).append(entry)
    return dict(sorted(groups.items()))


def _series(entries: Sequence[Mapping]) -> Iterator[Predicted]:
    """Everything to score for one variant in a fixed order: each target with its pool of folds, then the pair."""
    targets = {
        target: [e for e in entries if e["target"] == target] for target in sorted({e["target"] for e in entries})
    }
    for target, chosen in targets.items():
        yield from _with_pool(target, chosen)
    if set(VALENCE_AROUSAL) <= set(targets) and "va" not in targets:
        valence, arousal = (
            {(p.fold, p.partition): p for p in _with_pool(name, targets[name])} for name in VALENCE_AROUSAL
        )
        for fold, partition in valence:
            if (fold, partition) in arousal:
                pair = {"valence": valence[fold, partition], "arousal": arousal[fold, partition]}
                files = tuple(file for part in pair.values() for file in part.files)
                joined = join_targets({name: part.table for name, part in pair.items()})
                yield Predicted("va", fold, partition, joined, files)


def _with_pool(target: str, entries: Sequence[Mapping]) -> Iterator[Predicted]:
    """Each prediction file, then the validation partitions of all folds as one."""
    held_out = []
    for entry in sorted(entries, key=lambda e: (e["partition"], _fold_order(str(e["fold"])))):
        path = Path(entry["path"])
        predicted = Predicted(target, str(entry["fold"]), entry["partition"], read_parquet(path), (path,))
        if predicted.partition == "validation" and predicted.fold != ENSEMBLE:
            held_out.append(predicted)
        yield predicted
    if len(held_out) > 1:
        pooled = pa.concat_tables([each.table for each in held_out], promote_options="default")
        yield Predicted(target, CROSS_VALIDATION, "validation", pooled, tuple(each.files[0] for each in held_out))


def _score(
    predicted: Predicted,
    labels: Mapping[str, pa.Table],
    paths: Mapping[str, Path],
    clips: Mapping[str, frozenset[str]],
    editions: Tracks,
    resamples: int,
    seed: int,
    run: str,
) -> tuple[list[dict], list[dict]]:
    """Rows of the score table and of the per-trial table for one prediction table."""
    chosen = pc.unique(predicted.table["trial"])
    known = {name: table.filter(pc.is_in(table["trial"], chosen)) for name, table in labels.items()}
    known = {name: table for name, table in known.items() if table.num_rows}
    tallied: dict[Part, Tallied] = {}
    rows: list[dict] = []
    single: dict[tuple[str, str], dict] = {}
    for edition, tasks in editions.items():
        written = set()
        for task in tasks.values():
            parts = predicted_parts(predicted.table.column_names, task, known)
            if not parts:
                continue
            reasons = [reason for part in parts if (reason := incomparable(predicted.table, known[part.name], part))]
            if reasons:
                rows.append(_unscored(edition, task, "; ".join(reasons)))
                continue
            for part in parts:
                if part not in tallied:
                    names = (predicted.name, str(paths[part.name]))
                    with named(f"{run}, edition {edition}"):
                        tallied[part] = tally_task(predicted.table, known[part.name], task, [part], names=names)
            trials = {part.name: tallied[part].trials[part.name] for part in parts}
            remarks = {name: text for part in parts for name, text in tallied[part].remarks.items()}
            merged = Tallied(task, trials, 0, remarks)
            scored = summarise(merged, resamples, seed).to_pylist()
            scored += _clip_rows(predicted.table, known, clips, task, parts, resamples, seed)
            for row in scored:
                if row["metric"] not in written:
                    written.add(row["metric"])
                    rows.append({"edition": edition, **row})
            for row in trial_scores(merged).to_pylist():
                single.setdefault((row["metric"], row["trial"]), row)
    return rows, [single[key] for key in sorted(single)]


def _clip_rows(
    predictions: pa.Table,
    labels: Mapping[str, pa.Table],
    clips: Mapping[str, frozenset[str]],
    task: Task,
    parts: Sequence[Part],
    resamples: int,
    seed: int,
) -> list[dict]:
    """Rows of the score table over the trials that are labelled by clip; none if a part of the task has no such trial."""
    trials: dict[str, dict[str, Tally]] = {}
    frames: dict[str, int] = {}
    for part in parts:
        table = labels[part.name]
        table = table.filter(pc.is_in(table["trial"], pa.array(sorted(clips[part.name]), pa.string())))
        if not table.num_rows:
            return []
        each = tally_task(predictions, table, task, [part]).trials[part.name]
        trials |= tally_task(*by_clip(predictions, table, task, part), task, [part]).trials
        frames[part.name] = sum(int(tally.frames) for tally in each.values())
    return clip_scores(Tallied(task, trials, 0), frames, resamples, seed) if all(trials.values()) else []


def _unscored(edition: str, task: Task, reason: str) -> dict:
    note = f"not comparable: {reason}"
    return {"edition": edition, "metric": f"{task.name}_score", "value": np.nan, "frames": 0, "trials": 0, "note": note}


def _check_complete(predicted: Predicted, labels: Mapping[str, pa.Table], assigned: Sequence[Mapping]) -> None:
    """Every labelled trial that the fold table puts into this fold's partition must have been predicted (single-task targets only)."""
    tasks = [name for name in labels if LABEL_SPACES.get(name, set()) & set(predicted.table.column_names)]
    if len(tasks) != 1:
        return
    expected = {
        row["trial"]
        for row in assigned
        if (row["task"], str(row["fold"]), row["partition"]) == (tasks[0], predicted.fold, predicted.partition)
    }
    labelled = set(pc.unique(labels[tasks[0]]["trial"]).to_pylist())
    absent = sorted(expected & labelled - set(pc.unique(predicted.table["trial"]).to_pylist()))
    if absent:
        raise InputError(
            f"{len(absent)} labelled trials were not predicted, first {absent[0]!r}. Delete {predicted.name} and run again."
        )


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping]) -> None:
    """Rows as CSV, NaN as an empty field, sorted by run; within a run in the order they were made."""
    rows = sorted(rows, key=_run_order)
    with atomic(path) as partial, partial.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            cells = {name: safe_cell(cell) for name, cell in row.items()}
            writer.writerow({**cells, "value": "" if np.isnan(row["value"]) else repr(row["value"])})


def _run_order(row: Mapping) -> tuple:
    return (row["system"], row["variant"], row["target"], row["partition"], _fold_order(row["fold"]))


def _fold_order(fold: str) -> tuple:
    """Folds by number, then the names."""
    return (0, int(fold), "") if fold.isdigit() else (1, 0, fold)
