"""Predictions of a trained model for every decoded frame."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch import nn

from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.files import sha256
from wildaffect.systems.interface import Recipe, TrialData
from wildaffect.tables import write_table
from wildaffect.training.batches import infer
from wildaffect.training.inputs import Inputs, cache_pictures, open_trial, read_labels
from wildaffect.training.runtime import open_fabric, reproducible


def predictions_schema(columns: Sequence[str]) -> pa.Schema:
    """Schema of a prediction table with the given value columns."""
    head = [("trial", pa.string()), ("frame", pa.int32()), ("time_s", pa.float64())]
    return pa.schema([*head, *((column, pa.float32()) for column in columns), ("source", pa.string())])


def predict_from(
    weights: str | Path,
    *,
    system: str,
    variant: str,
    target: str,
    mode: str,
    recipe: Mapping[str, Any],
    **arguments: Any,
) -> None:
    """Predict with a weight file; ``arguments`` as for :func:`predict`.

    Where the file lies in a run folder, its statistics are used, and ``recipe`` holds differences from the one it was trained with.
    :class:`InputError` if the folder's ``run.json`` says that the weights belong to something else.
    """
    asked = {"system": system, "variant": variant, "target": target, "mode": mode}
    record = _json_beside(weights, "run.json") or {**asked, "recipe": {}}
    for key, value in asked.items():
        if record[key] != value:
            raise InputError(f"{weights}: its run.json says {key} {record[key]}, but {value} was asked for.")
    statistics = _json_beside(weights, "stats.json")
    trained = {"recipe": {**record["recipe"], **recipe}, "statistics": statistics and statistics["train"]}
    predict(weights=weights, **trained, **asked, **arguments)


def _json_beside(weights: str | Path, name: str) -> dict[str, Any] | None:
    path = Path(weights).with_name(name)
    try:
        return json.loads(path.read_text()) if path.exists() else None
    except ValueError as error:
        raise InputError(f"{path}: not readable JSON ({error}). Train this instance again.") from error


def predict(
    *,
    system: str,
    variant: str,
    target: str,
    mode: str,
    recipe: Mapping[str, Any],
    weights: str | Path,
    statistics: Mapping[str, Any] | None,
    trials: Sequence[str],
    frames: Mapping[str, Path],
    crops: Mapping[str, Mapping[str, Path]],
    features: Mapping[str, Mapping[str, Path]],
    output: str | Path,
    persons: Mapping[str, Path] | None = None,
    labels: Mapping[str, Path] | None = None,
    device: str = "cpu",
    precision: str = "32-true",
    threads: int = 1,
    workers: int = 0,
    batch: int | None = None,
    cache_mib: int = 4096,
) -> None:
    """Write the prediction table of ``trials``: one row per decoded frame, values as the model gives them (not clipped).

    ``statistics`` are those of the model's training partition; a recipe that normalises each partition by itself ignores them. ``labels``
    are never shown to the model. They only tell which rows are annotated, which matters for a recipe that leaves the others out: these
    are then predicted in a second pass over all rows. Column ``source``: ``model``, ``no_face`` where the model saw a black picture,
    ``interpolated`` between frames that were predicted. ``persons``: table of persons per trial, for systems that draw landmarks.
    """
    needs = systems.spec(system).needs(variant, mode, systems.resolve_recipe(system, recipe))
    plan = systems.build_recipe(system, variant, target, mode, recipe)
    fabric = open_fabric(device, precision)
    known = read_labels(labels, plan.target, dict.fromkeys(plan.target.labels, trials)) if labels else {}
    inputs = Inputs(frames, crops, features, persons or {})
    opened = [open_trial(name, inputs.of(name, needs), needs, known.get(name, {})) for name in trials]
    with reproducible(threads):
        model = plan.model()
        systems.load_weights(model, weights)
        runner = fabric.setup_module(model)
        values = _values(plan, runner, cache_pictures(opened, cache_mib), statistics, fabric, batch, workers)
    tables = [_table(plan, trial, value) for trial, value in zip(opened, values, strict=True)]
    about = {"system": system, "variant": variant, "target": target, "mode": mode, "weights": sha256(weights)}
    schema = predictions_schema(plan.target.columns)
    write_table(output, pa.concat_tables(tables) if tables else schema.empty_table(), schema, about)


def _values(
    plan: Recipe,
    model: nn.Module,
    trials: Sequence[TrialData],
    fitted: Mapping[str, Any] | None,
    fabric: Any,
    batch: int | None,
    workers: int,
) -> list[np.ndarray]:
    """Predictions (N, columns) of every row of every trial."""
    if not trials:
        return []
    statistics = plan.statistics(trials, fitted)

    def run(part: Sequence[TrialData]) -> list[np.ndarray]:
        samples = plan.samples(part, statistics, "predict")
        return infer(plan, model, samples, fabric, batch=batch or plan.schedule.batch, workers=workers)[0]

    values = run(trials)
    partial = [number for number, value in enumerate(values) if np.isnan(value).any()]
    if partial:
        complete = run([replace(trials[number], labels={}) for number in partial])
        for number, value in zip(partial, complete, strict=True):
            values[number] = np.where(np.isnan(values[number]), value, values[number])
    return values


def _table(plan: Recipe, trial: TrialData, values: np.ndarray) -> pa.Table:
    """Rows of one trial."""
    count = len(trial.times)
    seen = np.logical_and.reduce([crop.valid for crop in trial.crops.values()]) if trial.crops else np.ones(count, bool)
    frames = np.arange(count)
    computed = (frames % plan.schedule.prediction_stride == 0) | (frames == count - 1)
    source = np.where(computed, np.where(seen, "model", "no_face"), "interpolated")
    columns = {
        "trial": pa.array([trial.name] * count, pa.string()),
        "frame": pa.array(frames, pa.int32()),
        "time_s": pa.array(trial.times, pa.float64()),
    }
    for index, name in enumerate(plan.target.columns):
        columns[name] = pa.array(values[:, index].astype(np.float32))
    columns["source"] = pa.array(source.tolist(), pa.string())
    return pa.table(columns)
