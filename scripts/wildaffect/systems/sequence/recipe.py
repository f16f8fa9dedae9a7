"""How sequence is trained, selected and run; what is not said here is done as in the base class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wildaffect.corpus.label_spaces import EXPRESSIONS7
from wildaffect.features.spec import find_feature
from wildaffect.features.statistics import column_statistics
from wildaffect.systems.base import Recipe, trainable
from wildaffect.systems.sequence.data import Windows
from wildaffect.systems.sequence.model import build as build_model
from wildaffect.systems.sequence.spec import SequenceSettings
from wildaffect.systems.toolbox import all_rows, check_classes, concordance, task_scores
from wildaffect.systems.types import Purpose, Target, TrialData


def build(variant: str, target: Target, mode: str, settings: SequenceSettings) -> "Temporal":
    """Recipe of one instance."""
    return Temporal(variant, target, mode, settings)


class Temporal(Recipe[SequenceSettings]):
    """One network for all tasks of the target."""

    fitted_statistics = True
    one_cycle = True

    def __init__(self, variant: str, target: Target, mode: str, settings: SequenceSettings) -> None:
        super().__init__(variant, target, mode, settings)
        outputs = {task: len(columns) for task, columns in target.labels.items()}
        if "expr" in outputs:
            outputs["expr"] = len(target.columns) - sum(count for task, count in outputs.items() if task != "expr")
        self._outputs = outputs
        self._labels = {task: len(columns) for task, columns in target.labels.items()}

    def model(self) -> nn.Module:
        """Network for features of the audio, whose columns are known."""
        return self.network({name: (find_feature(name).dim,) for name in self.settings.inputs})

    def network(self, rows: Mapping[str, Sequence[int]]) -> nn.Module:
        """Network for inputs whose rows have these shapes."""
        settings = self.settings
        return build_model(
            self.variant,
            widths=[rows[name][0] for name in settings.inputs],
            outputs=len(self.target.columns),
            hidden=settings.hidden,
            layers=settings.layers,
            heads=settings.heads,
            dropout=settings.dropout,
            window_statistics=settings.window_statistics,
        )

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """Mean and deviation of each input, and the weight of each class and of active and inactive units."""
        labels = np.concatenate([self._joined(trial) for trial in trials])
        found: dict[str, Any] = {
            "inputs": {
                name: column_statistics(trial.features[name] for trial in trials) for name in self.settings.inputs
            }
        }
        parts = _split(labels, self._labels)
        if "expr" in parts:
            classes = parts["expr"][~np.isnan(parts["expr"])].astype(int)
            found["classes"] = self._balanced(np.bincount(classes, minlength=self._outputs["expr"]))
        if "au" in parts:
            counts = [[int((unit == state).sum()) for state in (0, 1)] for unit in parts["au"].T]
            found["units"] = [self._balanced(np.array(pair)) for pair in counts]
        return self.statistics(trials, found)

    def statistics(self, trials: Sequence[TrialData], fitted: Mapping[str, Any] | None) -> dict[str, Any]:
        """Those of the training; where each subject is scaled by itself, with mean and deviation of the subjects of ``trials``."""
        found = dict(super().statistics(trials, fitted))
        if self.settings.normalise == "training":
            return found
        groups: dict[str, list[TrialData]] = {}
        for trial in trials:
            groups.setdefault(_subject(trial), []).append(trial)
        return {**found, "subjects": {name: _scales(own, found["inputs"]) for name, own in groups.items()}}

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> Windows:
        """Windows over all frames."""
        settings = self.settings
        subjects = statistics.get("subjects")
        return Windows(
            trials,
            [self._joined(trial) for trial in trials],
            [subjects[_subject(trial)] if subjects else statistics["inputs"] for trial in trials],
            inputs=settings.inputs,
            weigh=lambda labels: self._weights(labels, statistics),
            finish=self._finished,
            window=settings.window,
            hop=settings.hop,
            drop_input=settings.drop_input,
            drop_columns=settings.drop_columns,
        )

    def configure_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Adam with decoupled weight decay."""
        return torch.optim.AdamW(
            trainable(model), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, window, columns of the target), before any activation."""
        return model(batch["values"], batch["real"])

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Sum over the tasks of the losses on their labelled frames."""
        rows = (outputs, batch["labels"], batch["weights"])
        predicted, truth, weights = (part.flatten(0, 1) for part in rows)
        tasks = zip(
            self._outputs,
            predicted.split([*self._outputs.values()], dim=-1),
            truth.split([*self._labels.values()], dim=-1),
            weights.split([*self._labels.values()], dim=-1),
            strict=True,
        )
        return torch.stack([self._task_loss(task, *parts) for task, *parts in tasks]).sum()

    def _task_loss(self, task: str, outputs: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
        known = ~truth.isnan()
        if task == "va":
            return (1 - concordance(outputs.tanh()[None], truth[None], known[None], mixed=False)).mean()
        filled = truth.nan_to_num()
        if task == "expr":
            each = F.cross_entropy(
                outputs, filled[:, 0].long(), reduction="none", label_smoothing=self.settings.label_smoothing
            )[:, None]
        else:
            each = F.binary_cross_entropy_with_logits(outputs, filled, reduction="none")
            easy = torch.where(filled > 0, 1.0, outputs.sigmoid())
            each = each * easy.detach().pow(self.settings.focus)
        weights = torch.where(known, weights, 0.0)
        return (each * weights).sum() / weights.sum().clamp(min=1e-6)

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """The challenge's metrics of each task; ``criterion``, the mean of what ranks them, selects the best epoch."""
        truth = _split(np.concatenate([self._joined(trial) for trial in trials]), self._labels)
        predicted = _split(np.concatenate(predictions), self._outputs)
        found = {task: task_scores(task, truth[task], predicted[task]) for task in truth}
        criteria = [scores.pop("criterion") for scores in found.values()]
        known = [value for value in criteria if not np.isnan(value)]
        metrics = {name: value for scores in found.values() for name, value in scores.items()}
        return metrics | {"criterion": float(np.mean(known)) if known else float("nan")}

    def _joined(self, trial: TrialData) -> np.ndarray:
        """All label columns (N, columns) of a trial, NaN where a frame has no usable label."""
        parts = [all_rows(trial, task, columns) for task, columns in self._labels.items()]
        for task, part in zip(self._labels, parts, strict=True):
            if task == "expr" and self._outputs["expr"] == len(EXPRESSIONS7):
                check_classes("this target of sequence", trial.name, part.labels)
        return np.concatenate([np.where(part.counts[:, None], part.labels, np.nan) for part in parts], axis=1)

    def _balanced(self, counts: np.ndarray) -> list[float]:
        """Weight of each class; of those that occur it is 1 on average over the frames, those that do not occur have 0."""
        weights = np.where(counts > 0, np.maximum(counts, 1) ** -self.settings.balance, 0.0)
        mean = (weights * counts).sum() / max(counts.sum(), 1)
        return (weights / mean if mean else np.ones(len(counts))).tolist()

    def _weights(self, labels: np.ndarray, statistics: Mapping[str, Any]) -> np.ndarray:
        """Weight of each label (rows, columns)."""
        parts = _split(labels, self._labels)
        weights = {task: np.ones_like(part) for task, part in parts.items()}
        if "expr" in parts:
            weights["expr"] = np.asarray(statistics["classes"])[np.nan_to_num(parts["expr"]).astype(int)]
        if "au" in parts:
            active = np.nan_to_num(parts["au"]).astype(int)
            weights["au"] = np.asarray(statistics["units"])[np.arange(active.shape[1]), active]
        return np.concatenate([*weights.values()], axis=1)

    def _finished(self, outputs: np.ndarray) -> np.ndarray:
        """Values in [-1, 1], probabilities of classes and of units."""
        raw = torch.from_numpy(np.ascontiguousarray(outputs, np.float32))
        turn = {"va": torch.tanh, "expr": lambda part: part.softmax(dim=-1), "au": torch.sigmoid}
        parts = raw.split([*self._outputs.values()], dim=-1)
        return torch.cat([turn[task](part) for task, part in zip(self._outputs, parts, strict=True)], dim=-1).numpy()


def _subject(trial: TrialData) -> str:
    return trial.name if trial.subject is None else trial.subject


def _scales(trials: Sequence[TrialData], training: Mapping[str, Any]) -> dict[str, Any]:
    """Mean and deviation of each input over ``trials``; deviations are at least a tenth of those of the training trials."""
    own = {name: column_statistics(trial.features[name] for trial in trials) for name in training}
    return {
        name: {"mean": scale["mean"], "std": np.maximum(scale["std"], np.multiply(0.1, training[name]["std"])).tolist()}
        for name, scale in own.items()
    }


def _split(columns: np.ndarray, widths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Columns (N, sum of widths) by task."""
    ends = np.cumsum([*widths.values()])[:-1]
    return dict(zip(widths, np.split(columns, ends, axis=-1), strict=True))
