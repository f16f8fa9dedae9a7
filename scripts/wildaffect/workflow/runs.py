"""What the instances make: weights and predictions of each fold, and test predictions of all folds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildaffect import systems
from wildaffect.scoring.ensembles import Offer, Source
from wildaffect.workflow.folds import Folds
from wildaffect.workflow.instances import Instance, trained_file


@dataclass(frozen=True)
class Runs:
    """``config``: the completed configuration."""

    config: Mapping[str, Any]
    folds: Folds
    instances: tuple[Instance, ...]

    def trainings(self) -> list[Instance]:
        """Instances that have to be trained here."""
        return [instance for instance in self.instances if not self._trained(instance)]

    def file(self, instance: Instance, name: str) -> str:
        """A file of the instance's run folder."""
        return f"{self.config['results_dir']}/runs/{instance.key}/{name}"

    def state_folder(self) -> str:
        """Where unfinished trainings keep what they need to go on; not a result."""
        return f"{self.config['results_dir']}/state"

    def weights(self, instance: Instance) -> str:
        """Weights to predict with: trained here, or given."""
        trained = self._trained(instance)
        return trained_file(Path(trained), instance) if trained else self.file(instance, "model.safetensors")

    def given_records(self, instance: Instance) -> list[str]:
        """What a run folder says of weights that were given: the recipe and statistics that they are used with."""
        if not self._trained(instance):
            return []
        records = (Path(self.weights(instance)).with_name(name) for name in ("run.json", "stats.json"))
        return [str(path) for path in records if path.is_file()]

    def tests(self) -> list[str]:
        """Predictions of test trials by each fold."""
        return [self._test(instance) for instance in self.instances if self.folds.trials_of(instance, "test")]

    def fold_predictions(self, system: str, variant: str, target: str) -> list[str]:
        """Test predictions of all folds of one variant and target."""
        wanted = (system, variant, target)
        return [self._test(i) for i in self.instances if (i.system, i.variant, i.target) == wanted]

    def offers(self) -> dict[Source, Offer]:
        """What the instances predict, by system, variant and target."""
        groups: dict[Source, list[Instance]] = {}
        for instance in self.instances:
            groups.setdefault((instance.system, instance.variant, instance.target), []).append(instance)
        found = {}
        for name, instances in groups.items():
            held_out = {i.fold: frozenset(self.folds.trials_of(i, "validation")) for i in instances}
            columns = systems.spec(name[0]).targets[name[2]].columns
            found[name] = Offer(columns, held_out, frozenset(self.folds.trials_of(instances[0], "test")))
        return found

    def _trained(self, instance: Instance) -> str | None:
        return self.config["systems"][instance.system]["trained"]

    def _test(self, instance: Instance) -> str:
        return f"{self.config['results_dir']}/predictions/{instance.key}/test.parquet"
