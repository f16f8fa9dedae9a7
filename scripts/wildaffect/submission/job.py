"""A submission from the fused prediction files of one variant."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wildaffect.corpus.trials import TASKS, TRIALS, Trial, trials_from_table
from wildaffect.errors import InputError
from wildaffect.scoring.decisions import missing_columns
from wildaffect.scoring.editions import Task, get_task
from wildaffect.scoring.fusion import join_targets
from wildaffect.scoring.rows import read_parquet
from wildaffect.scoring.targets import choose_targets
from wildaffect.submission.writer import write
from wildaffect.tables import read_table


def write_submission(
    record: Path,
    *,
    predictions: Sequence[Mapping],
    trials: Path,
    frames: Mapping[str, Path],
    task: str,
    edition: str,
    sample: Path | None = None,
    allow_partial: bool = False,
) -> None:
    """Write the test trials' submission to the folder ``<record without .json>`` and its ``record`` (:func:`wildaffect.submission.write`).

    ``predictions``: mappings with the keys target and path, one per target of the variant. ``trials``: the trials table. ``sample``: the
    organisers' sample, whose rows are followed. ``frames``: the frame table of each video, whose rows are counted where the sample does
    not give the counts.
    """
    rules = get_task(edition, task)
    tables = {entry["target"]: read_parquet(entry["path"]) for entry in predictions}
    counts = {
        trial.trial: pq.read_metadata(frames[trial.video]).num_rows
        for trial in submitted_trials(trials_from_table(read_table(trials, TRIALS)), rules)
    }
    if not counts and sample is None:
        raise InputError(
            f"{trials}: no test trials of task {task} in edition {edition}; name the organisers' sample in submission.samples.{task}."
        )
    table = task_table(tables, rules)
    write(table, record.with_suffix(""), edition, task, sample=sample, frames=counts, allow_partial=allow_partial)


def submitted_trials(trials: Iterable[Trial], task: Task) -> list[Trial]:
    """Test trials of ``task``; of a task with several parts, the trials that are test trials for all of them.

    Empty for a task whose partitions a corpus does not keep (compound expressions): its rows can only come from a sample.
    """
    if not {part.name for part in task.parts} <= set(TASKS):
        return []
    return [trial for trial in trials if all(trial.partition(part.name) == "test" for part in task.parts)]


def task_table(tables: Mapping[str, pa.Table], task: Task) -> pa.Table:
    """The table that predicts all of ``task``: the target of that name, else the only one that does, else valence and arousal joined."""
    offered = {target: table.column_names for target, table in tables.items()}

    def covers(columns: Sequence[str]) -> bool:
        return not any(missing_columns(columns, part) for part in task.parts)

    chosen = choose_targets(offered, task.name, task.columns, covers)
    return tables[chosen[0]] if len(chosen) == 1 else join_targets({name: tables[name] for name in chosen})
