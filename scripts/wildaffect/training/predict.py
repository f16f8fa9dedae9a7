"""Predictions of a trained model for every decoded frame."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from lightning.fabric import Fabric
from torch import nn

from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.files import json_beside
from wildaffect.progress import counted
from wildaffect.provenance import stable_hash
from wildaffect.scoring.read import MODEL, NOTES
from wildaffect.systems.base import Predictor
from wildaffect.systems.types import Purpose, Samples, Setup, TrialData
from wildaffect.tables import read_table, write_table
from wildaffect.training.batches import Batches, as_array, outputs_of, watched_workers
from wildaffect.training.inputs import JobInputs, Runtime, cache_images, check_columns, open_trial, read_labels
from wildaffect.training.origin import (
    UNKNOWN,
    Agreement,
    Origin,
    check_record,
    compare,
    read_origin,
    read_record,
    refusal,
)
from wildaffect.training.origin import notes as agreement_notes
from wildaffect.training.runtime import computing, divide_threads, open_fabric, own_threads, setup_module

log = logging.getLogger(__name__)


def predictions_schema(columns: Sequence[str]) -> pa.Schema:
    """Schema of a prediction table with the given value columns."""
    head = [("trial", pa.string()), ("frame", pa.int32()), ("time_s", pa.float64())]
    return pa.schema([*head, *((column, pa.float32()) for column in columns), ("source", pa.string())])


def predict(
    setup: Setup,
    weights: Path,
    trials: Sequence[str],
    inputs: JobInputs,
    runtime: Runtime,
    *,
    output: Path,
    batch: int | None = None,
    labels: Mapping[str, Path] | None = None,
    state: Path | None = None,
    code: str = "",
    origin: Origin = UNKNOWN,
    accept: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write the prediction table of ``trials``: one row per decoded frame, values as the model gives them (not clipped).

    Column ``source``: ``model``, ``no_face`` where the crop was black, ``interpolated`` between frames that were predicted.

    Args:
        setup: What the weights are of.
        weights: Weights file. Where it lies in a run folder, the statistics there (``stats.json``) are used.
        trials: Trials to predict, in the order of the table.
        inputs: Files of the trials.
        runtime: The machine.
        output: The table.
        batch: Samples per batch; None: as in the training.
        labels: Label tables by task. They are never shown to the model, but say which rows are annotated: a recipe that leaves the others
            out predicts these in a second pass over all rows.
        state: Folder where the predictions of each trial are kept. A trial whose files, model, settings and code are those of a prediction
            there is not predicted again; what belongs to other models or trials is removed in the end. None: nothing is kept.
        code: Fingerprint of the code.
        origin: Where the files come from. What it says is compared with the run record beside the weights.
        accept: Differences of the two that do not matter, by name, see `wildaffect.training.origin.compare`.
        notes: What a reader must know of the predictions, a sentence each. They are kept with the table, with what the comparison found.

    Raises:
        InputError: The weights belong to something else or were trained on inputs that were made in another way, or files cannot be used.
    """
    check_record(setup.names(), weights)
    agreement = _agreement(setup.system, weights, origin, accept)
    sentences = [*notes, *agreement_notes(setup.names(), agreement, origin.corpus)]
    for sentence in sentences:
        log.warning("%s", sentence)
    recipe = systems.predictor_of(setup)
    needs = systems.spec(setup.system).needs(setup.base, setup.mode, setup.settings)
    fabric = open_fabric(runtime.device, runtime.precision)
    known = read_labels(labels, recipe.target, dict.fromkeys(recipe.target.labels, trials)) if labels else {}
    files = {name: inputs.of(name, needs) for name in trials}
    opened = [open_trial(name, files[name], needs, known.get(name, {}), inputs.subjects.get(name)) for name in trials]
    trained_on = read_record(weights).get("feature_rows") or {}
    shapes = {**trained_on, **check_columns(opened, files, trained_on)}
    threads, workers = divide_threads(own_threads(runtime.threads), runtime.device)
    workers = workers if runtime.workers is None else runtime.workers
    batch = batch or recipe.schedule.batch
    with (
        computing(threads, deterministic=runtime.deterministic, tf32=runtime.precision == "tf32"),
        watched_workers(),
    ):
        model = recipe.network(shapes)
        digest = recipe.load(model, weights)
        stored = json_beside(weights, "stats.json")
        statistics = recipe.statistics(opened, stored and stored["train"]) if opened else {}
        made_of = {
            **setup.names(),
            "recipe": setup.settings.plain(),
            "weights": digest,
            "statistics": statistics,
            "code": code,
            "device": runtime.device,
            "precision": runtime.precision,
            "batch": batch,
            "labels": _identities(labels or {}),
        }
        keys = {name: stable_hash({**made_of, "files": _identities(files[name])}) for name in trials}
        schema = predictions_schema(recipe.target.columns)
        with tempfile.TemporaryDirectory() if state is None else nullcontext(state) as folder:
            tables = TrialTables(Path(folder), keys, schema)
            missing = cache_images([trial for trial in opened if trial.name not in tables], runtime.cache_mib)
            model = setup_module(fabric, model)
            read = partial(Batches, batch=batch, fabric=fabric, workers=workers)
            for trial, values in predict_trials(recipe, model, missing, statistics, fabric, read):
                tables.write(trial.name, _table(recipe, trial, values))
            parts = [tables.read(name) for name in trials]
            about = {
                **setup.names(),
                "weights": digest,
                "trained_on": agreement.trained_on,
                "inputs_compared": agreement.compared,
                "inputs_accepted": list(agreement.accepted),
                NOTES: sentences,
            }
            if own := systems.spec(setup.system).trained:
                about[MODEL] = own[setup.variant]
            write_table(output, pa.concat_tables(parts) if parts else schema.empty_table(), schema, about)
            tables.clean()


def _agreement(system: str, weights: Path, origin: Origin, accept: Sequence[str]) -> Agreement:
    """How ``origin`` agrees with the training of ``weights``; :class:`InputError` for differences that are not accepted."""
    agreement = compare(read_origin(weights), origin, accept)
    if problem := refusal(system, agreement, accept):
        raise InputError(f"{weights}: {problem}")
    if not agreement.compared:
        log.warning("%s: what these weights were trained on is not recorded, so the inputs are not compared.", weights)
    return agreement


def predict_trials(
    recipe: Predictor,
    model: nn.Module,
    trials: Sequence[TrialData],
    statistics: Mapping[str, Any],
    fabric: Fabric,
    read: Callable[[Samples], Batches],
) -> Iterator[tuple[TrialData, np.ndarray]]:
    """Each trial with its predictions (N, columns) of every row, as soon as they are complete; ``read`` makes batches of samples."""
    incomplete = []
    for trial, values in _one_pass(recipe, model, trials, statistics, fabric, read):
        if np.isnan(values).any():
            incomplete.append((trial, values))
        else:
            yield trial, values
    bare = [replace(trial, labels={}) for trial, _ in incomplete]
    second = _one_pass(recipe, model, bare, statistics, fabric, read)
    for (trial, values), (_, complete) in zip(incomplete, second, strict=True):
        yield trial, np.where(np.isnan(values), complete, values)


def _one_pass(
    recipe: Predictor,
    model: nn.Module,
    trials: Sequence[TrialData],
    statistics: Mapping[str, Any],
    fabric: Fabric,
    read: Callable[[Samples], Batches],
) -> Iterator[tuple[TrialData, np.ndarray]]:
    """Each trial with its predictions, NaN where no sample covers a row.

    Batches run on from one trial to the next, so that they are full.
    """
    if not trials:
        return
    samples = recipe.samples(trials, statistics, Purpose.PREDICT)
    alone = [recipe.samples([trial], statistics, Purpose.PREDICT) for trial in trials]
    batches = read(samples)
    stream = counted(outputs_of(recipe, model, batches, fabric), batches.count, "batches")
    columns, waiting, held = len(recipe.target.columns), [], 0
    for trial, own in zip(trials, alone, strict=True):
        while held < len(own):
            waiting.append(next(stream)[0])
            held += len(waiting[-1])
        if not len(own):
            yield trial, np.full((len(trial.times), columns), np.nan)
            continue
        outputs = torch.cat(waiting)
        yield trial, own.to_frames(as_array([outputs[: len(own)]]))[0]
        waiting, held = [outputs[len(own) :]], held - len(own)


class TrialTables:
    """Prediction tables of single trials in a folder.

    A table's name has the hash of all that it was made of, so one that exists is right.
    """

    def __init__(self, folder: Path, keys: Mapping[str, str], schema: pa.Schema) -> None:
        """``keys``: hash of what the table of each trial is made of."""
        self._folder, self._schema = folder, schema
        self._paths = {trial: folder / f"{trial}.{key}.parquet" for trial, key in keys.items()}

    def __contains__(self, trial: str) -> bool:
        return self._paths[trial].exists()

    def write(self, trial: str, table: pa.Table) -> None:
        """Keep the table of one trial."""
        write_table(self._paths[trial], table, self._schema)

    def read(self, trial: str) -> pa.Table:
        """The table of one trial."""
        return read_table(self._paths[trial], self._schema)

    def clean(self) -> None:
        """Remove all other files of the folder: tables of other trials and of other models."""
        for path in set(self._folder.glob("*")) - set(self._paths.values()):
            path.unlink()


def _identities(files: Mapping[str, Path]) -> dict[str, list]:
    """Path, size and time of each file."""
    status = {kind: Path(path).stat() for kind, path in files.items()}
    return {kind: [str(files[kind]), found.st_size, found.st_mtime_ns] for kind, found in status.items()}


def _table(recipe: Predictor, trial: TrialData, values: np.ndarray) -> pa.Table:
    """Rows of one trial."""
    count = len(trial.times)
    seen = np.logical_and.reduce([crop.valid for crop in trial.crops.values()]) if trial.crops else np.ones(count, bool)
    frames = np.arange(count)
    computed = (frames % recipe.schedule.prediction_stride == 0) | (frames == count - 1)
    source = np.where(computed, np.where(seen, "model", "no_face"), "interpolated")
    columns = {
        "trial": pa.array([trial.name] * count, pa.string()),
        "frame": pa.array(frames, pa.int32()),
        "time_s": pa.array(trial.times, pa.float64()),
    }
    for index, name in enumerate(recipe.target.columns):
        columns[name] = pa.array(values[:, index].astype(np.float32))
    columns["source"] = pa.array(source.tolist(), pa.string())
    return pa.table(columns)
