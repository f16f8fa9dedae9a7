"""The plan: everything that the configuration and the corpus decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wildaffect.corpus.trials import Corpus
from wildaffect.workflow.checks import check_files, check_held_out
from wildaffect.workflow.corpus import RawInputs, scan
from wildaffect.workflow.inputs import Inputs
from wildaffect.workflow.instances import Folds, Instance, divide, list_instances
from wildaffect.workflow.outputs import Outputs, Runs, Submissions, plan_outputs
from wildaffect.workflow.settings import complete_settings, with_single_passes


@dataclass(frozen=True)
class Plan:
    """Everything that the rules of the workflow ask for.

    Attributes:
        config: The completed configuration.
        corpus: Trials and findings.
        instances: What is trained.
        folds: Which trials each instance sees.
        raw: Files that the run starts from.
        inputs: Files that training and prediction jobs read.
        runs: Files that they write.
        outputs: Predictions that are scored, exported and submitted.
        submissions: Files for the organisers.
    """

    config: Mapping[str, Any]
    corpus: Corpus
    instances: tuple[Instance, ...]
    folds: Folds
    raw: RawInputs
    inputs: Inputs
    runs: Runs
    outputs: Outputs
    submissions: Submissions

    def predictions(self) -> list[str]:
        """All prediction tables: of held-out validation trials as they are scored, and of test trials by each fold."""
        return self.outputs.validation() + self.runs.tests()


def make_plan(raw: Mapping[str, Any]) -> Plan:
    """Check and complete the configuration, scan the corpus and list the instances, before any job starts.

    Args:
        raw: The configuration as given.

    Raises:
        InputError: The message names everything that is wrong.
    """
    config = complete_settings(raw)
    corpus = scan(config["corpus"])
    folds = divide(corpus, config["folds"])
    instances = list_instances(config["systems"], folds.divisions)
    runs, inputs = Runs(config, folds, instances), Inputs(config, folds, instances)
    if not config["folds"]["allow_shared_videos"]:
        check_held_out(folds, runs.trainings())
    outputs = plan_outputs(config, tuple(corpus.labelled_tasks()), runs.predicted_targets())
    config = with_single_passes(config, inputs.templates(), inputs.features())
    check_files(config, inputs)
    return Plan(
        config,
        corpus,
        instances,
        folds,
        RawInputs(config, corpus),
        inputs,
        runs,
        outputs,
        Submissions(config, corpus, outputs),
    )
