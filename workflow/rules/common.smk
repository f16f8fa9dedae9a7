"""Configuration, plan and input functions; the logic is in wildaffect.workflow."""

import gc
import re
import sys
from inspect import signature
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = str(Path(workflow.basedir).parent / "scripts")
sys.path[:0] = [SCRIPTS, str(Path(workflow.basedir) / "rules")]

from records import keep_records, planned_code, run_code_in
from snakemake_interface_executor_plugins.settings import ExecMode
from wildaffect import paths, systems
from wildaffect.errors import InputError
from wildaffect.faces.catalogue import SCENES
from wildaffect.features.imported import imported_feature
from wildaffect.features.registry import FEATURES, of_trial
from wildaffect.features.settings import body_source, configured, weights_file
from wildaffect.provenance import code_fingerprint
from wildaffect.workflow.given import detector_files, given_values, official_folders, without_given
from wildaffect.workflow.instances import Instance, tasks_of
from wildaffect.workflow.plan import make_plan

# A graph of jobs is millions of objects that stay; looking for garbage among them takes a fifteenth of the planning.
gc.set_threshold(50_000, 20, 100)

try:
    PLAN = make_plan(config, Path(workflow.basedir) / "schemas")
except InputError as error:
    raise WorkflowError(str(error)) from None

run_code_in(SCRIPTS)
keep_records(PLAN.config["results_dir"])
# A job that runs on its own, as on a cluster, reads the rules again, but not what to run.
PLANNED = planned_code(PLAN.config["results_dir"]) if workflow.exec_mode != ExecMode.DEFAULT else {}

VIDEOS = list(PLAN.corpus.videos)
TRIALS = [trial.trial for trial in PLAN.corpus.trials]
# What the configuration has made by one job instead of one job each.
TOGETHER = PLAN.config["faces"]["together"]
SOUNDS_TOGETHER = PLAN.config["features"]["together"]


def instance_of(wildcards):
    """The training job that the wildcards name."""
    return Instance(wildcards.system, wildcards.variant, wildcards.target, int(wildcards.fold))


def given(files):
    """Files that a job reads. Those that no rule makes count by what is in them (records.py), not by their time stamps."""
    if not isinstance(files, str):
        return [given(file) for file in files]
    return files if is_made(files) else ancient(files)


def is_made(file):
    """Some rule makes ``file``."""
    return file.startswith(f"{PLAN.config['results_dir']}/")


def weights_of(instance):
    """Weights to predict with and, where they lie in a run folder, the recipe and statistics that they are used with."""
    weights = PLAN.runs.weights(instance)
    records = (str(Path(weights).with_name(name)) for name in ("run.json", "stats.json"))
    return {
        "model": given(weights),
        "records": given([file for file in records if is_made(file) or Path(file).is_file()]),
    }


def raw_video(video):
    """A media file."""
    return given(PLAN.given.media_path(video))


def recipe_of(wildcards):
    """What the configuration says of the recipe of the system that the wildcards name."""
    return PLAN.config["systems"][wildcards.system]["recipe"]


def known(function):
    """``function`` with its signature written down: it is asked for at every call, and finding out takes longer than most calls."""
    function.__signature__ = signature(function)
    return function


def growing(amount):
    """A resource that doubles with every retry. Times that the cluster profiles set anew, growing there, are plain numbers here."""
    return known(lambda wildcards, attempt: amount * 2 ** (attempt - 1))


def unrecorded(value):
    """A param that says where something is. What is there is an input and counts, not where: Snakemake records no function of inputs."""
    return known(lambda wildcards, input: value(wildcards) if callable(value) else value)


def run_code(script, modules=()):
    """What a job runs: ``script``, the modules it picks by name, and a fingerprint of both and all they import."""
    name = " ".join([script, *modules])
    return PLANNED.get(name) or f"{name} {code_fingerprint(script, modules)}"


def code_of(script, modules=()):
    """The code of ``script``, looked at when a job is planned, as a job on a cluster plans no other."""
    return known(lambda wildcards: run_code(script, modules))


def system_code(script):
    """The code of ``script`` with the one system that the wildcards name."""
    return known(lambda wildcards: run_code(script, [f"wildaffect.systems.{wildcards.system}"]))


def feature_code(script):
    """The code of ``script`` with the module of the one feature that the wildcards name."""
    return known(lambda wildcards: run_code(script, [FEATURES[wildcards.feature].module]))


def learnt(kind, features):
    """The configured file of one kind, `weights` or `pca`, that some of ``features`` needs; None where none does."""
    wanted = any(getattr(FEATURES[feature], kind) for feature in features)
    return PLAN.config["features"][f"vggish_{kind}"] if wanted else None


def learnt_files(features):
    """Files behind :func:`learnt` of both kinds."""
    values = [learnt(kind, features) for kind in ("weights", "pca")]
    return [path for value in values if value for path in weights_file(value, PLAN.config["models_dir"])]


def without(settings, *keys):
    """``settings`` without ``keys``."""
    return {key: value for key, value in settings.items() if key not in keys}


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
