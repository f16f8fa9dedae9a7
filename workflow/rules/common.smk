"""Configuration, plan and input functions; the logic is in wildaffect.workflow."""

import re
import sys
from inspect import signature
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir).parent / "scripts"))

from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.features.imported import source as import_source
from wildaffect.features.registry import FEATURES, of_trial
from wildaffect.features.settings import body_source, configured, weights_file
from wildaffect.provenance import code_fingerprint
from wildaffect.workflow.instances import Instance, tasks_of
from wildaffect.workflow.plan import make_plan

try:
    PLAN = make_plan(config, Path(workflow.basedir) / "schemas")
except InputError as error:
    raise WorkflowError(str(error)) from None

VIDEOS = list(PLAN.corpus.videos)
TRIALS = [trial.trial for trial in PLAN.corpus.trials]


def instance_of(wildcards):
    """The training job that the wildcards name."""
    return Instance(wildcards.system, wildcards.variant, wildcards.target, int(wildcards.fold))


def raw_video(video):
    """A media file. One that was given counts by its content (params.media), not by its time stamp."""
    path = PLAN.given.media_path(video)
    return path if PLAN.given.rendered else ancient(path)


def known(function):
    """``function`` with its signature written down: it is asked for at every call, and finding out takes longer than most calls."""
    function.__signature__ = signature(function)
    return function


def growing(amount):
    """A resource that doubles with every retry."""
    return known(lambda wildcards, attempt: amount * 2 ** (attempt - 1))


def code_of(script, modules=()):
    """Fingerprint of ``script``, taken when a job is planned, as a job on a cluster plans no other."""
    return known(lambda wildcards: code_fingerprint(script, modules))


def system_code(script):
    """Fingerprint of ``script`` with the one system that the wildcards name."""
    return known(lambda wildcards: code_fingerprint(script, [f"wildaffect.systems.{wildcards.system}"]))


def feature_code(script):
    """Fingerprint of ``script`` with the module of the one feature that the wildcards name."""
    return known(lambda wildcards: code_fingerprint(script, [FEATURES[wildcards.feature].module]))


def feature_weights(wildcards):
    """Configured weights of a learnt feature; None for the others."""
    return PLAN.config["features"]["vggish_weights"] if FEATURES[wildcards.feature].weights else None


def feature_pca(wildcards):
    """Configured components of a quantised embedding; None for the others."""
    return PLAN.config["features"]["vggish_pca"] if FEATURES[wildcards.feature].pca else None


def one_of(names):
    """Pattern of a wildcard that stands for one of ``names``; matches nothing if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def import_file(name, trial):
    """Where the vectors of one trial come from that were computed elsewhere."""
    return str(import_source(name, PLAN.config["features"]["import"][name]).file(trial, PLAN.corpus.video_of[trial]))


def embedding(wildcards):
    """What the configuration says of the embedding that the wildcards name."""
    return PLAN.config["features"]["embeddings"][wildcards.name]


def embedding_weights(wildcards):
    """Weights file of the embedding that the wildcards name, none for untrained ones."""
    return weights_file(embedding(wildcards)["weights"], PLAN.config["models_dir"])
