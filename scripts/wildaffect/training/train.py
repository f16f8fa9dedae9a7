"""Train one instance: system x variant x target x fold."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.integrity import sealed
from wildaffect.provenance import stable_hash, versions
from wildaffect.systems.base import Recipe
from wildaffect.systems.types import Needs, Purpose, Samples, Setup, Target, TrialData
from wildaffect.training.batches import watched_workers
from wildaffect.training.inputs import (
    FoldData,
    JobInputs,
    Runtime,
    cache_images,
    check_columns,
    data_hash,
    open_trial,
    partition_trials,
    read_labels,
    unlabelled_units,
)
from wildaffect.training.loop import Checkpoint, Loop, Progress
from wildaffect.training.origin import UNKNOWN, Origin
from wildaffect.training.runtime import computing, device_name, divide_threads, open_fabric, own_threads
from wildaffect.weights import save_weights

PARTITIONS = ("train", "validation")
PACKAGES = ("torch", "lightning", "numpy", "pyarrow", "safetensors")


def train(
    setup: Setup,
    data: FoldData,
    inputs: JobInputs,
    runtime: Runtime,
    *,
    seed: int,
    output: Path,
    state: Path,
    block: int = 1,
    code: str = "",
    origin: Origin = UNKNOWN,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """Train and write ``model.safetensors`` (best epoch), ``history.csv``, ``stats.json`` and ``run.json``.

    Run again after a kill, training continues after the last complete epoch and ends with the same weights. One of several processes calls
    `wildaffect.training.runtime.leave_group` after it.

    Args:
        setup: What is trained.
        data: The corpus' tables.
        inputs: Files of the trials.
        runtime: The machine.
        seed: Of initial weights, sampling and augmentation.
        output: Folder of the four files.
        state: Folder of rolling checkpoints; a checkpoint's name is a hash of settings, ``code`` and data, so a changed job starts anew.
        block: Neighbouring samples that stay together when samples are shuffled.
        code: Fingerprint of the code, recorded as given.
        origin: Where the files come from, recorded for whoever uses the weights.
        report: Called with each row of the history.

    Returns:
        The content of ``run.json``.

    Raises:
        InputError: Settings, files and devices that cannot be used, labels that leave nothing to select by, a loss that is no number, or no
            epoch with a score that is one; nothing is written then.
    """
    recipe = systems.recipe_of(setup)
    needs = systems.spec(setup.system).needs(setup.base, setup.mode, setup.settings)
    fabric = open_fabric(runtime.device, runtime.precision)

    parts, files = _open_partitions(recipe.target, data, inputs, needs)
    content = data_hash([Path(data.folds), *(Path(data.labels[task]) for task in recipe.target.labels)], files)
    what = {**setup.names(), "fold": data.fold}
    how = {
        "recipe": setup.settings.plain(),
        "seed": seed,
        "device": runtime.device,
        "precision": runtime.precision,
        "deterministic": runtime.deterministic,
        "compiled": runtime.compiled,
        "block": block,
    }
    job = stable_hash({**what, **how, "code": code, "data": content, "subjects": dict(inputs.subjects)})

    shapes = check_columns(chain.from_iterable(parts.values()), files)
    _check_labels(recipe, parts, data)

    cached = iter(cache_images([*chain.from_iterable(parts.values())], runtime.cache_mib, recipe.kept_bytes))
    parts = {name: list(islice(cached, len(part))) for name, part in parts.items()}
    threads, workers = divide_threads(own_threads(runtime.threads), runtime.device)
    workers = workers if runtime.workers is None else runtime.workers
    with (
        computing(threads, deterministic=runtime.deterministic, tf32=runtime.precision == "tf32"),
        watched_workers(),
    ):
        torch.manual_seed(seed)
        model = recipe.network(shapes)
        initial = recipe.initialise(model)
        fitted = recipe.fit(parts["train"])
        statistics = {"train": fitted, "validation": recipe.statistics(parts["validation"], fitted)}
        samples = {
            name: recipe.samples(parts[name], statistics[name], purpose)
            for name, purpose in zip(PARTITIONS, (Purpose.TRAIN, Purpose.VALIDATE), strict=True)
        }
        for name, part in samples.items():
            if not len(part):
                raise InputError(
                    f"{data.folds}: the {name} trials of fold {data.fold} have no frame labelled for {setup.target}."
                )
        checkpoint = Checkpoint(Path(state) / job)
        loop = Loop(
            recipe,
            model,
            samples["train"],
            samples["validation"],
            parts["validation"],
            fabric=fabric,
            checkpoint=checkpoint,
            seed=seed,
            workers=workers,
            block=block,
            compiled=runtime.compiled,
            report=report,
        )
        progress, best = loop.run()
    if progress.best is None:
        raise InputError(_never_scored(recipe, progress, output))

    record = {
        **what,
        **how,
        "code": code,
        "device_name": device_name(runtime.device),
        "threads": threads,
        "workers": workers,
        "processes": fabric.world_size,
        "versions": versions(*PACKAGES),
        "initial_weights": initial,
        **origin.record(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "unlabelled": unlabelled_units(data.labels, recipe.target),
        "feature_rows": shapes,
        "data": {"sha256": content, **{name: _count(parts[name], samples[name]) for name in PARTITIONS}},
        **_outcome(recipe, progress),
    }
    if fabric.is_global_zero:
        _write(Path(output), best, progress, statistics, record, {**what, **origin.record()})
        checkpoint.remove()
    return record


def _write(
    output: Path,
    best: Mapping[str, torch.Tensor],
    progress: Progress,
    statistics: Mapping[str, Any],
    record: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    save_weights(best, output / "model.safetensors", about)
    with sealed(output / "history.csv") as partial:
        pd.DataFrame(progress.history).to_csv(partial, index=False)
    _write_json(output / "stats.json", statistics)
    _write_json(output / "run.json", record)


def _open_partitions(
    target: Target,
    data: FoldData,
    inputs: JobInputs,
    needs: Needs,
) -> tuple[dict[str, list[TrialData]], dict[str, dict[str, Path]]]:
    """Trials of both partitions, and the files they were opened from."""
    parts: dict[str, list[TrialData]] = {}
    files: dict[str, dict[str, Path]] = {}
    for partition in PARTITIONS:
        chosen = partition_trials(Path(data.folds), target, data.fold, partition, data.videos)
        known = read_labels(data.labels, target, chosen)
        names = [name for name in dict.fromkeys(chain.from_iterable(chosen.values())) if name in known]
        opened = {name: inputs.of(name, needs) for name in names}
        parts[partition] = [
            open_trial(name, opened[name], needs, known[name], inputs.subjects.get(name)) for name in names
        ]
        files |= opened
    return parts, files


def _check_labels(recipe: Recipe, parts: Mapping[str, Sequence[TrialData]], data: FoldData) -> None:
    """:class:`InputError` if nothing can be learnt, or no epoch selected, whatever the model predicts."""
    where = f"{data.folds}: fold {data.fold}, target {recipe.target.name}"
    tables = ", ".join(str(data.labels[task]) for task in recipe.target.labels)
    cure = (
        f"Look at column valid of {tables} and at the audit, choose another fold or target, or correct the annotations."
    )
    for name, trials in parts.items():
        rows, valid = _label_counts(trials)
        if not valid:
            raise InputError(f"{where}: none of the {rows} rows of the {name} trials has a valid label. {cure}")
    rng = np.random.default_rng(0)
    made_up = [rng.random((len(trial.times), len(recipe.target.columns))) for trial in parts["validation"]]
    score = recipe.score(made_up, parts["validation"])[recipe.metric]
    if not math.isfinite(score):
        raise InputError(
            f"{where}: the score that selects the best epoch ({recipe.metric}) is {score:g} on the labels of the validation "
            f"trials, whatever is predicted. {cure}"
        )


def _label_counts(trials: Sequence[TrialData]) -> tuple[int, int]:
    """Annotated rows of all tasks, and those that are valid and have a value."""
    labels = [part for trial in trials for part in trial.labels.values()]
    valid = sum(int((part.valid & ~np.isnan(part.values).all(axis=1)).sum()) for part in labels)
    return sum(len(part.valid) for part in labels), valid


def _never_scored(recipe: Recipe, progress: Progress, output: Path) -> str:
    """Why a training without any score is no result."""
    last = progress.history[-1] if progress.history else {}
    values = ", ".join(
        f"{key} {value:g}" for key, value in last.items() if key.endswith("loss") or key.startswith("val_")
    )
    return (
        f"{output}: the training failed: none of {progress.epoch} epochs had a validation score ({recipe.metric}) that is a number"
        + (f"; the last had {values}" if values else "")
        + ". Its weights would be those that it began with, so none are written. Lower learning_rate, or look at features and labels."
    )


def _count(trials: list[TrialData], samples: Samples) -> dict[str, int]:
    return {"trials": len(trials), "frames": sum(len(trial.times) for trial in trials), "samples": len(samples)}


def _outcome(recipe: Recipe, progress: Progress) -> dict[str, Any]:
    return {
        "selection": recipe.metric,
        "best_epoch": progress.best_epoch,
        "best_score": progress.best,
        "epochs_run": progress.epoch,
        "stopped": progress.reason,
        "resumed_at": progress.resumed_at,
    }


def _write_json(path: Path, value: Any) -> None:
    with sealed(path) as partial:
        partial.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
