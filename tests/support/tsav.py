"""Tiny trials for TSAV, in memory and as the earlier stages write them, with labels of all three tasks."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from support.runs import ArrayImages, write_crops, write_folds
from wildaffect.corpus.label_spaces import AU8 as UNITS
from wildaffect.corpus.label_spaces import EXPRESSIONS7 as EXPRESSIONS
from wildaffect.corpus.labels import labels_schema
from wildaffect.faces.alignment import ARCFACE
from wildaffect.faces.persons import PERSONS_SCHEMA
from wildaffect.faces.tables import points_column
from wildaffect.features.audio import tsav_mel
from wildaffect.media.frames import FRAMES
from wildaffect.systems.tsav.spec import LABELS
from wildaffect.systems.types import Labels, TrialData
from wildaffect.tables import write_table

FPS = 25
SIDE = 112
# A network and a recipe that learn the corpus below in seconds on one thread.
TINY = {
    "batch": 8,
    "accumulate": 1,
    "epochs": 2,
    "frames_per_epoch": 48,
    "learning_rate": 1e-3,
    "dilation": 1,
    "augment": False,
    "validation_stride": 5,
    "network": {"width": 0.0625, "image_pooling": 4, "mel_pooling": 8},
}
PARTITIONS = {"a": "train", "b_left": "train", "b_right": "train", "c": "validation", "d": "test"}
FRAMES_OF = {"a": 60, "b_left": 50, "b_right": 50, "c": 57, "d": 11}


def valence_of(frames: int, seed: int) -> np.ndarray:
    """An oscillation float32 (N,) that visits all classes."""
    return np.sin(np.arange(frames) / 6 + seed).astype(np.float32)


def labels_of(valence: np.ndarray) -> dict[str, np.ndarray]:
    """Labels of all tasks that follow from the valence (N,): float32 (N, columns) per task, NaN where missing.

    Frame 3 has no expression, frame 4 no valence and arousal, unit AU4 is never annotated.
    """
    names = np.select([valence > 0.2, valence < -0.2], ["Happiness", "Sadness"], "Neutral")
    expression = np.array([EXPRESSIONS.index(name) for name in names], np.float32)[:, None]
    affect = np.stack([valence, -valence], axis=1).astype(np.float32) * np.float32(0.6)
    units = np.repeat((valence > 0.2)[:, None], len(UNITS), axis=1).astype(np.float32)
    units[:, UNITS.index("AU4")] = np.nan
    expression[3:4], affect[4:5] = np.nan, np.nan
    return {"expr": expression, "va": affect, "au": units}


def faces_of(valence: np.ndarray, seed: int) -> np.ndarray:
    """uint8 (N, 112, 112, 3): a noisy grey whose level is the valence."""
    noise = np.random.default_rng(seed).normal(0, 8, (len(valence), SIDE, SIDE, 1))
    return np.clip(120 + 80 * valence[:, None, None, None] + noise, 0, 255).astype(np.uint8).repeat(3, axis=3)


def wave_of(frames: int, seed: int) -> np.ndarray:
    """int16 noise as long as ``frames``, whose loudness follows the valence."""
    noise = np.random.default_rng(seed).normal(0, 2000, frames * 44_100 // FPS)
    return (noise * (1.1 + valence_of(frames, seed).repeat(44_100 // FPS))).astype(np.int16)


def power_of(wave: np.ndarray) -> np.ndarray:
    """The signal ``tsav_mel`` of ``wave`` int16 (S,)."""
    return np.concatenate([*tsav_mel.frame_values(wave, None)])


def points_of(frames: int) -> np.ndarray:
    """68 points (N, 68, 2) on a circle in the crop."""
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    circle = 56 + 40 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.broadcast_to(circle, (frames, 68, 2)).astype(np.float32)


def trial_in_memory(frames: int = 60, tasks: tuple[str, ...] = ("expr", "va", "au"), seed: int = 0) -> TrialData:
    """A trial with all inputs of both modes; every picture has a level of its own, frame 2 has no face."""
    valence = valence_of(frames, seed)
    seen = np.arange(frames) != 2
    faces = faces_of(valence, seed)
    masks = (np.random.default_rng(seed).integers(0, 2, faces.shape[:3]) * 223).astype(np.uint8)
    faces[~seen], masks[~seen] = 0, 0
    wave = wave_of(frames, seed)
    labels = {task: Labels(values, ~np.isnan(values).all(axis=1)) for task, values in labels_of(valence).items()}
    return TrialData(
        f"t{seed}",
        np.arange(frames) / FPS,
        {"tsav112": ArrayImages(faces, seen)},
        {"tsav_wave": wave, "tsav_mel": power_of(wave)},
        {task: labels[task] for task in tasks},
        {"tsav112": ArrayImages(masks, seen)},
    )


class Corpus:
    """Files of five trials (two of one video) in ``folder``: everything that training and prediction read."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.trials = list(PARTITIONS)
        self.lengths = FRAMES_OF
        self.videos = {name: name.split("_")[0] for name in self.trials}
        self.valence = {name: valence_of(FRAMES_OF[name], number) for number, name in enumerate(self.trials)}
        of_video = {name: folder / "media" / video for name, video in self.videos.items()}
        self.frames = {name: path / "frames.parquet" for name, path in of_video.items()}
        self.persons = {name: path / "persons.parquet" for name, path in of_video.items()}
        self.features = {
            feature: {name: path / f"{feature}.npy" for name, path in of_video.items()}
            for feature in ("tsav_mel", "tsav_wave")
        }
        self.crops = {"tsav112": {name: folder / "tsav112" / f"{name}.arrow" for name in self.trials}}
        self.labels = {task: folder / "labels" / f"{task}.parquet" for task in LABELS}
        self.folds = folder / "folds.parquet"
        (folder / "tsav112").mkdir(parents=True)
        for number, video in enumerate(dict.fromkeys(self.videos.values())):
            self._write_video(video, number)
        for number, name in enumerate(self.trials):
            write_crops(
                self.crops["tsav112"][name], faces_of(self.valence[name], number), np.arange(FRAMES_OF[name]) != 2
            )
        for task in LABELS:
            self._write_labels(task)
        self.write_folds(dict.fromkeys(LABELS, PARTITIONS))

    def write_folds(self, partitions: dict[str, dict[str, str]]) -> None:
        """The fold table from ``{task: {trial: partition}}``."""
        write_folds(self.folds, partitions)

    def inputs(self) -> dict:
        """Arguments that ``train`` and ``predict`` share."""
        return {"frames": self.frames, "crops": self.crops, "features": self.features, "persons": self.persons}

    def train_arguments(self, name: str, **changes) -> dict:
        """Arguments of a short training whose files go to ``folder/name``."""
        arguments = {
            "system": "tsav", "variant": "two_stream", "target": "mtl", "fold": 0, "mode": "corrected", "recipe": TINY, "seed": 3,
            "folds": self.folds, "labels": self.labels, "videos": self.videos, **self.inputs(),
            "output": self.folder / name / "run", "state": self.folder / name / "state",
        }  # fmt: skip
        return arguments | changes

    def _write_video(self, video: str, number: int) -> None:
        names = [name for name in self.trials if self.videos[name] == video]
        count = FRAMES_OF[names[0]]
        times = np.arange(count) / FPS
        columns = {
            "frame": pa.array(range(count), pa.int32()), "pts": pa.array(range(count), pa.int64()), "time_s": times,
            "duration_s": np.full(count, 1 / FPS), "keyframe": [True] * count, "repair": [""] * count,
        }  # fmt: skip
        write_table(self.frames[names[0]], pa.table(columns), FRAMES, {"status": "ok", "frames": count})
        wave = wave_of(count, number)
        np.save(self.features["tsav_wave"][names[0]], wave)
        np.save(self.features["tsav_mel"][names[0]], power_of(wave))
        tables = [self._persons(name, count) for name in names]
        write_table(
            self.persons[names[0]], pa.concat_tables(tables), PERSONS_SCHEMA, {"trials": {name: {} for name in names}}
        )

    def _persons(self, name: str, count: int) -> pa.Table:
        """A face whose five points are where the crop wants them, so picture and crop have the same coordinates."""
        missing = np.arange(count) == 2
        whole = np.float32([0, 0, SIDE, SIDE])
        columns = [
            pa.array([name] * count), pa.array(range(count), pa.int32()),
            pa.array(np.where(missing, "none", "detected").tolist()), pa.array(np.where(missing, -1, 0), pa.int32()),
            *(pa.array(np.full(count, value), mask=missing) for value in whole),
            pa.array(np.full(count, 0.9, np.float32), mask=missing),
            points_column(np.where(missing[:, None, None], np.nan, ARCFACE)),
            points_column(np.where(missing[:, None, None], np.nan, points_of(count))),
            pa.array(np.where(missing, "none", "good"), mask=missing),
        ]  # fmt: skip
        return pa.Table.from_arrays(columns, schema=PERSONS_SCHEMA)

    def _write_labels(self, task: str) -> None:
        rows = []
        for name, valence in self.valence.items():
            values = labels_of(valence)[task]
            known = ~np.isnan(values)
            whole = known.any(axis=1) if task == "au" else known.all(axis=1)
            for frame in range(len(values)):
                given = {
                    column: (value if task == "va" else int(value)) if there else None
                    for column, value, there in zip(LABELS[task], values[frame].tolist(), known[frame], strict=True)
                }
                rows.append(
                    {"trial": name, "frame": frame, "time_s": frame / FPS, **given, "valid": bool(whole[frame])}
                )
        schema = labels_schema(task, LABELS[task])
        write_table(self.labels[task], pa.Table.from_pylist(rows, schema=schema), schema)
