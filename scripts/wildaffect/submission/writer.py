"""Submission files in the organisers' format, and the job that writes them for a run."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wildaffect.corpus.trials import TASKS, TRIALS, Trial, trials_from_table
from wildaffect.errors import InputError
from wildaffect.scoring.editions import get_task
from wildaffect.scoring.fusion import choose_targets, join_targets
from wildaffect.scoring.read import RowIndex, as_table, read_parquet, sort_rows
from wildaffect.scoring.scorer import decide, missing_columns
from wildaffect.scoring.tasks import Part, Task
from wildaffect.submission.expected import Expected, expected_rows, known_format
from wildaffect.tables import count_rows, read_table
from wildaffect.written import write_folder

FILL_MEANING = {
    "predicted": "the frame's own prediction",
    "interpolated": "frame without prediction: linear between its neighbours; before the first or after the last, the nearest",
    "held": "frame without prediction, for classes and units: the latest prediction before it, or the first one",
    "repeat_last": "more frames wanted than decoded: the last prediction again",
    "constant": "trial without any prediction: zeros (the class numbered 0)",
}
FILL_RULES = tuple(FILL_MEANING)
"""Where the values of a submitted row come from, further and further from a prediction."""


def fill_predictions(
    frames: np.ndarray, values: np.ndarray, wanted: np.ndarray, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Find a value for every requested frame of a trial, whether it was predicted or not.

    Args:
        frames: Frame index int64 of each row of the trial's predictions, ascending.
        values: float64 (rows, columns), NaN in rows without prediction.
        wanted: Requested frame indices int64, in any order.
        kind: ``values``, ``classes`` or ``units``.

    Returns:
        Values float64 (requested, columns), and for each requested frame the index of its rule in `FILL_RULES`, int64.
    """
    has = ~np.isnan(values).any(axis=1)
    known, present = frames[has], values[has]
    if not known.size:
        return np.zeros((wanted.size, values.shape[1])), np.full(wanted.size, FILL_RULES.index("constant"))
    before = np.maximum(np.searchsorted(known, wanted, side="right") - 1, 0)
    filled = present[before]
    gap = "held"
    if kind == "values":
        filled = np.column_stack([np.interp(wanted, known, column) for column in present.T])
        gap = "interpolated"
    rules = np.where(known[before] == wanted, FILL_RULES.index("predicted"), FILL_RULES.index(gap))
    beyond = wanted > frames[-1]
    filled[beyond] = present[-1]
    return filled, np.where(beyond, FILL_RULES.index("repeat_last"), rules)


DECIMALS = 6
CHANGES = {"cut": "predicted frame that is not wanted: left out", "clipped": "value outside [-1, 1]: limited"}


def write(predictions: Any, output: Path, edition: str, task: str, **options: Any) -> dict:
    """`write_task` by the name of an edition and of one of its tasks; `InputError` with the choices for unknown ones."""
    return write_task(predictions, output, get_task(edition, task), **options)


def write_task(
    predictions: Any,
    output: Path,
    task: Task,
    *,
    sample: Path | None = None,
    frames: Mapping[str, int] | None = None,
    allow_partial: bool = False,
    overwrite: bool = False,
) -> dict:
    """Write a submission and a sidecar beside it, ``<output>.json``.

    The rows follow ``sample`` (see `wildaffect.submission.expected.expected_rows`), else the counts ``frames`` per trial, else the
    predictions themselves. Requested frames without a prediction are filled (`FILL_MEANING`), other predicted frames are left out;
    the sidecar counts every case, in total and for each trial that has any. Values are limited to [-1, 1] and written as plain decimals
    with six digits. An existing ``output`` is replaced as `wildaffect.written.write_folder` does.

    Args:
        predictions: Arrow or pandas with trial, frame and named columns, one row per decoded frame.
        output: Folder to write; it holds exactly what is sent.
        task: The track, whose format is followed.
        sample: The organisers' sample.
        frames: Number of frames by trial.
        allow_partial: Whether trials without any prediction are filled with constants.
        overwrite: Whether ``.txt`` files that are no submission of this project may be replaced.

    Returns:
        Content of the sidecar.

    Raises:
        InputError: For missing columns, for requested trials without any prediction unless ``allow_partial``, and for files that may not be
            replaced.
    """
    form, output = known_format(task), Path(output)
    table = as_table(predictions, "predictions")
    lacking = [name for part in task.parts for name in missing_columns(table.column_names, part)]
    if lacking:
        raise InputError(
            f"predictions: column {', '.join(lacking)} missing, needed for task {task.name} of edition {task.edition}."
        )
    rows = sort_rows(table, "predictions")
    expected = expected_rows(task, sample, frames if sample or frames else _own_counts(rows))
    decided = {part: decide(table, part)[rows.order] for part in task.parts}
    _check_partial(expected, rows, decided, allow_partial)
    texts, counts = _texts(task, expected, rows, decided)
    record = {"edition": task.edition, "task": task.name, "sample": Path(sample).name if sample else None, **counts}
    if "source" in table.column_names:
        record["sources"] = dict(sorted(Counter(str(source) for source in table["source"].to_pylist()).items()))
    return write_folder(output, _files(form, expected, texts), record, overwrite=overwrite)


def _own_counts(rows: RowIndex) -> dict[str, int]:
    """Count the frames of each trial: the last predicted index + 1."""
    return {name: int(rows.frame[part][-1]) + 1 for name, part in rows.slices().items() if part.stop > part.start}


def _check_partial(expected: Expected, rows: RowIndex, decided: Mapping[Part, np.ndarray], allow_partial: bool) -> None:
    predicted = {
        name
        for name, part in rows.slices().items()
        if all((~np.isnan(d[part])).all(axis=1).any() for d in decided.values())
    }
    absent = sorted(set(expected.trials) - predicted)
    if absent and not allow_partial:
        raise InputError(
            f"predictions: {len(absent)} of {len(expected.trials)} trials have no prediction, first {absent[0]!r}. "
            "Predict them, or allow a partial submission (they are then filled with constants)."
        )


def _texts(
    task: Task, expected: Expected, rows: RowIndex, decided: Mapping[Part, np.ndarray]
) -> tuple[dict[str, tuple[np.ndarray, list[str]]], dict]:
    """Format the rows of each trial, with their positions in the submission, and count for the sidecar."""
    slices, texts = rows.slices(), {}
    total, per_trial = Counter(dict.fromkeys((*FILL_RULES, *CHANGES), 0)), {}
    by_trial = np.argsort(expected.trial, kind="stable")
    bounds = np.searchsorted(expected.trial[by_trial], np.arange(len(expected.trials) + 1))
    for i, name in enumerate(expected.trials):
        positions = by_trial[bounds[i] : bounds[i + 1]]
        wanted, part_rows = expected.frame[positions], slices.get(name, slice(0, 0))
        frames, columns = rows.frame[part_rows], []
        counts: Counter[str] = Counter()
        used = np.zeros(len(wanted), np.int64)
        for part in task.parts:
            values, rule = fill_predictions(frames, decided[part][part_rows], wanted, part.kind)
            used = np.maximum(used, rule)  # a row of several parts counts under the rule furthest from a prediction
            counts["clipped"] += int((np.abs(values) > 1).any(axis=1).sum()) if part.kind == "values" else 0
            columns += _fields(values, part)
        counts["cut"] = int((~np.isin(frames, wanted)).sum())
        counts.update(FILL_RULES[rule] for rule in used)
        texts[name] = positions, [",".join(fields) for fields in zip(*columns, strict=True)]
        total.update(counts)
        if counts["predicted"] < len(wanted) or counts["cut"] or counts["clipped"]:
            per_trial[name] = {rule: count for rule, count in sorted(counts.items()) if count}
    about = {
        "trials": len(expected.trials),
        "rows": len(expected.trial),
        "rules": {rule: total[rule] for rule in (*FILL_RULES, *CHANGES)},
        "meaning": {rule: text for rule, text in (FILL_MEANING | CHANGES).items() if total[rule]},
        "trials_not_wanted": sorted(set(rows.trials) - set(expected.trials)),
        "by_trial": per_trial,
    }
    return texts, about


def _fields(values: np.ndarray, part: Part) -> list[list[str]]:
    """Text of each column."""
    if part.kind == "values":
        # Adding zero turns -0.0 into 0.0.
        rounded = np.round(values.clip(-1, 1), DECIMALS) + 0.0
        return [[f"{value:.{DECIMALS}f}" for value in column] for column in rounded.T.tolist()]
    return [[str(value) for value in column] for column in values.T.astype(np.int64).tolist()]


def _files(form, expected: Expected, texts: Mapping[str, tuple[np.ndarray, list[str]]]) -> dict[str, str]:
    """Text of each file by its name."""
    if form.layout == "folder":
        return {f"{name}.txt": _text([form.header, *lines]) for name, (_, lines) in texts.items()}
    ordered = [""] * len(expected.trial)
    for positions, lines in texts.values():
        for position, line in zip(positions.tolist(), lines, strict=True):
            ordered[position] = f"{expected.locations[position]},{line}"
    return {form.file: _text([form.header, *ordered])}


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def write_submission(
    record: Path,
    *,
    predictions: Sequence[Mapping],
    trials: Path,
    frames: Mapping[str, Path],
    task: Task,
    sample: Path | None = None,
    allow_partial: bool = False,
) -> None:
    """Write the test trials' submission to the folder ``<record without .json>``, and its record (`write_task`).

    Args:
        record: Path of the record (JSON).
        predictions: Mappings with the keys target and path, one per target of the variant.
        trials: The trials table.
        frames: Frame table by video; its rows are counted where the sample gives no counts.
        task: The track.
        sample: The organisers' sample, whose rows are followed.
        allow_partial: Whether trials without any prediction are filled with constants.

    Raises:
        InputError: If there is nothing to submit, and where `write_task` does.
    """
    tables = {entry["target"]: read_parquet(entry["path"]) for entry in predictions}
    counts = {
        trial.trial: count_rows(frames[trial.video])
        for trial in submitted_trials(trials_from_table(read_table(trials, TRIALS)), task)
    }
    if not counts and sample is None:
        raise InputError(
            f"{trials}: no test trials of task {task.name} in edition {task.edition}; name the organisers' sample in "
            f"submission.samples.{task.name}."
        )
    table = task_table(tables, task)
    # The workflow plans what is written again, and its folder of results is its own.
    write_task(
        table, record.with_suffix(""), task, sample=sample, frames=counts, allow_partial=allow_partial, overwrite=True
    )


def submitted_trials(trials: Iterable[Trial], task: Task) -> list[Trial]:
    """List the test trials of ``task``; of a task with several parts, the trials that are test trials for all of them.

    Empty for a task whose partitions a corpus does not keep (compound expressions): its rows can only come from a sample.
    """
    if not {part.name for part in task.parts} <= set(TASKS):
        return []
    return [trial for trial in trials if all(trial.partition(part.name) == "test" for part in task.parts)]


def task_table(tables: Mapping[str, pa.Table], task: Task) -> pa.Table:
    """Find the table that predicts all of ``task``: the target of that name, else the only one that does, else separate ones joined."""
    offered = {target: table.column_names for target, table in tables.items()}

    def covers(columns: Sequence[str]) -> bool:
        return not any(missing_columns(columns, part) for part in task.parts)

    chosen = choose_targets(offered, task.name, task.columns, covers)
    return tables[chosen[0]] if len(chosen) == 1 else join_targets({name: tables[name] for name in chosen})
