"""The plan: everything that the configuration and the corpus decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildaffect.corpus.trials import Corpus
from wildaffect.workflow.checks import check_files, check_held_out
from wildaffect.workflow.corpus import RawInputs, scan
from wildaffect.workflow.inputs import Inputs
from wildaffect.workflow.instances import Folds, Instance, divide, list_instances
from wildaffect.workflow.outputs import Outputs, Runs, Submissions, plan_outputs
from wildaffect.workflow.settings import complete_settings


@dataclass(frozen=True)
class Plan:
    """``config``: the completed configuration. The other parts are described in the modules that they come from."""

    config: Mapping[str, Any]
    corpus: Corpus
    instances: tuple[Instance, ...]
    folds: Folds
    given: RawInputs
    inputs: Inputs
    runs: Runs
    delivery: Outputs
    submissions: Submissions

    def predictions(self) -> list[str]:
        """All prediction tables: of held-out validation trials as they are scored, and of test trials by each fold."""
        return self.delivery.validation() + self.runs.tests()


def make_plan(raw: Mapping[str, Any], schemas: Path) -> Plan:
    """Check ``raw`` against the schemas in the folder ``schemas``, scan the corpus and list the instances.

    Raises :class:`InputError` with everything that is wrong, before any job starts.
    """
    config = complete_settings(raw, schemas)
    corpus = scan(config["corpus"])
    folds = divide(corpus, config["folds"])
    instances = list_instances(config["systems"], folds.divisions)
    runs, inputs = Runs(config, folds, instances), Inputs(config, folds, instances)
    if not config["folds"]["allow_shared_videos"]:
        check_held_out(folds, runs.trainings())
    delivery = plan_outputs(config, tuple(corpus.labelled_tasks()), runs.offers())
    check_files(config, inputs)
    return Plan(
        config,
        corpus,
        instances,
        folds,
        RawInputs(config, corpus),
        inputs,
        runs,
        delivery,
        Submissions(config, corpus, delivery),
    )
