"""How NTUA is trained, selected and run; card.md lists what differs between the modes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wildaffect.features.statistics import scalar_statistics
from wildaffect.scoring.f1 import confusion_matrix, macro_f1
from wildaffect.systems.base import Recipe, trainable
from wildaffect.systems.ntua.data import AudioWindows, ChunkSamples
from wildaffect.systems.ntua.model import StreamNetwork, load_trunk, normalised
from wildaffect.systems.ntua.model import build as build_model
from wildaffect.systems.ntua.spec import AUDIO, NtuaSettings, streams, templates
from wildaffect.systems.toolbox import (
    RowSelection,
    all_rows,
    check_classes,
    concordance,
    criterion,
    labelled_rows,
    task_scores,
)
from wildaffect.systems.types import Purpose, Target, TrialData


@dataclass(frozen=True)
class Quirks:
    """What the two modes do differently.

    Attributes:
        select: Rows that chunks run over.
        masked: Padding is neither shown to the network nor learnt from.
        mixed: Form of the moments of the CCC in the loss.
        epsilon: Added to the denominator of that CCC.
        literal_audio: Audio by nominal times, gaps of 0 dB, masks in validation too.
        occurring: F1 is the mean over the classes that occur.
    """

    select: Callable[[TrialData, str, int], RowSelection]
    masked: bool
    mixed: bool
    epsilon: float
    literal_audio: bool
    occurring: bool


MODES = {
    "faithful": Quirks(select=labelled_rows, masked=False, mixed=True, epsilon=0.0, literal_audio=True, occurring=True),
    "corrected": Quirks(select=all_rows, masked=True, mixed=False, epsilon=1e-8, literal_audio=False, occurring=False),
}
# A chunk with fewer counting frames has nothing to learn from under a correlation.
LEAST = 2


def build(variant: str, target: Target, mode: str, settings: NtuaSettings) -> "Ntua":
    """Recipe of one instance."""
    return Ntua(variant, target, mode, settings)


class Ntua(Recipe[NtuaSettings]):
    """One network per target."""

    def __init__(self, variant: str, target: Target, mode: str, settings: NtuaSettings) -> None:
        super().__init__(variant, target, mode, settings)
        (self._task,) = target.labels
        self._quirks = MODES[mode]
        self._templates = templates(variant, mode, settings)
        self.one_cycle = settings.scheduler == "one_cycle"
        self.fitted_statistics = settings.standardise and variant == "aural"

    def model(self) -> StreamNetwork:
        """Network with random weights."""
        network = self.settings.network
        return build_model(
            self.variant,
            outputs=len(self.target.columns),
            streams=streams(self.variant, self.settings),
            face=network.face,
            scene=network.scene,
            cell=network.cell,
            hidden=network.hidden,
            layers=network.layers,
            dropout=network.dropout,
            width=network.width,
            image_pooling=network.image_pooling,
            mel_pooling=network.mel_pooling,
            feature_dropout=network.feature_dropout,
        )

    def initialise(self, model: StreamNetwork) -> list[dict[str, Any]]:
        """Each trunk from a file, if one is configured."""
        weights = self.settings.weights
        files = {"face": weights.face, "body": weights.body, "context": weights.context, "audio": weights.audio}
        parts = {model.modules_of[name]: path for name, path in files.items() if path and name in model.streams}
        return [{"part": part} | load_trunk(model.get_submodule(part), path) for part, path in parts.items()]

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """Mean and deviation of all audio, where it is standardised."""
        return {AUDIO: scalar_statistics(trial.features[AUDIO] for trial in trials)} if self.fitted_statistics else {}

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> ChunkSamples:
        """Chunks of 16 frames (NTUA spec 2.10); in ``corrected`` only those are trained on from which something can be learnt."""
        return ChunkSamples(
            [self._selection(trial) for trial in trials],
            templates=self._templates,
            audio=self._audio(purpose, statistics) if self.variant == "aural" else None,
            duration=self.settings.duration,
            repeat=self._repeat,
            padding_counts=not self._quirks.masked,
            faceless_count=self.settings.learn_without_face,
            least=LEAST if self._quirks.masked and purpose == Purpose.TRAIN else 0,
            finish=self._finish,
        )

    def epoch_indices(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """A random subset, another one every epoch."""
        return super().epoch_indices(count, epoch, seed)[: self.settings.chunks_per_epoch]

    def configure_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """One group; only SGD has a momentum."""
        rates = {"lr": self.settings.learning_rate, "weight_decay": self.settings.weight_decay}
        if self.settings.optimizer == "adam":
            return torch.optim.Adam(trainable(model), **rates)
        return torch.optim.SGD(trainable(model), momentum=self.settings.momentum, **rates)

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Raw outputs (B, duration, columns)."""
        inputs = {name: normalised(batch[name]) for name in self._templates}
        if "audio" in batch:
            inputs["audio"] = batch["audio"][:, :, None]
        valid = batch["valid"]
        hidden = valid if self._quirks.masked and not valid.all() else None
        return model(valid=hidden, **inputs).unflatten(0, valid.shape)

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Over all counting frames of the batch together: 1 - mean CCC, or cross-entropy (NTUA spec 5); 0 if too few count."""
        rows, truth, counts = outputs.flatten(0, 1), batch["labels"].flatten(0, 1), batch["counts"].flatten()
        if counts.sum() < LEAST:
            return outputs.sum() * 0
        if self._task == "expr":
            return F.cross_entropy(rows[counts], truth[counts, 0].long(), label_smoothing=self.settings.label_smoothing)
        form: dict[str, Any] = {"mixed": self._quirks.mixed, "epsilon": self._quirks.epsilon}
        return (1 - concordance(rows[None], truth[None], counts[None], **form)).mean()

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """The challenge's metrics over all labelled frames together, and the ``criterion`` that ranks (NTUA spec 6)."""
        labels = [trial.labels[self._task] for trial in trials]
        truth = np.concatenate([np.where(part.valid[:, None], part.values, np.nan) for part in labels])
        joined = np.concatenate(predictions)
        if self._task == "expr" and self._quirks.occurring:
            return occurring_scores(truth[:, 0], joined)
        return task_scores(self._task, truth, joined)

    def _selection(self, trial: TrialData) -> RowSelection:
        if self._task == "expr" and self._task in trial.labels:
            check_classes("NTUA", trial.name, trial.labels[self._task].values)
        return self._quirks.select(trial, self._task, len(self.target.labels[self._task]))

    def _repeat(self, part: RowSelection) -> str:
        """The first release fills up from the first frame again, the newest code only where there are no labels (NTUA spec 2.10)."""
        return "wrap" if self.variant == "face" or self._task not in part.trial.labels else "edge"

    def _audio(self, purpose: Purpose, statistics: Mapping[str, Any]) -> AudioWindows:
        literal, learns = self._quirks.literal_audio, self._task == "va" or self.settings.mask_expressions
        return AudioWindows(
            AUDIO,
            nominal=literal,
            silent=not literal,
            centred=self.settings.centre_windows,
            seconds=self.settings.window_seconds,
            columns=self.settings.mask_columns if learns else 0,
            bands=self.settings.mask_bands if learns else 0,
            moved=self.settings.move_bands if purpose == Purpose.TRAIN else 0,
            always=literal and purpose == Purpose.VALIDATE,
            **statistics.get(AUDIO, {}),
        )

    def _finish(self, outputs: np.ndarray) -> np.ndarray:
        """Valence and arousal as they are, expressions as probabilities: the published decision, the largest, is the same."""
        values = torch.from_numpy(outputs.astype(np.float64))
        return (values.softmax(dim=-1) if self._task == "expr" else values).numpy()


def occurring_scores(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Like :func:`task_scores`, with F1 over the classes that occur in ``truth`` (N,) or as decisions of ``prediction`` (N, classes).

    Rows with NaN in ``truth`` do not count.
    """
    scores = task_scores("expr", truth[:, None], prediction)
    known = ~np.isnan(truth)
    if not known.any():
        return scores
    matrix = confusion_matrix(truth, prediction.argmax(axis=1), range(prediction.shape[1]), known)
    occurs = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    f1 = float(macro_f1(matrix[np.ix_(occurs, occurs)]))
    changed = scores | {"expr_f1": f1}
    return changed | {"criterion": criterion("expr", changed)}
