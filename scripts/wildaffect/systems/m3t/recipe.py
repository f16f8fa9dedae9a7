"""How M3T is trained, selected and run (M3T spec 4 to 6); card.md lists what differs between the modes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wildaffect.errors import InputError
from wildaffect.features.statistics import column_statistics
from wildaffect.systems.interface import Schedule, Target, TrialData
from wildaffect.systems.m3t.checkpoint import VARIANTS
from wildaffect.systems.m3t.data import Reader, Sound, Vectors, WindowSamples
from wildaffect.systems.m3t.losses import AFFECT, expression_loss
from wildaffect.systems.m3t.model import build as build_model
from wildaffect.systems.m3t.modes import MODES, Rules
from wildaffect.systems.m3t.pretrained import load_stream
from wildaffect.systems.m3t.sampling import check_classes, choices, task_labels, training_starts
from wildaffect.systems.m3t.scores import expression_scores, frame_scores
from wildaffect.systems.m3t.spec import EXPRESSIONS, OUTPUTS, VALENCE_AROUSAL
from wildaffect.systems.windows import windows

ENCODERS = ("visual", "audio")
MOMENTUM = 0.9


def build(variant: str, target: Target, mode: str, settings: Mapping[str, Any]) -> "M3T":
    """Recipe of one instance; ``settings`` complete, as described in schema.yaml. :class:`InputError` for what cannot go together."""
    outputs = settings["network"]["outputs"] or VARIANTS[variant].outputs
    if outputs < len(target.columns):
        raise InputError(
            f"m3t: a network with {outputs} outputs has no expressions. Use the target va, or network.outputs: 9."
        )
    if settings["freeze_encoders"] and VARIANTS[variant].modality != "audiovisual":
        raise InputError(
            f"m3t: freeze_encoders leaves nothing to train in {variant}; it is for the audio-visual variants."
        )
    if max(settings["stride"], settings["validation_stride"]) > settings["window"]:
        raise InputError(
            "m3t: stride and validation_stride may not be larger than window, or frames would get no prediction."
        )
    return M3T(variant, target, MODES[mode], settings, OUTPUTS[-outputs:])


class M3T:
    """See :class:`wildaffect.systems.interface.Recipe`."""

    def __init__(
        self, variant: str, target: Target, rules: Rules, settings: Mapping[str, Any], outputs: Sequence[str]
    ) -> None:
        self.target = target
        self.metric = "ccc_mixed" if rules.mixed else "ccc"
        self._variant, self._rules, self._settings = variant, rules, settings
        self._modality = VARIANTS[variant].modality
        self._outputs = [outputs.index(column) for column in target.columns]
        self._places = {
            task: [target.columns.index(column) for column in columns]
            for task, columns in (("va", VALENCE_AROUSAL), ("expr", EXPRESSIONS))
            if task in target.labels
        }
        self._vectors = {"se_features": Vectors(settings["face_vectors"], settings["face_columns"])}
        if settings["arousal_vectors"] is not None:
            self._vectors["au_features"] = Vectors(settings["arousal_vectors"], settings["arousal_columns"])
        self._inputs = {
            "visual": ("video", *self._vectors),
            "audio": ("audio",),
            "audiovisual": ("video", *self._vectors, "audio"),
        }[self._modality]
        self.schedule = Schedule(
            epochs=settings["epochs"],
            batch=settings["batch"],
            accumulate=settings["accumulate"],
            patience=settings["early_stop"],
        )

    def model(self) -> nn.Module:
        """Network with random weights."""
        arousal = self._vectors.get("au_features")
        return build_model(
            self._variant,
            vectors=self._vectors["se_features"].columns,
            arousal_vectors=arousal and arousal.columns,
            **self._settings["network"],
        )

    def initialise(self, model: nn.Module) -> list[dict[str, Any]]:
        """The streams for which a file is configured and that the variant has."""
        files = {"visual": self._settings["visual_weights"], "audio": self._settings["audio_weights"]}
        split_layer = self._settings["network"]["split_layer"]
        return [
            load_stream(model, stream, path, split_layer)
            for stream, path in files.items()
            if stream in self._modality and path is not None
        ]

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """Mean and deviation of the sound per column, where it is scaled."""
        if "audio" not in self._inputs or not self._rules.scaled:
            return {}
        return {self._rules.feature: column_statistics(trial.features[self._rules.feature] for trial in trials)}

    def statistics(self, trials: Sequence[TrialData], fitted: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Always those of the training trials."""
        if fitted is None and "audio" in self._inputs and self._rules.scaled:
            raise InputError(
                "corrected M3T models that hear need the statistics of their training data (stats.json); none were given. "
                "Published weights want mode: faithful."
            )
        return fitted or {}

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: str) -> WindowSamples:
        """Random windows of labelled frames to train on; otherwise all frames, in windows at the stride of ``purpose``."""
        check_classes(trials, self.target)
        reader = self._reader(statistics, purpose)
        if purpose == "train":
            rules = {"sees": reader.sees, "resample": self._settings["resample"]}
            starts = [
                training_starts(trial, self.target, reader.window, **rules) if self._used(trial) else []
                for trial in trials
            ]
            chosen = choices(starts, self._settings["windows_per_epoch"], self._rules.equal_trials)
        else:
            stride = self._settings["validation_stride" if purpose == "validate" else "stride"]
            kept = [self._used(trial) or purpose == "predict" for trial in trials]
            firsts = [
                self._firsts(len(trial.times), stride) if keep else [] for trial, keep in zip(trials, kept, strict=True)
            ]
            chosen = [np.array([[number, first]]) for number, own in enumerate(firsts) for first in own]
        return WindowSamples(trials, chosen, reader, self._finish)

    def order(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """A new order every epoch."""
        return np.random.default_rng([seed, epoch]).permutation(count)

    def start_phase(self, model: nn.Module, phase: int) -> None:
        """Everything is trained, or all but the two encoders."""
        model.requires_grad_()
        for encoder in self._frozen(model):
            encoder.requires_grad_(requires_grad=False)

    def train_mode(self, model: nn.Module) -> None:
        """Frozen encoders stay in evaluation mode, unless their batch statistics drift as published."""
        model.train()
        for encoder in () if self._rules.drifting else self._frozen(model):
            encoder.eval()

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam or SGD with L2 on every trainable tensor, behind a limit on the norm of the gradient."""
        rates = {"lr": self._settings["learning_rate"], "weight_decay": self._settings["weight_decay"]}
        if self._settings["optimizer"] == "sgd":
            optimizer: torch.optim.Optimizer = torch.optim.SGD(parameters, momentum=MOMENTUM, **rates)
        else:
            optimizer = torch.optim.Adam(parameters, **rates)
        limit = self._settings["gradient_norm"]
        if limit is None:
            return optimizer

        def scale_down(*_: Any) -> None:
            nn.utils.clip_grad_norm_(parameters, limit)

        optimizer.register_step_pre_hook(scale_down)
        return optimizer

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """Falls when 1 - CCC stops falling, or every epoch."""
        factor = self._settings["decay_factor"]
        if self._settings["scheduler"] == "exponential":
            return torch.optim.lr_scheduler.ExponentialLR(optimizer, factor)
        patience, lowest = self._settings["plateau_patience"], self._settings["lowest_rate"]
        return Plateau(optimizer, factor=factor, patience=patience, min_lr=lowest)

    def forward(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """(B, window, columns of the target)."""
        return model(**{name: batch[name] for name in self._inputs})[..., self._outputs]

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Valence and arousal by their shares, and the expression where the target has it (M3T spec 5.1)."""
        affect = AFFECT[self._settings["loss"]]
        valence, arousal = affect(outputs[..., self._places["va"]], batch["va"], mixed=self._rules.mixed)
        share = self._settings["valence_weight"]
        total = share * valence + (1 - share) * arousal
        if "expr" in self._places:
            raw = outputs[..., self._places["expr"]]
            expression = expression_loss(raw, batch["expr"], over_all=self._rules.over_all)
            total = total + self._settings["expression_weight"] * expression
        return total

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """Metrics of valence and arousal over all labelled frames of the partition, and of the expression, which selects nothing."""
        found: dict[str, float] = {}
        for task, metrics in (("va", frame_scores), ("expr", expression_scores)):
            if task in self._places:
                truth = np.concatenate([task_labels(trial, self.target, task) for trial in trials])
                found |= metrics(truth, np.concatenate([part[:, self._places[task]] for part in predictions]))
        return found

    def _reader(self, statistics: Mapping[str, Any], purpose: str) -> Reader:
        heard = None
        if "audio" in self._inputs:
            scale = {name: np.asarray(value) for name, value in statistics.get(self._rules.feature, {}).items()}
            heard = Sound(self._rules.feature, **scale)
        training = purpose == "train"
        return Reader(
            self.target,
            self._settings["window"],
            sees="video" in self._inputs,
            vectors={name: vectors for name, vectors in self._vectors.items() if name in self._inputs},
            sound=heard,
            nearest=self._rules.nearest,
            augment=training and self._settings["augment"],
            cutout=training and self._settings["cutout"],
            unlabelled=self._rules.unlabelled if training else float("nan"),
        )

    def _finish(self, outputs: np.ndarray) -> np.ndarray:
        """Raw outputs (B, window, columns), or with probabilities in place of the expressions' scores."""
        if not self._rules.probabilities or "expr" not in self._places:
            return outputs
        values, places = torch.from_numpy(outputs.astype(np.float64)), self._places["expr"]
        values[..., places] = values[..., places].softmax(dim=2)
        return values.numpy()

    def _used(self, trial: TrialData) -> bool:
        """Sound alone is not trained or scored on videos of few frames per second, where the faithful feature is empty."""
        times = trial.times
        slow = len(times) > 1 and (len(times) - 1) / (times[-1] - times[0]) < self._rules.rate_limit
        return not (slow and self._modality == "audio")

    def _firsts(self, length: int, stride: int) -> Sequence[int]:
        if self._rules.padded:
            return range(0, length, stride)
        return [start for start, _ in windows(length, self._settings["window"], stride)]

    def _frozen(self, model: nn.Module) -> list[nn.Module]:
        return [model.get_submodule(name) for name in ENCODERS] if self._settings["freeze_encoders"] else []


class Plateau(torch.optim.lr_scheduler.ReduceLROnPlateau):
    """Watches 1 - score, as published: the least improvement that counts is relative."""

    def step(self, metrics: float) -> None:
        """``metrics``: the score."""
        super().step(1 - metrics)
