"""Training runs: learning curves and provenance."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from wildaffect.errors import InputError


def read_run(entry: Mapping) -> dict:
    """One instance for the page.

    Args:
        entry: Dict with system, variant, target, fold and path of the run folder.

    Returns:
        The names, `path`, `record` (content of `run.json`) and `curves`, the latter two None where the file is absent.
    """
    folder = Path(entry["path"])
    names = {key: str(entry[key]) for key in ("system", "variant", "target", "fold")}
    return names | {"path": folder, "record": _json(folder / "run.json"), "curves": _curves(folder / "history.csv")}


def _json(path: Path) -> dict | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not readable JSON ({error}). Delete it and run again.") from error


def _curves(path: Path) -> dict | None:
    """Columns of a training history for the figure: epochs, losses, validation metrics and total seconds."""
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
        "losses": {name: _rounded(table[name]) for name in losses},
        "metrics": {name: _rounded(table[name]) for name in metrics},
        "seconds": float(table["seconds"].sum()) if "seconds" in table else None,
    }


def _rounded(column: pd.Series) -> list[float | None]:
    return [None if value != value else float(f"{value:.5g}") for value in column.astype(float)]


def devices(runs: Sequence[Mapping]) -> list[str]:
    """The distinct devices that the run records name, in order of first appearance."""
    records = [run["record"] for run in runs if run["record"] and run["record"].get("device")]
    names = [
        f"{record['device']} ({record['device_name']})" if record.get("device_name") else record["device"]
        for record in records
    ]
    return list(dict.fromkeys(names))


def selection(run: Mapping) -> dict | None:
    """The epoch whose weights were kept, by `run.json`.

    Returns:
        `metric` (its column of the history), `epoch` and `value`; None where no epoch is recorded or none had a score that is a number.
    """
    curves, record = run["curves"], run["record"] or {}
    metric, epoch = f"val_{record.get('selection')}", record.get("best_epoch")
    if not curves or epoch is None or metric not in curves["metrics"] or epoch not in curves["epoch"]:
        return None
    return {"metric": metric, "epoch": epoch, "value": curves["metrics"][metric][curves["epoch"].index(epoch)]}
