"""Whether a system, of this project or of another package, keeps to the interface: `wildaffect check-system NAME`.

Its networks are built with the settings that its ``SPEC.small`` names and run on two made-up trials.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wildaffect import systems
from wildaffect.config import Section, keys, sections
from wildaffect.corpus.label_spaces import AU8, AU12, EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.faces import templates as crop_templates
from wildaffect.features.spec import find_feature, of_configuration
from wildaffect.models import locate, read_manifest
from wildaffect.systems.base import Freezing, Predictor, Recipe, trainable
from wildaffect.systems.types import (
    Labels,
    Needs,
    PredictorSettings,
    Purpose,
    RecipeSettings,
    Samples,
    Spec,
    TrialData,
    Variant,
)
from wildaffect.systems.weights import load_weights
from wildaffect.weights import save_weights

FPS = 25
FRAMES = (90, 70)
"""Lengths of the made-up trials."""
LABELS = {"va": VALENCE_AROUSAL, "expr": ("expression",), "au": tuple(dict.fromkeys(AU8 + AU12))}
"""Label columns that a system may read, by task."""
MODELS_DIR = "models"
"""Where the weights of a system that comes trained may lie; without them a network runs with random weights."""
VECTORS = 1024
"""Columns of made-up vectors of features that are not computed here."""


def check(system: str) -> list[str]:
    """What is wrong with a system, a line each; nothing if it keeps to the interface.

    Every variant is tried in every mode, and every target with the first variant that has it.

    Raises:
        InputError: No system has this name.
    """
    declared = systems.spec(system)
    problems = [*_declaration(system, declared)]
    if problems:
        return problems
    for variant, target, mode in _combinations(declared):
        try:
            found = [*_model(system, variant, target, mode)]
        except Exception as error:  # the system's own code: whatever it raises is what is wrong
            found = [f"{type(error).__name__}: {error}"]
        problems += [f"{variant}, {target}, {mode}: {line}" for line in found]
    return problems


def _combinations(declared: Spec) -> list[tuple[str, str, str]]:
    found = {
        (variant, declared.targets_of(variant)[0], mode): None
        for variant in declared.variants
        for mode in declared.modes
    }
    for target in declared.targets:
        variant = next(name for name in declared.variants if target in declared.targets_of(name))
        found |= {(variant, target, declared.modes[-1]): None}
    return [*found]


def _declaration(system: str, declared: Spec) -> Iterator[str]:
    """What is wrong with the files, the specification and the settings."""
    if declared.name != system:
        yield f"SPEC.name is {declared.name!r}, but the system is found as {system!r}"
    for kind in ("variants", "targets", "modes"):
        for name in getattr(declared, kind) or [""]:
            if not re.fullmatch("[a-z0-9_]+", name):
                yield f"SPEC.{kind}: {name!r} is no name of lower-case letters, digits and underscores"
    for name in ("spec.py", "model.py", "recipe.py", "card.md"):
        if not (systems.folder(system) / name).is_file():
            yield f"{name} is missing"
    for target in declared.targets.values():
        if len(set(target.columns)) < len(target.columns):
            yield f"target {target.name}: a column is named twice"
        for task, columns in target.labels.items():
            if unknown := sorted(set(columns) - set(LABELS.get(task, ()))):
                yield f"target {target.name}: no labels of {task} are called {', '.join(unknown)}"
    for variant, names in declared.narrowed.items():
        if variant not in declared.variants or not names or not set(names) <= set(declared.targets):
            yield f"SPEC.narrowed: {variant}: {', '.join(names)} are not among the targets"
    expected: type[Section] = PredictorSettings if declared.trained else RecipeSettings
    if not issubclass(declared.settings, expected):
        yield f"SPEC.settings is no class of {expected.__name__}"
        return
    if reserved := sorted({*keys(declared.settings)} & {*Variant.model_fields}):
        yield f"setting {reserved[0]} has a name that the block of a variant uses for itself"
    if declared.trained and (odd := {*declared.trained} ^ {*declared.variants}):
        yield f"SPEC.trained: {', '.join(sorted(odd))}: every variant has its weights, and there are no others"
    yield from (
        f"SPEC.trained: models.yaml has no {name}" for name in declared.trained.values() if name not in read_manifest()
    )
    yield from (f"setting {name} has no description" for name in _undescribed(declared.settings))
    settings = systems.resolve_settings(system)
    if systems.resolve_settings(system, settings.plain()) != settings:
        yield "the defaults of the settings are not what they are read back as"
    for variant in declared.variants:
        for mode in declared.modes:
            yield from (f"{variant}, {mode}: {line}" for line in _needs(declared.needs(variant, mode, settings)))
    if loaded := _heavy_imports(system):
        yield f"spec.py imports {', '.join(loaded)}, so planning a run would"


def _undescribed(section: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in keys(section).items():
        if not (field.description or "").strip():
            yield prefix + name
        for inner in sections(field.annotation):
            yield from _undescribed(inner, f"{prefix}{name}.")


def _needs(needs: Needs) -> Iterator[str]:
    templates = set(crop_templates.names())
    yield from (f"there is no crop template {name!r}" for name in {*needs.crops, *needs.masks} - templates)
    yield from (f"masks of {name!r} need its crops" for name in set(needs.masks) - set(needs.crops))
    for feature in needs.features:
        if not of_configuration(feature):
            try:
                find_feature(feature)
            except InputError as error:
                yield str(error)


def _heavy_imports(system: str) -> list[str]:
    program = (
        f"import sys; from wildaffect import systems; systems.spec({system!r}); "
        "print(*({'torch', 'lightning', 'cv2', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return sorted(done.stdout.split())


def _model(system: str, variant: str, target: str, mode: str) -> Iterator[str]:
    """What is wrong with one recipe and its network."""
    declared = systems.spec(system)
    setup = systems.set_up(system, variant, target, mode, declared.small)
    recipe = systems.predictor_of(setup)
    needs = declared.needs(variant, mode, setup.settings)
    trials = [made_up_trial(index, count, needs, recipe.target.labels) for index, count in enumerate(FRAMES)]

    torch.manual_seed(0)
    rows = {name: values.shape[1:] for name, values in trials[0].features.items()}
    model = recipe.network(rows)
    if not isinstance(recipe, Recipe):
        weights = locate(declared.trained[variant], MODELS_DIR)
        if weights.is_file():
            recipe.load(model, weights)
        if weights.is_file() or any(True for _ in model.parameters()):
            yield from _prediction(recipe, model, trials, recipe.statistics(trials, None))
        return
    fitted = json.loads(json.dumps(recipe.fit(trials)))
    statistics = recipe.statistics(trials, fitted)
    training = recipe.samples(trials, statistics, Purpose.TRAIN)
    if not len(training):
        yield f"no sample to train on from {FRAMES} labelled frames"
        return
    indices = recipe.epoch_indices(len(training), 0, 1)
    if len(indices) == 0 or indices.min() < 0 or indices.max() >= len(training):
        yield "epoch_indices gives no indices of samples"
        return
    yield from _samples(training)
    yield from _training(recipe, model, training, indices[:2])
    validation = recipe.samples(trials, statistics, Purpose.VALIDATE)
    scores = recipe.score(validation.to_frames(_outputs(recipe, model, validation)), trials)
    if recipe.metric not in scores:
        yield f"score has no {recipe.metric}, which is to select the best epoch"
    yield from _prediction(recipe, model, trials, statistics)
    yield from _weights(model, recipe.network(rows))


def _samples(samples: Samples) -> Iterator[str]:
    first, again = (samples.read(0, np.random.default_rng(1)) for _ in range(2))
    if not _equal(first, again):
        yield "a sample differs from itself, read again with the same random numbers"
    if not _equal(samples.read(0, None), samples.read(0, None)):
        yield "a sample differs from itself, read again without random numbers"
    last = samples.read(len(samples) - 1, None)
    if {name: value.shape for name, value in first.items()} != {name: value.shape for name, value in last.items()}:
        yield "the first and the last sample have other names or shapes"


def _training(recipe: Recipe, model: torch.nn.Module, samples: Samples, indices: Sequence[int]) -> Iterator[str]:
    freezing = Freezing(model, recipe.frozen_mode)
    for phase in range(recipe.schedule.phases):
        freezing.freeze(recipe.frozen(model, phase))
        freezing.train()
        optimizer = recipe.configure_optimizer(model)
        recipe.configure_scheduler(optimizer, 10)
        wanted = {id(parameter) for parameter in trainable(model)}
        if {id(parameter) for group in optimizer.param_groups for parameter in group["params"]} != wanted:
            yield f"phase {phase}: the optimiser does not have exactly the trainable tensors"
        batch = _batch(samples, indices, np.random.default_rng(2))
        loss = recipe.loss(recipe.forward(model, batch), batch)
        if loss.dim() or not torch.isfinite(loss):
            yield f"phase {phase}: the loss is {loss.tolist()}, no finite number"
            return
        optimizer.zero_grad()
        loss.backward()
        if not any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in trainable(model)):
            yield f"phase {phase}: the loss has no gradient"
        optimizer.step()


def _prediction(
    recipe: Predictor, model: torch.nn.Module, trials: Sequence[TrialData], statistics: Mapping[str, Any]
) -> Iterator[str]:
    unlabelled = [replace(trial, labels={}) for trial in trials]
    together = recipe.samples(unlabelled, statistics, Purpose.PREDICT)
    alone = [recipe.samples([trial], statistics, Purpose.PREDICT) for trial in unlabelled]
    if len(together) != sum(map(len, alone)):
        yield "the samples of two trials to predict are not those of each, one after the other"
        return
    outputs = _outputs(recipe, model, together)
    frames = together.to_frames(outputs)
    parts = np.split(outputs, [len(alone[0])])
    for trial, values, own, part in zip(trials, frames, alone, parts, strict=True):
        if values.shape != (len(trial.times), len(recipe.target.columns)):
            yield f"predictions have shape {values.shape} for {len(trial.times)} frames"
        elif not np.isfinite(values).all():
            yield "frames of a trial without labels are not predicted"
        elif not np.array_equal(values, own.to_frames(part)[0]):
            yield "the predictions of a trial depend on what it is predicted with"


def _weights(model: torch.nn.Module, other: torch.nn.Module) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_weights(model.state_dict(), path)
        load_weights(other, path)
    loaded = other.state_dict()
    if not all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items()):
        yield "weights are not the same when they were saved and loaded"


def _batch(samples: Samples, indices: Sequence[int], rng: np.random.Generator | None) -> dict[str, Tensor]:
    return torch.utils.data.default_collate([samples.read(int(index), rng) for index in indices])


def _outputs(recipe: Predictor, model: torch.nn.Module, samples: Samples) -> np.ndarray:
    model.eval()
    size = recipe.schedule.batch
    starts = range(0, len(samples), size)
    with torch.inference_mode():
        found = [
            recipe.forward(model, _batch(samples, range(start, min(start + size, len(samples))), None))
            for start in starts
        ]
    return torch.cat(found).float().numpy()


def _equal(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(value, second[name], equal_nan=np.asarray(value).dtype.kind == "f")
        for name, value in first.items()
    )


class _MadeUpImages:
    """Random images; frame 3 has no face."""

    def __init__(self, count: int, shape: tuple[int, ...], rng: np.random.Generator) -> None:
        self.valid = np.arange(count) != 3
        self._images = rng.integers(0, 256, (count, *shape), np.uint8)
        self._images[3] = 0

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self._images[rows]


def made_up_trial(index: int, count: int, needs: Needs, labels: Mapping[str, Sequence[str]]) -> TrialData:
    """A trial of random data whose labels are smooth; frames 5 and 6 have none."""
    rng = np.random.default_rng(index)
    valence = np.sin(np.arange(count) / 7 + index).astype(np.float32)
    known = ~np.isin(np.arange(count), (5, 6))
    happy, sad = EXPRESSIONS7.index("Happiness"), EXPRESSIONS7.index("Sadness")
    values = {"valence": valence, "arousal": -valence, "expression": np.where(valence > 0, happy, sad)}
    values |= dict.fromkeys(LABELS["au"], valence > 0)
    return TrialData(
        f"trial{index}",
        np.arange(count) / FPS,
        {name: _MadeUpImages(count, (_side(name), _side(name), 3), rng) for name in needs.crops},
        {name: _feature(name, count, rng) for name in needs.features},
        {
            task: _labels(np.stack([values[name] for name in columns], axis=1), known)
            for task, columns in labels.items()
        },
        {name: _MadeUpImages(count, (_side(name), _side(name)), rng) for name in needs.masks},
    )


def _labels(values: np.ndarray, known: np.ndarray) -> Labels:
    return Labels(np.where(known[:, None], values, np.nan).astype(np.float32), known)


def _side(template: str) -> int:
    """Pixels of the crops of a template."""
    return crop_templates.get_template(template).size


def _feature(name: str, count: int, rng: np.random.Generator) -> np.ndarray:
    if of_configuration(name):
        return rng.standard_normal((count, VECTORS)).astype(np.float32)
    spec = find_feature(name)
    rows = count if spec.rows_per_second is None else int(count / FPS * spec.rows_per_second) + 1
    values = rng.standard_normal((rows, spec.dim))
    if spec.dtype == "int16":
        return (1000 * values[:, 0]).astype(np.int16)
    return values.astype(spec.dtype)
