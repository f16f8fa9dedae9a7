"""Training runs: learning curves and provenance."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from wildaffect.errors import InputError


def read_run(entry: Mapping) -> dict:
    """One instance: its names, ``record`` (content of run.json) and ``curves``, each None where the file is absent."""
    folder = Path(entry["path"])
    names = {key: str(entry[key]) for key in ("system", "variant", "target", "fold")}
    return names | {"record": _json(folder / "run.json"), "curves": _curves(folder / "history.csv")}


def _json(path: Path) -> dict | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not readable JSON ({error}). Delete it and run again.") from error


def _curves(path: Path) -> dict | None:
    """Columns of a training history, for the figure: epochs, training loss and the validation columns."""
    if not path.exists():
        return None
    table = pd.read_csv(path)
    missing = [name for name in ("epoch", "train_loss") if name not in table]
    if missing:
        raise InputError(f"{path}: column {', '.join(missing)} missing. Delete the run and train again.")
    metrics = [name for name in table if name.startswith("val_") and name != "val_loss"]
    losses = [name for name in ("train_loss", "val_loss") if name in table]
    return {
        "epoch": table["epoch"].tolist(),
        "losses": {name: _numbers(table[name]) for name in losses},
        "metrics": {name: _numbers(table[name]) for name in metrics},
        "seconds": float(table["seconds"].sum()) if "seconds" in table else None,
    }


def _numbers(column: pd.Series) -> list[float | None]:
    return [None if value != value else float(f"{value:.5g}") for value in column.astype(float)]


def recorded(runs: Sequence[Mapping], key: str) -> list[str]:
    """The distinct values under ``key`` in all run records, in order of first appearance."""
    found = [str(run["record"][key]) for run in runs if run["record"] and run["record"].get(key) is not None]
    return list(dict.fromkeys(found))


def selection(run: Mapping) -> dict | None:
    """The best epoch: ``metric``, ``epoch``, ``value`` and ``recorded`` (whether run.json says so).

    Without ``best_epoch`` and ``best_metric`` in the record it is the highest value of the first validation metric of the history,
    and ``recorded`` is false so that the page can say so. None without curves or metrics.
    """
    curves, record = run["curves"], run["record"] or {}
    if not curves or not curves["metrics"]:
        return None
    known = "best_epoch" in record and record.get("best_metric") in curves["metrics"]
    metric = record["best_metric"] if known else next(iter(curves["metrics"]))
    values = curves["metrics"][metric]
    if known:
        index = curves["epoch"].index(record["best_epoch"])
    else:
        found = [i for i, value in enumerate(values) if value is not None]
        if not found:
            return None
        index = max(found, key=lambda i: values[i])
    return {"metric": metric, "epoch": curves["epoch"][index], "value": values[index], "recorded": known}
