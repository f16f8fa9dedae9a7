"""How LFAN is trained, selected and run (LFAN spec 5 and 6); the differences of the two modes are listed in card.md."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from wildaffect.features.spec import find_feature
from wildaffect.features.statistics import column_statistics, scalar_statistics
from wildaffect.scoring import ccc
from wildaffect.systems.base import FrozenMode, Recipe
from wildaffect.systems.lfan.data import WindowSamples
from wildaffect.systems.lfan.model import build as build_model
from wildaffect.systems.lfan.model import normalised
from wildaffect.systems.lfan.spec import LfanSettings, needs
from wildaffect.systems.toolbox import RowSelection, all_rows, concordance, labelled_rows
from wildaffect.systems.types import Purpose, Schedule, Target, TrialData
from wildaffect.systems.weights import load_state
from wildaffect.weights import read_weights

TASK = "va"
PHASES = {"gradual": 3, "all": 1, "frozen": 1}


def build(variant: str, target: Target, mode: str, settings: LfanSettings) -> "Lfan":
    """Recipe of one instance."""
    return {"faithful": Faithful, "corrected": Corrected}[mode](variant, target, mode, settings)


class Lfan(Recipe[LfanSettings]):
    """What both modes share."""

    def __init__(self, variant: str, target: Target, mode: str, settings: LfanSettings) -> None:
        super().__init__(variant, target, mode, settings)
        inputs = needs(variant, mode, settings)
        (self._template,) = inputs.crops
        self._features = inputs.features
        self.one_cycle = settings.scheduler == "one_cycle"

    @property
    def schedule(self) -> Schedule:
        """With phases of gradual release."""
        return replace(
            super().schedule,
            phases=PHASES[self.settings.backbone_training],
            patience_per_phase=self.settings.patience_per_phase,
            reload_best=self.settings.reload_best,
        )

    def model(self) -> nn.Module:
        """Network for features of the audio, whose columns are known."""
        return self.network({name: (find_feature(name).dim,) for name in self._features})

    def network(self, rows: Mapping[str, Sequence[int]]) -> nn.Module:
        """Network with random weights for features whose rows have these shapes."""
        backbone = self.settings.backbone
        return build_model(
            self.variant,
            units=backbone.units,
            channels=backbone.channels,
            embedding=backbone.embedding,
            pooling=backbone.pooling,
            dropout=backbone.dropout,
            widths=[rows[name][0] for name in self._features],
            causal=self.settings.causal,
            temporal_dropout=self.settings.dropout,
            outputs=len(self.target.columns),
        )

    def initialise(self, model: nn.Module) -> list[dict[str, Any]]:
        """The face network from a file, if one is configured."""
        path = self.settings.backbone.weights
        if path is None:
            return []
        state, digest = read_weights(path, self.settings.backbone.sha256)
        load_state(model.spatial, backbone_state(state), path)
        return [{"part": "spatial", "file": path, "sha256": digest}]

    def frozen(self, model: nn.Module, phase: int) -> list[nn.Module]:
        """Of the face network, what ``backbone_training`` and the phase do not release."""
        if self.settings.backbone_training == "all":
            return []
        groups = model.spatial.release_groups()[: phase + 1] if self.settings.backbone_training == "gradual" else []
        released = [layer for group in groups for layer in group]
        return [part for part in model.spatial.parts() if part not in released]

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, window, columns of the target)."""
        followers = [batch[name] for name in self._features]
        return model(normalised(batch["frame"]), *followers, number=batch["number"])

    def _series(self, values: Tensor) -> Tensor:
        """Windows (B, window, ...) as the series that the loss is taken over: themselves, or one (1, B * window, ...)."""
        return values if self.settings.loss_over == "window" else values.flatten(0, 1)[None]

    def _columns(
        self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Labels and predictions of each emotion of the target."""
        for column in range(len(self.target.columns)):
            yield joined(predictions, trials, column)

    def _means(self, scores: Iterable[dict[str, float]]) -> dict[str, float]:
        """``scores`` of each emotion of the target; of two their mean, and each by its name."""
        columns, found = self.target.columns, list(scores)
        if len(columns) == 1:
            return found[0]
        means = {name: sum(score[name] for score in found) / len(found) for name in found[0]}
        named = {
            f"{name}_{column}": score[name] for column, score in zip(columns, found, strict=True) for name in score
        }
        return means | named

    def _windows(
        self, selections: Sequence[RowSelection], statistics: Mapping[str, Any], **rules: bool
    ) -> WindowSamples:
        return WindowSamples(
            selections,
            statistics,
            template=self._template,
            features=self._features,
            window=self.settings.window,
            hop=self.settings.hop,
            augment=self.settings.augment,
            **rules,
        )


class Faithful(Lfan):
    """The published behaviour with its quirks.

    Frozen layers are in training mode too: their dropout is active and their batch statistics drift (B13).
    """

    metric = "ccc_mixed"
    frozen_mode = FrozenMode.DRIFTING

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """One scalar pair per feature, over all rows and columns together (LFAN spec 2.10, B11)."""
        selections = [labelled_rows(trial, TASK, len(self.target.columns)) for trial in trials]
        return {
            feature: scalar_statistics(part.trial.features[feature][part.rows] for part in selections)
            for feature in self._features
        }

    def statistics(self, trials: Sequence[TrialData], fitted: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Each partition its own (B11)."""
        return self.fit(trials)

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> WindowSamples:
        """Windows over the labelled rows alone; padding counts in the loss (B10, B18)."""
        selections = [labelled_rows(trial, TASK, len(self.target.columns)) for trial in trials]
        return self._windows(selections, statistics, pad_counts=True, only_counting=False)

    def epoch_indices(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """Shuffled once; every epoch has the same batches (B12)."""
        indices = list(range(count))
        random.Random(seed).shuffle(indices)
        return np.array(indices)

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """1 - CCC of mixed form per window, mean over the batch and the emotions of the target (LFAN spec 5.2)."""
        return (1 - concordance(self._series(outputs), self._series(batch["label"]), mixed=True)).mean()

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """CCC over all labelled frames of the partition, in the mixed form that selected (LFAN spec 6.2) and in the common one."""
        return self._means(
            {"ccc_mixed": ccc(truth, prediction, variant="mixed"), **common_scores(truth, prediction)}
            for truth, prediction in self._columns(predictions, trials)
        )


class Corrected(Lfan):
    """The same system with the documented faults repaired.

    Frozen layers stay in evaluation mode; as they come first, the face network runs them in inference mode.
    """

    metric = "ccc"
    fitted_statistics = True

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """Per column."""
        return {feature: column_statistics(trial.features[feature] for trial in trials) for feature in self._features}

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> WindowSamples:
        """Windows over all decoded frames; only labelled rows count."""
        selections = [all_rows(trial, TASK, len(self.target.columns)) for trial in trials]
        return self._windows(selections, statistics, pad_counts=False, only_counting=purpose == Purpose.TRAIN)

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """1 - CCC per window over the rows that count; windows with fewer than two are left out of the mean."""
        counts = self._series(batch["counts"])
        ccc = concordance(self._series(outputs), self._series(batch["label"]), counts, mixed=False)
        weight = (counts.sum(dim=1, keepdim=True) >= 2).to(ccc.dtype)
        return ((1 - ccc).mean(dim=1, keepdim=True) * weight).sum() / weight.sum().clamp(min=1)

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """CCC, correlation and error over all labelled frames of the partition, pooled."""
        return self._means(common_scores(*pair) for pair in self._columns(predictions, trials))


def backbone_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The face network's part of an expression classifier's file (keys ``backbone.*`` beside ``logits.*``), or of a plain one."""
    prefix = "backbone."
    inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return inside or dict(state)


def joined(
    predictions: Sequence[np.ndarray], trials: Sequence[TrialData], column: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of one column in all labelled frames, concatenated over trials, float64."""
    pairs = [
        (trial.labels[TASK].values[valid, column], prediction[valid, column])
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
