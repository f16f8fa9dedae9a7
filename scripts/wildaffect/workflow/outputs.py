"""Outputs of the instances: weights and predictions, and what is scored, submitted and exported of them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wildaffect import paths, systems
from wildaffect.corpus.trials import Corpus, Trial
from wildaffect.scoring.editions import edition_tasks, get_task
from wildaffect.scoring.ensembles import BEST, Ensemble, PredictedTarget, Source, plan_ensemble
from wildaffect.scoring.ensembles import SYSTEM as ENSEMBLE
from wildaffect.scoring.smoothing import NONE, check_windows
from wildaffect.scoring.tasks import Task
from wildaffect.submission.writer import submitted_trials
from wildaffect.workflow.instances import Folds, Instance, given_weights, missing_folds


@dataclass(frozen=True)
class Runs:
    """Files that training and prediction write.

    Attributes:
        config: The completed configuration.
        folds: Which trials each instance sees.
        instances: What is trained or predicted.
    """

    config: Mapping[str, Any]
    folds: Folds
    instances: tuple[Instance, ...]

    def trainings(self) -> list[Instance]:
        """Instances that this run trains, in contrast to those with given weights."""
        return [instance for instance in self.instances if given_weights(self.config, instance) is None]

    def file(self, instance: Instance, pattern: str) -> str:
        """A file of the instance's run folder."""
        return paths.at(self.config["results_dir"], pattern, **asdict(instance))

    def state_folder(self) -> str:
        """Folder of the state by which unfinished trainings are resumed; not a result."""
        return paths.at(self.config["results_dir"], paths.STATE)

    def prediction_state(self, instance: Instance, partition: str) -> str:
        """Where the predictions of single trials are kept, so that one more trial is predicted alone; not a result."""
        return f"{self.state_folder()}/predictions/{instance.key}/{partition}"

    def weights(self, instance: Instance) -> str:
        """Weights to predict with: of this run, or given."""
        return given_weights(self.config, instance) or self.file(instance, paths.MODEL)

    def missing(self, system: str, variant: str, target: str) -> list[int]:
        """Folds whose weights should be in the given folder and are not; none where the configuration names the folds."""
        block = self.config["systems"][system]
        if not block["trained"] or block["folds"] != "all" or not Path(block["trained"]).is_dir():
            return []
        return missing_folds(Path(block["trained"]), system, variant, target)

    def notes(self, instance: Instance) -> list[str]:
        """What a reader must know of the predictions of an instance because of the folds that there are, a sentence each."""
        source = (instance.system, instance.variant, instance.target)
        if not (missing := self.missing(*source)):
            return []
        folds = [i.fold for i in self.instances if (i.system, i.variant, i.target) == source]
        return [
            f"{'/'.join(source)} is partial: the given weights are those of fold {', '.join(map(str, folds))}; "
            f"those of fold {', '.join(map(str, missing))} are missing."
        ]

    def tests(self) -> list[str]:
        """Predictions of test trials by each fold."""
        return [self._test(instance) for instance in self.instances if self.folds.trials_of(instance, "test")]

    def fold_predictions(self, system: str, variant: str, target: str) -> list[str]:
        """Test predictions of all folds of one variant and target."""
        wanted = (system, variant, target)
        return [self._test(i) for i in self.instances if (i.system, i.variant, i.target) == wanted]

    def predicted_targets(self) -> dict[Source, PredictedTarget]:
        """What the instances predict, by system, variant and target."""
        groups: dict[Source, list[Instance]] = {}
        for instance in self.instances:
            groups.setdefault((instance.system, instance.variant, instance.target), []).append(instance)
        found = {}
        for name, instances in groups.items():
            held_out = {i.fold: frozenset(self.folds.trials_of(i, "validation")) for i in instances}
            columns = systems.spec(name[0]).targets[name[2]].columns
            found[name] = PredictedTarget(columns, held_out, frozenset(self.folds.trials_of(instances[0], "test")))
        return found

    def _test(self, instance: Instance) -> str:
        names = {"system": instance.system, "variant": instance.variant, "target": instance.target}
        return paths.at(
            self.config["results_dir"], paths.PREDICTIONS, **names, part=f"fold{instance.fold}", partition="test"
        )


@dataclass(frozen=True)
class Outputs:
    """Predictions of all variants and ensembles, and the files made from them.

    Attributes:
        config: The completed configuration.
        labelled: Tasks with annotations.
        targets: Predicted targets by system, variant and target: of variants first, then of ensembles (`ensemble`, name, target).
        ensembles: Ensembles by name.
    """

    config: Mapping[str, Any]
    labelled: tuple[str, ...]
    targets: Mapping[Source, PredictedTarget]
    ensembles: Mapping[str, Ensemble]

    def path(self, source: Source, part: str, partition: str) -> str:
        """The table that is scored and submitted; `part` is `fold<k>` or `ensemble` (folds fused)."""
        pattern = paths.PREDICTIONS if self.smoothing(*source[:2])["method"] == NONE else paths.SMOOTHED
        return self._table(pattern, source, part, partition)

    def validation(self) -> list[str]:
        """Tables of all held-out trials."""
        return [
            self.path(source, f"fold{k}", "validation") for source, target in self.targets.items() for k in target.folds
        ]

    def tests(self, *prefix: str) -> list[str]:
        """Tables of test trials, of all systems or of the system (and variant) in `prefix`."""
        chosen = [source for source, target in self.targets.items() if target.test and source[: len(prefix)] == prefix]
        return [self.path(source, "ensemble", "test") for source in chosen]

    def held_out(self) -> list[str]:
        """Tables of all trials that were not trained on."""
        return self.validation() + self.tests()

    def scores(self) -> list[str]:
        """Score tables, if there are validation predictions."""
        if not self.validation():
            return []
        return [paths.at(self.config["results_dir"], pattern) for pattern in (paths.SCORES, paths.TRIAL_SCORES)]

    def comparisons(self) -> list[str]:
        """The table of pairs of variants, if it is asked for and there are validation predictions of two."""
        compared = {source for source, target in self.targets.items() if target.folds}
        asked = self.config["score"]["compare"] and len(compared) > 1
        return [paths.at(self.config["results_dir"], paths.COMPARISONS)] if asked else []

    def exports(self) -> list[str]:
        """Folders of CSV files, one per variant or ensemble with test trials."""
        tested = self.tested_variants()
        return [
            paths.at(self.config["results_dir"], paths.EXPORTS, system=system, variant=variant)
            for system, variant in tested
        ]

    def tested_variants(self) -> list[tuple[str, str]]:
        """System and variant of everything with test trials."""
        return list(dict.fromkeys(source[:2] for source, target in self.targets.items() if target.test))

    def tested(self, system: str, variant: str) -> dict[Source, PredictedTarget]:
        """Targets that a variant predicts for test trials."""
        return {s: target for s, target in self.targets.items() if s[:2] == (system, variant) and target.test}

    def smoothing(self, system: str, variant: str) -> Mapping[str, Any]:
        """Settings of temporal smoothing of a system, or of the ensemble `variant`."""
        if system == ENSEMBLE:
            return self.config["score"]["ensembles"][variant]["smoothing"]
        return self.config["systems"][system]["smoothing"]

    def choosing_editions(self, system: str, variant: str) -> list[str]:
        """Editions whose score chooses the window; none where it is given."""
        return self.config["score"]["editions"] if isinstance(self.smoothing(system, variant)["window"], list) else []

    def choosing(self, source: Source, part: str) -> dict[str, list[str]]:
        """Tables by which the window for `part` is chosen; empty if the window is given.

        These are unsmoothed validation predictions of all other folds, and label tables; never test predictions.
        """
        if not isinstance(self.smoothing(*source[:2])["window"], list):
            return {"held_out": [], "labels": []}
        return self._held_out([source], part)

    def fusion(self, system: str, variant: str) -> Mapping[str, Any]:
        """Settings of the fusion of a system's folds, or of the members of the ensemble `variant`."""
        if system != ENSEMBLE:
            return self.config["systems"][system]["fusion"]
        block = self.config["score"]["ensembles"][variant]
        return {key: block[key] for key in ("method", "clip", "weights")}

    def choosing_member(self, name: str, part: str) -> dict[str, list[str]]:
        """Tables by which a member of the ensemble `name` is chosen for `part`, as for `choosing`; empty if all are fused."""
        if self.config["score"]["ensembles"][name]["method"] != BEST:
            return {"held_out": [], "labels": []}
        return self._held_out(self.ensembles[name].sources, part)

    def member_editions(self, name: str) -> list[str]:
        """Editions whose score chooses a member of the ensemble `name`; none where all are fused."""
        return self.config["score"]["editions"] if self.config["score"]["ensembles"][name]["method"] == BEST else []

    def member_predictions(self, name: str, part: str, partition: str) -> list[str]:
        """Unsmoothed predictions of all members of an ensemble."""
        return [self._table(paths.PREDICTIONS, source, part, partition) for source in self.ensembles[name].sources]

    def _held_out(self, sources: Sequence[Source], part: str) -> dict[str, list[str]]:
        """Unsmoothed validation predictions of all folds but that of `part`, and label tables."""
        folds = [k for k in self.targets[sources[0]].folds if part != f"fold{k}"]
        return {
            "held_out": [
                self._table(paths.PREDICTIONS, source, f"fold{k}", "validation") for source in sources for k in folds
            ],
            "labels": [paths.at(self.config["results_dir"], paths.LABELS, task=task) for task in self.labelled],
        }

    def _table(self, pattern: str, source: Source, part: str, partition: str) -> str:
        names = dict(zip(("system", "variant", "target"), source, strict=True))
        return paths.at(self.config["results_dir"], pattern, **names, part=part, partition=partition)


def plan_outputs(
    config: Mapping[str, Any], labelled: tuple[str, ...], targets: Mapping[Source, PredictedTarget]
) -> Outputs:
    """Resolve the declared ensembles.

    Args:
        config: The completed configuration.
        labelled: Tasks with annotations.
        targets: Result of `Runs.predicted_targets`.

    Raises:
        InputError: An ensemble has no such members.
    """
    blocks = config["score"]["ensembles"]
    ensembles = {name: plan_ensemble(name, block, targets) for name, block in blocks.items()}
    own = {(ENSEMBLE, name, ensemble.target): ensemble.predicted for name, ensemble in ensembles.items()}
    return Outputs(config, labelled, {**targets, **own}, ensembles)


def check_smoothing(outputs: Outputs) -> None:
    """Raise an `InputError` if a window of smoothing cannot be chosen."""
    for (system, variant, _), target in outputs.targets.items():
        settings = outputs.smoothing(system, variant)
        if settings["method"] != NONE:
            place = f"score.ensembles.{variant}" if system == ENSEMBLE else f"systems.{system}"
            check_windows(f"config.{place}.smoothing", settings["window"], len(target.folds))


@dataclass(frozen=True)
class Submissions:
    """Files for the organisers.

    Attributes:
        config: The completed configuration.
        corpus: Trials and findings.
        outputs: Predictions that are submitted.
    """

    config: Mapping[str, Any]
    corpus: Corpus
    outputs: Outputs

    def paths(self) -> list[str]:
        """Records of submissions, one per edition, variant or ensemble, and task of a labelled corpus with test trials.

        Only where the file format of the edition is known and the targets together predict every column (valence without arousal is no
        submission).
        """
        if not self.corpus.labelled_tasks():
            return []
        return [
            paths.at(
                self.config["results_dir"], paths.SUBMISSION, edition=edition, system=system, variant=variant, task=name
            )
            for edition in self.config["submission"]["editions"]
            for system, variant in self.outputs.tested_variants()
            for name, task in edition_tasks(edition).items()
            if task.format and (self.sample(name) or self.trials(edition, name)) and self._covers(system, variant, task)
        ]

    def predictions(self, edition: str, system: str, variant: str, task: str) -> list[str]:
        """Test predictions that make up one submission."""
        names = {name for part in get_task(edition, task).parts for name in part.names}
        chosen = [
            source for source, target in self.outputs.tested(system, variant).items() if names & set(target.columns)
        ]
        return [self.outputs.path(source, "ensemble", "test") for source in chosen]

    def trials(self, edition: str, task: str) -> list[Trial]:
        """Test trials of a submission that the corpus has."""
        return submitted_trials(self.corpus.trials, get_task(edition, task))

    def sample(self, task: str) -> list[str]:
        """The organisers' sample for `task`; empty without one."""
        samples = self.config["submission"]["samples"]
        return [samples[task]] if task in samples else []

    def _covers(self, system: str, variant: str, task: Task) -> bool:
        columns = {name for target in self.outputs.tested(system, variant).values() for name in target.columns}
        return all(set(part.names) <= columns for part in task.parts)
