"""Instances (system x variant x target x fold) and the trials that each is trained on, selected by and tested on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from wildaffect import systems
from wildaffect.config import laid_over
from wildaffect.corpus.folds import fold_rows, fold_trials
from wildaffect.corpus.trials import Corpus, trial_row
from wildaffect.errors import InputError
from wildaffect.models import locate
from wildaffect.systems.types import recipe_values
from wildaffect.training.origin import read_origin


@dataclass(frozen=True, order=True)
class Instance:
    """One training: a variant of a system, trained for one target on one fold."""

    system: str
    variant: str
    target: str
    fold: int

    @property
    def key(self) -> str:
        """Path of the instance below `runs/`."""
        return f"{self.system}/{self.variant}/{self.target}/fold{self.fold}"


def tasks_of(instance: Instance) -> tuple[str, ...]:
    """The tasks whose labels an instance is trained and scored on."""
    return tuple(systems.spec(instance.system).targets[instance.target].labels)


def base_of(block: Mapping[str, Any], variant: str) -> str:
    """The published variant that ``variant`` is, by the completed settings ``block`` of its system."""
    return _own(block, variant).get("base", variant)


def recipe_of(block: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """What the configuration asks for of the recipe of ``variant``: that of the system, and what the variant has of its own."""
    return laid_over(block["recipe"], recipe_values(_own(block, variant)))


def recipe_key(name: str, block: Mapping[str, Any], variant: str, key: str) -> str:
    """Where the configuration says what the recipe of ``variant`` has as ``key``, such as ``network.width``."""
    value: Any = recipe_values(_own(block, variant))
    for step in key.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return f"config.systems.{name}.{'recipe' if value is None else f'variants.{variant}'}.{key}"


def training_of(config: Mapping[str, Any], instance: Instance) -> dict[str, Any]:
    """The section `training` for one instance, whose variant may have a seed of its own."""
    seed = _own(config["systems"][instance.system], instance.variant).get("seed")
    return {**config["training"], **({} if seed is None else {"seed": seed})}


def _own(block: Mapping[str, Any], variant: str) -> Mapping[str, Any]:
    """What the configuration says of one variant alone."""
    variants = block["variants"]
    return variants.get(variant, {}) if isinstance(variants, Mapping) else {}


def division_of(instance: Instance) -> int | None:
    """The fold by which trials are divided; None for a system that comes trained, which holds out all of them."""
    return None if comes_trained(instance) else instance.fold


def trained_file(trained: Path, instance: Instance) -> str:
    """Path of given weights: below a folder of runs, or `trained` itself if it is a file."""
    return str(trained / instance.key / "model.safetensors" if trained.is_dir() else trained)


def given_weights(config: Mapping[str, Any], instance: Instance) -> str | None:
    """Path of weights that no training of this run makes: those named by the key `trained`, or those that come with the system."""
    if trained := config["systems"][instance.system]["trained"]:
        return trained_file(Path(trained), instance)
    if own := comes_trained(instance):
        return str(locate(own, config["models_dir"]))
    return None


def comes_trained(instance: Instance) -> str | None:
    """Name in `models.yaml` of the weights that come with the system; None for a system that is trained here."""
    return systems.spec(instance.system).trained.get(instance.variant)


def missing_folds(trained: Path, system: str, variant: str, target: str) -> list[int]:
    """Folds whose weights are not in the folder of runs ``trained``, though a training had them.

    Run records say which folds were trained together; without records these are all up to the last one found.
    """
    weights = sorted(trained.glob(f"{system}/{variant}/{target}/fold*/model.safetensors"))
    found = {int(path.parent.name.removeprefix("fold")) for path in weights}
    recorded = [read_origin(path).folds for path in weights]
    known = {fold for folds in recorded for fold in folds} if all(recorded) else range(max(found, default=-1) + 1)
    return sorted({*known} - found)


def list_instances(blocks: Mapping[str, Any], divisions) -> tuple[Instance, ...]:
    """Instances of all systems; `check_instances` says whether they can run.

    A variant is left out for targets that it does not have, as long as one target remains. Where there is neither a training trial nor a
    weights file, fold 0 stands for what a system would read.

    Args:
        blocks: Completed settings by system.
        divisions: Trials by task and fold, then by partition.

    Raises:
        InputError: A variant has none of the targets.
    """
    return tuple(
        Instance(name, variant, target, fold)
        for name, block in blocks.items()
        for variant, target in _trained_for(name, block)
        for fold in _folds(name, block, variant, target, divisions)
    )


def check_instances(blocks: Mapping[str, Any], divisions, instances: Sequence[Instance]) -> None:
    """Raise an `InputError` if a system has nothing to train on and no weights, or is asked for a fold that it does not have.

    Args:
        blocks: Completed settings by system.
        divisions: Trials by task and fold, then by partition.
        instances: What `list_instances` made of them.
    """
    for name, block in blocks.items():
        trained = block["trained"]
        for variant, target in _trained_for(name, block):
            known = _known_folds(name, block, variant, target, divisions)
            if not known:
                raise InputError(_missing(name, block, variant, target))
            unknown = [] if block["folds"] == "all" else sorted(set(block["folds"]) - set(known))
            if unknown:
                raise InputError(f"config.systems.{name}.folds: there is no fold {unknown}; known: {known}.")
        if trained and not Path(trained).exists():
            raise InputError(f"config.systems.{name}.trained: {trained} does not exist.")
        if trained and systems.spec(name).trained and not Path(trained).is_file():
            raise InputError(f"config.systems.{name}.trained: {trained} is a folder; name the file of the weights.")
        wanted = sum(instance.system == name for instance in instances)
        if trained and Path(trained).is_file() and wanted > 1:
            raise InputError(
                f"config.systems.{name}.trained is one weights file, but {wanted} instances are asked for: "
                "name one variant, one target and one fold, or give a runs folder."
            )


def _trained_for(name: str, block: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Variants of one system, each with the targets that it has."""
    wanted = []
    for variant in block["variants"]:
        known = systems.spec(name).targets_of(base_of(block, variant))
        targets = [target for target in block["targets"] if target in known]
        if not targets:
            raise InputError(
                f"config.systems.{name}: {variant} has none of the targets {', '.join(block['targets'])}; it has {', '.join(known)}."
            )
        wanted += [(variant, target) for target in targets]
    return wanted


def _folds(name: str, block: Mapping[str, Any], variant: str, target: str, divisions) -> list[int]:
    """The folds to run for one variant and target."""
    if block["folds"] == "all":
        return _known_folds(name, block, variant, target, divisions) or [0]
    return sorted(block["folds"])


def _known_folds(name: str, block: Mapping[str, Any], variant: str, target: str, divisions) -> list[int]:
    """Folds with training trials, or with weights where these are given."""
    trained = block["trained"]
    if systems.spec(name).trained:
        return [0]
    if not trained:
        tasks = tasks_of(Instance(name, variant, target, 0))
        labelled = [
            {fold for (task, fold), parts in divisions.items() if task == own and parts.get("train")} for own in tasks
        ]
        return sorted(set.intersection(*labelled))
    if not Path(trained).is_dir():
        return [0]
    found = Path(trained).glob(f"{name}/{variant}/{target}/fold*/model.safetensors")
    return sorted(int(path.parent.name.removeprefix("fold")) for path in found)


def _missing(name: str, block: Mapping[str, Any], variant: str, target: str) -> str:
    """What to say where there is no fold."""
    if block["trained"]:
        return f"config.systems.{name}.trained: no {name}/{variant}/{target}/fold*/model.safetensors below {block['trained']}."
    tasks = tasks_of(Instance(name, variant, target, 0))
    return (
        f"config.systems.{name}: the corpus has no training labels for {target} (it learns {', '.join(tasks)}). Choose other targets, "
        f"set config.systems.{name}.trained to the runs folder of a trained run or to a weights file, or annotate the corpus."
    )


@dataclass(frozen=True)
class Folds:
    """Which trials instances are trained on, selected by and tested on.

    Attributes:
        corpus: The corpus that is divided.
        divisions: Trials by task and fold, then by partition.
        scheme: How they were divided.
    """

    corpus: Corpus
    divisions: Mapping[tuple[str, int], Mapping[str, tuple[str, ...]]]
    scheme: str

    def trials_of(self, instance: Instance, partition: str) -> tuple[str, ...]:
        """Trials of a partition for one instance: those of all tasks of its target."""
        return self.trials_of_tasks(tasks_of(instance), division_of(instance), partition)

    def trials_of_tasks(self, tasks: Sequence[str], fold: int | None, partition: str) -> tuple[str, ...]:
        """Trials of a partition for a model of `tasks`; test trials are the same in every fold.

        A model that was not trained here (fold None) is held out from all trials: those with labels of its tasks are validation trials, by
        which it is scored, and the test trials are those of its tasks and all others.
        """
        if fold is None:
            return self._untrained(tasks, partition)
        fold = 0 if partition == "test" else fold
        chosen = fold_trials(self._divisions_of(tasks, fold), partition, self.corpus.group_of)
        return tuple(dict.fromkeys(name for names in chosen.values() for name in names))

    def fold_rows(self, tasks: Sequence[str], fold: int) -> list[dict[str, Any]]:
        """Rows of the table of folds for trainings on `tasks` and `fold`."""
        divisions = self._divisions_of(tasks, fold)
        return [
            {"task": task, "fold": fold, "trial": name, "partition": partition, "scheme": self.scheme}
            for partition in ("train", "validation")
            for task, names in fold_trials(divisions, partition, self.corpus.group_of).items()
            for name in names
        ]

    def trial_rows(self, tasks: Sequence[str], fold: int) -> list[dict[str, Any]]:
        """Rows of the table of trials for trainings on `tasks` and `fold`."""
        wanted = {row["trial"] for row in self.fold_rows(tasks, fold)}
        return [row for name, row in self._trial_rows.items() if name in wanted]

    @cached_property
    def _trial_rows(self) -> dict[str, dict[str, Any]]:
        return {trial.trial: trial_row(trial) for trial in self.corpus.trials}

    def _untrained(self, tasks: Sequence[str], partition: str) -> tuple[str, ...]:
        divisions = self._divisions_of(tasks, 0).values()
        labelled = dict.fromkeys(
            name for part in ("train", "validation") for division in divisions for name in division.get(part, ())
        )
        if partition == "test":
            named = {name for division in divisions for name in division.get("test", ())}
            return tuple(name for name in self.corpus.video_of if name in named or name not in labelled)
        return tuple(labelled) if partition == "validation" else ()

    def _divisions_of(self, tasks: Sequence[str], fold: int) -> dict[str, Mapping[str, tuple[str, ...]]]:
        return {task: self.divisions.get((task, fold), {}) for task in tasks}


def divide(corpus: Corpus, settings: Mapping[str, Any]) -> Folds:
    """Divide a corpus by the section `folds` of the configuration."""
    rows = fold_rows(corpus.trials, settings["scheme"], settings["count"], settings["seed"])
    divisions: dict[tuple[str, int], dict[str, list[str]]] = {}
    for row in rows:
        division = divisions.setdefault((row["task"], row["fold"]), {})
        division.setdefault(row["partition"], []).append(row["trial"])
    frozen = {key: {name: tuple(trials) for name, trials in division.items()} for key, division in divisions.items()}
    return Folds(corpus, frozen, settings["scheme"])
