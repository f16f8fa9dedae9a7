"""Configuration, plan and input functions; the logic is in wildaffect.workflow."""

import gc
import re
import sys
from inspect import signature
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir).parent / "scripts"))

from wildaffect import paths, systems
from wildaffect.errors import InputError
from wildaffect.faces.catalogue import SCENES
from wildaffect.features.imported import imported_feature
from wildaffect.features.registry import FEATURES, of_trial
from wildaffect.features.settings import body_source, configured, weights_file
from wildaffect.provenance import code_fingerprint
from wildaffect.workflow.instances import Instance, tasks_of
from wildaffect.workflow.plan import make_plan

# A graph of jobs is millions of objects that stay; looking for garbage among them takes a fifteenth of the planning.
gc.set_threshold(50_000, 20, 100)

try:
    PLAN = make_plan(config, Path(workflow.basedir) / "schemas")
except InputError as error:
    raise WorkflowError(str(error)) from None

VIDEOS = list(PLAN.corpus.videos)
TRIALS = [trial.trial for trial in PLAN.corpus.trials]
# What the configuration has made by one job instead of one job each.
TOGETHER = PLAN.config["faces"]["together"]
SOUNDS_TOGETHER = PLAN.config["features"]["together"]


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
    """A resource that doubles with every retry. Times that the cluster profiles set anew, growing there, are plain numbers here."""
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


def learnt(kind, features):
    """The configured file of one kind, `weights` or `pca`, that some of ``features`` needs; None where none does."""
    wanted = any(getattr(FEATURES[feature], kind) for feature in features)
    return PLAN.config["features"][f"vggish_{kind}"] if wanted else None


def one_of(names):
    """Pattern of a wildcard that stands for one of ``names``; matches nothing if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def import_file(name, trial):
    """Where the vectors of one trial come from that were computed elsewhere."""
    return str(imported_feature(name, PLAN.config["features"]["import"][name]).file(trial, PLAN.corpus.video_of[trial]))


def embedding(wildcards):
    """What the configuration says of the embedding that the wildcards name."""
    return PLAN.config["features"]["embeddings"][wildcards.name]


def embedding_weights(wildcards):
    """Weights file of the embedding that the wildcards name, none for untrained ones."""
    return weights_file(embedding(wildcards)["weights"], PLAN.config["models_dir"])


def bodies_for(templates, trial):
    """The table of bodies of the trial's video, if some template needs it."""
    wanted = any(SCENES[template] for template in templates)
    return f"<results>/bodies/{PLAN.corpus.video_of[trial]}.parquet" if wanted else []
