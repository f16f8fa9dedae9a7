"""How M3T is trained, selected and run (M3T spec 4 to 6); card.md lists what differs between the modes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.features.frames import LOWEST_FPS
from wildaffect.features.spec import find_feature
from wildaffect.features.statistics import column_statistics
from wildaffect.scoring import ccc
from wildaffect.scoring.f1 import accuracy, confusion_matrix, macro_f1
from wildaffect.systems.base import FrozenMode, Recipe, trainable
from wildaffect.systems.m3t.checkpoint import VARIANTS
from wildaffect.systems.m3t.data import Audio, Reader, Vectors, WindowSamples, choices, task_labels, training_starts
from wildaffect.systems.m3t.model import build as build_model
from wildaffect.systems.m3t.model import load_stream
from wildaffect.systems.m3t.spec import OUTPUTS, M3tSettings, audio_feature
from wildaffect.systems.toolbox import check_classes, concordance, windows
from wildaffect.systems.types import Purpose, Schedule, Target, TrialData

ENCODERS = ("visual", "audio")
MOMENTUM = 0.9
# What missing labels are learnt as in the original (M3T spec 7.2, 6).
UNLABELLED = -5.0
# The published loss has none; this one only keeps a batch without any variation from giving NaN.
EPSILON = 1e-12


@dataclass(frozen=True)
class Quirks:
    """What the two modes do differently; the numbers are those of M3T spec 7.2.

    Attributes:
        scaled: The audio less its mean, divided by its deviation (3).
        nearest: Where the images of frames without a face come from (18).
        equal_trials: Windows per trial, not per frame (21).
        unlabelled: Value of missing labels when resampling (6).
        mixed: Moments of the CCC (14).
        over_all: Divisor of the cross-entropy (16).
        padded: The last window is short and padded (19).
        frozen: Frozen encoders in training mode or not (25).
        rate_limit: Videos of fewer frames per second do not train the audio alone (24).
        probabilities: Predictions of expressions are probabilities, not raw outputs.
    """

    scaled: bool
    nearest: bool
    equal_trials: bool
    unlabelled: float
    mixed: bool
    over_all: bool
    padded: bool
    frozen: FrozenMode
    rate_limit: float
    probabilities: bool


MODES = {
    "faithful": Quirks(
        scaled=False,
        nearest=False,
        equal_trials=True,
        unlabelled=UNLABELLED,
        mixed=True,
        over_all=True,
        padded=True,
        frozen=FrozenMode.DRIFTING,
        rate_limit=LOWEST_FPS,
        probabilities=False,
    ),
    "corrected": Quirks(
        scaled=True,
        nearest=True,
        equal_trials=False,
        unlabelled=float("nan"),
        mixed=False,
        over_all=False,
        padded=False,
        frozen=FrozenMode.EVALUATION,
        rate_limit=0.0,
        probabilities=True,
    ),
}


def build(variant: str, target: Target, mode: str, settings: M3tSettings) -> "M3T":
    """Recipe of one instance.

    Raises:
        InputError: Settings that cannot go together.
    """
    outputs = settings.network.outputs or VARIANTS[variant].outputs
    if outputs < len(target.columns):
        raise InputError(
            f"m3t: a network with {outputs} outputs has no expressions. Use the target va, or network.outputs: 9."
        )
    network = settings.network
    if network.backend == "tcn_simple" and (VARIANTS[variant].modality != "visual" or network.split_layer == 5):
        raise InputError(f"m3t: network.backend tcn_simple is for visual_mtl with split_layer below 5, not {variant}.")
    if settings.freeze_encoders and VARIANTS[variant].modality != "audiovisual":
        raise InputError(
            f"m3t: freeze_encoders leaves nothing to train in {variant}; it is for the audio-visual variants."
        )
    if max(settings.stride, settings.validation_stride) > settings.window:
        raise InputError(
            "m3t: stride and validation_stride may not be larger than window, or frames would get no prediction."
        )
    return M3T(variant, target, mode, settings)


class M3T(Recipe[M3tSettings]):
    """Windows of frames, one or both modalities, one or two tasks."""

    def __init__(self, variant: str, target: Target, mode: str, settings: M3tSettings) -> None:
        super().__init__(variant, target, mode, settings)
        self._quirks, self._feature = MODES[mode], audio_feature(mode, settings)
        self._modality = VARIANTS[variant].modality
        outputs = OUTPUTS[-(settings.network.outputs or VARIANTS[variant].outputs) :]
        self._outputs = [outputs.index(column) for column in target.columns]
        self._positions = {
            task: [target.columns.index(column) for column in columns]
            for task, columns in (("va", VALENCE_AROUSAL), ("expr", EXPRESSIONS7))
            if task in target.labels
        }
        self._vectors = {"se_features": Vectors(settings.face_vectors, settings.face_columns)}
        if settings.arousal_vectors is not None:
            self._vectors["au_features"] = Vectors(settings.arousal_vectors, settings.arousal_columns)
        self._inputs = {
            "visual": ("video", *self._vectors),
            "audio": ("audio",),
            "audiovisual": ("video", *self._vectors, "audio"),
        }[self._modality]
        self.metric = "ccc_mixed" if self._quirks.mixed else "ccc"
        self.frozen_mode = self._quirks.frozen
        self.one_cycle = settings.scheduler == "one_cycle"
        self.fitted_statistics = self._quirks.scaled and "audio" in self._inputs

    @property
    def schedule(self) -> Schedule:
        """With a limit on the norm of the gradient."""
        return replace(super().schedule, gradient_norm=self.settings.gradient_norm)

    def model(self) -> nn.Module:
        """Network with random weights."""
        network, arousal = self.settings.network, self._vectors.get("au_features")
        return build_model(
            self.variant,
            outputs=network.outputs,
            channels=network.channels,
            hidden=network.hidden,
            audio_hidden=network.audio_hidden,
            split_layer=network.split_layer,
            fc_layers=network.fc_layers,
            vectors=self._vectors["se_features"].columns,
            arousal_vectors=arousal.columns if arousal else None,
            image_pooling=network.image_pooling,
            backend=network.backend,
            audio_columns=find_feature(self._feature).dim,
            dropout=network.dropout,
            window_statistics=network.window_statistics,
        )

    def initialise(self, model: nn.Module) -> list[dict[str, Any]]:
        """The streams for which a file is configured and that the variant has."""
        files = {"visual": self.settings.visual_weights, "audio": self.settings.audio_weights}
        return [
            load_stream(model, stream, path, self.settings.network.split_layer)
            for stream, path in files.items()
            if stream in self._modality and path is not None
        ]

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """Mean and deviation of the audio per column, where it is scaled."""
        if not self.fitted_statistics:
            return {}
        return {self._feature: column_statistics(trial.features[self._feature] for trial in trials)}

    def frozen(self, model: nn.Module, phase: int) -> list[nn.Module]:
        """Nothing, or the two encoders."""
        return [model.get_submodule(name) for name in ENCODERS] if self.settings.freeze_encoders else []

    def configure_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Adam or SGD with L2 on every trainable tensor."""
        if self.settings.optimizer == "adam":
            return super().configure_optimizer(model)
        return torch.optim.SGD(
            trainable(model),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            momentum=MOMENTUM,
        )

    def configure_scheduler(
        self, optimizer: torch.optim.Optimizer, steps_per_epoch: int
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Falls when 1 - CCC stops falling, or every epoch, or makes one cycle."""
        if self.one_cycle:
            return super().configure_scheduler(optimizer, steps_per_epoch)
        factor = self.settings.plateau_factor
        if self.settings.scheduler == "exponential":
            return torch.optim.lr_scheduler.ExponentialLR(optimizer, factor)
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=factor, patience=self.settings.plateau_patience, min_lr=self.settings.lowest_rate
        )

    def watched(self, metric: float) -> float:
        """1 - CCC, as published: the least improvement that counts is relative."""
        return 1 - metric

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> WindowSamples:
        """Random windows of labelled frames to train on; otherwise all frames, in windows at the stride of ``purpose``."""
        for trial in trials if "expr" in self._positions else ():
            check_classes("M3T", trial.name, task_labels(trial, self.target, "expr"))
        reader = self._reader(statistics, purpose)
        if purpose == Purpose.TRAIN:
            if trials and (longest := max(len(trial.times) for trial in trials)) < reader.window:
                raise InputError(
                    f"m3t: no training trial has the {reader.window} frames of a window, the longest has {longest}. Lower recipe.window, "
                    "stride and validation_stride."
                )
            rules = {"uses_video": reader.uses_video, "resample": self.settings.resample}
            starts = [
                training_starts(trial, self.target, reader.window, **rules) if self._used(trial) else []
                for trial in trials
            ]
            chosen = choices(starts, self.settings.windows_per_epoch, self._quirks.equal_trials)
        else:
            validating = purpose == Purpose.VALIDATE
            stride = self.settings.validation_stride if validating else self.settings.stride
            kept = [self._used(trial) or purpose == Purpose.PREDICT for trial in trials]
            firsts = [
                self._firsts(len(trial.times), stride) if keep else [] for trial, keep in zip(trials, kept, strict=True)
            ]
            chosen = [np.array([[index, first]]) for index, own in enumerate(firsts) for first in own]
        return WindowSamples(trials, chosen, reader, self._finish)

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, window, columns of the target)."""
        return model(**{name: batch[name] for name in self._inputs})[..., self._outputs]

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Valence and arousal by their weights, and the expression where the target has it (M3T spec 5.1)."""
        affect = AFFECT[self.settings.loss]
        valence, arousal = affect(outputs[..., self._positions["va"]], batch["va"], mixed=self._quirks.mixed)
        weight = self.settings.valence_weight
        total = weight * valence + (1 - weight) * arousal
        if "expr" in self._positions:
            raw = outputs[..., self._positions["expr"]]
            expression = expression_loss(
                raw, batch["expr"], over_all=self._quirks.over_all, smoothing=self.settings.label_smoothing
            )
            total = total + self.settings.expression_weight * expression
        return total

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """Metrics of valence and arousal over all labelled frames of the partition, and of the expression, which selects nothing."""
        found: dict[str, float] = {}
        for task, metrics in (("va", frame_scores), ("expr", expression_scores)):
            if task in self._positions:
                truth = np.concatenate([task_labels(trial, self.target, task) for trial in trials])
                found |= metrics(truth, np.concatenate([part[:, self._positions[task]] for part in predictions]))
        return found

    def _reader(self, statistics: Mapping[str, Any], purpose: Purpose) -> Reader:
        audio = None
        if "audio" in self._inputs:
            scale = {name: np.asarray(value) for name, value in statistics.get(self._feature, {}).items()}
            audio = Audio(self._feature, **scale)
        training = purpose == Purpose.TRAIN
        if training and audio is not None:
            audio = replace(
                audio,
                frames=self.settings.mask_frames,
                bands=self.settings.mask_bands,
                dropped=self.settings.drop_columns,
            )
        return Reader(
            self.target,
            self.settings.window,
            uses_video="video" in self._inputs,
            vectors={name: vectors for name, vectors in self._vectors.items() if name in self._inputs},
            audio=audio,
            nearest=self._quirks.nearest,
            augment=training and self.settings.augment,
            cutout=training and self.settings.cutout,
            unlabelled=self._quirks.unlabelled if training else float("nan"),
        )

    def _finish(self, outputs: np.ndarray) -> np.ndarray:
        """Raw outputs (B, window, columns), or with probabilities in place of the expressions' scores."""
        if not self._quirks.probabilities or "expr" not in self._positions:
            return outputs
        values, positions = torch.from_numpy(outputs.astype(np.float64)), self._positions["expr"]
        values[..., positions] = values[..., positions].softmax(dim=2)
        return values.numpy()

    def _used(self, trial: TrialData) -> bool:
        """Audio alone is not trained or scored on videos of few frames per second, where the faithful feature is empty."""
        times = trial.times
        slow = len(times) > 1 and (len(times) - 1) / (times[-1] - times[0]) < self._quirks.rate_limit
        return not (slow and self._modality == "audio")

    def _firsts(self, length: int, stride: int) -> Sequence[int]:
        if self._quirks.padded:
            return range(0, length, stride)
        return [start for start, _ in windows(length, self.settings.window, stride)]


def ccc_losses(raw: Tensor, truth: Tensor, *, mixed: bool) -> Tensor:
    """1 - CCC of valence and arousal (2,), all frames of the batch (B, T, 2) as one series; ``mixed`` moments as published."""
    known = ~truth.isnan().any(dim=2)
    series = (raw.flatten(0, 1)[None], truth.flatten(0, 1)[None], known.flatten()[None])
    return 1 - concordance(*series, mixed=mixed, epsilon=EPSILON)[0]


def square_losses(raw: Tensor, truth: Tensor, *, mixed: bool) -> Tensor:
    """Mean square errors of valence and arousal (2,); ``mixed`` makes no difference."""
    known = ~truth.isnan().any(dim=2, keepdim=True)
    errors = (raw - truth.nan_to_num()).square() * known
    return errors.sum(dim=(0, 1)) / known.sum().clamp(min=1)


AFFECT: dict[str, Callable[..., Tensor]] = {"ccc": ccc_losses, "mse": square_losses}


def expression_loss(raw: Tensor, truth: Tensor, *, over_all: bool, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of (B, T, classes) against class numbers (B, T, 1), its sum over labelled frames divided by their number.

    ``over_all`` divides by the number of all frames, as published, so that it weighs the less the fewer are labelled.
    """
    known = ~truth.isnan()
    classes = truth.nan_to_num().long().flatten()
    each = F.cross_entropy(raw.flatten(0, 1), classes, reduction="none", label_smoothing=smoothing) * known.flatten()
    count = torch.as_tensor(known.numel()) if over_all else known.sum().clamp(min=1)
    return each.sum() / count


def frame_scores(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """CCC and mean square error of valence and arousal (N, 2) over frames with label and prediction; mean CCC of two definitions.

    ``ccc_mixed`` takes the covariance with 1/N and the variances with 1/(N - 1), as the published code selects by.
    """
    rows = ~np.isnan(truth).any(axis=1) & ~np.isnan(prediction).any(axis=1)
    if not rows.any():
        return {"ccc": float("nan"), "ccc_mixed": float("nan")}
    pairs = {name: (truth[rows, k].astype(float), prediction[rows, k]) for k, name in enumerate(VALENCE_AROUSAL)}
    by_name = {f"ccc_{name}": ccc(*pair) for name, pair in pairs.items()}
    errors = {f"mse_{name}": float(np.mean((t - p) ** 2)) for name, (t, p) in pairs.items()}
    mixed = float(np.mean([ccc(*pair, variant="mixed") for pair in pairs.values()]))
    return {**by_name, **errors, "ccc": float(np.mean(list(by_name.values()))), "ccc_mixed": mixed}


def expression_scores(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Macro F1 and accuracy of the largest of (N, 7) against class numbers (N, 1); none without labels."""
    known = ~np.isnan(truth[:, 0]) & ~np.isnan(prediction).any(axis=1)
    if not known.any():
        return {}
    matrix = confusion_matrix(truth[:, 0], prediction.argmax(axis=1), range(len(EXPRESSIONS7)), known)
    return {"expr_f1": float(macro_f1(matrix)), "expr_accuracy": float(accuracy(matrix))}
