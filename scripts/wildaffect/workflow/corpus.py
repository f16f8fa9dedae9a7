"""The corpus that a configuration describes: its tables, and the raw files that a run starts from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wildaffect import paths
from wildaffect.corpus.folds import FOLDS, make_folds
from wildaffect.corpus.labels import LabelRules, check_labels, varies
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.timed import Range, read_ranges
from wildaffect.corpus.trials import TASKS, TRIALS, Corpus, Finding, Trial, trial_row, trials_table
from wildaffect.errors import InputError
from wildaffect.faces import templates as crop_templates
from wildaffect.faces.official_folders import ImageFolder, image_folders
from wildaffect.faces.options import pack_paths
from wildaffect.faces.templates import get_template
from wildaffect.faces.tsav_archive import alignment_files
from wildaffect.provenance import stable_hash
from wildaffect.scoring.editions import edition_tasks
from wildaffect.tables import write_table

_SHOWN = 3


def scan(block: Mapping[str, Any], results: Path) -> Corpus:
    """The corpus that the section `corpus` describes: scanned, but not in the folder `results`, or as the demo will be rendered."""
    if block["layout"] == "demo":
        from wildaffect.demo.corpus import demo_corpus

        return demo_corpus(**block["demo"])
    annotations = Path(block["annotations"]) if block["annotations"] else None
    return scan_corpus(
        block["layout"], Path(block["root"]), annotations, block["edition"], results, persons=block.get("persons", 1)
    )


def write_corpus_tables(
    trials: Path, folds: Path, *, corpus: Mapping[str, Any], folds_config: Mapping[str, Any]
) -> None:
    """Scan the corpus and write its tables.

    Args:
        trials: Table of trials to write, with the findings in its metadata.
        folds: Table of folds to write.
        corpus: Section `corpus` of the configuration.
        folds_config: Section `folds`.
    """
    found = scan(corpus, trials.parents[1])
    findings = [asdict(finding) for finding in found.findings]
    write_table(trials, trials_table(found.trials), TRIALS, {"findings": findings, "corpus": dict(corpus)})
    table = make_folds(found.trials, folds_config["scheme"], folds_config["count"], folds_config["seed"])
    write_table(folds, table, FOLDS, dict(folds_config))


@dataclass(frozen=True)
class RawInputs:
    """Files that the run starts from.

    Attributes:
        config: The completed configuration.
        corpus: Trials and findings.
    """

    config: Mapping[str, Any]
    corpus: Corpus

    def media_path(self, video: str) -> str:
        """Path of a raw video; the demo corpus is rendered below the results."""
        root = (
            paths.at(self.config["results_dir"], paths.DEMO_VIDEOS) if self.rendered else self.config["corpus"]["root"]
        )
        return f"{root}/{self.corpus.videos[video]}"

    def annotations(self) -> str:
        """Folder that annotation paths are relative to."""
        block = self.config["corpus"]
        return self._demo if self.rendered else block["annotations"] or block["root"]

    def annotation_files(self, task: str) -> list[str]:
        """Annotation files of all trials of `task`."""
        names = [trial.annotation(task) for trial in self.corpus.trials if trial.annotation(task)]
        return [f"{self.annotations()}/{name}" for name in names]

    def classes(self) -> list[str]:
        """Expressions of the edition that the annotations belong to; empty if it has none."""
        tasks = edition_tasks(self.config["corpus"]["edition"])
        found = [part.names for task in tasks.values() for part in task.parts if part.name == "expr"]
        return list(found[0]) if found else []

    def annotation_problems(self) -> list[str]:
        """What is wrong with labels of clips, the first lines of annotation files and excluded ranges, a line each; more than a few are
        counted."""
        rules, classes = self._label_rules(), self.classes()
        problems: dict[str, None] = {}
        for trial in () if self.rendered else self.corpus.trials:
            for task in TASKS:
                try:
                    check_labels(trial, task, Path(self.annotations()), classes, rules)
                except InputError as error:
                    problems[str(error)] = None
        more = [f"… and {len(problems) - _SHOWN} more of this kind."] if len(problems) > _SHOWN else []
        return [*problems][:_SHOWN] + more + self._range_problems()

    def _label_rules(self) -> LabelRules:
        return LabelRules.from_plain({key: value for key, value in self.config["labels"].items() if key != "exclude"})

    def _range_problems(self) -> list[str]:
        try:
            self._excluded_ranges()
        except InputError as error:
            return [f"labels.exclude: {error}"]
        return []

    def _excluded_ranges(self) -> dict[str, list[Range]]:
        path = self.config["labels"]["exclude"]
        return read_ranges(Path(path), self.corpus.video_of) if path else {}

    def excluded(self, task: str) -> dict[str, list[Range]]:
        """Ranges whose frames have no label, by trial that is labelled for `task`."""
        labelled = {trial.trial for trial in self.corpus.trials if trial.labelled(task)}
        return {trial: ranges for trial, ranges in self._excluded_ranges().items() if trial in labelled}

    def learnable(self, trials: Iterable[str], columns: Sequence[str]) -> bool:
        """Whether valence or arousal, as far as among ``columns``, varies within one of these trials; the demo's do.

        Files are read until one is found, mostly the first.
        """
        rules, chosen = self._label_rules(), {*trials}
        return self.rendered or any(
            varies(trial, "va", columns, Path(self.annotations()), self.classes(), rules)
            for trial in self.corpus.trials
            if trial.trial in chosen
        )

    def annotated_rows(self, task: str) -> list[dict[str, Any]]:
        """Rows of the trials table that are labelled for `task`, with the labels of whole clips."""
        return [
            trial_row(trial) | ({f"clip_{task}": label} if (label := trial.clip_label(task)) else {})
            for trial in self.corpus.trials
            if trial.labelled(task)
        ]

    def annotated_frames(self, task: str) -> list[str]:
        """Frame tables of the videos annotated for `task`."""
        videos = dict.fromkeys(trial.video for trial in self.corpus.trials if trial.labelled(task))
        return [paths.at(self.config["results_dir"], paths.FRAMES, video=video) for video in videos]

    def demo_annotations(self) -> list[str]:
        """Files that the demo corpus writes besides its videos; empty for other layouts."""
        if not self.rendered:
            return [f"{self._demo}/annotations"]
        return [name for task in TASKS for name in self.annotation_files(task)]

    def corpus_settings(self) -> dict[str, Any]:
        """Settings that the scan of the corpus depends on."""
        return {key: value for key, value in self.config["corpus"].items() if key != "accept_findings"}

    def corpus_hash(self) -> str:
        """Hash of the result of the scan."""
        rows: list[Trial | Finding] = [*self.corpus.trials, *self.corpus.findings]
        return stable_hash([asdict(row) for row in rows])

    @property
    def rendered(self) -> bool:
        """Whether the corpus is the demo."""
        return self.config["corpus"]["layout"] == "demo"

    @property
    def _demo(self) -> str:
        return paths.at(self.config["results_dir"], paths.DEMO)


PLACES = frozenset({"results_dir", "models_dir", "root", "annotations", "official_root", "path", "trained"})
"""Keys of the configuration that name folders, or files by a pattern."""


def detector_files(config: Mapping[str, Any]) -> list[str]:
    """Files of the detector's networks; empty for a detector that comes with its package."""
    faces = config["faces"]
    if faces["source"] != "detect" or faces["backend"] != "retinaface":
        return []
    return [str(path) for path in pack_paths(faces["model"], Path(config["models_dir"])).values()]


def official_images(root: str | None) -> dict[str, dict[str, ImageFolder]]:
    """Folders of images that others cut, by kind and trial, of the kinds that there are."""
    kinds = dict.fromkeys(kind for name in crop_templates.official() for kind, _ in get_template(name).official)
    found = {kind: image_folders(root, kind) for kind in kinds} if root else {}
    return {kind: folders for kind, folders in found.items() if folders}


def tsav_alignments(root: str, trials: Iterable[Trial]) -> dict[str, str]:
    """File of TSAV's alignment archive by trial, as far as there is one."""
    files = alignment_files(root)
    return {t.trial: str(files[t.video, t.person]) for t in trials if (t.video, t.person) in files}


def given_values(settings: Any) -> list[str]:
    """Files that values of ``settings`` name, however deep, in order: initial weights in a recipe."""
    if isinstance(settings, Mapping):
        return [path for value in settings.values() for path in given_values(value)]
    return [settings] if isinstance(settings, str) and Path(settings).is_file() else []


def without_given(settings: Any) -> Any:
    """``settings`` without files and folders: what is in them counts, not where they are."""
    if isinstance(settings, Mapping):
        return {key: without_given(value) for key, value in settings.items() if key not in PLACES}
    return None if given_values(settings) else settings
