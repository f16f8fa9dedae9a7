"""Files that a run starts from: what somebody gave, or videos and annotations rendered for the demo."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wildaffect.corpus.trials import TASKS, Corpus
from wildaffect.faces.packs import pack_files
from wildaffect.provenance import stable_hash

PLACES = frozenset({"results_dir", "models_dir", "root", "annotations", "official_root", "path", "trained"})
"""Keys of the configuration that name folders, or files by a pattern."""


@dataclass(frozen=True)
class Given:
    """``config``: the completed configuration."""

    config: Mapping[str, Any]
    corpus: Corpus

    def media_path(self, video: str) -> str:
        """Path of a raw video; the demo corpus is rendered below the results."""
        root = f"{self._demo}/videos" if self.rendered else self.config["corpus"]["root"]
        return f"{root}/{self.corpus.videos[video]}"

    def annotations(self) -> str:
        """Folder that annotation paths are relative to."""
        block = self.config["corpus"]
        return self._demo if self.rendered else block["annotations"] or block["root"]

    def annotation_files(self, task: str) -> list[str]:
        """Annotation files of all trials of ``task``."""
        names = [trial.annotation(task) for trial in self.corpus.trials if trial.annotation(task)]
        return [f"{self.annotations()}/{name}" for name in names]

    def annotated_rows(self, task: str) -> list[dict[str, Any]]:
        """Rows of the trials table that have an annotation of ``task``."""
        return [asdict(trial) for trial in self.corpus.trials if trial.annotation(task)]

    def annotated_frames(self, task: str) -> list[str]:
        """Frame tables of the videos annotated for ``task``."""
        videos = dict.fromkeys(trial.video for trial in self.corpus.trials if trial.annotation(task))
        return [f"{self.config['results_dir']}/media/{video}/frames.parquet" for video in videos]

    def demo_annotations(self) -> list[str]:
        """Files that the demo corpus writes besides its videos; empty for other layouts."""
        if not self.rendered:
            return [f"{self._demo}/annotations"]
        return [name for task in TASKS for name in self.annotation_files(task)]

    def detector_files(self) -> list[str]:
        """Files of the detector's networks; empty for a detector that comes with its package."""
        faces = self.config["faces"]
        if faces["backend"] != "retinaface":
            return []
        return [str(path) for path in pack_files(faces["model"], Path(self.config["models_dir"])).values()]

    def detector_variant(self) -> str | None:
        """Which of its detectors a package uses; None where its files say it."""
        return None if self.detector_files() else self.config["faces"]["model"]

    def official_folders(self, kind: str, trials: Iterable[str]) -> list[str]:
        """The organisers' images of ``trials``, as far as they are there; ``kind`` is ``cropped_aligned`` or ``cropped``."""
        folders = (f"{self.config['faces']['official_root']}/{kind}/{trial}" for trial in trials)
        return [folder for folder in folders if Path(folder).is_dir()]

    def corpus_settings(self) -> dict[str, Any]:
        """What the scan of the corpus depends on."""
        return {key: value for key, value in self.config["corpus"].items() if key != "accept_findings"}

    def corpus_hash(self) -> str:
        """Changes when the scan of the corpus finds something else."""
        return stable_hash([asdict(row) for row in (*self.corpus.trials, *self.corpus.findings)])

    def settings(self) -> dict[str, Any]:
        """The configuration without what can be moved, as what lies there stays what it is."""
        return without_given(self.config)

    @property
    def rendered(self) -> bool:
        """The corpus is the demo."""
        return self.config["corpus"]["layout"] == "demo"

    @property
    def _demo(self) -> str:
        return f"{self.config['results_dir']}/corpus/demo"


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
