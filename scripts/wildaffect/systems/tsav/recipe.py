"""How TSAV is trained, selected and run. The training is our own, as none was published; card.md lists what differs between the modes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wildaffect.features.audio.tsav_mel import Images as MelImages
from wildaffect.features.audio.tsav_mel import centred_images, faithful_images
from wildaffect.systems.base import Recipe
from wildaffect.systems.toolbox import concordance, task_scores
from wildaffect.systems.tsav.colour import recoloured
from wildaffect.systems.tsav.data import (
    MOST_KEPT,
    ClipSamples,
    Picked,
    count_labels,
    grid,
    known_labels,
    label_weights,
    without_contradictions,
)
from wildaffect.systems.tsav.model import TwoStream, load_audio, load_video, normalised
from wildaffect.systems.tsav.model import build as build_model
from wildaffect.systems.tsav.spec import COLUMNS, OUTPUTS, TsavSettings, needs
from wildaffect.systems.types import Purpose, Schedule, Target, TrialData


@dataclass(frozen=True)
class Quirks:
    """What the two modes do differently.

    Attributes:
        images: Cuts mel images.
        exchange_sides: Mirroring exchanges left and right in the drawing.
        unit_offset: Raw output at which a unit is as likely on as off.
        probabilities: Predictions are probabilities, not raw outputs.
    """

    images: Callable[[np.ndarray, np.ndarray], MelImages]
    exchange_sides: bool
    unit_offset: float
    probabilities: bool


MODES = {
    # The published decision is "raw output above 0.5", so that is where our training puts even odds.
    "faithful": Quirks(images=faithful_images, exchange_sides=False, unit_offset=0.5, probabilities=False),
    "corrected": Quirks(images=centred_images, exchange_sides=True, unit_offset=0.0, probabilities=True),
}


def build(variant: str, target: Target, mode: str, settings: TsavSettings) -> "Tsav":
    """Recipe of one instance."""
    return Tsav(variant, target, mode, settings)


class Tsav(Recipe[TsavSettings]):
    """Two streams, up to three tasks."""

    def __init__(self, variant: str, target: Target, mode: str, settings: TsavSettings) -> None:
        super().__init__(variant, target, mode, settings)
        self._quirks = MODES[mode]
        self._feature = next(iter(needs(variant, mode, settings).features), None)
        self.one_cycle = settings.scheduler == "one_cycle"
        self._outputs = [OUTPUTS.index(column) for column in target.columns]
        self._positions = {task: [target.columns.index(column) for column in COLUMNS[task]] for task in target.labels}

    @property
    def schedule(self) -> Schedule:
        """With a stride of prediction."""
        return replace(super().schedule, prediction_stride=self.settings.prediction_stride)

    def model(self) -> TwoStream:
        """Network with random weights, always with all 17 outputs."""
        network = self.settings.network
        return build_model(
            self.variant,
            width=network.width,
            image_pooling=network.image_pooling,
            mel_pooling=network.mel_pooling,
            dropout=network.dropout,
            streams=self.settings.streams,
        )

    def initialise(self, model: TwoStream) -> list[dict[str, Any]]:
        """Each stream from a file, if one is configured."""
        streams = (
            ("video_model", load_video, self.settings.video_weights),
            ("audio_model", load_audio, self.settings.audio_weights),
        )
        return [{"part": part} | load(model, path) for part, load, path in streams if path is not None]

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """How often each class occurs."""
        return count_labels([self._training_labels(trial) for trial in trials])

    def kept_bytes(self, trial: TrialData) -> int:
        """What the mel images of all frames share, where they share enough of it."""
        if self._feature is None:
            return 0
        needed = self._quirks.images(trial.features[self._feature], trial.times).nbytes
        return needed if needed <= MOST_KEPT * len(trial.times) else 0

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> ClipSamples:
        """Labelled frames to train on; otherwise frames at the stride of ``purpose``, labelled or not."""
        pick = {
            Purpose.TRAIN: self._labelled,
            Purpose.VALIDATE: self._validated,
            Purpose.PREDICT: self._predicted,
        }[purpose]
        return ClipSamples(
            [pick(trial, statistics) for trial in trials],
            seen="video" in self.settings.streams,
            feature=self._feature,
            images=self._quirks.images,
            dilation=self.settings.dilation,
            exchange_sides=self._quirks.exchange_sides,
            augment=self.settings.augment and purpose == Purpose.TRAIN,
            mask_columns=self.settings.mask_columns,
            mask_bands=self.settings.mask_bands,
            drop_audio=self.settings.drop_audio,
            finish=self._finish,
            in_order=purpose != Purpose.TRAIN,
        )

    def epoch_indices(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """A random subset, another one every epoch."""
        return super().epoch_indices(count, epoch, seed)[: self.settings.frames_per_epoch]

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Raw outputs (B, columns of the target)."""
        clip = {"clip": normalised(_coloured(batch))} if "clip" in batch else {}
        audio = {"audio_features": batch["audio_features"]} if "audio_features" in batch else {}
        return model(**clip, **audio)[:, self._outputs]

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the tasks' losses, each over the labels that the batch has of it; 0 for a task of which it has none."""
        raw = {task: outputs[:, positions] for task, positions in self._positions.items()}
        weights = self.settings.loss_weights
        parts = {
            "va": lambda: weights.va * valence_arousal_loss(raw["va"], batch["va"]),
            "expr": lambda: (
                weights.expr
                * expression_loss(raw["expr"], batch["expr"], batch["expr_weight"], self.settings.label_smoothing)
            ),
            "au": lambda: weights.au * unit_loss(raw["au"] - self._quirks.unit_offset, batch["au"], batch["au_weight"]),
        }
        return sum(parts[task]() for task in raw)

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """The 2020 challenge's metrics of every task, and their mean ``criterion`` over the tasks that have labels."""
        labels = [known_labels(trial, self.target) for trial in trials]
        found: dict[str, float] = {}
        criteria = []
        for task, positions in self._positions.items():
            truth = np.concatenate([part[task] for part in labels])
            metrics = task_scores(task, truth, np.concatenate([values[:, positions] for values in predictions]))
            criteria.append(metrics.pop("criterion"))
            found |= metrics
        judged = [value for value in criteria if value == value]
        return found | {"criterion": float(np.mean(judged)) if judged else float("nan")}

    def _finish(self, outputs: np.ndarray) -> np.ndarray:
        """Raw outputs (n, columns), or with probabilities in place of scores; valence and arousal stay as they are."""
        values = torch.from_numpy(outputs.astype(np.float64))
        if self._quirks.probabilities:
            for task, turn in (("expr", lambda scores: scores.softmax(dim=1)), ("au", torch.sigmoid)):
                if task in self._positions:
                    values[:, self._positions[task]] = turn(values[:, self._positions[task]])
        return values.numpy()

    def _training_labels(self, trial: TrialData) -> dict[str, np.ndarray]:
        labels = known_labels(trial, self.target)
        return without_contradictions(labels) if self.settings.filter_contradictions else labels

    def _labelled(self, trial: TrialData, counts: Mapping[str, Any]) -> Picked:
        labels = self._training_labels(trial)
        usable = np.any([~np.isnan(values).all(axis=1) for values in labels.values()], axis=0)
        return self._picked(trial, np.flatnonzero(usable), labels, counts)

    def _validated(self, trial: TrialData, counts: Mapping[str, Any]) -> Picked:
        frames = grid(len(trial.times), self.settings.validation_stride)
        return self._picked(trial, frames, known_labels(trial, self.target), counts)

    def _predicted(self, trial: TrialData, counts: Mapping[str, Any]) -> Picked:
        return Picked(trial, grid(len(trial.times), self.settings.prediction_stride), {})

    def _picked(
        self, trial: TrialData, frames: np.ndarray, labels: Mapping[str, np.ndarray], counts: Mapping[str, Any]
    ) -> Picked:
        chosen = {task: values[frames] for task, values in labels.items()}
        return Picked(trial, frames, chosen | label_weights(chosen, counts, self.settings.balance))


def _coloured(batch: Mapping[str, Tensor]) -> Tensor:
    if "shifts" not in batch:
        return batch["clip"]
    return recoloured(batch["clip"], batch["shifts"], batch["shown"])


def valence_arousal_loss(raw: Tensor, truth: Tensor) -> Tensor:
    """Mean of 1 - CCC of both columns over the labelled rows of (B, 2), population moments; 0 with fewer than two such rows."""
    known = ~truth.isnan().any(dim=1)
    loss = (1 - concordance(raw[None], truth[None], known[None], mixed=False)).mean()
    return torch.where(known.sum() < 2, 0.0, loss)  # no question to the device, which would have to be waited for


def expression_loss(raw: Tensor, truth: Tensor, weight: Tensor, smoothing: float = 0.0) -> Tensor:
    """Weighted mean of the cross-entropy of (B, classes) against class numbers (B, 1); weight (B, 1), 0 where the label is missing.

    ``smoothing``: the part of the probability that is spread over all classes.
    """
    classes = truth[:, 0].nan_to_num().long()
    each = F.cross_entropy(raw, classes, reduction="none", label_smoothing=smoothing)
    return _weighted_mean(each, weight[:, 0])


def unit_loss(raw: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the binary cross-entropy of logits (B, units); weight (B, units), 0 where the label is missing."""
    return _weighted_mean(F.binary_cross_entropy_with_logits(raw, truth.nan_to_num(), reduction="none"), weight)


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)
