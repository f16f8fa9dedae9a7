"""How CNU_ADL is trained, selected and run. The training is ours, as none was published; card.md says what differs between the modes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wildaffect.corpus.label_spaces import EXPRESSIONS7
from wildaffect.errors import InputError
from wildaffect.features.vggface import FEATURES, scaled
from wildaffect.scoring.f1 import accuracy, confusion_matrix, weighted_f1
from wildaffect.systems.base import FrozenMode, Recipe
from wildaffect.systems.cnu_adl.data import (
    BlockSamples,
    TrialBlocks,
    closed_blocks,
    held_blocks,
    hold,
    interpolate,
    known_labels,
    moved_apart,
    moved_together,
)
from wildaffect.systems.cnu_adl.keras_files import load_face
from wildaffect.systems.cnu_adl.model import CLASSES, Affect
from wildaffect.systems.cnu_adl.model import build as build_model
from wildaffect.systems.cnu_adl.spec import COLUMNS, NETWORK_CLASSES, CnuAdlSettings
from wildaffect.systems.toolbox import concordance, task_scores
from wildaffect.systems.types import Purpose, Schedule, Target, TrialData

# Frames per chunk wherever nothing is trained.
PREDICTED = 32
# Position of each expression in the network's order.
POSITIONS = tuple(NETWORK_CLASSES.index(name) for name in EXPRESSIONS7)
# Columns of the outputs behind the scores of the expressions; the auxiliary ones follow.
AROUSAL, VALENCE = len(NETWORK_CLASSES), len(NETWORK_CLASSES) + 1
# Keras' own.
EPSILON = 1e-7


@dataclass(frozen=True)
class Quirks:
    """What the two modes do differently.

    Attributes:
        closed: Blocks and samples are made of usable rows only, gaps closed.
        augment: How images are moved.
        repeat_dropout: See :func:`build_model`.
        frozen: Batch norms of frozen layers normalise by the batch, as Keras' did (#9), or use what they have learnt.
        published_loss: The CCC of the authors' loss.
        by_index: Gaps are interpolated by frame index, not by time.
    """

    closed: bool
    augment: Callable[..., np.ndarray]
    repeat_dropout: bool
    frozen: FrozenMode
    published_loss: bool
    by_index: bool


MODES = {
    "faithful": Quirks(
        closed=True,
        augment=moved_apart,
        repeat_dropout=True,
        frozen=FrozenMode.BATCH_STATISTICS,
        published_loss=True,
        by_index=True,
    ),
    "corrected": Quirks(
        closed=False,
        augment=moved_together,
        repeat_dropout=False,
        frozen=FrozenMode.EVALUATION,
        published_loss=False,
        by_index=False,
    ),
}


def build(variant: str, target: Target, mode: str, settings: CnuAdlSettings) -> "CnuAdl":
    """Recipe of one instance."""
    return CnuAdl(variant, target, mode, settings)


class CnuAdl(Recipe[CnuAdlSettings]):
    """A face network and heads over blocks of frames."""

    def __init__(self, variant: str, target: Target, mode: str, settings: CnuAdlSettings) -> None:
        super().__init__(variant, target, mode, settings)
        self._quirks = MODES[mode]
        self._block, self._chunk = (1, 1) if variant == "image" else (settings.block, settings.chunk)
        self.frozen_mode = self._quirks.frozen

    @property
    def schedule(self) -> Schedule:
        """Batches of chunks."""
        return replace(super().schedule, batch=max(1, self.settings.batch // self._chunk))

    def model(self) -> Affect:
        """Network with random weights, always with all four heads; without face network where the outputs of one are read."""
        network = self.settings.network
        return build_model(
            self.variant,
            classification=network.classification,
            regression=network.regression,
            dropout=network.dropout,
            repeat_dropout=self._quirks.repeat_dropout,
            lstm_units=network.lstm_units,
            width=network.width,
            units=network.units,
            image_pooling=network.image_pooling,
            norm_momentum=network.norm_momentum,
            with_face=self.settings.face_features is None,
        )

    def initialise(self, model: Affect) -> list[dict[str, Any]]:
        """The face network from a file, if one is configured."""
        path, training = self.settings.face_weights, self.settings.face_training
        if model.face is None:
            return []
        if path is None:
            if training != "all":
                raise InputError(
                    f"cnu_adl: face_training: {training} keeps layers of the face network as they are, which without face_weights is at "
                    "random. Give its weights, or use face_training: all."
                )
            return []
        return [load_face(model.face, path, self.settings.face_sha256)]

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> BlockSamples:
        """Labelled frames to train on; otherwise all frames with a face, at a stride where only the score is wanted."""
        train = purpose == Purpose.TRAIN
        for trial in trials:
            self._check_feature(trial)
        return BlockSamples(
            [self._part(trial, purpose) for trial in trials],
            template=self.settings.crops,
            feature=self.settings.face_features,
            chunk=self._chunk if train or self._block == 1 else PREDICTED,
            block=self._block,
            labelled_only=train,
            balance=self.settings.balance,
            augment=partial(self._quirks.augment, augmentation=self.settings.augmentation)
            if self.settings.augment
            else None,
            finish=self._finish,
            columns=len(self.target.columns),
        )

    def epoch_indices(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """A random subset, another one every epoch."""
        frames = self.settings.frames_per_epoch
        wanted = count if frames is None else max(1, frames // self._chunk)
        return super().epoch_indices(count, epoch, seed)[:wanted]

    def frozen(self, model: Affect, phase: int) -> Sequence[nn.Module]:
        """Of the face network what ``face_training`` says."""
        if model.face is None or self.settings.face_training == "all":
            return []
        return [model.face] if self.settings.face_training == "none" else model.face.lower()

    def configure_optimizer(self, model: Affect) -> torch.optim.Optimizer:
        """Adam; the heads come first. Keras adds the penalty to the loss, whose gradient is twice the penalty times the weight."""
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        face_rate = self.settings.face_learning_rate or rate
        heads, face, penalised = [], [], []
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            if not name.startswith("face."):
                heads.append(parameter)
            elif parameter.dim() == 4 or name == "face.predictions.weight":
                penalised.append(parameter)
            else:
                face.append(parameter)
        groups = [
            {"params": heads, "lr": rate, "weight_decay": decay},
            {"params": face, "lr": face_rate, "weight_decay": decay},
            {"params": penalised, "lr": face_rate, "weight_decay": decay + 2 * self.settings.kernel_penalty},
        ]
        return torch.optim.Adam([group for group in groups if group["params"]])

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """All outputs of all frames (B, L, 14), see :class:`Affect`."""
        return model(**{name: batch[name] for name in ("block", "images", "vectors") if name in batch})

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the heads' losses, each over the labels that the batch has of it."""
        truth = {task: batch[task].flatten(0, 1) for task in self.target.labels}
        found = losses(
            outputs.flatten(0, 1),
            truth,
            published=self._quirks.published_loss,
            smoothing=self.settings.label_smoothing,
        )
        given = self.settings.loss_weights
        weights = {
            "expression": given.expression,
            "arousal": given.arousal,
            "valence": given.valence,
            "auxiliary": given.auxiliary,
        }
        return sum(weights[name] * value for name, value in found.items())

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """The challenge's metrics and the authors', see :func:`scores`."""
        labels = [known_labels(trial, self.target) for trial in trials]
        truth = {task: np.concatenate([part[task] for part in labels]) for task in self.target.labels}
        joined = np.concatenate(predictions)
        return scores(truth, {task: joined[:, self._positions(task)] for task in truth})

    def _positions(self, task: str) -> list[int]:
        return [self.target.columns.index(column) for column in COLUMNS[task]]

    def _part(self, trial: TrialData, purpose: Purpose) -> TrialBlocks:
        labels = known_labels(trial, self.target) if purpose != Purpose.PREDICT or trial.labels else {}
        seen = np.asarray(trial.crops[self.settings.crops].valid)
        listed = self._quirks.closed and bool(labels)
        if listed:
            whole = [~np.isnan(values).any(axis=1) for values in labels.values()]
            rows = np.flatnonzero(np.all([seen, *whole], axis=0))
        else:
            if purpose != Purpose.TRAIN and not seen.any():
                seen = np.ones_like(seen)  # black images: there is nothing better to go by
            rows = np.flatnonzero(seen)
        blocks = closed_blocks(rows, self._block) if self._quirks.closed else held_blocks(rows, seen, self._block)
        if purpose == Purpose.VALIDATE:
            stride = self.settings.validation_stride
            rows, blocks = rows[::stride], blocks[::stride]
        return TrialBlocks(trial, rows, blocks, {} if purpose == Purpose.PREDICT else labels, complete=not listed)

    def _finish(self, outputs: np.ndarray, part: TrialBlocks) -> np.ndarray:
        """Probabilities, valence and arousal of all rows; gaps hold the last expression and are interpolated in valence and arousal."""
        probabilities = torch.from_numpy(outputs[:, :CLASSES]).softmax(dim=1).numpy()[:, POSITIONS]
        values = {"expr": probabilities, "va": outputs[:, [VALENCE, AROUSAL]]}
        count = len(part.trial.times)
        axis = np.arange(count) if self._quirks.by_index else part.trial.times
        table = np.full((count, len(self.target.columns)), np.nan)
        for task in self.target.labels:
            if not part.complete:
                table[np.ix_(part.rows, self._positions(task))] = values[task]
            elif task == "expr":
                table[:, self._positions(task)] = hold(values[task], part.rows, count)
            else:
                table[:, self._positions(task)] = interpolate(values[task], part.rows, axis)
        return table

    def _check_feature(self, trial: TrialData) -> None:
        """Check that the stored vectors have the columns of a face network: its features and seven probabilities."""
        name = self.settings.face_features
        if name is None:
            return
        wanted = scaled(FEATURES, self.settings.network.width) + CLASSES
        if trial.features[name].shape[1] != wanted:
            raise InputError(
                f"{name}: {trial.features[name].shape[1]} columns, but cnu_adl reads {wanted}: the features of its face network and seven "
                "probabilities. Embed faces with network vggface_resnet50, or set face_features: null."
            )


def losses(
    outputs: Tensor, truth: Mapping[str, Tensor], *, published: bool, smoothing: float = 0.0
) -> dict[str, Tensor]:
    """Loss of each head whose task is in ``truth``: outputs (n, 14), labels (n, columns), NaN where missing.

    ``published``: 1 - CCC as the authors compute it. Valence and arousal take two labelled rows at least.
    """
    found = {}
    if "expr" in truth:
        found["expression"] = expression_loss(outputs[:, :AROUSAL], truth["expr"][:, 0], smoothing)
    if "va" in truth:
        known = ~truth["va"].isnan().any(dim=1)
        if known.sum() < 2:
            return found | {"valence": outputs.sum() * 0}
        ccc = published_concordance if published else plain_concordance
        valence, arousal = truth["va"][known].T
        found["arousal"] = 1 - ccc(outputs[known, AROUSAL], arousal)
        found["valence"] = 1 - ccc(outputs[known, VALENCE], valence)
        found["auxiliary"] = F.mse_loss(outputs[known, VALENCE + 1 :], auxiliary_targets(arousal, valence))
    return found


def expression_loss(scores: Tensor, truth: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of (n, 7) in the network's order against label numbers (n,), NaN where missing."""
    known = ~truth.isnan()
    if not known.any():
        return scores.sum() * 0
    positions = torch.tensor(POSITIONS, device=truth.device)
    return F.cross_entropy(scores[known], positions[truth[known].long()], label_smoothing=smoothing)


def plain_concordance(prediction: Tensor, truth: Tensor) -> Tensor:
    """CCC of (n,), population moments."""
    return concordance(prediction[None, :, None], truth[None, :, None], mixed=False)[0, 0]


def published_concordance(prediction: Tensor, truth: Tensor) -> Tensor:
    """CCC of (n,) as the authors' loss has it: through the correlation, whose epsilon shifts it by about 1e-8 (CNU_ADL spec 5).

    Without variation it is 0 and has no gradient; the original's is not a number then (#13).
    """
    delta_p, delta_t = prediction - prediction.mean(), truth - truth.mean()
    tiny = torch.finfo(prediction.dtype).tiny
    squares = delta_p.square().sum().clamp(min=tiny).sqrt() * delta_t.square().sum().clamp(min=tiny).sqrt()
    correlation = (delta_p * delta_t).sum() / (squares + EPSILON)
    var_p, var_t = delta_p.square().mean(), delta_t.square().mean()
    spread = var_p.clamp(min=tiny).sqrt() * var_t.clamp(min=tiny).sqrt()
    distance = var_p + var_t + (prediction.mean() - truth.mean()).square()
    return 2 * correlation * spread / distance.clamp(min=tiny)


def auxiliary_targets(arousal: Tensor, valence: Tensor) -> Tensor:
    """Targets (n, 5) of the fourth head; the last two are the same number (CNU_ADL spec 3.2)."""
    middle = (arousal + valence) / 2
    return torch.stack([arousal, valence, middle, (arousal - middle).abs(), (valence - middle).abs()], dim=1)


def legacy_expression_score(matrix: np.ndarray) -> float:
    """0.66 F1 weighted by class + 0.33 accuracy, behind every expression score that the authors published (#1)."""
    return float(0.66 * weighted_f1(matrix) + 0.33 * accuracy(matrix))


def scores(truth: Mapping[str, np.ndarray], prediction: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Metrics of every task by labels (N, columns), NaN where missing, and predictions; rows that were not predicted do not count.

    ``expr_score`` and ``va_score`` are the challenge's, ``criterion`` their mean. ``expr_legacy`` is the authors' formula. Where both tasks
    are learnt, names that end in ``_both`` are over the frames labelled for both: the authors' validation scheme (#2).
    """
    predicted = np.all([np.isfinite(values).all(axis=1) for values in prediction.values()], axis=0)
    truth = {task: np.where(predicted[:, None], values, np.nan) for task, values in truth.items()}
    found = _each(truth, prediction)
    criteria = [found[name] for name in ("expr_score", "va_score") if name in found]
    if len(truth) > 1:
        both = np.all([~np.isnan(values).any(axis=1) for values in truth.values()], axis=0)
        shared = {task: np.where(both[:, None], values, np.nan) for task, values in truth.items()}
        found |= {f"{name}_both": value for name, value in _each(shared, prediction).items()}
    return found | {"criterion": float(np.mean(criteria)) if criteria else float("nan")}


def _each(truth: Mapping[str, np.ndarray], prediction: Mapping[str, np.ndarray]) -> dict[str, float]:
    found: dict[str, float] = {}
    for task, labels in truth.items():
        if np.isnan(labels).all():
            continue
        metrics = task_scores(task, labels, prediction[task])
        found |= {name: value for name, value in metrics.items() if name != "criterion"}
        found[f"{task}_score"] = metrics["criterion"]
        if task == "expr":
            known = ~np.isnan(labels[:, 0])
            matrix = confusion_matrix(labels[:, 0], prediction[task].argmax(axis=1), range(len(EXPRESSIONS7)), known)
            found["expr_legacy"] = legacy_expression_score(matrix)
    return found
