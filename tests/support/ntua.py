"""Tiny trials for NTUA, in memory and as the earlier stages write them."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from support.runs import ArrayImages, write_crops, write_folds
from wildaffect.corpus.label_spaces import EXPRESSIONS7 as EXPRESSIONS
from wildaffect.corpus.labels import labels_schema
from wildaffect.features.audio.ntua_mel import BANDS, ROWS_PER_SECOND
from wildaffect.media.frames import FRAMES
from wildaffect.systems.types import Labels, TrialData
from wildaffect.tables import write_table

FPS = 25
SIDE = 112
TEMPLATES = ("arcface112", "ntua_frame112", "ntua_body112", "ntua_context112")
# A network and a recipe that learn the corpus below in seconds on one thread.
TINY = {
    "batch": 4,
    "epochs": 2,
    "duration": 8,
    "learning_rate": 2e-3,
    "weight_decay": 0,
    "optimizer": "adam",
    "patience": None,
    "mask_columns": 0,
    "mask_bands": 0,
    "network": {"face": "resnet18", "scene": "resnet18", "width": 0.0625, "hidden": 8, "image_pooling": 4, "mel_pooling": 16},
}  # fmt: skip
PARTITIONS = {"a": "train", "b_left": "train", "b_right": "train", "c": "validation", "d": "test"}
FRAMES_OF = {"a": 60, "b_left": 50, "b_right": 50, "c": 57, "d": 11}
LABELS = {"va": ("valence", "arousal"), "expr": ("expression",)}


def valence_of(frames: int, seed: int) -> np.ndarray:
    """An oscillation float32 (N,) that is positive and negative in turn."""
    return np.sin(np.arange(frames) / 6 + seed).astype(np.float32)


def labels_of(valence: np.ndarray) -> dict[str, np.ndarray]:
    """Labels float32 (N, columns) per task that follow from the valence (N,); frames 20 and 21 have none, nor has frame 3 an expression."""
    happy, sad = EXPRESSIONS.index("Happiness"), EXPRESSIONS.index("Sadness")
    expression = np.where(valence > 0, happy, sad).astype(np.float32)[:, None]
    affect = np.stack([valence, -valence], axis=1).astype(np.float32) * np.float32(0.6)
    expression[3:4] = np.nan
    for values in (expression, affect):
        values[20:22] = np.nan
    return {"va": affect, "expr": expression}


def pictures_of(valence: np.ndarray, seed: int) -> np.ndarray:
    """uint8 (N, 112, 112, 3): a noisy grey whose level is the valence."""
    noise = np.random.default_rng(seed).normal(0, 8, (len(valence), SIDE, SIDE, 1))
    return np.clip(120 + 80 * valence[:, None, None, None] + noise, 0, 255).astype(np.uint8).repeat(3, axis=3)


def sound_of(valence: np.ndarray, seed: int, fps: float = FPS) -> np.ndarray:
    """float32 (R, 128): a spectrogram whose level follows the valence."""
    if not len(valence):
        return np.full((1, BANDS), -100, np.float32)
    rows = 1 + int(len(valence) / fps * ROWS_PER_SECOND)
    level = np.interp(np.arange(rows) / ROWS_PER_SECOND, np.arange(len(valence)) / fps, valence)
    noise = np.random.default_rng(seed).normal(0, 3, (rows, BANDS))
    return (-40 + 20 * level[:, None] + noise).astype(np.float32)


def trial_in_memory(frames: int = 40, tasks: tuple[str, ...] = ("va", "expr"), seed: int = 0) -> TrialData:
    """A trial with all inputs; frame 2 has no face."""
    valence = valence_of(frames, seed)
    seen = np.arange(frames) != 2
    pictures = {name: pictures_of(valence, number) for number, name in enumerate(TEMPLATES)}
    pictures["arcface112"][~seen] = 0
    crops = {name: ArrayImages(values, seen if name == "arcface112" else None) for name, values in pictures.items()}
    labels = {task: Labels(values, ~np.isnan(values).any(axis=1)) for task, values in labels_of(valence).items()}
    return TrialData(
        f"t{seed}",
        np.arange(frames) / FPS,
        crops,
        {"ntua_mel": sound_of(valence, seed)},
        {task: labels[task] for task in tasks},
    )


class Corpus:
    """Files of five trials (two of one video) in ``folder``: everything that training and prediction read.

    With few frames per second the sound has time to change within a trial, so that windows of ten seconds differ.
    """

    def __init__(self, folder: Path, fps: float = FPS):
        self.folder, self.fps = folder, fps
        self.trials = list(PARTITIONS)
        self.videos = {name: name.split("_")[0] for name in self.trials}
        self.valence = {name: valence_of(FRAMES_OF[name], number) for number, name in enumerate(self.trials)}
        of_video = {name: folder / "media" / video for name, video in self.videos.items()}
        self.frames = {name: path / "frames.parquet" for name, path in of_video.items()}
        self.features = {"ntua_mel": {name: path / "ntua_mel.npy" for name, path in of_video.items()}}
        self.crops = {kind: {name: folder / kind / f"{name}.arrow" for name in self.trials} for kind in TEMPLATES}
        self.labels = {task: folder / "labels" / f"{task}.parquet" for task in LABELS}
        self.folds = folder / "folds.parquet"
        for kind in TEMPLATES:
            (folder / kind).mkdir(parents=True)
        for number, name in enumerate(self.trials):
            self._write_trial(name, number)
        for task in LABELS:
            self._write_labels(task)
        write_folds(self.folds, dict.fromkeys(LABELS, PARTITIONS))

    def inputs(self) -> dict:
        """Arguments that ``train`` and ``predict`` share."""
        return {"frames": self.frames, "crops": self.crops, "features": self.features}

    def train_arguments(self, name: str, **changes) -> dict:
        """Arguments of a short training whose files go to ``folder/name``."""
        arguments = {
            "system": "ntua", "variant": "visual", "target": "va", "fold": 0, "mode": "corrected", "recipe": TINY, "seed": 3,
            "folds": self.folds, "labels": self.labels, **self.inputs(),
            "output": self.folder / name / "run", "state": self.folder / name / "state",
        }  # fmt: skip
        return arguments | changes

    def _write_trial(self, name: str, number: int) -> None:
        count, valence = FRAMES_OF[name], self.valence[name]
        columns = {
            "frame": pa.array(range(count), pa.int32()), "pts": pa.array(range(count), pa.int64()),
            "time_s": np.arange(count) / self.fps, "duration_s": np.full(count, 1 / self.fps), "keyframe": [True] * count,
            "repair": [""] * count,
        }  # fmt: skip
        write_table(self.frames[name], pa.table(columns), FRAMES, {"status": "ok", "frames": count})
        np.save(self.features["ntua_mel"][name], sound_of(valence, number, self.fps))
        for kind in TEMPLATES:
            seen = np.arange(count) != 2 if kind == "arcface112" else np.ones(count, bool)
            write_crops(self.crops[kind][name], pictures_of(valence, number), seen)

    def _write_labels(self, task: str) -> None:
        rows = []
        for name, valence in self.valence.items():
            values = labels_of(valence)[task]
            known = ~np.isnan(values).any(axis=1)
            for frame, row in enumerate(values.tolist()):
                given = {
                    column: (value if task == "va" else int(value)) if known[frame] else None
                    for column, value in zip(LABELS[task], row, strict=True)
                }
                rows.append(
                    {"trial": name, "frame": frame, "time_s": frame / self.fps, **given, "valid": bool(known[frame])}
                )
        schema = labels_schema(task, LABELS[task])
        write_table(self.labels[task], pa.Table.from_pylist(rows, schema=schema), schema)
