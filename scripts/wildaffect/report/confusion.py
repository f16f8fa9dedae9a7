"""Confusion matrices of expressions on held-out frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from wildaffect.report.sources import columns_in, held_out_sources
from wildaffect.scoring.editions import get_task
from wildaffect.tables import read_table

LABELS = pa.schema([("trial", pa.string()), ("frame", pa.int32()), ("expression", pa.int8()), ("valid", pa.bool_())])
CLASSES = get_task("abaw3", "expr").parts[0].names
"""All classes in the order of the label numbers; editions with seven have the first seven."""


def confusion_matrices(labels: Path, predictions: Sequence[Mapping]) -> list[dict]:
    """One per series that predicts expressions: ``series``, ``names`` and ``counts`` int64 (labels, predictions), in frames.

    Every frame counts once per series, predicted where its trial was held out (see
    :func:`wildaffect.report.sources.held_out_sources`); the decision is the class with the highest value, the first of equals.
    """
    truth = (
        read_table(labels, LABELS).to_pandas().query("valid").dropna(subset="expression").astype({"expression": int})
    )
    wanted: dict[tuple[str, int], list[str]] = {}
    for (series, trial), entry in held_out_sources(predictions, CLASSES).items():
        wanted.setdefault((series, id(entry)), []).append(trial)
    matrices: dict[str, dict] = {}
    for (series, entry), trials in wanted.items():
        path = next(candidate["path"] for candidate in predictions if id(candidate) == entry)
        names = columns_in(path, CLASSES)
        schema = pa.schema([("trial", pa.string()), ("frame", pa.int32()), *((name, pa.float32()) for name in names)])
        table = read_table(path, schema).to_pandas()
        rows = table[table["trial"].isin(trials)].merge(truth, on=["trial", "frame"]).dropna(subset=names)
        counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
        decided = np.array([CLASSES.index(name) for name in names])[rows[names].to_numpy().argmax(axis=1)]
        np.add.at(counts, (rows["expression"].to_numpy(), decided), 1)
        found = matrices.setdefault(series, {"series": series, "names": CLASSES, "counts": np.zeros_like(counts)})
        found["counts"] += counts
    return [_used(matrices[series]) for series in sorted(matrices) if matrices[series]["counts"].any()]


def _used(matrix: dict) -> dict:
    """Without the last class where an edition does not have it."""
    counts = matrix["counts"]
    last = len(CLASSES) if counts[-1].any() or counts[:, -1].any() else len(CLASSES) - 1
    return matrix | {"names": CLASSES[:last], "counts": counts[:last, :last]}
