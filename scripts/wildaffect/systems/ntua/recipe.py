"""How NTUA is trained, selected and run; card.md lists what differs between the modes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wildaffect.errors import InputError
from wildaffect.scoring.f1 import confusion_matrix, macro_f1
from wildaffect.systems.axes import Axis, complete_axis, labelled_axis
from wildaffect.systems.interface import Schedule, Target, TrialData
from wildaffect.systems.losses import concordance
from wildaffect.systems.ntua.data import ChunkSamples, Sound
from wildaffect.systems.ntua.model import StreamNetwork, normalised
from wildaffect.systems.ntua.model import build as build_model
from wildaffect.systems.ntua.pretrained import load_trunk
from wildaffect.systems.ntua.spec import EXPRESSIONS, SOUND, streams, templates
from wildaffect.systems.schedules import plateau
from wildaffect.systems.scores import task_scores


@dataclass(frozen=True)
class Rules:
    """What the two modes do differently.

    ``axis``: rows that chunks run over. ``masked``: padding is neither shown to the network nor learnt from. ``mixed``, ``epsilon``: the
    form of the CCC in the loss. ``literal_sound``: sound by nominal times, gaps of 0 dB, masks in validation too. ``occurring``: F1 is
    the mean over the classes that occur.
    """

    axis: Callable[[TrialData, str, int], Axis]
    masked: bool
    mixed: bool
    epsilon: float
    literal_sound: bool
    occurring: bool


MODES = {
    "faithful": Rules(labelled_axis, False, True, 0.0, True, True),
    "corrected": Rules(complete_axis, True, False, 1e-8, False, False),
}
# A chunk with fewer counting frames has nothing to learn from under a correlation.
LEAST = 2


def build(variant: str, target: Target, mode: str, settings: Mapping[str, Any]) -> "Ntua":
    """Recipe of one instance; ``settings`` complete, as described in schema.yaml."""
    return Ntua(variant, target, MODES[mode], templates(variant, mode, settings), settings)


class Ntua:
    """See :class:`wildaffect.systems.interface.Recipe`."""

    metric = "criterion"

    def __init__(
        self, variant: str, target: Target, rules: Rules, pictures: Mapping[str, str], settings: Mapping[str, Any]
    ) -> None:
        self.target = target
        (self._task,) = target.labels
        self._variant, self._rules, self._pictures, self._settings = variant, rules, pictures, settings
        patience = settings["early_stop"]
        self.schedule = Schedule(
            epochs=settings["epochs"],
            batch=settings["batch"],
            accumulate=settings["accumulate"],
            patience=None if patience is None else patience + 1,
        )

    def model(self) -> StreamNetwork:
        """Network with random weights."""
        return build_model(
            self._variant,
            outputs=len(self.target.columns),
            streams=streams(self._variant, self._settings),
            **self._settings["network"],
        )

    def initialise(self, model: StreamNetwork) -> list[dict[str, Any]]:
        """Each trunk from a file, if one is configured."""
        given = {name: path for name, path in self._settings["weights"].items() if path and name in model.streams}
        modules = {name: model.modules_of[name] for name in given}
        return [
            {"part": modules[name]} | load_trunk(model.get_submodule(modules[name]), path)
            for name, path in given.items()
        ]

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """Nothing is learnt from the training trials but the weights."""
        return {}

    def statistics(self, trials: Sequence[TrialData], fitted: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """None are needed."""
        return {}

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: str) -> ChunkSamples:
        """Chunks of 16 frames (NTUA spec 2.10); in ``corrected`` only those are trained on from which something can be learnt."""
        return ChunkSamples(
            [self._axis(trial) for trial in trials],
            templates=self._pictures,
            sound=self._sound(purpose) if self._variant == "aural" else None,
            duration=self._settings["duration"],
            repeat=self._repeat,
            padding_counts=not self._rules.masked,
            faceless_count=self._settings["learn_without_face"],
            least=LEAST if self._rules.masked and purpose == "train" else 0,
            finish=self._finish,
        )

    def order(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """A new order every epoch."""
        return np.random.default_rng([seed, epoch]).permutation(count)[: self._settings["chunks_per_epoch"]]

    def start_phase(self, model: nn.Module, phase: int) -> None:
        """Everything is trained."""
        model.requires_grad_()

    def train_mode(self, model: nn.Module) -> None:
        """Everything in training mode, batch norms too."""
        model.train()

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """One group; only SGD has a momentum."""
        rates = {"lr": self._settings["learning_rate"], "weight_decay": self._settings["weight_decay"]}
        if self._settings["optimizer"] == "adam":
            return torch.optim.Adam(parameters, **rates)
        return torch.optim.SGD(parameters, momentum=self._settings["momentum"], **rates)

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """Falls when the criterion stops rising."""
        return plateau(optimizer, self._settings["plateau_factor"], self._settings["plateau_patience"])

    def forward(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Raw outputs (B, duration, columns)."""
        inputs = {name: normalised(batch[name]) for name in self._pictures}
        if "audio" in batch:
            inputs["audio"] = batch["audio"][:, :, None]
        valid = batch["valid"]
        hidden = valid if self._rules.masked and not valid.all() else None
        return model(valid=hidden, **inputs).unflatten(0, valid.shape)

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Over all counting frames of the batch together: 1 - mean CCC, or cross-entropy (NTUA spec 5); 0 if too few count."""
        rows, truth, counts = outputs.flatten(0, 1), batch["labels"].flatten(0, 1), batch["counts"].flatten()
        if counts.sum() < LEAST:
            return outputs.sum() * 0
        if self._task == "expr":
            return F.cross_entropy(rows[counts], truth[counts, 0].long())
        form = {"mixed": self._rules.mixed, "epsilon": self._rules.epsilon}
        return (1 - concordance(rows[None], truth[None], counts[None], **form)).mean()

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """The challenge's metrics over all labelled frames together, and the ``criterion`` that ranks (NTUA spec 6)."""
        labels = [trial.labels[self._task] for trial in trials]
        truth = np.concatenate([np.where(part.valid[:, None], part.values, np.nan) for part in labels])
        joined = np.concatenate(predictions)
        if self._task == "expr" and self._rules.occurring:
            return occurring_scores(truth[:, 0], joined)
        return task_scores(self._task, truth, joined)

    def _axis(self, trial: TrialData) -> Axis:
        if self._task == "expr" and self._task in trial.labels:
            highest = np.nanmax(trial.labels[self._task].values, initial=0)
            if highest >= len(EXPRESSIONS):
                raise InputError(
                    f"trial {trial.name}: expression label {highest:g}; NTUA knows the {len(EXPRESSIONS)} classes 0 to "
                    f"{len(EXPRESSIONS) - 1} of the editions until 2021. Leave the target expr out for this corpus."
                )
        return self._rules.axis(trial, self._task, len(self.target.labels[self._task]))

    def _repeat(self, axis: Axis) -> str:
        """The first release fills up from the first frame again, the newest code only where there are no labels (NTUA spec 2.10)."""
        return "wrap" if self._variant == "face" or self._task not in axis.trial.labels else "edge"

    def _sound(self, purpose: str) -> Sound:
        literal, learns = self._rules.literal_sound, self._task == "va"
        return Sound(
            SOUND,
            nominal=literal,
            silent=not literal,
            centred=self._settings["centre_windows"],
            columns=self._settings["mask_columns"] if learns else 0,
            bands=self._settings["mask_bands"] if learns else 0,
            always=literal and purpose == "validate",
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
    return scores | {"expr_f1": f1, "criterion": 0.67 * f1 + 0.33 * scores["expr_accuracy"]}
