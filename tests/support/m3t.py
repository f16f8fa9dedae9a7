"""Tiny trials for M3T, in memory and as the earlier stages write them, with labels of both tasks."""

from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pyarrow as pa

from support.runs import ArrayImages, curve, write_folds
from support.runs import Corpus as RunCorpus
from support.runs import pictures as small_pictures
from wildaffect.corpus.label_spaces import EXPRESSIONS7 as EXPRESSIONS
from wildaffect.corpus.labels import labels_schema
from wildaffect.systems.types import Labels, TrialData
from wildaffect.tables import write_table

FPS = 25
COLUMNS = {"import.senet": 6, "import.tcae": 5, "m3t_mel": 200, "m3t_mel.indexed": 200}
# A network and a recipe that learn the corpus below in seconds on one thread.
TINY_NETWORK = {"channels": [2, 2, 4, 4, 4], "hidden": 8, "audio_hidden": 8, "image_pooling": 2}
TINY = {
    "window": 16,
    "stride": 8,
    "validation_stride": 16,
    "windows_per_epoch": 8,
    "batch": 4,
    "epochs": 2,
    "learning_rate": 5e-3,
    "augment": False,
    "face_vectors": "import.senet",
    "face_columns": 6,
    "network": TINY_NETWORK,
}


def faces_of(label: np.ndarray, seed: int) -> np.ndarray:
    """uint8 (N, 256, 256, 3): a noisy disc whose brightness is the label, bluer on the right."""
    large = np.stack([cv2.resize(face, (256, 256)) for face in small_pictures(label, seed)])
    large[..., 128:, 2] //= 2
    return large


def expressions_of(valence: np.ndarray) -> np.ndarray:
    """Class numbers (N,) that follow from the valence; frame 4 has none."""
    names = np.select([valence > 0.2, valence < -0.2], ["Happiness", "Sadness"], "Neutral")
    classes = np.array([EXPRESSIONS.index(name) for name in names], np.float32)
    classes[4:5] = np.nan
    return classes


def trial_in_memory(
    frames: int = 40, tasks: tuple[str, ...] = ("va", "expr"), seed: int = 0, fps: float = FPS, labelled=None, seen=None
) -> TrialData:
    """A trial with all inputs; row i of every feature is i everywhere, so that rows can be recognised."""
    valence = curve(seed, frames)
    labelled = np.ones(frames, bool) if labelled is None else labelled
    seen = np.ones(frames, bool) if seen is None else seen
    affect = np.where(labelled[:, None], np.stack([valence, -valence], axis=1), np.nan).astype(np.float32)
    classes = expressions_of(valence)
    labels = {"va": Labels(affect, labelled), "expr": Labels(classes[:, None], ~np.isnan(classes))}
    faces = faces_of(valence, seed)
    faces[~seen] = 0
    ramp = np.arange(frames, dtype=np.float32)[:, None]
    features = {name: ramp.repeat(columns, axis=1) for name, columns in COLUMNS.items()}
    crops = {"m3t256": ArrayImages(faces, seen)}
    return TrialData(f"t{seed}", np.arange(frames) / fps, crops, features, {task: labels[task] for task in tasks})


class Corpus(RunCorpus):
    """Files of a few trials of one task more: the expression, in a table and folds of its own."""

    what: ClassVar[dict] = {
        "system": "m3t",
        "variant": "audiovisual_mtl",
        "target": "mtl",
        "mode": "corrected",
        "recipe": TINY,
    }
    template = "m3t256"
    widths = COLUMNS
    pictures = staticmethod(faces_of)

    def __init__(self, folder: Path, **sizes: int):
        super().__init__(folder, **sizes)
        self.videos = {name: name for name in self.trials}
        self.labels["expr"] = folder / "expr.parquet"
        rows = []
        for name, valence in self.valence.items():
            for frame, value in enumerate(expressions_of(valence).tolist()):
                known = value == value
                given = {"expression": int(value) if known else None, "valid": known}
                rows.append({"trial": name, "frame": frame, "time_s": frame / FPS, **given})
        schema = labels_schema("expr", ("expression",))
        write_table(self.labels["expr"], pa.Table.from_pylist(rows, schema=schema), schema)
        write_folds(self.folds, dict.fromkeys(self.labels, self.partition))

    def train_arguments(self, name: str, **changes) -> dict:
        """Arguments of a short training whose files go to ``folder/name``."""
        return super().train_arguments(name, **{"videos": self.videos, **changes})
