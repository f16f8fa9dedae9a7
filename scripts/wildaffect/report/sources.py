"""Which prediction table the report and the overlays show for each trial."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from wildaffect.tables import read_schema, read_table


def held_out_sources(predictions: Sequence[Mapping], columns: Sequence[str]) -> dict[tuple[str, str], Mapping]:
    """The prediction table to show for each series and trial.

    Training partitions are never shown. The validation prediction of a trial is preferred to its test prediction, an ensemble to single
    folds, a lower fold to a higher one.

    Args:
        predictions: Dicts with system, variant, target, fold, partition and path of prediction tables.
        columns: Only tables with any of these columns are considered.

    Returns:
        Entries of `predictions` by series name and trial.
    """
    chosen: dict[tuple[str, str], Mapping] = {}
    for entry in sorted(predictions, key=_preference):
        if entry["partition"] == "train" or not columns_in(entry["path"], columns):
            continue
        series = series_name(entry)
        for trial in read_table(entry["path"], pa.schema([("trial", pa.string())]))["trial"].unique().to_pylist():
            chosen.setdefault((series, trial), entry)
    return chosen


def trials_shown_from(entry: Mapping, sources: Mapping[tuple[str, str], Mapping]) -> list[str]:
    """Trials for which `sources`, a result of `held_out_sources`, chooses this entry."""
    return [trial for (_, trial), source in sources.items() if source is entry]


def series_name(entry: Mapping) -> str:
    """The name of one variant trained for one target in figures and tables: `system/variant/target`."""
    return f"{entry['system']}/{entry['variant']}/{entry['target']}"


def held_out_in(entry: Mapping) -> str:
    """Where the trials of a prediction table were held out, in words."""
    return f"{entry['partition']}, fold {entry['fold']}"


def columns_in(path: Path, columns: Sequence[str]) -> list[str]:
    """Those of `columns` that a table has."""
    names = read_schema(path).names
    return [name for name in columns if name in names]


def _preference(entry: Mapping) -> tuple:
    fold = str(entry["fold"])
    return entry["partition"] != "validation", fold.isdigit(), int(fold) if fold.isdigit() else 0, fold
