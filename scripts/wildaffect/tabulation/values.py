"""Predicted values of a run by trial and frame, with one name for each column."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wildaffect.errors import InputError
from wildaffect.scoring.read import KEYS, read_parquet, sort_rows


class TrialRows:
    """A table of rows by trial and frame.

    Args:
        path: Where it was read.
        table: Its rows, in any order.
    """

    def __init__(self, path: Path, table: pa.Table) -> None:
        self.path, self.table = path, table
        self._rows = sort_rows(table, str(path))
        self._slices = self._rows.slices()

    def of(self, trial: str, count: int) -> pa.Table | None:
        """The ``count`` rows of a trial by frame; None if there are none.

        Raises:
            InputError: The trial has other frames here.
        """
        if trial not in self._slices:
            return None
        chosen = self._slices[trial]
        if not np.array_equal(self._rows.frame[chosen], np.arange(count)):
            raise InputError(
                f"{self.path}: trial {trial} has not the {count} frames of its video. Delete the file and run the workflow again."
            )
        return self.table.take(pa.array(self._rows.order[chosen]))


class Values:
    """Predicted values of a run: columns by their names, rows by trial.

    Where only one variant predicts a column it has that name, else ``<system>.<variant>.<column>``, with the target if that is not enough.

    Attributes:
        entries: Tables of predictions, held-out ones before those of test trials: a trial may have both, for different tasks.
        columns: ``(system, variant, target, column)`` by name.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]]) -> None:
        self.entries = sorted(entries, key=lambda entry: entry["partition"] != "validation")
        self._tables: dict[tuple[str, str, str], list[TrialRows]] = {}
        for entry in self.entries:
            source = (entry["system"], entry["variant"], entry["target"])
            self._tables.setdefault(source, []).append(TrialRows(entry["path"], read_parquet(entry["path"])))
        found = [
            (*source, column)
            for source, parts in sorted(self._tables.items())
            for column in parts[0].table.column_names
            if column not in KEYS
        ]
        plain = Counter(column for *_, column in found)
        named = Counter((system, variant, column) for system, variant, _, column in found)
        self.columns = {
            column
            if plain[column] == 1
            else f"{system}.{variant}.{column}"
            if named[system, variant, column] == 1
            else f"{system}.{variant}.{target}.{column}": (system, variant, target, column)
            for system, variant, target, column in found
        }

    def of(self, trial: str, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Values (count,) of one trial by name, NaN where there are none or no face, and the source of each frame as text.

        Raises:
            InputError: A table has other frames.
        """
        rows = {source: self._rows(source, trial, count) for source in self._tables}
        sources = {
            source: np.asarray(part["source"].to_pylist(), object) for source, part in rows.items() if part is not None
        }
        values = {}
        for name, (system, variant, target, column) in self.columns.items():
            part = rows[system, variant, target]
            if part is None:
                values[name] = np.full(count, np.nan)
                continue
            # Single precision, as it was stored: more digits would be noise.
            shown = np.round(part[column].to_numpy(zero_copy_only=False).astype(np.float64), 7)
            values[name] = np.where(sources[system, variant, target] == "no_face", np.nan, shown)
        together = zip(*sources.values(), strict=True)
        joined = [" ".join(dict.fromkeys(each)) for each in together] if sources else [""] * count
        return values, np.asarray(joined, object)

    def _rows(self, source: tuple[str, str, str], trial: str, count: int) -> pa.Table | None:
        return next((rows for part in self._tables[source] if (rows := part.of(trial, count)) is not None), None)
