"""How TSAV is trained, selected and run. The training is our own, as none was published; card.md lists what differs between the modes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wildaffect.features.audio.tsav_mel import centred_images, faithful_images
from wildaffect.systems.interface import Schedule, Target, TrialData
from wildaffect.systems.schedules import plateau
from wildaffect.systems.scores import task_scores
from wildaffect.systems.tsav import labels as known
from wildaffect.systems.tsav.data import ClipSamples, Picked, grid
from wildaffect.systems.tsav.losses import expression_loss, unit_loss, valence_arousal_loss
from wildaffect.systems.tsav.model import TwoStream, normalised
from wildaffect.systems.tsav.model import build as build_model
from wildaffect.systems.tsav.pretrained import load_audio, load_video
from wildaffect.systems.tsav.spec import COLUMNS, OUTPUTS, needs


@dataclass(frozen=True)
class Rules:
    """What the two modes do differently.

    ``images``: mel images. ``jpeg_masks``: drawings go through JPEG. ``exchange_sides``: mirroring exchanges left and right in the
    drawing. ``unit_offset``: raw output at which a unit is as likely on as off. ``probabilities``: predictions are probabilities, not raw
    outputs.
    """

    images: Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]]
    jpeg_masks: bool
    exchange_sides: bool
    unit_offset: float
    probabilities: bool


MODES = {
    # The published decision is "raw output above 0.5", so that is where our training puts even odds.
    "faithful": Rules(faithful_images, True, False, 0.5, False),
    "corrected": Rules(centred_images, False, True, 0.0, True),
}


def build(variant: str, target: Target, mode: str, settings: Mapping[str, Any]) -> "Tsav":
    """Recipe of one instance; ``settings`` complete, as described in schema.yaml."""
    (feature,) = needs(variant, mode, settings).features
    return Tsav(variant, target, MODES[mode], feature, settings)


class Tsav:
    """See :class:`wildaffect.systems.interface.Recipe`."""

    metric = "criterion"

    def __init__(self, variant: str, target: Target, rules: Rules, feature: str, settings: Mapping[str, Any]) -> None:
        self.target = target
        self._variant, self._rules, self._feature, self._settings = variant, rules, feature, settings
        self._outputs = [OUTPUTS.index(column) for column in target.columns]
        self._places = {task: [target.columns.index(column) for column in COLUMNS[task]] for task in target.labels}
        self.schedule = Schedule(
            epochs=settings["epochs"],
            batch=settings["batch"],
            accumulate=settings["accumulate"],
            minimum_rate=settings["minimum_rate"],
            patience=settings["early_stop"],
            prediction_stride=settings["prediction_stride"],
        )

    def model(self) -> TwoStream:
        """Network with random weights, always with all 17 outputs."""
        return build_model(self._variant, **self._settings["network"])

    def initialise(self, model: TwoStream) -> list[dict[str, Any]]:
        """Each stream from a file, if one is configured."""
        streams = (("video_model", load_video, "video_weights"), ("audio_model", load_audio, "audio_weights"))
        return [
            {"part": part} | load(model, self._settings[option])
            for part, load, option in streams
            if self._settings[option] is not None
        ]

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """How often each class occurs."""
        return known.count_labels([self._training_labels(trial) for trial in trials])

    def statistics(self, trials: Sequence[TrialData], fitted: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Those of the training trials; prediction needs none."""
        return fitted or {}

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: str) -> ClipSamples:
        """Labelled frames to train on; otherwise frames at the stride of ``purpose``, labelled or not."""
        pick = {"train": self._labelled, "validate": self._validated, "predict": self._predicted}[purpose]
        return ClipSamples(
            [pick(trial, statistics) for trial in trials],
            feature=self._feature,
            images=self._rules.images,
            dilation=self._settings["dilation"],
            jpeg_masks=self._rules.jpeg_masks,
            exchange_sides=self._rules.exchange_sides,
            augment=self._settings["augment"],
            drop_sound=self._settings["drop_sound"],
            finish=self._finish,
            in_order=purpose != "train",
        )

    def order(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """A random subset, drawn anew every epoch."""
        return np.random.default_rng([seed, epoch]).permutation(count)[: self._settings["frames_per_epoch"]]

    def start_phase(self, model: nn.Module, phase: int) -> None:
        """Everything is trained."""
        model.requires_grad_()

    def train_mode(self, model: nn.Module) -> None:
        """Everything in training mode."""
        model.train()

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam with L2 on every tensor."""
        return torch.optim.Adam(
            parameters, lr=self._settings["learning_rate"], weight_decay=self._settings["weight_decay"]
        )

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """Falls when the criterion stops rising."""
        return plateau(optimizer, self._settings["plateau_factor"], self._settings["plateau_patience"])

    def forward(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Raw outputs (B, columns of the target)."""
        return model(clip=normalised(batch["clip"]), audio_features=batch["audio_features"])[:, self._outputs]

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Weighted sum of the tasks' losses, each over the labels that the batch has of it; 0 for a task of which it has none."""
        raw = {task: outputs[:, places] for task, places in self._places.items()}
        parts = {
            "va": lambda: valence_arousal_loss(raw["va"], batch["va"]),
            "expr": lambda: expression_loss(raw["expr"], batch["expr"], batch["expr_weight"]),
            "au": lambda: unit_loss(raw["au"] - self._rules.unit_offset, batch["au"], batch["au_weight"]),
        }
        return sum(self._settings["loss_weights"][task] * parts[task]() for task in raw)

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """The 2020 challenge's metrics of every task, and their mean ``criterion`` over the tasks that have labels."""
        labels = [known.known_labels(trial, self.target) for trial in trials]
        found, criteria = {}, []
        for task, places in self._places.items():
            truth = np.concatenate([part[task] for part in labels])
            metrics = task_scores(task, truth, np.concatenate([values[:, places] for values in predictions]))
            criteria.append(metrics.pop("criterion"))
            found |= metrics
        judged = [value for value in criteria if value == value]
        return found | {"criterion": float(np.mean(judged)) if judged else float("nan")}

    def _finish(self, outputs: np.ndarray) -> np.ndarray:
        """Raw outputs (n, columns), or with probabilities in place of scores; valence and arousal stay as they are."""
        values = torch.from_numpy(outputs.astype(np.float64))
        if self._rules.probabilities:
            for task, turn in (("expr", lambda scores: scores.softmax(dim=1)), ("au", torch.sigmoid)):
                if task in self._places:
                    values[:, self._places[task]] = turn(values[:, self._places[task]])
        return values.numpy()

    def _training_labels(self, trial: TrialData) -> dict[str, np.ndarray]:
        labels = known.known_labels(trial, self.target)
        return known.without_contradictions(labels) if self._settings["filter_contradictions"] else labels

    def _labelled(self, trial: TrialData, counts: Mapping[str, Any]) -> Picked:
        labels = self._training_labels(trial)
        usable = np.any([~np.isnan(values).all(axis=1) for values in labels.values()], axis=0)
        return self._picked(trial, np.flatnonzero(usable), labels, counts)

    def _validated(self, trial: TrialData, counts: Mapping[str, Any]) -> Picked:
        frames = grid(len(trial.times), self._settings["validation_stride"])
        return self._picked(trial, frames, known.known_labels(trial, self.target), counts)

    def _predicted(self, trial: TrialData, counts: Mapping[str, Any]) -> Picked:
        return Picked(trial, grid(len(trial.times), self._settings["prediction_stride"]), {})

    def _picked(
        self, trial: TrialData, frames: np.ndarray, labels: Mapping[str, np.ndarray], counts: Mapping[str, Any]
    ) -> Picked:
        chosen = {task: values[frames] for task, values in labels.items()}
        return Picked(trial, frames, chosen | known.weights(chosen, counts, self._settings["balance"]))
