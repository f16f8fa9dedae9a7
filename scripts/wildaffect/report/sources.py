"""Which prediction table shows which trial."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from wildaffect.tables import read_table


def held_out_sources(predictions: Sequence[Mapping], columns: Sequence[str]) -> dict[tuple[str, str], Mapping]:
    """The entry of ``predictions`` to show per ``(series name, trial)``, among those that have any of ``columns``.

    Training partitions are never shown. A trial's validation prediction comes before its test prediction, an
    ensemble before single folds, a lower fold before a higher one.
    """
    chosen: dict[tuple[str, str], Mapping] = {}
    for entry in sorted(predictions, key=_preference):
        if entry["partition"] == "train" or not columns_in(entry["path"], columns):
            continue
        series = series_name(entry)
        for trial in read_table(entry["path"], pa.schema([("trial", pa.string())]))["trial"].unique().to_pylist():
            chosen.setdefault((series, trial), entry)
    return chosen


def series_name(entry: Mapping) -> str:
    """The name of one variant trained for one target, as it stands in figures and tables."""
    return f"{entry['system']}/{entry['variant']}/{entry['target']}"


def columns_in(path: Path, columns: Sequence[str]) -> list[str]:
    """Those of ``columns`` that a table has."""
    names = pq.read_schema(path).names
    return [name for name in columns if name in names]


def _preference(entry: Mapping) -> tuple:
    fold = str(entry["fold"])
    return entry["partition"] != "validation", fold.isdigit(), int(fold) if fold.isdigit() else 0, fold
