"""From predicted columns to what the challenge compares: values, a class number, units on or off."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from wildaffect.scoring.editions import Part
from wildaffect.scoring.rows import numbers

THRESHOLD = 0.5


def missing_columns(columns: Sequence[str], part: Part) -> tuple[str, ...]:
    """Columns that a prediction table lacks for ``part``. Classes come as one column per class, or as one column of class numbers."""
    if part.kind == "classes" and part.columns[0] in columns:
        return ()
    return tuple(name for name in part.names if name not in columns)


def decide(table: pa.Table, part: Part) -> np.ndarray:
    """Decisions float64 (rows, columns of the part), NaN where a row holds no finite prediction.

    Values as they are. Classes: the number of the largest class column, the first of equals; a column of class numbers has precedence.
    Units: on above 0.5, so a value of exactly 0.5 is off (TSAV spec 6).
    """
    if part.kind == "classes" and part.columns[0] in table.column_names:
        return _finite(numbers(table, part.columns))
    predicted = _finite(numbers(table, part.names))
    if part.kind == "values":
        return predicted
    if part.kind == "units":
        return np.where(np.isnan(predicted), np.nan, predicted > THRESHOLD)
    undecided = np.isnan(predicted).any(axis=1)
    best = np.where(undecided, 0, np.nan_to_num(predicted).argmax(axis=1))
    return np.where(undecided, np.nan, best)[:, None]


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)
