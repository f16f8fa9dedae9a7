"""The plan: everything that the configuration and the corpus decide, and checks of what would fail later."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildaffect import systems
from wildaffect.config import nearest
from wildaffect.corpus.folds import shared_groups
from wildaffect.corpus.trials import Corpus
from wildaffect.errors import InputError
from wildaffect.faces import templates as crop_templates
from wildaffect.faces.options import pack_files
from wildaffect.faces.overrides import check_trials, read_overrides
from wildaffect.features.registry import FEATURES
from wildaffect.features.registry import problems as feature_problems
from wildaffect.paths import SUBMISSION, wildcards
from wildaffect.scoring.ensembles import SYSTEM as ENSEMBLE
from wildaffect.tabulation.segments import RELATIVE, read_segments
from wildaffect.workflow.corpus import RawInputs, official_images, scan, tsav_alignments
from wildaffect.workflow.given import check_given_weights
from wildaffect.workflow.inputs import Inputs
from wildaffect.workflow.instances import Folds, Instance, check_instances, divide, list_instances, tasks_of
from wildaffect.workflow.outputs import Outputs, Runs, Submissions, check_smoothing, plan_outputs
from wildaffect.workflow.settings import complete_settings, with_single_passes


def check_held_out(folds: Folds, trainings: Iterable[Instance]) -> None:
    """Raise an `InputError` if any fold trains on a video, or on a subject, that it holds out."""
    kind = "videos" if folds.corpus.group_of == folds.corpus.video_of else "videos or subjects"
    used = {(task, instance.fold) for instance in trainings for task in tasks_of(instance)}
    problems = []
    for task, fold in sorted(used):
        if shared := shared_groups(folds.divisions.get((task, fold), {}), folds.corpus.group_of):
            problems.append(
                f"task {task}, fold {fold}: {len(shared)} {kind} are both trained on and held out, first {shared[0]!r}"
            )
    if problems:
        raise InputError(
            "corpus: training would see held-out videos.\n"
            + "\n".join(f"  - {problem}" for problem in problems)
            + "\nCorrect the "
            "partitions, or declare it with folds.allow_shared_videos: true; scores are then not those of unseen videos."
        )


def check_divisions(folds: Folds, trainings: Iterable[Instance]) -> None:
    """Raise an `InputError` if any training has no trials to learn from, or none by which the best epoch is selected."""
    problems = [
        f"fold {instance.fold} has no {partition} trials of task {', '.join(tasks_of(instance))}"
        for instance in trainings
        for partition in ("train", "validation")
        if not folds.trials_of(instance, partition)
    ]
    if problems:
        raise InputError(
            f"config.folds: scheme {folds.scheme} leaves trainings without trials, and the best epoch is selected on validation trials.\n"
            + "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
            + "\nChoose scheme: grouped, which makes folds of all labelled trials, name other folds or targets, or add annotations."
        )


def check_constant_labels(inputs: Inputs, raw: RawInputs, trainings: Iterable[Instance]) -> None:
    """Raise an `InputError` if the labels of a training are constant in every trial and its loss compares frames of one trial alone."""
    problems: dict[str, None] = {}
    for instance in trainings:
        spec = systems.spec(instance.system)
        columns = spec.targets[instance.target].labels.get("va", ())
        cure = spec.blind(inputs.base(instance), inputs.settings[instance]) if columns else ""
        if cure and not raw.learnable(inputs.folds.trials_of(instance, "train"), columns):
            problems[f"{instance.system}/{instance.variant}/{instance.target}: set {cure}"] = None
    if problems:
        raise InputError(
            "config.systems: the labels of valence and arousal are constant within every training trial, and these losses are a "
            "concordance within one stretch of a trial: they would stay at 1 whatever is learnt.\n"
            + "\n".join(f"  - {line}" for line in problems)
        )


def check_partial(config: Mapping[str, Any], runs: Runs, outputs: Outputs, submissions: Submissions) -> None:
    """Raise an `InputError` if a submission would be made with the weights of some folds only, which nobody allowed."""
    if config["submission"]["allow_partial"]:
        return
    submitted = {
        tuple(wildcards(SUBMISSION, path)[key] for key in ("system", "variant")) for path in submissions.paths()
    }
    sources = [
        source
        for system, variant in submitted
        for source in (outputs.ensembles[variant].sources if system == ENSEMBLE else outputs.tested(system, variant))
    ]
    missing = {source: folds for source in sorted({*sources}) if (folds := runs.missing(*source))}
    if missing:
        raise InputError(
            "submissions would be partial:\n"
            + "\n".join(
                f"  - {'/'.join(source)}: no weights of fold {', '.join(map(str, folds))}"
                for source, folds in missing.items()
            )
            + "\nTrain the missing folds or copy their folders, name the folds that are meant in config.systems.<name>.folds, or set "
            "submission.allow_partial: true."
        )


PARTS = ("labels", "faces", "features", "systems")
"""Parts of a run that need files or folders of their own."""
TABLES = "tables"
"""A part that is no part of the default target."""

TARGETS: dict[str, tuple[str, ...]] = {
    "media": (),
    "corpus": ("labels",),
    "faces": ("faces",),
    "overlays": ("faces",),
    "features": ("features",),
    "tables": (*PARTS, TABLES),
}
"""Targets of the workflow that need some parts only, or more than the default target; all others need `PARTS`."""


def needed_parts(targets: Iterable[str]) -> tuple[str, ...]:
    """Parts that a run for ``targets`` needs; the default target, and a result named by its file, need all.

    Examples:
        >>> needed_parts(["media", "faces"]), needed_parts([]) == needed_parts(["faces", "report"]) == PARTS
        (('faces',), True)
    """
    wanted = [TARGETS.get(target, PARTS) for target in targets] or [PARTS]
    return tuple(part for part in (*PARTS, TABLES) if any(part in parts for parts in wanted))


def check_files(config: Mapping[str, Any], inputs: Inputs, raw: RawInputs, parts: Sequence[str]) -> None:
    """Raise one `InputError` for all model, annotation, sample and override files that the run needs and that are missing or wrong."""
    problems = raw.annotation_problems() if "labels" in parts else []
    features = config["features"]
    if "faces" in parts or ("features" in parts and (features["embeddings"] or features["bodies"])):
        problems += _face_problems(config, inputs)
    if "features" in parts:
        sounds = [name for name in features["single_pass"] if name in FEATURES]
        needed = _made(inputs.features(), sounds)
        problems += feature_problems(features, needed, inputs.corpus.video_of, Path(config["models_dir"]))
    if "systems" in parts:
        problems += _sample_problems(config["submission"])
    if TABLES in parts:
        problems += _table_problems(config, inputs)
    if problems:
        raise InputError("configuration:\n" + "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems)))


def _face_problems(config: Mapping[str, Any], inputs: Inputs) -> list[str]:
    """Problems of detection, persons and crops."""
    models_dir, templates = Path(config["models_dir"]), inputs.templates()
    if config["faces"]["source"] == "official":
        problems = _official_problems(config, templates, list(inputs.corpus.video_of))
    elif config["faces"]["source"] == "tsav":
        problems = _tsav_problems(config["faces"], inputs.corpus)
    else:
        problems = _detector_problems(config["faces"], models_dir, inputs.corpus)
    scenes = [name for name in config["faces"]["single_pass"] if name in crop_templates.scenes()]
    shown = [name for name in _made(templates, scenes) if name in crop_templates.with_bodies()]
    if shown and not config["features"]["bodies"]:
        problems.append(
            f"features.bodies: crops {', '.join(shown)} show a person's body, or the scene without it, but no bodies are looked for. Set "
            "it to one of the sources keypoint_rcnn, openpose and face_box (guessed from the face), or leave out what needs them."
        )
    elif shown:
        bodies_alone = {**config["features"], "import": {}, "embeddings": {}}
        problems += feature_problems(bodies_alone, [], inputs.corpus.video_of, models_dir)
    return problems


def _sample_problems(submission: Mapping[str, Any]) -> list[str]:
    """Problems of the section `submission`."""
    problems = [
        f"submission.samples.{task}: {path} does not exist."
        for task, path in submission["samples"].items()
        if not Path(path).is_file()
    ]
    if submission["samples"] and len(submission["editions"]) != 1:
        problems.append("submission.samples: a sample belongs to one edition; name exactly one in submission.editions.")
    return problems


def _table_problems(config: Mapping[str, Any], inputs: Inputs) -> list[str]:
    """Problems of the section `tables`."""
    tables, corpus = config["tables"], inputs.corpus
    predicted = {column for i in inputs.instances for column in systems.spec(i.system).targets[i.target].columns}
    problems = [
        f"tables.thresholds: no system of this run predicts {name!r}{nearest(name, sorted(predicted))}"
        for name in tables["thresholds"]
        if name.removesuffix(RELATIVE).rpartition(".")[2] not in predicted
    ]
    if tables["speech"]:
        alone = {**config["features"], "import": {}, "embeddings": {}, "bodies": None}
        found = feature_problems(alone, ["speech"], corpus.video_of, Path(config["models_dir"]))
        problems += [f"{line} Or do without: tables.speech: false." for line in found]
    if tables["segments"]:
        try:
            read_segments(Path(tables["segments"]), corpus.video_of)
        except InputError as error:
            problems.append(f"tables.segments: {error}")
    return problems


def _made(needed: Sequence[str], together: Sequence[str]) -> list[str]:
    """What is made if `needed` is asked for: all of `together` as soon as one of them is needed."""
    return sorted({*needed, *together} if {*needed} & {*together} else needed)


def _detector_problems(faces: Mapping[str, Any], models_dir: Path, corpus: Corpus) -> list[str]:
    """Problems of the section `faces` with `source: detect`."""
    problems = []
    try:
        if faces["backend"] == "retinaface":
            pack_files(faces["model"], models_dir)
    except InputError as error:
        problems.append(f"{error} Without a download: faces.backend: dlib, faces.model: hog.")
    sources = {**crop_templates.resized(), crop_templates.SHEETS: crop_templates.SHEET_SOURCE}
    problems += [
        f"faces.single_pass: {name} is made from {sources[name]}, which is not named with it. Add {sources[name]} or leave out {name}."
        for name in faces["single_pass"]
        if name in sources and sources[name] not in faces["single_pass"]
    ]
    if faces["overrides"] and not Path(faces["overrides"]).is_file():
        problems.append(f"faces.overrides: {faces['overrides']} does not exist.")
    elif faces["overrides"]:
        try:
            check_trials(read_overrides(faces["overrides"]), corpus.video_of)
        except InputError as error:
            problems.append(f"faces.overrides: {error}")
    return problems


def _official_problems(config: Mapping[str, Any], templates: Sequence[str], trials: Sequence[str]) -> list[str]:
    """Problems of the section `faces` with `source: official`."""
    faces, problems = config["faces"], []
    images = official_images(faces["official_root"])
    kinds = [kind for kind in crop_templates.PRESENCE if kind in images]
    if not kinds:
        problems.append(
            f"faces.official_root: {faces['official_root']} is no folder that holds {', '.join(crop_templates.PRESENCE[:-1])} or "
            f"{crop_templates.PRESENCE[-1]} with a folder of images for each trial."
        )
    elif absent := [trial for trial in trials if trial not in images[kinds[0]]]:
        problems.append(
            f"faces.official_root: {len(absent)} of {len(trials)} trials have no folder of images in {kinds[0]}/, the first is "
            f"{absent[0]!r}."
        )
    if faces["overrides"]:
        problems.append("faces.overrides: corrects tracks, which faces.source official does not have.")
    if config["report"]["overlays"]:
        problems.append(
            "report.overlays: draws into videos where faces are, which faces.source official does not tell."
        )
    bodies = config["features"]["bodies"]
    if bodies and bodies["person"] == "face":
        problems.append(
            "features.bodies.person: face needs the places of faces, which faces.source official does not have. Use first"
            + (", and not source face_box." if bodies["source"] == "face_box" else ".")
        )
    try:
        crop_templates.check_official(templates, images)
    except InputError as error:
        problems.append(str(error))
    return problems


def _tsav_problems(faces: Mapping[str, Any], corpus: Corpus) -> list[str]:
    """Problems of the section `faces` with `source: tsav`."""
    problems = []
    if faces["overrides"]:
        problems.append("faces.overrides: corrects tracks, which faces.source tsav does not have.")
    if not faces["official_root"]:
        return [*problems, "faces.official_root: name the folder of TSAV's alignment archive for faces.source tsav."]
    try:
        found = tsav_alignments(faces["official_root"], corpus.trials)
    except InputError as error:
        return [*problems, str(error)]
    if absent := [trial.trial for trial in corpus.trials if trial.trial not in found]:
        problems.append(
            f"faces.official_root: {len(absent)} of {len(corpus.trials)} trials have no alignment in {faces['official_root']}, "
            f"the first is {absent[0]!r}."
        )
    return problems


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


def make_plan(raw: Mapping[str, Any], parts: Sequence[str] = PARTS) -> Plan:
    """Check and complete the configuration, scan the corpus and list the instances, before any job starts.

    Args:
        raw: The configuration as given.
        parts: What must be there to run (`needed_parts`).

    Raises:
        InputError: The message names everything that is wrong.
    """
    config = complete_settings(raw)
    corpus = scan(config["corpus"], Path(config["results_dir"]))
    folds = divide(corpus, config["folds"])
    instances = list_instances(config["systems"], folds.divisions)
    runs, inputs = Runs(config, folds, instances), Inputs(config, folds, instances)
    if "systems" in parts:
        check_instances(config["systems"], folds.divisions, instances)
        if not config["folds"]["allow_shared_videos"]:
            check_held_out(folds, runs.trainings())
        check_divisions(folds, runs.trainings())
    outputs = plan_outputs(config, tuple(corpus.labelled_tasks()), runs.predicted_targets())
    if "systems" in parts:
        check_smoothing(outputs)
    config = with_single_passes(config, inputs.templates(), inputs.features())
    given = RawInputs(config, corpus)
    check_files(config, inputs, given, parts)
    submissions = Submissions(config, corpus, outputs)
    if "systems" in parts:
        check_constant_labels(inputs, given, runs.trainings())
        check_partial(config, runs, outputs, submissions)
        check_given_weights(inputs, runs)
    return Plan(
        config,
        corpus,
        instances,
        folds,
        given,
        inputs,
        runs,
        outputs,
        submissions,
    )
