"""What is submitted to which edition, and from which files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wildaffect.corpus.trials import Corpus, Trial
from wildaffect.scoring.editions import Task, edition_tasks, get_task
from wildaffect.submission.job import submitted_trials
from wildaffect.workflow.delivery import Delivery


@dataclass(frozen=True)
class Submissions:
    """``config``: the completed configuration."""

    config: Mapping[str, Any]
    corpus: Corpus
    delivery: Delivery

    def paths(self) -> list[str]:
        """Records of submissions, one per edition, variant or ensemble, and task of a labelled corpus with test trials.

        Only where the form of the edition's files is known and the targets together predict all that they hold (valence without arousal
        makes none).
        """
        if not self.corpus.labelled_tasks():
            return []
        return [
            f"{self.config['results_dir']}/submissions/{edition}/{system}/{variant}/{name}.json"
            for edition in self.config["submission"]["editions"]
            for system, variant in self.delivery.tested_variants()
            for name, task in edition_tasks(edition).items()
            if task.format and (self.sample(name) or self.trials(edition, name)) and self._covers(system, variant, task)
        ]

    def predictions(self, edition: str, system: str, variant: str, task: str) -> list[str]:
        """Test predictions that make up one submission."""
        names = {name for part in get_task(edition, task).parts for name in part.names}
        chosen = [
            source for source, offer in self.delivery.tested(system, variant).items() if names & set(offer.columns)
        ]
        return [self.delivery.path(source, "ensemble", "test") for source in chosen]

    def trials(self, edition: str, task: str) -> list[Trial]:
        """Test trials of a submission, as far as the corpus knows them."""
        return submitted_trials(self.corpus.trials, get_task(edition, task))

    def sample(self, task: str) -> list[str]:
        """The organisers' sample for ``task``; empty where none was given."""
        samples = self.config["submission"]["samples"]
        return [samples[task]] if task in samples else []

    def _covers(self, system: str, variant: str, task: Task) -> bool:
        columns = {name for offer in self.delivery.tested(system, variant).values() for name in offer.columns}
        return all(set(part.names) <= columns for part in task.parts)
