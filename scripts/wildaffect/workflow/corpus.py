"""The corpus as a configuration describes it: its tables, and the raw files that a run starts from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wildaffect import paths
from wildaffect.corpus.folds import FOLDS, make_folds
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.trials import TASKS, TRIALS, Corpus, trials_table
from wildaffect.provenance import stable_hash
from wildaffect.tables import write_table


def scan(block: Mapping[str, Any]) -> Corpus:
    """The corpus that the section ``corpus`` describes: scanned, or as the demo will render it."""
    if block["layout"] == "demo":
        from wildaffect.demo.corpus import demo_corpus

        return demo_corpus(**block["demo"])
    annotations = Path(block["annotations"]) if block["annotations"] else None
    return scan_corpus(block["layout"], Path(block["root"]), annotations, block["edition"])


def write_corpus_tables(
    trials: Path, folds: Path, *, corpus: Mapping[str, Any], folds_config: Mapping[str, Any]
) -> None:
    """Scan the corpus again and write ``corpus/trials.parquet`` (findings in its metadata) and ``corpus/folds.parquet``."""
    found = scan(corpus)
    findings = [asdict(finding) for finding in found.findings]
    write_table(trials, trials_table(found.trials), TRIALS, {"findings": findings, "corpus": dict(corpus)})
    table = make_folds(found.trials, folds_config["scheme"], folds_config["count"], folds_config["seed"])
    write_table(folds, table, FOLDS, dict(folds_config))


EDGE_BYTES = 65536


@dataclass(frozen=True)
class RawInputs:
    """``config``: the completed configuration."""

    config: Mapping[str, Any]
    corpus: Corpus

    def media_path(self, video: str) -> str:
        """Path of a raw video; the demo corpus is rendered below the results."""
        root = (
            paths.at(self.config["results_dir"], paths.DEMO_VIDEOS) if self.rendered else self.config["corpus"]["root"]
        )
        return f"{root}/{self.corpus.videos[video]}"

    def media_identity(self, video: str) -> str:
        """What the results of a given video depend on, whatever its time stamp; a rendered one is made by a rule."""
        return "rendered" if self.rendered else media_identity(Path(self.media_path(video)))

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
        return [paths.at(self.config["results_dir"], paths.FRAMES, video=video) for video in videos]

    def demo_annotations(self) -> list[str]:
        """Files that the demo corpus writes besides its videos; empty for other layouts."""
        if not self.rendered:
            return [f"{self._demo}/annotations"]
        return [name for task in TASKS for name in self.annotation_files(task)]

    def corpus_settings(self) -> dict[str, Any]:
        """What the scan of the corpus depends on."""
        return {key: value for key, value in self.config["corpus"].items() if key != "accept_findings"}

    def corpus_hash(self) -> str:
        """Changes when the scan of the corpus finds something else."""
        return stable_hash([asdict(row) for row in (*self.corpus.trials, *self.corpus.findings)])

    @property
    def rendered(self) -> bool:
        """The corpus is the demo."""
        return self.config["corpus"]["layout"] == "demo"

    @property
    def _demo(self) -> str:
        return paths.at(self.config["results_dir"], paths.DEMO)


def media_identity(path: Path) -> str:
    """Identity of a raw video: its size and a hash of its first and last 64 KiB.

    Copying a file again changes its time but not this, so nothing is rerun; replacing its content changes it.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        head = handle.read(EDGE_BYTES)
        handle.seek(max(0, size - EDGE_BYTES))
        return stable_hash([size, head.hex(), handle.read().hex()])
