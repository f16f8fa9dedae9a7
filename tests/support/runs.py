"""Tiny trials, written as the earlier stages write them, and a system small enough to follow by hand."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from torch import nn

from wildaffect import systems
from wildaffect.corpus.folds import FOLDS
from wildaffect.corpus.labels import labels_schema
from wildaffect.faces.crops import CROPS, encode_image
from wildaffect.media.frames import FRAMES
from wildaffect.systems.base import Freezing, Recipe
from wildaffect.systems.types import Labels, RecipeSettings, Schedule, Setup, Target, TrialData
from wildaffect.tables import METADATA_KEY, write_table
from wildaffect.training import predict as prediction
from wildaffect.training import train as training
from wildaffect.training.inputs import FoldData, JobInputs, Runtime

# A face network and a recipe that learn the corpus below in seconds on one thread.
TINY_BACKBONE = {"units": [1, 1, 1, 1], "channels": [4, 4, 8, 8, 8], "embedding": 32, "pooling": 4}
TINY = {
    "window": 40,
    "hop": 20,
    "batch": 4,
    "epochs": 2,
    "learning_rate": 3e-3,
    "weight_decay": 1e-4,
    "backbone_training": "all",
    "backbone": TINY_BACKBONE,
}


def curve(seed: int, frames: int) -> np.ndarray:
    """A smooth random label in [-1, 1], float32 (frames,)."""
    steps = np.random.default_rng(seed).standard_normal(frames + 40)
    smooth = np.convolve(steps, np.hanning(40), "valid")[:frames]
    return (smooth / np.abs(smooth).max(initial=1e-9)).astype(np.float32)


def pictures(label: np.ndarray, seed: int) -> np.ndarray:
    """uint8 (N, 48, 48, 3): a noisy disc whose brightness is the label."""
    rows, columns = np.mgrid[:48, :48]
    disc = ((rows - 24) ** 2 + (columns - 24) ** 2 < 14**2)[None, :, :, None]
    noise = np.random.default_rng(seed).normal(0, 6, (len(label), 48, 48, 1))
    return np.clip(110 + disc * 90 * label[:, None, None, None] + noise, 0, 255).astype(np.uint8).repeat(3, axis=3)


class Corpus:
    """Files of a few trials in ``folder``: frame tables, crops, features, a label table and a fold table.

    Valence drives the pictures and the features; row 5 of every trial is unlabelled and row 7 has no face. Corpora of other systems
    replace what stands before the first method.
    """

    what: ClassVar[dict] = {
        "system": "lfan",
        "variant": "multimodal",
        "target": "valence",
        "mode": "corrected",
        "recipe": TINY,
    }
    template = "lfan48"
    widths: ClassVar[dict[str, int]] = {"vggish128": 128, "mfcc39": 39, "vggish128.indexed": 128, "mfcc39.indexed": 39}
    pictures = staticmethod(pictures)

    def __init__(self, folder: Path, train: int = 3, validation: int = 2, frames: int = 70):
        self.folder = folder
        self.trials = [f"t{number}" for number in range(train + validation)]
        self.partition = dict(zip(self.trials, ["train"] * train + ["validation"] * validation, strict=True))
        self.lengths = {name: frames + 3 * number for number, name in enumerate(self.trials)}
        self.frames = {name: folder / name / "frames.parquet" for name in self.trials}
        self.crops = {self.template: {name: folder / name / f"{self.template}.arrow" for name in self.trials}}
        self.features = {
            feature: {name: folder / name / f"{feature}.npy" for name in self.trials} for feature in self.widths
        }
        self.labels = {"va": folder / "va.parquet"}
        self.folds = folder / "folds.parquet"
        self.valence = {name: curve(number, self.lengths[name]) for number, name in enumerate(self.trials)}
        for number, name in enumerate(self.trials):
            (folder / name).mkdir(parents=True, exist_ok=True)
            self._write_trial(name, number)
        self._write_labels()
        write_folds(self.folds, {"va": self.partition})

    def inputs(self) -> dict:
        """Arguments that ``train`` and ``predict`` share."""
        return {"frames": self.frames, "crops": self.crops, "features": self.features}

    def train_arguments(self, name: str, **changes) -> dict:
        """Arguments of a short training whose files go to ``folder/name``."""
        arguments = {
            **self.what, "fold": 0, "seed": 3, "folds": self.folds, "labels": self.labels, **self.inputs(),
            "output": self.folder / name / "run", "state": self.folder / name / "state",
        }  # fmt: skip
        return arguments | changes

    def _write_trial(self, name: str, number: int) -> None:
        label, count = self.valence[name], self.lengths[name]
        times = np.arange(count) / 25
        table = pa.table(
            {
                "frame": pa.array(range(count), pa.int32()),
                "pts": pa.array(range(count), pa.int64()),
                "time_s": times,
                "duration_s": np.full(count, 0.04),
                "keyframe": [True] * count,
                "repair": [""] * count,
            }
        )
        write_table(self.frames[name], table, FRAMES, {"status": "ok", "frames": count})
        write_crops(self.crops[self.template][name], self.pictures(label, number), np.arange(count) != 7)
        random = np.random.default_rng(number)
        for feature, paths in self.features.items():
            dim = self.widths[feature]
            noise = random.standard_normal((count, dim))
            np.save(paths[name], (label[:, None] * np.linspace(-2, 2, dim) + noise + 7).astype(np.float32))

    def _write_labels(self) -> None:
        rows = []
        for name, label in self.valence.items():
            for frame, value in enumerate(label.tolist()):
                known = frame != 5
                rows.append(
                    {"trial": name, "frame": frame, "time_s": frame / 25, "valence": value if known else None,
                     "arousal": -value if known else None, "valid": known}
                )  # fmt: skip
        schema = labels_schema("va", ("valence", "arousal"))
        write_table(self.labels["va"], pa.Table.from_pylist(rows, schema=schema), schema)


EXCHANGED = {"train": "validation", "validation": "train"}


def write_folds(path: Path, partitions: dict[str, dict[str, str]]) -> None:
    """A fold table of two folds: fold 0 from ``{task: {trial: partition}}``, in fold 1 train and validation are exchanged."""
    rows = [
        {"task": task, "fold": fold, "trial": name, "partition": names.get(partition, partition), "scheme": "official"}
        for fold, names in enumerate(({}, EXCHANGED))
        for task, of_trial in partitions.items()
        for name, partition in of_trial.items()
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=FOLDS), FOLDS)


def write_crops(path: Path, faces: np.ndarray, valid: np.ndarray) -> None:
    """A crop file of uint8 (N, size, size, 3) pictures."""
    chunk = 256
    about = {"template": path.stem, "size": faces.shape[1], "trial": path.parent.name, "chunk": chunk}
    schema = CROPS.with_metadata({METADATA_KEY: json.dumps(about).encode()})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for start in range(0, len(faces), chunk):
            rows = range(start, min(start + chunk, len(faces)))
            data = [encode_image(faces[row]) if valid[row] else None for row in rows]
            columns = [pa.array(rows, pa.int32()), pa.array(valid[rows.start : rows.stop]), pa.array(data, pa.binary())]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def train(report=lambda row: None, **arguments) -> dict:
    """Train by the arguments that a corpus gives."""
    options, data, inputs, runtime = _sorted(arguments)
    return training.train(_setup(options), FoldData(**data), inputs, runtime, report=report, **options)


def predict(weights: Path, trials, **arguments) -> None:
    """Predict by the arguments that a corpus gives; ``recipe`` holds differences from the one in the run record."""
    options, data, inputs, runtime = _sorted(arguments)
    record = weights.with_name("run.json")
    recorded = json.loads(record.read_text())["recipe"] if record.exists() else {}
    options["recipe"] = systems.recorded_settings(options["system"], recorded, options["recipe"])
    prediction.predict(_setup(options), weights, trials, inputs, runtime, labels=data.get("labels"), **options)


def _sorted(arguments: dict) -> tuple[dict, dict, JobInputs, Runtime]:
    """Arguments by what they belong to; first those that are left."""
    left = dict(arguments)
    data, inputs, runtime = (
        {name: left.pop(name) for name in kind.__dataclass_fields__ if name in left}
        for kind in (FoldData, JobInputs, Runtime)
    )
    return left, data, JobInputs(**inputs), Runtime(**runtime)


def _setup(options: dict) -> Setup:
    names = (options.pop(name) for name in ("system", "variant", "target", "mode", "recipe"))
    return systems.set_up(*names, options.pop("base", None))


def predictions(corpus, run: Path, name: str, **changes) -> pd.DataFrame:
    """What the run folder ``run`` predicts for the trials of ``corpus``, by way of the file ``name``; ``changes`` to the arguments."""
    record = json.loads((run / "run.json").read_text())
    what = {key: record[key] for key in ("system", "variant", "target", "mode", "recipe")}
    arguments = {**what, "trials": corpus.trials, "labels": corpus.labels, **corpus.inputs()} | changes
    predict(run / "model.safetensors", output=corpus.folder / name, **arguments)
    return pd.read_parquet(corpus.folder / name)


def start_phase(recipe: Recipe, model: nn.Module, phase: int = 0) -> None:
    """Freeze what ``recipe`` freezes in ``phase`` and put ``model`` into training mode, as the loop does."""
    freezing = Freezing(model, recipe.frozen_mode)
    freezing.freeze(recipe.frozen(model, phase))
    freezing.train()


class Stop(Exception):
    """Ends a training from its report."""


def train_in_two_parts(arguments: dict) -> dict:
    """A training that is stopped after its first epoch, and run again; returns the record of the second."""

    def stop(row):
        if row["epoch"] == 0:
            raise Stop

    with pytest.raises(Stop):
        train(**arguments, report=stop)
    assert not arguments["output"].exists()
    record = train(**arguments)
    assert record["resumed_at"] == [1]
    return record


class ArrayImages:
    """Images of a trial held in memory."""

    def __init__(self, faces: np.ndarray, valid: np.ndarray | None = None):
        self.valid = np.ones(len(faces), bool) if valid is None else valid
        self.size = faces.shape[1]
        self._faces = faces

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self._faces[rows]


def trial_in_memory(label: np.ndarray, valid: np.ndarray | None = None, name: str = "t", seed: int = 0) -> TrialData:
    """A trial of the multimodal model; VGGish row i is i everywhere, so that rows can be recognised."""
    count = len(label)
    ramp = np.arange(count, dtype=np.float32)
    features = {
        "vggish128": ramp[:, None].repeat(128, 1),
        "mfcc39": np.random.default_rng(seed).standard_normal((count, 39)),
    }
    features = {f"{feature}{rule}": values for feature, values in features.items() for rule in ("", ".indexed")}
    valid = np.ones(count, bool) if valid is None else valid
    values = np.where(valid, label, np.nan).astype(np.float32)[:, None]
    crops = {"lfan48": ArrayImages(pictures(label, seed))}
    return TrialData(name, np.arange(count) / 25, crops, features, {"va": Labels(values, valid)})


class FrameSamples:
    """One sample per frame: the feature rows of the frame and the two before it, as far as the trial has them."""

    def __init__(self, trials, scale):
        self._trials, self._scale = trials, scale
        self._index = [(number, row) for number, trial in enumerate(trials) for row in range(len(trial.times))]

    def __len__(self):
        return len(self._index)

    def read(self, index, rng):
        number, row = self._index[index]
        trial = self._trials[number]
        values = np.zeros((3, 2), np.float32)
        first = max(0, row - 2)
        values[3 - (row + 1 - first) :] = trial.features["x"][first : row + 1]
        noise = 0 if rng is None else rng.normal(0, 0.01, values.shape)
        labels = {
            task: trial.labels[task].values[row] if task in trial.labels else np.full(width, np.nan, np.float32)
            for task, width in (("va", 1), ("au", 1))
        }
        return {"x": (values / self._scale + noise).astype(np.float32), **labels}

    def to_frames(self, outputs):
        return np.split(outputs.astype(np.float64), np.cumsum([len(trial.times) for trial in self._trials])[:-1])


class FrameRecipe(Recipe[RecipeSettings]):
    """A multi-task system with one sample per frame and masked losses, as unlike LFAN as the interface allows.

    ``scores`` replaces the validation metric by a given sequence, to steer the trainer.
    """

    metric = "quality"

    def __init__(self, schedule: Schedule, scores=None, rate=1e-2):
        target = Target("mtl", ("valence", "AU1"), {"va": ("valence",), "au": ("AU1",)})
        super().__init__("frames", target, "corrected", RecipeSettings(learning_rate=rate))
        self._schedule, self._scores = schedule, iter(scores) if scores is not None else None
        self.phases = []

    @property
    def schedule(self):
        return self._schedule

    def model(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2))

    def fit(self, trials):
        return {"scale": float(np.std(np.concatenate([trial.features["x"] for trial in trials])))}

    def samples(self, trials, statistics, purpose):
        return FrameSamples(trials, statistics["scale"])

    def epoch_indices(self, count, epoch, seed):
        return super().epoch_indices(count, epoch, seed)[: count // 2]

    def frozen(self, model, phase):
        self.phases.append(phase)
        return []

    def forward(self, model, batch):
        return model(batch["x"])

    def loss(self, outputs, batch):
        known_va, known_au = ~batch["va"].isnan(), ~batch["au"].isnan()
        va = ((outputs[:, :1] - batch["va"].nan_to_num()) ** 2 * known_va).sum() / known_va.sum().clamp(min=1)
        au = nn.functional.binary_cross_entropy_with_logits(outputs[:, 1:], batch["au"].nan_to_num(), reduction="none")
        return va + (au * known_au).sum() / known_au.sum().clamp(min=1)

    def score(self, predictions, trials):
        if self._scores is not None:
            return {"quality": next(self._scores)}
        errors = [
            (prediction[:, 0] - trial.labels["va"].values[:, 0]) ** 2
            for prediction, trial in zip(predictions, trials, strict=True)
            if "va" in trial.labels
        ]
        return {"quality": -float(np.mean(np.concatenate(errors)))}


def frame_trials() -> SimpleNamespace:
    """Two training trials, each annotated for one task only, and a validation trial with both."""

    def trial(seed, tasks):
        x = np.random.default_rng(seed).standard_normal((24, 2)).astype(np.float32)
        known = {"va": x[:, :1] * 0.5, "au": (x[:, 1:] > 0).astype(np.float32)}
        labels = {task: Labels(known[task], np.ones(24, bool)) for task in tasks}
        return TrialData(f"f{seed}", np.arange(24) / 25, {}, {"x": x}, labels)

    return SimpleNamespace(train=[trial(0, ["va"]), trial(1, ["au"])], validation=[trial(2, ["va", "au"])])
