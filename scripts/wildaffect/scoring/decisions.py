"""From predicted columns to what the challenge compares: values, a class number, units on or off."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.scoring.editions import Part
from wildaffect.scoring.rows import numbers

THRESHOLD = 0.5


def missing_columns(columns: Sequence[str], part: Part) -> tuple[str, ...]:
    """Columns that a prediction table lacks for ``part``. Classes come as one column per class, or as one column of class numbers."""
    if part.kind == "classes" and part.columns[0] in columns:
        return ()
    return tuple(name for name in part.names if name not in columns)


def predicted_part(columns: Sequence[str], part: Part) -> Part | None:
    """What a prediction table with ``columns`` predicts of ``part``: None, all, or of valence and arousal the one that it has."""
    present = tuple(name for name in part.names if name in columns)
    if part.kind == "values" and present:
        return replace(part, names=present, columns=present)
    return part if present or part.columns[0] in columns else None


def incomparable(predictions: pa.Table, labels: pa.Table, part: Part) -> str:
    """Why ``part`` cannot be scored, empty if it can: columns that a table lacks, or labels outside the part's classes."""
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
