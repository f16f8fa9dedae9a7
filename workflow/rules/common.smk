"""Configuration, plan and input functions; the logic is in wildaffect.workflow."""

import gc
import re
import sys
from functools import partial
from pathlib import Path

from snakemake.cli import get_argument_parser
from snakemake.exceptions import WorkflowError

# Of this file: an analysis folder has a Snakefile of its own that includes this workflow.
RULES = Path(str(workflow.current_basedir)).resolve()
SCRIPTS = str(RULES.parents[1] / "scripts")
sys.path[:0] = [SCRIPTS, str(RULES)]

import records
from clusters import cancel_all_jobs, cancel_jobs_on_sigterm, complete_states_of_slurm, tell_helpers_who_runs
from engine import remember_answers
from records import unrecorded
from pathvars import replace_leading_only
from starter import start_jobs_as_copies
from snakemake_interface_executor_plugins.settings import ExecMode
from wildaffect import paths, systems
from wildaffect.errors import InputError
from wildaffect.faces import lfan_archive, templates as crop_templates
from wildaffect.features.imported import imported_feature
from wildaffect.features.spec import of_trial
from wildaffect.features.registry import FEATURES
from wildaffect.features.registry import body_source, configured, given_file, weights_file
from wildaffect.job import check_interpreter
from wildaffect.scoring import editions
from wildaffect.scoring.tasks import task_value
from wildaffect.workflow.corpus import detector_files, given_values, official_images, tsav_alignments, without_given
from wildaffect.workflow.instances import Instance, tasks_of
from wildaffect.workflow.plan import TARGETS, make_plan, needed_parts

# A graph of jobs is millions of objects that stay; looking for garbage among them takes a tenth of the planning.
gc.set_threshold(500_000, 20, 100)
remember_answers()


def named_targets():
    """What the command line asks for: Snakemake keeps it to itself until the rules are read."""
    if not {*TARGETS} & {*sys.argv}:
        return []
    return get_argument_parser().parse_known_args(sys.argv[1:])[0].targets


try:
    check_interpreter(sys.executable)
    # A job that runs on its own, as on a cluster, needs what it was planned with.
    PLAN = make_plan(config, needed_parts(named_targets()) if workflow.exec_mode == ExecMode.DEFAULT else ())
except InputError as error:
    raise WorkflowError(str(error)) from None

RESULTS = PLAN.config["results_dir"]
records.run_code_in(SCRIPTS)
records.keep_records(RESULTS)
replace_leading_only(workflow.pathvars)
tell_helpers_who_runs()
cancel_jobs_on_sigterm()
cancel_all_jobs()
complete_states_of_slurm()
start_jobs_as_copies()
# A job that runs on its own, as on a cluster, reads the rules again, but not what to run.
run_code = partial(records.run_code, records.planned_code(RESULTS) if workflow.exec_mode != ExecMode.DEFAULT else {})
given, is_made = partial(records.given, RESULTS), partial(records.is_made, RESULTS)

VIDEOS = list(PLAN.corpus.videos)
TRIALS = [trial.trial for trial in PLAN.corpus.trials]
# What the configuration has made by one job instead of one job each.
TOGETHER = PLAN.config["faces"]["single_pass"]
SOUNDS_TOGETHER = PLAN.config["features"]["single_pass"]


def at(pattern, **values):
    """A result file, or the pattern of one kind of them."""
    return paths.at(RESULTS, pattern, **values)


def instance_of(wildcards):
    """The training job that the wildcards name."""
    return Instance(wildcards.system, wildcards.variant, wildcards.target, int(wildcards.fold))


def weights_of(instance):
    """Weights to predict with and, where they lie in a run folder, the recipe and statistics that they are used with."""
    weights = PLAN.runs.weights(instance)
    beside = (str(Path(weights).with_name(name)) for name in ("run.json", "stats.json"))
    return {
        "model": given(weights),
        "records": given([file for file in beside if is_made(file) or Path(file).is_file()]),
    }


def raw_video(video):
    """A media file."""
    return given(PLAN.raw.media_path(video))


def recipe_of(wildcards):
    """The complete recipe of the instance that the wildcards name."""
    return PLAN.inputs.settings[instance_of(wildcards)].plain()


def prediction_state(wildcards):
    """Where the predictions of single trials are kept."""
    return PLAN.runs.prediction_state(instance_of(wildcards), wildcards.partition)


def scale_with_attempt(amount):
    """A resource that doubles with every retry. Times that the cluster profiles set anew, growing there, are plain numbers here."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)


def code_of(script, modules=()):
    """The code of ``script``, looked at when a job is planned, as a job on a cluster plans no other."""
    return lambda wildcards: run_code(script, modules)


def system_code(script):
    """The code of ``script`` with the one system that the wildcards name; one of another package counts by param ``package``."""
    return lambda wildcards: run_code(script, systems.inside(wildcards.system))


def feature_code(script):
    """The code of ``script`` with the module of the one feature that the wildcards name."""
    return lambda wildcards: run_code(script, [FEATURES[wildcards.feature].module])


def weight_file(kind, features):
    """The configured files of one kind, `weights` or `pca`, that ``features`` need, by the name that they declare."""
    declared = dict.fromkeys(getattr(FEATURES[feature], kind) for feature in features)
    return {name: given_file(PLAN.config["features"], name, PLAN.config["models_dir"]) for name in declared if name}


def weight_paths(features):
    """Files behind :func:`weight_file` of both kinds."""
    values = [value for kind in ("weights", "pca") for value in weight_file(kind, features).values()]
    return [path for value in values for path in weights_file(value, PLAN.config["models_dir"])]


def without(settings, *keys):
    """``settings`` without ``keys``."""
    return {key: value for key, value in settings.items() if key not in keys}


def one_of(names):
    """Pattern of a wildcard that stands for one of ``names``; matches nothing if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def import_file(name, trial):
    """Where the vectors of one trial come from that were computed elsewhere."""
    return str(imported_feature(name, PLAN.config["features"]["import"][name]).file(trial, PLAN.corpus.video_of[trial]))


def import_files(name):
    """The names of files in what the configuration says of a feature that was computed elsewhere."""
    return {key: PLAN.config["features"]["import"][name][key] for key in ("path", "kept")}


def embedding(wildcards):
    """What the configuration says of the embedding that the wildcards name."""
    return PLAN.config["features"]["embeddings"][wildcards.name]


def embedding_weights(wildcards):
    """Weights file of the embedding that the wildcards name, none for untrained ones."""
    return weights_file(embedding(wildcards)["weights"], PLAN.config["models_dir"])


def audio_embedding(wildcards):
    """What the configuration says of the embedding of audio that the wildcards name."""
    return PLAN.config["features"]["audio_embeddings"][wildcards.name]


def bodies_for(templates, trial):
    """The table of bodies of the trial's video, if some template needs it."""
    wanted = set(templates) & set(crop_templates.with_bodies())
    return at(paths.BODIES, video=PLAN.corpus.video_of[trial]) if wanted else []
