"""A submission from the fused prediction files of one variant."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wildaffect.corpus.trials import TRIALS
from wildaffect.errors import InputError
from wildaffect.scoring.decisions import missing_columns
from wildaffect.scoring.editions import Task, get_task
from wildaffect.scoring.fusion import join_targets
from wildaffect.scoring.rows import read_parquet
from wildaffect.submission.writer import write
from wildaffect.tables import read_table


def write_submission(
    folder: Path,
    about: Path,
    *,
    predictions: Sequence[Mapping],
    trials: Path,
    frames: Mapping[str, Path],
    task: str,
    edition: str,
    sample: Path | None = None,
    allow_partial: bool = False,
) -> None:
    """Write the test trials' submission to ``folder`` and its record to ``about`` (:func:`wildaffect.submission.write`).

    ``predictions``: mappings with the keys target and path, one per target of the variant. ``trials``: the trials table. ``frames``: the
    frame table of each video, whose rows are counted where ``sample`` does not give the counts.
    """
    rules = get_task(edition, task)
    tables = {entry["target"]: read_parquet(entry["path"]) for entry in predictions}
    counts = {
        row["trial"]: pq.read_metadata(frames[row["video"]]).num_rows
        for row in read_table(trials, TRIALS).to_pylist()
        if row[f"partition_{task}"] == "test"
    }
    table = choose_targets(tables, rules)
    write(table, folder, edition, task, sample=sample, frames=counts, allow_partial=allow_partial, about=about)


def choose_targets(tables: Mapping[str, pa.Table], task: Task) -> pa.Table:
    """The table that predicts all of ``task``: the target of that name, else the only one that does, else valence and arousal joined."""

    def covers(table: pa.Table) -> bool:
        return not any(missing_columns(table.column_names, part) for part in task.parts)

    covering = [target for target, table in tables.items() if covers(table)]
    if task.name in covering:
        return tables[task.name]
    if len(covering) == 1:
        return tables[covering[0]]
    if covering:
        raise InputError(
            f"targets {', '.join(covering)} all predict task {task.name}; name one of them in the configuration."
        )
    if set(task.columns) <= set(tables):
        return join_targets({name: tables[name] for name in task.columns})
    raise InputError(f"targets {', '.join(tables)} do not predict all of task {task.name} in edition {task.edition}.")
