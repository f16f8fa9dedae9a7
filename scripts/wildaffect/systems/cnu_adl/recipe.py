"""How CNU_ADL is trained, selected and run. The training is ours, as none was published; card.md says what differs between the modes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wildaffect.errors import InputError
from wildaffect.features.vggface import FEATURES, scaled
from wildaffect.systems.cnu_adl.data import (
    BlockSamples,
    Part,
    closed_blocks,
    held_blocks,
    hold,
    interpolate,
    known_labels,
    moved_apart,
    moved_together,
)
from wildaffect.systems.cnu_adl.keras_files import load_face
from wildaffect.systems.cnu_adl.losses import AROUSAL, PLACES, VALENCE, losses
from wildaffect.systems.cnu_adl.model import CLASSES, Affect
from wildaffect.systems.cnu_adl.model import build as build_model
from wildaffect.systems.cnu_adl.scores import scores
from wildaffect.systems.cnu_adl.spec import COLUMNS
from wildaffect.systems.interface import Schedule, Target, TrialData
from wildaffect.systems.schedules import plateau

# Frames per chunk wherever nothing is trained.
PREDICTED = 32


@dataclass(frozen=True)
class Rules:
    """What the two modes do differently.

    ``closed``: blocks and samples are made of usable rows only, gaps closed. ``augment``: how pictures are moved. ``repeat_dropout``: see
    :func:`build_model`. ``frozen_statistics``: batch norms of frozen layers use what they have learnt. ``published_loss``: the CCC of the
    authors' loss. ``by_number``: gaps are interpolated by frame number, not by time.
    """

    closed: bool
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    repeat_dropout: bool
    frozen_statistics: bool
    published_loss: bool
    by_number: bool


MODES = {
    "faithful": Rules(True, moved_apart, True, False, True, True),
    "corrected": Rules(False, moved_together, False, True, False, False),
}


def build(variant: str, target: Target, mode: str, settings: Mapping[str, Any]) -> "CnuAdl":
    """Recipe of one instance; ``settings`` complete, as described in schema.yaml."""
    return CnuAdl(variant, target, MODES[mode], settings)


class CnuAdl:
    """See :class:`wildaffect.systems.interface.Recipe`."""

    metric = "criterion"

    def __init__(self, variant: str, target: Target, rules: Rules, settings: Mapping[str, Any]) -> None:
        self.target = target
        self._variant, self._rules, self._settings = variant, rules, settings
        self._block, self._chunk = (1, 1) if variant == "image" else (settings["block"], settings["chunk"])
        self._face: frozenset[int] = frozenset()
        self._penalised: frozenset[int] = frozenset()
        self.schedule = Schedule(
            epochs=settings["epochs"],
            batch=max(1, settings["batch"] // self._chunk),
            accumulate=settings["accumulate"],
            minimum_rate=settings["minimum_rate"],
            patience=settings["early_stop"],
        )

    def model(self) -> Affect:
        """Network with random weights, always with all four heads; without face network where the outputs of one are read."""
        return build_model(
            self._variant,
            **self._settings["network"],
            repeat_dropout=self._rules.repeat_dropout,
            with_face=self._settings["face_features"] is None,
        )

    def initialise(self, model: Affect) -> list[dict[str, Any]]:
        """The face network from a file, if one is configured."""
        path, training = self._settings["face_weights"], self._settings["face_training"]
        if model.face is None:
            return []
        if path is None:
            if training != "all":
                raise InputError(
                    f"cnu_adl: face_training: {training} keeps layers of the face network as they are, which without face_weights is at "
                    "random. Give its weights, or use face_training: all."
                )
            return []
        return [load_face(model.face, path, self._settings["face_sha256"])]

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """Nothing is normalised by the data."""
        return {}

    def statistics(self, trials: Sequence[TrialData], fitted: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """None."""
        return {}

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: str) -> BlockSamples:
        """Labelled frames to train on; otherwise all frames with a face, at a stride where only the score is wanted."""
        train = purpose == "train"
        for trial in trials:
            self._check_feature(trial)
        return BlockSamples(
            [self._part(trial, purpose) for trial in trials],
            template=self._settings["crops"],
            feature=self._settings["face_features"],
            chunk=self._chunk if train or self._block == 1 else PREDICTED,
            block=self._block,
            labelled_only=train,
            balance=self._settings["balance"],
            augment=self._rules.augment if self._settings["augment"] else None,
            finish=self._finish,
            columns=len(self.target.columns),
        )

    def order(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """A random subset, drawn anew every epoch."""
        frames = self._settings["frames_per_epoch"]
        wanted = count if frames is None else max(1, frames // self._chunk)
        return np.random.default_rng([seed, epoch]).permutation(count)[:wanted]

    def start_phase(self, model: Affect, phase: int) -> None:
        """The heads, and of the face network what ``face_training`` says."""
        model.requires_grad_()
        for part in self._frozen(model):
            part.requires_grad_(requires_grad=False)
            for layer in part.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.momentum = 0.0
        face = {} if model.face is None else dict(model.face.named_parameters())
        self._face = frozenset(map(id, face.values()))
        self._penalised = frozenset(
            id(value) for name, value in face.items() if value.dim() == 4 or name == "predictions.weight"
        )

    def train_mode(self, model: Affect) -> None:
        """Frozen layers too (#9: they normalise by the batch, as Keras' did, and learn nothing from it), or in evaluation mode."""
        model.train()
        if self._rules.frozen_statistics:
            for part in self._frozen(model):
                part.eval()

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam; the heads come first. Keras adds the penalty to the loss, whose gradient is twice the penalty times the weight."""
        rate, face_rate = (self._settings[name] for name in ("learning_rate", "face_learning_rate"))
        decay = 2 * self._settings["kernel_penalty"]
        groups = [
            {"params": [p for p in parameters if id(p) not in self._face], "lr": rate},
            {"params": [p for p in parameters if id(p) in self._face - self._penalised], "lr": face_rate or rate},
            {
                "params": [p for p in parameters if id(p) in self._penalised],
                "lr": face_rate or rate,
                "weight_decay": decay,
            },
        ]
        return torch.optim.Adam([group for group in groups if group["params"]])

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """Falls when the criterion stops rising."""
        return plateau(optimizer, self._settings["plateau_factor"], self._settings["plateau_patience"])

    def forward(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """All outputs of all frames (B, L, 14), see :class:`Affect`."""
        return model(**{name: batch[name] for name in ("block", "picture", "vectors") if name in batch})

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Weighted sum of the heads' losses, each over the labels that the batch has of it."""
        truth = {task: batch[task].flatten(0, 1) for task in self.target.labels}
        found = losses(outputs.flatten(0, 1), truth, published=self._rules.published_loss)
        return sum(self._settings["loss_weights"][name] * value for name, value in found.items())

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """The challenge's metrics and the authors', see :func:`scores`."""
        labels = [known_labels(trial, self.target) for trial in trials]
        truth = {task: np.concatenate([part[task] for part in labels]) for task in self.target.labels}
        joined = np.concatenate(predictions)
        return scores(truth, {task: joined[:, self._places(task)] for task in truth})

    def _places(self, task: str) -> list[int]:
        return [self.target.columns.index(column) for column in COLUMNS[task]]

    def _frozen(self, model: Affect) -> list[nn.Module]:
        if model.face is None or self._settings["face_training"] == "all":
            return []
        return [model.face] if self._settings["face_training"] == "none" else model.face.lower()

    def _part(self, trial: TrialData, purpose: str) -> Part:
        labels = known_labels(trial, self.target) if purpose != "predict" or trial.labels else {}
        seen = np.asarray(trial.crops[self._settings["crops"]].valid)
        listed = self._rules.closed and bool(labels)
        if listed:
            whole = [~np.isnan(values).any(axis=1) for values in labels.values()]
            rows = np.flatnonzero(np.all([seen, *whole], axis=0))
        else:
            if purpose != "train" and not seen.any():
                seen = np.ones_like(seen)  # black pictures: there is nothing better to go by
            rows = np.flatnonzero(seen)
        blocks = closed_blocks(rows, self._block) if self._rules.closed else held_blocks(rows, seen, self._block)
        if purpose == "validate":
            stride = self._settings["validation_stride"]
            rows, blocks = rows[::stride], blocks[::stride]
        return Part(trial, rows, blocks, {} if purpose == "predict" else labels, complete=not listed)

    def _finish(self, outputs: np.ndarray, part: Part) -> np.ndarray:
        """Probabilities, valence and arousal of all rows; gaps hold the last expression and are interpolated in valence and arousal."""
        probabilities = torch.from_numpy(outputs[:, :CLASSES]).softmax(dim=1).numpy()[:, PLACES]
        values = {"expr": probabilities, "va": outputs[:, [VALENCE, AROUSAL]]}
        count = len(part.trial.times)
        axis = np.arange(count) if self._rules.by_number else part.trial.times
        table = np.full((count, len(self.target.columns)), np.nan)
        for task in self.target.labels:
            if not part.complete:
                table[np.ix_(part.rows, self._places(task))] = values[task]
            elif task == "expr":
                table[:, self._places(task)] = hold(values[task], part.rows, count)
            else:
                table[:, self._places(task)] = interpolate(values[task], part.rows, axis)
        return table

    def _check_feature(self, trial: TrialData) -> None:
        """A stored vector is the features of a face network of this width and seven probabilities."""
        name = self._settings["face_features"]
        if name is None:
            return
        wanted = scaled(FEATURES, self._settings["network"]["width"]) + CLASSES
        if trial.features[name].shape[1] != wanted:
            raise InputError(
                f"{name}: {trial.features[name].shape[1]} columns, but cnu_adl reads {wanted}: the features of its face network and seven "
                "probabilities. Embed faces with network vggface_resnet50, or set face_features: null."
            )
