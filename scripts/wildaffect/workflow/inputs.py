"""Inputs of jobs that read many trials: files of trials, and the lists of these files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from wildaffect import paths, systems
from wildaffect.content import Contents
from wildaffect.corpus.folds import trial_groups
from wildaffect.corpus.trials import PARTITIONS, Corpus
from wildaffect.features.spec import of_trial
from wildaffect.provenance import stable_hash
from wildaffect.scoring.editions import edition_tasks, editions, get_task
from wildaffect.submission.writer import submitted_trials
from wildaffect.systems.types import Needs, PredictorSettings, RecipeSettings
from wildaffect.training.origin import Origin, read_record
from wildaffect.workflow.instances import (
    Folds,
    Instance,
    base_of,
    comes_trained,
    division_of,
    given_weights,
    recipe_of,
    tasks_of,
    training_of,
)
from wildaffect.workflow.origins import Origins

OF_VIDEO = {"frames": paths.FRAMES, "audio": paths.AUDIO, "persons": paths.PERSONS}
"""Patterns of files of a video, by kind of list."""


@dataclass(frozen=True)
class Inputs:
    """Inputs of training, prediction, audit, report and submission jobs.

    Attributes:
        config: The completed configuration.
        folds: Which trials each instance sees.
        instances: What is trained or predicted.
    """

    config: Mapping[str, Any]
    folds: Folds
    instances: tuple[Instance, ...]

    @property
    def corpus(self) -> Corpus:
        """The corpus that the folds divide."""
        return self.folds.corpus

    @property
    def _results(self) -> str:
        return self.config["results_dir"]

    def templates(self) -> list[str]:
        """Crop templates that this run needs."""
        embedded = {entry["crops"] for entry in self.config["features"]["embeddings"].values()}
        needed = {template for i in self.instances for template in self._needs[i].crops}
        return sorted(embedded | needed)

    def features(self) -> list[str]:
        """Features that this run needs."""
        return sorted({feature for i in self.instances for feature in self._needs[i].features})

    def training_lists(self, instance: Instance) -> dict[str, list[str]]:
        """Lists of the files of the training and validation trials."""
        return self._lists(instance, "train", "validation")

    def prediction_lists(self, instance: Instance, partition: str) -> dict[str, list[str]]:
        """Lists of the files of the trials of a partition."""
        return self._lists(instance, partition)

    def corpus_lists(self, kind: str) -> list[str]:
        """Lists of all files of one kind."""
        return self._named(self._everyone, [kind])

    def submission_lists(self, kind: str, edition: str, task: str) -> list[str]:
        """Lists of the files of one kind of the submitted trials."""
        return self._named(self._cover(self._submitted(edition, task)), [kind])

    def listed_files(self, kind: str, block: str) -> list[str]:
        """Files of one kind in the list named by `block`."""
        return self._kind_files(kind, self._block_trials[block])

    def members(self, instance: Instance, table: str) -> str:
        """Table `trials` or `folds` for a training, shared by all trainings on the same tasks and fold; other videos do not change it."""
        pattern = {"trials": paths.FOLD_TRIALS, "folds": paths.FOLD_ROWS}[table]
        return paths.at(self._results, pattern, tasks="_".join(tasks_of(instance)), fold=instance.fold)

    def predicted_table(self, instance: Instance, partition: str) -> str:
        """Table with the trials of a partition: for validation that of the training, where there is one."""
        if partition == "validation" and not comes_trained(instance):
            return self.members(instance, "trials")
        return paths.at(self._results, paths.TRIALS)

    def known_labels(self, instance: Instance, partition: str) -> list[str]:
        """Label tables of a held-out partition, whose annotated rows `faithful` systems predict separately from the others."""
        tasks = tasks_of(instance) if partition == "validation" and not comes_trained(instance) else ()
        return [
            paths.at(self._results, paths.LABELS, task=task) for task in tasks if task in self.corpus.labelled_tasks()
        ]

    def base(self, instance: Instance) -> str:
        """The published variant that is trained."""
        return base_of(self.config["systems"][instance.system], instance.variant)

    def subjects(self, instance: Instance, *partitions: str) -> dict[str, str]:
        """Subject by trial, as far as they are known, of the trials of partitions; none for an instance that does not ask for it."""
        trials = (trial for part in partitions for trial in self.folds.trials_of(instance, part))
        known = self.corpus.groupings["subject"] if self._needs[instance].subjects else {}
        return {trial: known[trial] for trial in trials if trial in known}

    def training(self, instance: Instance) -> dict[str, Any]:
        """Section `training` for one training."""
        return training_of(self.config, instance)

    def origin(self, instance: Instance) -> Origin:
        """Where the inputs of an instance come from; given files are read to hash them."""
        same = (instance.system, instance.variant, instance.target)
        folds = tuple(i.fold for i in self.instances if (i.system, i.variant, i.target) == same)
        return Origin(self._origins.of(self._needs[instance]), self.config["corpus"]["layout"], folds)

    @cached_property
    def _origins(self) -> Origins:
        return Origins(self.config, Contents(paths.at(self._results, paths.CONTENTS)))

    def _kind_files(self, kind: str, trials: Sequence[str]) -> list[str]:
        """Files of one kind: a key of `OF_VIDEO`, `quality`, `crops.<template>` or `features.<feature>`."""
        part, _, name = kind.partition(".")
        videos = list(dict.fromkeys(self.corpus.video_of[trial] for trial in trials))
        if part in OF_VIDEO:
            return [paths.at(self._results, OF_VIDEO[part], video=video) for video in videos]
        if part == "quality":
            return [paths.at(self._results, paths.QUALITY, trial=trial) for trial in trials]
        if part == "crops":
            return [paths.at(self._results, paths.CROPS, template=name, trial=trial) for trial in trials]
        return [
            paths.at(self._results, paths.FEATURE, feature=name, owner=owner)
            for owner in (trials if of_trial(name) else videos)
        ]

    def _lists(self, instance: Instance, *partitions: str) -> dict[str, list[str]]:
        tasks = tasks_of(instance)
        # Given weights may belong to folds that this corpus does not have; test trials are the same in every fold.
        fold = division_of(instance)
        keys = [(tasks, 0 if fold is not None and part == "test" else fold, part) for part in partitions]
        blocks = dict.fromkeys(block for key in keys for block in self._blocks.get(key, ()))
        return {part: self._named(blocks, kinds) for part, kinds in _kinds(self._needs[instance]).items()}

    def _named(self, blocks: Iterable[tuple[str, ...]], kinds: Sequence[str]) -> list[str]:
        names = [stable_hash(block) for block in blocks]
        return [paths.at(self._results, paths.MANIFEST, group=name, kind=kind) for kind in kinds for name in names]

    def _cover(self, trials: Iterable[str]) -> list[tuple[str, ...]]:
        """Groups that together are `trials`: those of trainings and predictions where they fit, and one more for the rest."""
        found, rest = [], dict.fromkeys(trials)
        for block in dict.fromkeys(block for blocks in self._blocks.values() for block in blocks):
            if rest.keys() >= set(block):
                found.append(block)
                for trial in block:
                    del rest[trial]
        return [*found, tuple(rest)] if rest else found

    @cached_property
    def _everyone(self) -> list[tuple[str, ...]]:
        """Groups that together are the corpus."""
        return self._cover(self.corpus.video_of)

    def _submitted(self, edition: str, task: str) -> tuple[str, ...]:
        return tuple(trial.trial for trial in submitted_trials(self.corpus.trials, get_task(edition, task)))

    @cached_property
    def _blocks(self) -> dict[tuple[tuple[str, ...], int | None, str], list[tuple[str, ...]]]:
        """Groups of trials by tasks, fold and partition; they depend on the folds alone, not on the systems."""
        found: dict[tuple[tuple[str, ...], int | None, str], list[tuple[str, ...]]] = {}
        for tasks in dict.fromkeys(map(tasks_of, self.instances)):
            folds = sorted({fold for task, fold in self.folds.divisions if task in tasks})
            keys = [(tasks, fold, part) for fold in folds for part in PARTITIONS]
            found |= trial_groups({key: self.folds.trials_of_tasks(*key) for key in keys})
        for tasks in dict.fromkeys(tasks_of(instance) for instance in self.instances if comes_trained(instance)):
            for part in ("validation", "test"):
                found |= trial_groups({(tasks, None, part): self.folds.trials_of_tasks(tasks, None, part)})
        return found

    @cached_property
    def _block_trials(self) -> dict[str, tuple[str, ...]]:
        # Of all editions: a submission may be requested by its path.
        submitted = [self._cover(self._submitted(name, task)) for name in editions() for task in edition_tasks(name)]
        blocks = (*self._blocks.values(), self._everyone, *submitted)
        return {stable_hash(block): block for found in blocks for block in found}

    @cached_property
    def _needs(self) -> dict[Instance, Needs]:
        """What each instance reads."""
        return {
            instance: systems.spec(instance.system).needs(
                self.base(instance), self.config["systems"][instance.system]["mode"], settings
            )
            for instance, settings in self.settings.items()
        }

    @cached_property
    def settings(self) -> dict[Instance, RecipeSettings | PredictorSettings]:
        """The complete recipe of each instance; given weights keep the one that they were trained with, but for what is asked for."""
        return {instance: self._settings(instance) for instance in self.instances}

    def _settings(self, instance: Instance) -> RecipeSettings | PredictorSettings:
        block = self.config["systems"][instance.system]
        weights = given_weights(self.config, instance)
        record = read_record(Path(weights)) if weights and not comes_trained(instance) else {}
        asked = recipe_of(block, instance.variant)
        return systems.recorded_settings(instance.system, record.get("recipe") or {}, asked)


def _kinds(needs: Needs) -> dict[str, list[str]]:
    """Kinds of files that a system needs, by the input of the job."""
    return {
        "frames": ["frames"],
        "crops": [f"crops.{template}" for template in needs.crops],
        "features": [f"features.{feature}" for feature in needs.features],
        "persons": ["persons"] if needs.masks else [],
    }
