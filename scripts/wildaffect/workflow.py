"""From a configuration to the list of what has to be made: pure functions behind the workflow's input functions.

Imports nothing heavy: it runs each time the workflow is parsed.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from wildaffect import systems
from wildaffect.config import complete, load_schema, nearest
from wildaffect.corpus.blocks import cut_blocks
from wildaffect.corpus.folds import FOLDS, fold_rows, make_folds
from wildaffect.corpus.labels import VALENCE_AROUSAL
from wildaffect.corpus.leakage import shared_videos
from wildaffect.corpus.members import members
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.trials import PARTITIONS, TASKS, TRIALS, Corpus, Trial, trials_table
from wildaffect.delivery import Delivery, plan_delivery
from wildaffect.errors import InputError
from wildaffect.faces.catalogue import SCENES, check_official
from wildaffect.faces.packs import pack_files
from wildaffect.features.registry import of_trial
from wildaffect.features.settings import problems as feature_problems
from wildaffect.files import json_beside
from wildaffect.provenance import stable_hash
from wildaffect.scoring.editions import Task, edition_tasks, get_task
from wildaffect.scoring.ensembles import Offer
from wildaffect.submission.job import submitted_trials
from wildaffect.systems.interface import Needs
from wildaffect.tables import write_table

EDGE_BYTES = 65536


@dataclass(frozen=True, order=True)
class Instance:
    """One training job: a system's variant, trained for one target on one fold."""

    system: str
    variant: str
    target: str
    fold: int

    @property
    def key(self) -> str:
        """Path of the instance below ``runs/`` and ``predictions/``."""
        return f"{self.system}/{self.variant}/{self.target}/fold{self.fold}"


@dataclass(frozen=True)
class Plan:
    """Everything that the configuration and the corpus decide."""

    config: Mapping[str, Any]
    corpus: Corpus
    divisions: Mapping[tuple[str, int], Mapping[str, tuple[str, ...]]]
    instances: tuple[Instance, ...]
    delivery: Delivery

    @property
    def results(self) -> str:
        """Folder of everything that is made."""
        return self.config["results_dir"]

    def state_folder(self) -> str:
        """Where unfinished trainings keep what they need to go on; not a result."""
        return f"{self.results}/state"

    def trial(self, name: str) -> Trial:
        """The trial called ``name``."""
        return self._trials[name]

    @cached_property
    def _trials(self) -> dict[str, Trial]:
        return {trial.trial: trial for trial in self.corpus.trials}

    @cached_property
    def _videos(self) -> dict[str, str]:
        """The source video of each trial."""
        return {trial.trial: trial.video for trial in self.corpus.trials}

    def trials(self, task: str, fold: int, partition: str) -> tuple[str, ...]:
        """Trials of a partition in a fold; the test trials are those of every fold."""
        fold = 0 if partition == "test" else fold
        return self.divisions.get((task, fold), {}).get(partition, ())

    def labelled_tasks(self) -> list[str]:
        """Tasks with at least one annotation."""
        return [task for task in TASKS if any(trial.annotation(task) for trial in self.corpus.trials)]

    def trials_of(self, instance: Instance, partition: str) -> tuple[str, ...]:
        """Trials of a partition as one instance sees them: those of all tasks of its target."""
        return self._members(tasks_of(instance), instance.fold, partition)

    def _members(self, tasks: Sequence[str], fold: int, partition: str) -> tuple[str, ...]:
        fold = 0 if partition == "test" else fold
        divisions = {task: self.divisions.get((task, fold), {}) for task in tasks}
        chosen = members(divisions, partition, self._videos)
        return tuple(dict.fromkeys(name for names in chosen.values() for name in names))

    def fold_rows(self, instance: Instance) -> list[dict[str, Any]]:
        """Rows of the folds table that concern the training of ``instance``."""
        divisions = {task: self.divisions.get((task, instance.fold), {}) for task in tasks_of(instance)}
        scheme = self.config["folds"]["scheme"]
        return [
            {"task": task, "fold": instance.fold, "trial": name, "partition": partition, "scheme": scheme}
            for partition in ("train", "validation")
            for task, names in members(divisions, partition, self._videos).items()
            for name in names
        ]

    def member_rows(self, instance: Instance) -> list[dict[str, Any]]:
        """Rows of the trials table that concern the training of ``instance``."""
        wanted = {row["trial"] for row in self.fold_rows(instance)}
        return [asdict(trial) for trial in self.corpus.trials if trial.trial in wanted]

    def predicted_table(self, instance: Instance, partition: str) -> str:
        """Table with the trials of ``partition``: for held-out ones that of the training, which other videos do not change."""
        folder = f"members/{instance.key}/" if partition == "validation" else ""
        return f"{self.results}/corpus/{folder}trials.parquet"

    def trainings(self) -> list[Instance]:
        """Instances that have to be trained here."""
        return [instance for instance in self.instances if not self.system_config(instance.system)["trained"]]

    def run_file(self, instance: Instance, name: str) -> str:
        """A file of the instance's run folder."""
        return f"{self.results}/runs/{instance.key}/{name}"

    def weights(self, instance: Instance) -> str:
        """Weights to predict with: trained here, or given."""
        trained = self.system_config(instance.system)["trained"]
        return trained_file(Path(trained), instance) if trained else self.run_file(instance, "model.safetensors")

    def training_files(self, instance: Instance) -> dict[str, list[str]]:
        """Per-trial files that training reads: those of its training and validation trials."""
        names = [*self.trials_of(instance, "train"), *self.trials_of(instance, "validation")]
        return self.sample_files(instance, names)

    def prediction_files(self, instance: Instance, partition: str) -> dict[str, list[str]]:
        """Per-trial files that prediction reads."""
        return self.sample_files(instance, self.trials_of(instance, partition))

    def sample_files(self, instance: Instance, trials: Sequence[str]) -> dict[str, list[str]]:
        """Frame tables, crops, features and, for systems that draw landmarks, tables of persons of ``trials``."""
        needs = self._needs[instance]
        return {
            part: [path for kind in kinds for path in self.kind_files(kind, trials)]
            for part, kinds in _kinds(needs).items()
        }

    def kind_files(self, kind: str, trials: Sequence[str]) -> list[str]:
        """Files of one kind: ``frames``, ``persons``, ``crops.<template>`` or ``features.<feature>``."""
        part, _, name = kind.partition(".")
        videos = list(dict.fromkeys(self._videos[trial] for trial in trials))
        if part == "frames":
            return [f"{self.results}/media/{video}/frames.parquet" for video in videos]
        if part == "persons":
            return [f"{self.results}/faces/{video}/persons.parquet" for video in videos]
        if part == "crops":
            return [f"{self.results}/crops/{name}/{trial}.arrow" for trial in trials]
        return [f"{self.results}/features/{name}/{owner}.npy" for owner in (trials if of_trial(name) else videos)]

    def training_lists(self, instance: Instance) -> dict[str, list[str]]:
        """Lists that together hold :meth:`training_files`."""
        return self._lists(instance, "train", "validation")

    def prediction_lists(self, instance: Instance, partition: str) -> dict[str, list[str]]:
        """Lists that together hold :meth:`prediction_files`."""
        return self._lists(instance, partition)

    def listed_files(self, kind: str, block: str) -> list[str]:
        """Files of one kind of all trials of a block."""
        return self.kind_files(kind, self._block_trials[block])

    def _lists(self, instance: Instance, *partitions: str) -> dict[str, list[str]]:
        needs = self._needs[instance]
        tasks = tasks_of(instance)
        # Given weights may be of folds that this corpus does not have; its test trials are those of every fold.
        keys = [(tasks, 0 if part == "test" else instance.fold, part) for part in partitions]
        blocks = dict.fromkeys(block for key in keys for block in self._blocks.get(key, ()))
        names = [stable_hash(block) for block in blocks]
        return {
            part: [f"{self.results}/lists/{name}/{kind}.json" for kind in kinds for name in names]
            for part, kinds in _kinds(needs).items()
        }

    @cached_property
    def _blocks(self) -> dict[tuple[tuple[str, ...], int, str], list[tuple[str, ...]]]:
        """Blocks of trials by tasks, fold and partition. Folds alone decide them, whatever systems there are."""
        found = {}
        for tasks in dict.fromkeys(map(tasks_of, self.instances)):
            folds = sorted({fold for task, fold in self.divisions if task in tasks})
            keys = [(tasks, fold, part) for fold in folds for part in PARTITIONS]
            found |= cut_blocks({key: self._members(*key) for key in keys})
        return found

    @cached_property
    def _block_trials(self) -> dict[str, tuple[str, ...]]:
        return {stable_hash(block): block for blocks in self._blocks.values() for block in blocks}

    def prediction_paths(self, *partitions: str) -> list[str]:
        """All prediction tables: of held-out validation trials as they are scored, and of test trials by each fold."""
        chosen = partitions or ("validation", "test")
        tests = [
            f"{self.results}/predictions/{instance.key}/test.parquet"
            for instance in self.instances
            if self.trials_of(instance, "test")
        ]
        return self.delivery.validation() * ("validation" in chosen) + tests * ("test" in chosen)

    def offers(self) -> dict[tuple[str, str, str], Offer]:
        """What the instances predict, by system, variant and target."""
        groups: dict[tuple[str, str, str], list[Instance]] = {}
        for instance in self.instances:
            groups.setdefault((instance.system, instance.variant, instance.target), []).append(instance)
        found = {}
        for name, instances in groups.items():
            held_out = {instance.fold: frozenset(self.trials_of(instance, "validation")) for instance in instances}
            columns = systems.spec(name[0]).targets[name[2]].columns
            found[name] = Offer(columns, held_out, frozenset(self.trials_of(instances[0], "test")))
        return found

    def known_labels(self, instance: Instance, partition: str) -> list[str]:
        """Label tables of a held-out partition: ``faithful`` systems predict its annotated rows apart from the others."""
        tasks = tasks_of(instance) if partition == "validation" else ()
        return [f"{self.results}/labels/{task}.parquet" for task in tasks if task in self.labelled_tasks()]

    def fold_predictions(self, system: str, variant: str, target: str) -> list[str]:
        """Test predictions of all folds of one variant and target."""
        wanted = (system, variant, target)
        instances = [i for i in self.instances if (i.system, i.variant, i.target) == wanted]
        return [f"{self.results}/predictions/{instance.key}/test.parquet" for instance in instances]

    def ensemble_paths(self) -> list[str]:
        """Test predictions of everything that is submitted, folds fused."""
        return self.delivery.tests()

    def score_paths(self) -> list[str]:
        """Score tables, if anything held out is labelled."""
        if not self.prediction_paths("validation"):
            return []
        return [f"{self.results}/scores/scores.csv", f"{self.results}/scores/trials.csv"]

    def submission_predictions(self, edition: str, system: str, variant: str, task: str) -> list[str]:
        """Test predictions that make up one submission."""
        names = {name for part in get_task(edition, task).parts for name in part.names}
        chosen = [
            source for source, offer in self.delivery.tested(system, variant).items() if names & set(offer.columns)
        ]
        return [self.delivery.path(source, "ensemble", "test") for source in chosen]

    def submission_trials(self, edition: str, task: str) -> list[Trial]:
        """Test trials of a submission, as far as the corpus knows them."""
        return submitted_trials(self.corpus.trials, get_task(edition, task))

    def submission_frames(self, edition: str, task: str) -> list[str]:
        """Frame tables of the videos of a submission."""
        videos = dict.fromkeys(trial.video for trial in self.submission_trials(edition, task))
        return [f"{self.results}/media/{video}/frames.parquet" for video in videos]

    def sample(self, task: str) -> list[str]:
        """The organisers' sample for ``task``; empty where none was given."""
        return [self.config["submission"]["samples"][task]] if task in self.config["submission"]["samples"] else []

    def submission_paths(self) -> list[str]:
        """Records of submissions, one per edition, variant or ensemble, and task of a labelled corpus with test trials.

        Only where the form of the edition's files is known and the targets together predict all that they hold (valence without arousal
        makes none).
        """
        if not self.labelled_tasks():
            return []
        return [
            f"{self.results}/submissions/{edition}/{system}/{variant}/{name}.json"
            for edition in self.config["submission"]["editions"]
            for system, variant in self.delivery.tested_variants()
            for name, task in edition_tasks(edition).items()
            if task.format
            and (self.sample(name) or self.submission_trials(edition, name))
            and self._covers(system, variant, task)
        ]

    def export_paths(self) -> list[str]:
        """Folders of CSV files, one per variant or ensemble with test trials."""
        return [f"{self.results}/exports/{'/'.join(variant)}" for variant in self.delivery.tested_variants()]

    def media_path(self, video: str) -> str:
        """Path of a raw video; the demo corpus is rendered below the results."""
        root = (
            f"{self.results}/corpus/demo/videos"
            if self.config["corpus"]["layout"] == "demo"
            else self.config["corpus"]["root"]
        )
        return f"{root}/{self.corpus.videos[video]}"

    def media_identity(self, video: str) -> str:
        """What the results of a given video depend on, whatever its time stamp; a rendered one is made by a rule."""
        if self.config["corpus"]["layout"] == "demo":
            return "rendered"
        return media_identity(Path(self.media_path(video)))

    def annotations(self) -> str:
        """Folder that annotation paths are relative to."""
        block = self.config["corpus"]
        return f"{self.results}/corpus/demo" if block["layout"] == "demo" else block["annotations"] or block["root"]

    def annotated_rows(self, task: str) -> list[dict[str, Any]]:
        """Rows of the trials table that have an annotation of ``task``."""
        return [asdict(trial) for trial in self.corpus.trials if trial.annotation(task)]

    def annotated_frames(self, task: str) -> list[str]:
        """Frame tables of the videos annotated for ``task``."""
        videos = dict.fromkeys(trial.video for trial in self.corpus.trials if trial.annotation(task))
        return [f"{self.results}/media/{video}/frames.parquet" for video in videos]

    def corpus_settings(self) -> dict[str, Any]:
        """What the scan of the corpus depends on."""
        return {key: value for key, value in self.config["corpus"].items() if key != "accept_findings"}

    def annotation_files(self, task: str) -> list[str]:
        """Annotation files of all trials of ``task``."""
        names = [trial.annotation(task) for trial in self.corpus.trials if trial.annotation(task)]
        return [f"{self.annotations()}/{name}" for name in names]

    def templates(self) -> list[str]:
        """Crop templates that this run needs."""
        embedded = {entry["crops"] for entry in self.config["features"]["embeddings"].values()}
        needed = {template for i in self.instances for template in self._needs[i].crops}
        return sorted(embedded | needed)

    def features(self) -> list[str]:
        """Features that this run needs."""
        return sorted({feature for i in self.instances for feature in self._needs[i].features})

    def demo_annotations(self) -> list[str]:
        """Files that the demo corpus writes besides its videos; empty for other layouts."""
        if self.config["corpus"]["layout"] != "demo":
            return [f"{self.results}/corpus/demo/annotations"]
        return [name for task in TASKS for name in self.annotation_files(task)]

    def corpus_hash(self) -> str:
        """Changes when the scan of the corpus finds something else."""
        return stable_hash([asdict(row) for row in (*self.corpus.trials, *self.corpus.findings)])

    def _covers(self, system: str, variant: str, task: Task) -> bool:
        columns = {name for offer in self.delivery.tested(system, variant).values() for name in offer.columns}
        return all(set(part.names) <= columns for part in task.parts)

    @cached_property
    def _needs(self) -> dict[Instance, Needs]:
        """What each instance reads; given weights keep the recipe they were trained with, as when predicting."""
        return {instance: self._needs_of(instance) for instance in self.instances}

    def _needs_of(self, instance: Instance) -> Needs:
        block = self.system_config(instance.system)
        recorded = json_beside(self.weights(instance), "run.json") if block["trained"] else None
        recipe = {**(recorded or {}).get("recipe", {}), **block["recipe"]}
        resolved = systems.resolve_recipe(instance.system, recipe)
        return systems.spec(instance.system).needs(instance.variant, block["mode"], resolved)

    def system_config(self, system: str) -> Mapping[str, Any]:
        """The completed configuration block of a system."""
        return self.config["systems"][system]


def make_plan(raw: Mapping[str, Any], schemas: Path) -> Plan:
    """Check ``raw`` against the schemas in the folder ``schemas``, scan the corpus and list the instances.

    Raises :class:`InputError` with everything that is wrong, before any job starts.
    """
    config = complete(raw, load_schema(schemas / "config.schema.yaml"))
    common = load_schema(schemas / "system.schema.yaml")
    wanted = _system_blocks(config["systems"])
    config["systems"] = {name: _system_config(name, block, common) for name, block in wanted.items()}
    declared = config["score"]["ensembles"]
    config["score"]["ensembles"] = {name: _ensemble_config(name, block, schemas) for name, block in declared.items()}
    corpus = _scan(config)
    scheme = config["folds"]
    rows = fold_rows(corpus.trials, scheme["scheme"], scheme["count"], scheme["seed"])
    divisions: dict[tuple[str, int], dict[str, list[str]]] = {}
    for row in rows:
        division = divisions.setdefault((row["task"], row["fold"]), {})
        division.setdefault(row["partition"], []).append(row["trial"])
    frozen = {key: {name: tuple(trials) for name, trials in division.items()} for key, division in divisions.items()}
    instances = [instance for name, block in config["systems"].items() for instance in _instances(name, block, frozen)]
    plan = Plan(config, corpus, frozen, tuple(instances), Delivery(config))
    _check_held_out(plan)
    plan = replace(plan, delivery=plan_delivery(config, tuple(plan.labelled_tasks()), plan.offers()))
    _check_files(plan)
    return plan


def _kinds(needs: Needs) -> dict[str, list[str]]:
    """Kinds of files that ``needs`` asks for, by the parts that a job names."""
    return {
        "frames": ["frames"],
        "crops": [f"crops.{template}" for template in needs.crops],
        "features": [f"features.{feature}" for feature in needs.features],
        "persons": ["persons"] if needs.masks else [],
    }


def tasks_of(instance: Instance) -> tuple[str, ...]:
    """The tasks whose labels an instance is trained and scored on."""
    return tuple(systems.spec(instance.system).targets[instance.target].labels)


def media_identity(path: Path) -> str:
    """Identity of a raw video: its size and a hash of its first and last 64 KiB.

    Copying a file again changes its time but not this, so nothing is rerun; replacing its content changes it.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        head = handle.read(EDGE_BYTES)
        handle.seek(max(0, size - EDGE_BYTES))
        return stable_hash([size, head.hex(), handle.read().hex()])


def write_corpus_tables(
    trials: Path, folds: Path, *, corpus: Mapping[str, Any], folds_config: Mapping[str, Any]
) -> None:
    """Scan the corpus again and write ``corpus/trials.parquet`` (findings in its metadata) and ``corpus/folds.parquet``."""
    found = _scan({"corpus": corpus})
    findings = [asdict(finding) for finding in found.findings]
    write_table(trials, trials_table(found.trials), TRIALS, {"findings": findings, "corpus": dict(corpus)})
    table = make_folds(found.trials, folds_config["scheme"], folds_config["count"], folds_config["seed"])
    write_table(folds, table, FOLDS, dict(folds_config))


def trained_file(trained: Path, instance: Instance) -> str:
    """Where given weights of ``instance`` are: below a runs folder, or the one weights file."""
    return str(trained / instance.key / "model.safetensors" if trained.is_dir() else trained)


def _ensemble_config(name: str, block: Mapping[str, Any] | None, schemas: Path) -> dict[str, Any]:
    """The block of one ensemble, smoothed by the same keys as a system."""
    schema = load_schema(schemas / "ensemble.schema.yaml")
    schema["properties"]["smoothing"] = load_schema(schemas / "system.schema.yaml")["properties"]["smoothing"]
    return complete(block or {}, schema, f"config.score.ensembles.{name}")


def _check_held_out(plan: Plan) -> None:
    """No fold may train on a video that it holds out, unless the configuration declares it."""
    if plan.config["folds"]["allow_shared_videos"]:
        return
    videos = {trial.trial: trial.video for trial in plan.corpus.trials}
    used = {(task, instance.fold) for instance in plan.trainings() for task in tasks_of(instance)}
    problems = []
    for task, fold in sorted(used):
        if shared := shared_videos(plan.divisions.get((task, fold), {}), videos):
            problems.append(
                f"task {task}, fold {fold}: {len(shared)} videos are both trained on and held out, first {shared[0]!r}"
            )
    if problems:
        raise InputError(
            "corpus: training would see held-out videos.\n"
            + "\n".join(f"  - {problem}" for problem in problems)
            + "\nCorrect the "
            "partitions, or declare it with folds.allow_shared_videos: true; scores are then not those of unseen videos."
        )


def _check_files(plan: Plan) -> None:
    """Model, sample and override files that the run will need; all that are missing in one message."""
    faces, models_dir = plan.config["faces"], Path(plan.config["models_dir"])
    problems = _official_problems(plan) if faces["source"] == "official" else _detector_problems(faces, models_dir)
    videos = {trial.trial: trial.video for trial in plan.corpus.trials}
    problems += feature_problems(plan.config["features"], plan.features(), videos, models_dir)
    shown = [template for template in plan.templates() if SCENES.get(template)]
    if shown and not plan.config["features"]["bodies"]:
        problems.append(
            f"features.bodies: crops {', '.join(shown)} show a person's body, or the scene without it, but nobody looks for bodies. Set "
            "it to one of the sources keypoint_rcnn, openpose and face_box (guessed from the face), or leave out what needs them."
        )
    submission = plan.config["submission"]
    problems += [
        f"submission.samples.{task}: {path} does not exist."
        for task, path in submission["samples"].items()
        if not Path(path).is_file()
    ]
    if submission["samples"] and len(submission["editions"]) != 1:
        problems.append("submission.samples: a sample belongs to one edition; name exactly one in submission.editions.")
    if problems:
        raise InputError("configuration:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _detector_problems(faces: Mapping[str, Any], models_dir: Path) -> list[str]:
    """What keeps faces from being detected."""
    problems = []
    try:
        if faces["backend"] == "retinaface":
            pack_files(faces["model"], models_dir)
    except InputError as error:
        problems.append(f"{error} Without a download: faces.backend: dlib, faces.model: hog.")
    if faces["overrides"] and not Path(faces["overrides"]).is_file():
        problems.append(f"faces.overrides: {faces['overrides']} does not exist.")
    return problems


def _official_problems(plan: Plan) -> list[str]:
    """What keeps the organisers' pictures from being used."""
    faces, problems = plan.config["faces"], []
    if not faces["official_root"] or not (Path(faces["official_root"]) / "cropped_aligned").is_dir():
        problems.append(f"faces.official_root: {faces['official_root']} is no folder that holds cropped_aligned/.")
    if faces["overrides"]:
        problems.append("faces.overrides: corrects tracks, which faces.source official does not have.")
    bodies = plan.config["features"]["bodies"]
    if bodies and bodies["person"] == "face":
        problems.append(
            "features.bodies.person: face needs the places of faces, which faces.source official does not have. Use first"
            + (", and not source face_box." if bodies["source"] == "face_box" else ".")
        )
    try:
        check_official(plan.templates())
    except InputError as error:
        problems.append(str(error))
    return problems


def _scan(config: Mapping[str, Any]) -> Corpus:
    block = config["corpus"]
    if block["layout"] == "demo":
        from wildaffect.demo.corpus import demo_corpus

        return demo_corpus(**block["demo"])
    annotations = Path(block["annotations"]) if block["annotations"] else None
    return scan_corpus(block["layout"], Path(block["root"]), annotations, block["edition"])


def _system_blocks(wanted: Mapping[str, Any] | list[str]) -> dict[str, Mapping[str, Any]]:
    """The blocks of the systems to run. A list names systems that run by their defaults; ``[all]`` names every one."""
    if isinstance(wanted, list):
        return {name: {} for name in (systems.available() if wanted == ["all"] else wanted)}
    for name, block in wanted.items():
        if block not in (None, False) and not isinstance(block, Mapping):
            raise InputError(
                f"configuration:\n  - config.systems.{name}: {block!r} is no block of settings. Values inside blocks given by --config are "
                "text; write them into a file and name it with --configfile."
            )
    return {name: block or {} for name, block in wanted.items() if block is not False}


def _system_config(name: str, block: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """The block of one system: the keys that all systems share, and the recipe by the schema in the system's folder."""
    if name not in systems.available():
        raise InputError(
            f"configuration:\n  - config.systems: unknown system {name!r}{nearest(name, systems.available())}"
        )
    spec = systems.spec(name)
    schema = deepcopy(dict(common))
    schema["properties"]["variants"] |= {"items": {"enum": list(spec.variants)}, "default": list(spec.variants)}
    schema["properties"]["targets"] |= {"items": {"enum": list(spec.targets)}, "default": list(spec.targets)}
    schema["properties"]["mode"] |= {"enum": list(spec.modes)}
    fusion = schema["properties"]["fusion"]["properties"]["method"]
    if _has_other_columns(spec, block.get("targets", spec.targets)):
        # Centring is defined for valence and arousal alone.
        fusion |= {"enum": ["mean"], "default": "mean"}
    filled = complete(block, schema, f"config.systems.{name}")
    # Only checked here: the configuration keeps what was asked for, the run record says what it came to.
    complete(filled["recipe"], spec.schema["properties"]["recipe"], f"config.systems.{name}.recipe")
    return filled


def _has_other_columns(spec, targets: Sequence[str]) -> bool:
    """Some target predicts more than valence and arousal; unknown names are found by the schema."""
    known = [target for name, target in spec.targets.items() if isinstance(targets, Sequence) and name in targets]
    return any(set(target.columns) - set(VALENCE_AROUSAL) for target in known)


def _instances(name: str, block: Mapping[str, Any], divisions) -> list[Instance]:
    """Instances of one system; training needs training trials, prediction alone needs weights.

    A variant is left out for targets that it does not have, as long as one remains.
    """
    wanted = []
    for variant in block["variants"]:
        known = systems.spec(name).targets_of(variant)
        targets = [target for target in block["targets"] if target in known]
        if not targets:
            raise InputError(
                f"config.systems.{name}: {variant} has none of the targets {', '.join(block['targets'])}; it has {', '.join(known)}."
            )
        for target in targets:
            tasks = tasks_of(Instance(name, variant, target, 0))
            folds = _folds(name, block, variant, target, tasks, divisions)
            wanted += [Instance(name, variant, target, fold) for fold in folds]
    trained = block["trained"]
    if trained and not Path(trained).exists():
        raise InputError(f"config.systems.{name}.trained: {trained} does not exist.")
    if trained and Path(trained).is_file() and len(wanted) > 1:
        raise InputError(
            f"config.systems.{name}.trained is one weights file, but {len(wanted)} instances are asked for: "
            "name one variant, one target and one fold, or give a runs folder."
        )
    return wanted


def _folds(name: str, block, variant: str, target: str, tasks: Sequence[str], divisions) -> list[int]:
    """The folds to run for one variant and target."""
    if block["trained"]:
        pattern = f"{name}/{variant}/{target}/fold*/model.safetensors"
        found = sorted(int(path.parent.name.removeprefix("fold")) for path in Path(block["trained"]).glob(pattern))
        known = found if Path(block["trained"]).is_dir() else [0]
        missing = f"config.systems.{name}.trained: no {pattern} below {block['trained']}."
    else:
        trained = [
            {fold for (task, fold), parts in divisions.items() if task == own and parts.get("train")} for own in tasks
        ]
        known = sorted(set.intersection(*trained))
        missing = (
            f"config.systems.{name}: the corpus has no training labels for {target} (it learns {', '.join(tasks)}). Choose other targets, "
            f"set config.systems.{name}.trained to the runs folder of a trained run or to a weights file, or annotate the corpus."
        )
    if not known:
        raise InputError(missing)
    if block["folds"] == "all":
        return known
    unknown = sorted(set(block["folds"]) - set(known))
    if unknown:
        raise InputError(f"config.systems.{name}.folds: there is no fold {unknown}; known: {known}.")
    return sorted(block["folds"])
