"""Instances (system x variant x target x fold) and the trials that each is trained on, selected by and tested on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from wildaffect import systems
from wildaffect.corpus.folds import fold_rows, fold_trials
from wildaffect.corpus.trials import Corpus
from wildaffect.errors import InputError
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


def trained_file(trained: Path, instance: Instance) -> str:
    """Path of given weights: below a folder of runs, or `trained` itself if it is a file."""
    return str(trained / instance.key / "model.safetensors" if trained.is_dir() else trained)


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
    """Instances of all systems.

    Args:
        blocks: Completed settings by system.
        divisions: Trials by task and fold, then by partition.

    Raises:
        InputError: A system has nothing to train on and no weights, or is asked for a fold or target that it does not have.
    """
    return tuple(instance for name, block in blocks.items() for instance in _instances(name, block, divisions))


def _instances(name: str, block: Mapping[str, Any], divisions) -> list[Instance]:
    """Instances of one system: training needs training trials, prediction alone needs weights.

    A variant is left out for targets that it does not have, as long as one target remains.
    """
    wanted = []
    for variant in block["variants"]:
        known = systems.spec(name).targets_of(variant)
        targets = [target for target in block["targets"] if target in known]
        if not targets:
            raise InputError(
                f"config.systems.{name}: {variant} has none of the targets {', '.join(block['targets'])}; it has {', '.join(known)}."
            )
        for target in targets:
            tasks = tasks_of(Instance(name, variant, target, 0))
            folds = _folds(name, block, variant, target, tasks, divisions)
            wanted += [Instance(name, variant, target, fold) for fold in folds]
    trained = block["trained"]
    if trained and not Path(trained).exists():
        raise InputError(f"config.systems.{name}.trained: {trained} does not exist.")
    if trained and Path(trained).is_file() and len(wanted) > 1:
        raise InputError(
            f"config.systems.{name}.trained is one weights file, but {len(wanted)} instances are asked for: "
            "name one variant, one target and one fold, or give a runs folder."
        )
    return wanted


def _folds(name: str, block, variant: str, target: str, tasks: Sequence[str], divisions) -> list[int]:
    """The folds to run for one variant and target."""
    if block["trained"]:
        pattern = f"{name}/{variant}/{target}/fold*/model.safetensors"
        found = sorted(int(path.parent.name.removeprefix("fold")) for path in Path(block["trained"]).glob(pattern))
        known = found if Path(block["trained"]).is_dir() else [0]
        missing = f"config.systems.{name}.trained: no {pattern} below {block['trained']}."
    else:
        trained = [
            {fold for (task, fold), parts in divisions.items() if task == own and parts.get("train")} for own in tasks
        ]
        known = sorted(set.intersection(*trained))
        missing = (
            f"config.systems.{name}: the corpus has no training labels for {target} (it learns {', '.join(tasks)}). Choose other targets, "
            f"set config.systems.{name}.trained to the runs folder of a trained run or to a weights file, or annotate the corpus."
        )
    if not known:
        raise InputError(missing)
    if block["folds"] == "all":
        return known
    unknown = sorted(set(block["folds"]) - set(known))
    if unknown:
        raise InputError(f"config.systems.{name}.folds: there is no fold {unknown}; known: {known}.")
    return sorted(block["folds"])


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
        return self.trials_of_tasks(tasks_of(instance), instance.fold, partition)

    def trials_of_tasks(self, tasks: Sequence[str], fold: int, partition: str) -> tuple[str, ...]:
        """Trials of a partition for a model of `tasks`; test trials are the same in every fold."""
        fold = 0 if partition == "test" else fold
        chosen = fold_trials(self._divisions_of(tasks, fold), partition, self.corpus.video_of)
        return tuple(dict.fromkeys(name for names in chosen.values() for name in names))

    def fold_rows(self, tasks: Sequence[str], fold: int) -> list[dict[str, Any]]:
        """Rows of the table of folds for trainings on `tasks` and `fold`."""
        divisions = self._divisions_of(tasks, fold)
        return [
            {"task": task, "fold": fold, "trial": name, "partition": partition, "scheme": self.scheme}
            for partition in ("train", "validation")
            for task, names in fold_trials(divisions, partition, self.corpus.video_of).items()
            for name in names
        ]

    def trial_rows(self, tasks: Sequence[str], fold: int) -> list[dict[str, Any]]:
        """Rows of the table of trials for trainings on `tasks` and `fold`."""
        wanted = {row["trial"] for row in self.fold_rows(tasks, fold)}
        return [row for name, row in self._trial_rows.items() if name in wanted]

    @cached_property
    def _trial_rows(self) -> dict[str, dict[str, Any]]:
        return {trial.trial: asdict(trial) for trial in self.corpus.trials}

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
