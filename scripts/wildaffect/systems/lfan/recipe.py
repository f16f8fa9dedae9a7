"""How LFAN is trained, selected and run (LFAN spec 5 and 6); the differences of the two modes are listed in card.md."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wildaffect.errors import InputError
from wildaffect.features.statistics import column_statistics, scalar_statistics
from wildaffect.scoring import ccc
from wildaffect.systems.axes import complete_axis, labelled_axis
from wildaffect.systems.interface import Schedule, Target, TrialData
from wildaffect.systems.lfan.data import WindowSamples
from wildaffect.systems.lfan.model import build as build_model
from wildaffect.systems.lfan.spec import needs
from wildaffect.systems.losses import concordance
from wildaffect.systems.schedules import plateau
from wildaffect.systems.weights import load_state, read_weights

TASK = "va"
PHASES = {"gradual": 3, "all": 1, "frozen": 1}


def build(variant: str, target: Target, mode: str, settings: Mapping[str, Any]) -> "Lfan":
    """Recipe of one instance; ``settings`` complete, as described in schema.yaml."""
    return {"faithful": Faithful, "corrected": Corrected}[mode](
        variant, target, settings, needs(variant, mode, settings)
    )


class Lfan:
    """What both modes share."""

    def __init__(self, variant: str, target: Target, settings: Mapping[str, Any], inputs: Any) -> None:
        self.target = target
        self._variant = variant
        self._settings = settings
        (self._template,) = inputs.crops
        self._features = dict(zip(("vggish", "mfcc"), inputs.features, strict=False))
        self.schedule = Schedule(
            epochs=settings["epochs"],
            batch=settings["batch"],
            accumulate=settings["accumulate"],
            phases=PHASES[settings["backbone_training"]],
            minimum_rate=settings["minimum_rate"],
            patience=settings["early_stop"],
            patience_per_phase=settings["early_stop_per_phase"],
            reload_best=settings["reload_best"],
        )

    def model(self) -> nn.Module:
        """Network with random weights."""
        shape = ("units", "channels", "embedding", "pooling", "dropout")
        return build_model(self._variant, **{name: self._settings["backbone"][name] for name in shape})

    def initialise(self, model: nn.Module) -> list[dict[str, Any]]:
        """The face network from a file, if one is configured."""
        path, expected = (self._settings["backbone"][name] for name in ("weights", "sha256"))
        if path is None:
            return []
        state, digest = read_weights(path, expected)
        load_state(model.spatial, backbone_state(state), path, digest)
        return [{"part": "spatial", "file": path, "sha256": digest}]

    def start_phase(self, model: nn.Module, phase: int) -> None:
        """Everything but the face network is always trained; of that, what ``backbone_training`` and the phase allow."""
        training = self._settings["backbone_training"]
        model.spatial.requires_grad_(training == "all")
        if training == "gradual":
            for group in model.spatial.release_groups()[: phase + 1]:
                for layer in group:
                    layer.requires_grad_()

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam with L2 on every trainable tensor."""
        return torch.optim.Adam(
            parameters, lr=self._settings["learning_rate"], weight_decay=self._settings["weight_decay"]
        )

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """Falls when the validation CCC stops rising."""
        return plateau(optimizer, self._settings["plateau_factor"], self._settings["plateau_patience"])

    def forward(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """(B, window, 1)."""
        return model(**{name: batch[name] for name in ("frame", *self._features)})

    def _windows(self, axes: Sequence[Any], statistics: Mapping[str, Any], **rules: bool) -> WindowSamples:
        return WindowSamples(
            axes,
            statistics,
            template=self._template,
            features=self._features,
            window=self._settings["window"],
            hop=self._settings["hop"],
            augment=self._settings["augment"],
            **rules,
        )


class Faithful(Lfan):
    """The published behaviour with its quirks."""

    metric = "ccc_mixed"

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """One scalar pair per feature, over all rows and columns together (LFAN spec 2.10, B11)."""
        axes = [labelled_axis(trial, TASK) for trial in trials]
        return {
            feature: scalar_statistics(axis.trial.features[feature][axis.rows] for axis in axes)
            for feature in self._features.values()
        }

    def statistics(self, trials: Sequence[TrialData], fitted: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Each partition its own (B11)."""
        return self.fit(trials)

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: str) -> WindowSamples:
        """Windows over the labelled rows alone; padding counts in the loss (B10, B18)."""
        axes = [labelled_axis(trial, TASK) for trial in trials]
        return self._windows(axes, statistics, pad_counts=True, only_counting=False)

    def order(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """Shuffled once; every epoch sees the same batches (B12)."""
        indices = list(range(count))
        random.Random(seed).shuffle(indices)
        return np.array(indices)

    def train_mode(self, model: nn.Module) -> None:
        """Frozen layers too: their dropout is active and their batch statistics drift (B13)."""
        model.train()

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """1 - CCC of mixed form per window, mean over the batch (LFAN spec 5.2)."""
        return (1 - concordance(outputs, batch["label"], mixed=True)).mean()

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """CCC over all labelled frames of the partition, in the mixed form that selected (LFAN spec 6.2) and in the common one."""
        truth, prediction = joined(predictions, trials)
        return {"ccc_mixed": ccc(truth, prediction, variant="mixed"), **common_scores(truth, prediction)}


class Corrected(Lfan):
    """The same system with the documented faults repaired."""

    metric = "ccc"

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """Per column."""
        return {
            feature: column_statistics(trial.features[feature] for trial in trials)
            for feature in self._features.values()
        }

    def statistics(self, trials: Sequence[TrialData], fitted: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Always those of the training trials."""
        if fitted is None:
            raise InputError(
                "corrected LFAN models need the statistics of their training data (stats.json); none were given."
            )
        return fitted

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: str) -> WindowSamples:
        """Windows over all decoded frames; only labelled rows count."""
        axes = [complete_axis(trial, TASK) for trial in trials]
        return self._windows(axes, statistics, pad_counts=False, only_counting=purpose == "train")

    def order(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """A new order every epoch."""
        return np.random.default_rng([seed, epoch]).permutation(count)

    def train_mode(self, model: nn.Module) -> None:
        """Frozen layers stay in evaluation mode; as they come first, the face network runs them in inference mode."""
        model.train()
        for part in model.spatial.parts():
            part.train(any(parameter.requires_grad for parameter in part.parameters()))

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """1 - CCC per window over the rows that count; windows with fewer than two are left out of the mean."""
        ccc = concordance(outputs, batch["label"], batch["counts"], mixed=False)
        weight = (batch["counts"].sum(dim=1, keepdim=True) >= 2).to(ccc.dtype)
        return ((1 - ccc) * weight).sum() / weight.sum().clamp(min=1)

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """CCC, correlation and error over all labelled frames of the partition, pooled."""
        return common_scores(*joined(predictions, trials))


def backbone_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The face network's part of an expression classifier's file (keys ``backbone.*`` beside ``logits.*``), or of a plain one."""
    prefix = "backbone."
    inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return inside or dict(state)


def joined(predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of all labelled frames, concatenated over trials, float64."""
    pairs = [
        (trial.labels[TASK].values[valid, 0], prediction[valid, 0])
        for trial, prediction in zip(trials, predictions, strict=True)
        for valid in [trial.labels[TASK].valid]
    ]
    return tuple(np.concatenate(part).astype(np.float64) for part in zip(*pairs, strict=True))


def common_scores(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Population CCC, Pearson correlation (0 without variation) and root mean square error."""
    spread = truth.std() * prediction.std()
    pearson = np.mean((truth - truth.mean()) * (prediction - prediction.mean())) / spread if spread > 0 else 0.0
    error = np.sqrt(np.mean((truth - prediction) ** 2))
    return {"ccc": ccc(truth, prediction), "pcc": float(pearson), "rmse": float(error)}
