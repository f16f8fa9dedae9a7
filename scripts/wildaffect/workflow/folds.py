"""Which trials each instance learns from, is selected on and is tested with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from wildaffect.corpus.folds import fold_rows
from wildaffect.corpus.members import members
from wildaffect.corpus.trials import Corpus
from wildaffect.workflow.instances import Instance, tasks_of


@dataclass(frozen=True)
class Folds:
    """``divisions``: trials by task and fold, then by partition; ``scheme``: how they were divided."""

    corpus: Corpus
    divisions: Mapping[tuple[str, int], Mapping[str, tuple[str, ...]]]
    scheme: str

    def trials_of(self, instance: Instance, partition: str) -> tuple[str, ...]:
        """Trials of a partition as one instance sees them: those of all tasks of its target."""
        return self.trials_of_tasks(tasks_of(instance), instance.fold, partition)

    def trials_of_tasks(self, tasks: Sequence[str], fold: int, partition: str) -> tuple[str, ...]:
        """Trials of a partition for a model that learns ``tasks``; the test trials are those of every fold."""
        fold = 0 if partition == "test" else fold
        chosen = members(self._divisions_of(tasks, fold), partition, self.corpus.video_of)
        return tuple(dict.fromkeys(name for names in chosen.values() for name in names))

    def fold_rows(self, tasks: Sequence[str], fold: int) -> list[dict[str, Any]]:
        """Rows of the folds table that concern the trainings for ``tasks`` on ``fold``."""
        divisions = self._divisions_of(tasks, fold)
        return [
            {"task": task, "fold": fold, "trial": name, "partition": partition, "scheme": self.scheme}
            for partition in ("train", "validation")
            for task, names in members(divisions, partition, self.corpus.video_of).items()
            for name in names
        ]

    def trial_rows(self, tasks: Sequence[str], fold: int) -> list[dict[str, Any]]:
        """Rows of the trials table that concern the trainings for ``tasks`` on ``fold``."""
        wanted = {row["trial"] for row in self.fold_rows(tasks, fold)}
        return [row for name, row in self._trial_rows.items() if name in wanted]

    @cached_property
    def _trial_rows(self) -> dict[str, dict[str, Any]]:
        return {trial.trial: asdict(trial) for trial in self.corpus.trials}

    def _divisions_of(self, tasks: Sequence[str], fold: int) -> dict[str, Mapping[str, tuple[str, ...]]]:
        return {task: self.divisions.get((task, fold), {}) for task in tasks}


def divide(corpus: Corpus, settings: Mapping[str, Any]) -> Folds:
    """Divide ``corpus`` by the section ``folds`` of the configuration."""
    rows = fold_rows(corpus.trials, settings["scheme"], settings["count"], settings["seed"])
    divisions: dict[tuple[str, int], dict[str, list[str]]] = {}
    for row in rows:
        division = divisions.setdefault((row["task"], row["fold"]), {})
        division.setdefault(row["partition"], []).append(row["trial"])
    frozen = {key: {name: tuple(trials) for name, trials in division.items()} for key, division in divisions.items()}
    return Folds(corpus, frozen, settings["scheme"])
