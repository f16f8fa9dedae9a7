"""Instances: the training jobs that a configuration asks for, one for every system, variant, target and fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildaffect import systems
from wildaffect.errors import InputError


@dataclass(frozen=True, order=True)
class Instance:
    """One training job: a system's variant, trained for one target on one fold."""

    system: str
    variant: str
    target: str
    fold: int

    @property
    def key(self) -> str:
        """Path of the instance below ``runs/`` and ``predictions/``."""
        return f"{self.system}/{self.variant}/{self.target}/fold{self.fold}"


def tasks_of(instance: Instance) -> tuple[str, ...]:
    """The tasks whose labels an instance is trained and scored on."""
    return tuple(systems.spec(instance.system).targets[instance.target].labels)


def trained_file(trained: Path, instance: Instance) -> str:
    """Where given weights of ``instance`` are: below a runs folder, or the one weights file."""
    return str(trained / instance.key / "model.safetensors" if trained.is_dir() else trained)


def list_instances(blocks: Mapping[str, Any], divisions) -> tuple[Instance, ...]:
    """Instances of all systems; ``blocks`` are their completed settings, ``divisions`` the trials by task, fold and partition."""
    return tuple(instance for name, block in blocks.items() for instance in _instances(name, block, divisions))


def _instances(name: str, block: Mapping[str, Any], divisions) -> list[Instance]:
    """Instances of one system; training needs training trials, prediction alone needs weights.

    A variant is left out for targets that it does not have, as long as one remains.
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
