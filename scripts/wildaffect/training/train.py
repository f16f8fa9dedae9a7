"""Train one instance: system x variant x target x fold."""

import json
from collections.abc import Callable, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.provenance import stable_hash, versions
from wildaffect.systems.interface import Needs, Recipe, Target, TrialData
from wildaffect.systems.weights import save_weights
from wildaffect.training.inputs import (
    Inputs,
    cache_pictures,
    data_hash,
    open_trial,
    partition_members,
    read_labels,
    unlabelled_units,
)
from wildaffect.training.loop import Loop
from wildaffect.training.runtime import device_name, open_fabric, reproducible
from wildaffect.training.state import Checkpoint, Progress

PARTITIONS = ("train", "validation")
PACKAGES = ("torch", "lightning", "numpy", "pyarrow", "safetensors")


def train(
    *,
    system: str,
    variant: str,
    target: str,
    fold: int,
    mode: str,
    recipe: Mapping[str, Any],
    seed: int,
    folds: Path,
    labels: Mapping[str, Path],
    frames: Mapping[str, Path],
    crops: Mapping[str, Mapping[str, Path]],
    features: Mapping[str, Mapping[str, Path]],
    output: Path,
    state: Path,
    persons: Mapping[str, Path] | None = None,
    videos: Mapping[str, str] | None = None,
    device: str = "cpu",
    precision: str = "32-true",
    threads: int = 1,
    workers: int = 0,
    cache_mib: int = 4096,
    code: str = "",
    report: Callable[[dict[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """Train and write ``model.safetensors`` (best epoch), ``history.csv``, ``stats.json`` and ``run.json`` into ``output``.

    ``recipe`` overrides defaults of the system. ``folds`` and ``labels`` (per task) are tables of the corpus; ``frames`` gives the
    frame table per trial, ``crops`` (by template) and ``features`` (by id) the files per trial, ``persons`` the table of persons per trial
    (for systems that draw landmarks), ``videos`` the source video per trial (for targets of several tasks, so that none of them is
    trained on a video that another holds out). ``state`` is the folder of rolling checkpoints: run again after a kill, training continues
    after the last complete epoch and ends with the same weights. The checkpoint's name is a hash of settings, ``code`` (a fingerprint,
    recorded as given) and data, so a changed job starts anew. ``workers`` processes load samples;
    decoded pictures up to ``cache_mib`` MiB are kept in memory. Returns the content of ``run.json``.

    Raises :class:`InputError` for settings, files and devices that cannot be used.
    """
    declared = systems.spec(system)
    plan = systems.build_recipe(system, variant, target, mode, recipe)
    settings = systems.resolve_recipe(system, recipe)
    needs = declared.needs(variant, mode, settings)
    inputs = Inputs(frames, crops, features, persons or {})
    fabric = open_fabric(device, precision)

    parts, files = _open_partitions(plan.target, fold, Path(folds), labels, videos, inputs, needs)
    data = data_hash([Path(folds), *(Path(labels[task]) for task in plan.target.labels)], files)
    what = {"system": system, "variant": variant, "target": target, "fold": fold, "mode": mode}
    how = {"recipe": settings, "seed": seed, "device": device, "precision": precision}
    job = stable_hash({**what, **how, "code": code, "data": data})

    pictured = iter(cache_pictures([*chain.from_iterable(parts.values())], cache_mib))
    parts = {name: list(islice(pictured, len(part))) for name, part in parts.items()}
    with reproducible(threads):
        torch.manual_seed(seed)
        model = plan.model()
        initial = plan.initialise(model)
        fitted = plan.fit(parts["train"])
        statistics = {"train": fitted, "validation": plan.statistics(parts["validation"], fitted)}
        samples = {
            name: plan.samples(parts[name], statistics[name], purpose)
            for name, purpose in zip(PARTITIONS, ("train", "validate"), strict=True)
        }
        for name, part in samples.items():
            if not len(part):
                raise InputError(f"{folds}: the {name} trials of fold {fold} have no frame labelled for {target}.")
        checkpoint = Checkpoint(Path(state) / job)
        loop = Loop(
            plan, model, samples["train"], samples["validation"], parts["validation"],
            fabric=fabric, checkpoint=checkpoint, seed=seed, workers=workers, report=report,
        )  # fmt: skip
        progress, best = loop.run()

    record = {
        **what,
        **how,
        "code": code,
        "device_name": device_name(device),
        "threads": threads,
        "processes": fabric.world_size,
        "versions": versions(*PACKAGES),
        "initial_weights": initial,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "unlabelled": unlabelled_units(labels, plan.target),
        "data": {"sha256": data, **{name: _count(parts[name], samples[name]) for name in PARTITIONS}},
        **_outcome(plan, progress),
    }
    if fabric.is_global_zero:
        _write(Path(output), best, progress, statistics, record)
        checkpoint.remove()
    return record


def _write(
    output: Path,
    best: Mapping[str, torch.Tensor],
    progress: Progress,
    statistics: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    what = {key: record[key] for key in ("system", "variant", "target", "fold", "mode")}
    save_weights(best, output / "model.safetensors", what)
    with atomic(output / "history.csv") as partial:
        pd.DataFrame(progress.history).to_csv(partial, index=False)
    _write_json(output / "stats.json", statistics)
    _write_json(output / "run.json", record)


def _open_partitions(
    target: Target,
    fold: int,
    folds: Path,
    labels: Mapping[str, Path],
    videos: Mapping[str, str] | None,
    inputs: Inputs,
    needs: Needs,
) -> tuple[dict[str, list[TrialData]], dict[str, dict[str, Path]]]:
    """Trials of both partitions, and the files they were opened from."""
    parts, files = {}, {}
    for partition in PARTITIONS:
        chosen = partition_members(folds, target, fold, partition, videos)
        known = read_labels(labels, target, chosen)
        names = [name for name in dict.fromkeys(chain.from_iterable(chosen.values())) if name in known]
        opened = {name: inputs.of(name, needs) for name in names}
        parts[partition] = [open_trial(name, opened[name], needs, known[name]) for name in names]
        files |= opened
    return parts, files


def _count(trials: list[TrialData], samples: Any) -> dict[str, int]:
    return {"trials": len(trials), "frames": sum(len(trial.times) for trial in trials), "samples": len(samples)}


def _outcome(plan: Recipe, progress: Progress) -> dict[str, Any]:
    return {
        "selection": plan.metric,
        "best_epoch": progress.best_epoch,
        "best_score": progress.best,
        "epochs_run": progress.epoch,
        "stopped": progress.reason,
        "resumed_at": progress.resumed_at,
    }


def _write_json(path: Path, value: Any) -> None:
    with atomic(path) as partial:
        partial.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
