"""Predictions as one CSV file per trial, for people without a Parquet reader."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.scoring.read import KEYS, read_parquet


def export_csv(folder: Path, predictions: Sequence[Mapping]) -> None:
    """Write ``<folder>/<trial>.csv``: frame, time_s, what every target predicts, source; frames ascending.

    A column that two targets predict is named ``<target>.<column>``.

    Args:
        folder: Folder to write to.
        predictions: Mappings with the keys target and path, one per target, of tables with the same rows.

    Raises:
        InputError: If the tables have different rows.
    """
    tables = {
        entry["target"]: read_parquet(entry["path"]).sort_by([("trial", "ascending"), ("frame", "ascending")])
        for entry in predictions
    }
    first = next(iter(tables.values()))
    for target, table in tables.items():
        if not table.select(["trial", "frame"]).equals(first.select(["trial", "frame"])):
            raise InputError(
                f"predictions of {target}: other trials or frames than those of {next(iter(tables))}. Predict them again."
            )
    joined = join_columns(tables)
    for trial in pc.unique(joined["trial"]).to_pylist():
        with atomic(folder / f"{trial}.csv") as partial:
            csv.write_csv(joined.filter(pc.equal(joined["trial"], trial)).drop_columns("trial"), partial)


def join_columns(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Put the value columns of all tables side by side, between the time and the source of the first."""
    values = {target: [name for name in table.column_names if name not in KEYS] for target, table in tables.items()}
    uses = Counter(name for names in values.values() for name in names)
    first = next(iter(tables.values()))
    columns = {name: first[name] for name in ("trial", "frame", "time_s")}
    for target, names in values.items():
        columns |= {name if uses[name] == 1 else f"{target}.{name}": tables[target][name] for name in names}
    return pa.table(columns | {"source": first["source"]})
