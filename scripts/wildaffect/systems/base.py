"""Base classes: how an instance of a system is run (`Predictor`), and how it is trained and selected (`Recipe`).

A *sample* is whatever a system trains on at once: a window of 300 frames for one, one frame with the clip and the audio before it for
another. Missing labels are NaN and each recipe masks them in its own loss, so one model may learn several tasks from trials that are
annotated for some of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wildaffect.errors import InputError
from wildaffect.systems.types import PredictorSettings, Purpose, RecipeSettings, Samples, Schedule, Target, TrialData
from wildaffect.systems.weights import load_weights

P = TypeVar("P", bound=PredictorSettings | RecipeSettings)
S = TypeVar("S", bound=RecipeSettings)


class FrozenMode(Enum):
    """How frozen modules behave in training."""

    EVALUATION = "evaluation"
    """As in prediction: no dropout, batch norms use what they have learnt."""
    BATCH_STATISTICS = "batch_statistics"
    """Dropout is active, batch norms normalise by the batch and learn nothing from it."""
    DRIFTING = "drifting"
    """As if they were trained: batch norms go on learning the statistics of batches."""


class Predictor(ABC, Generic[P]):
    """One instance of a system, as it is run. A system that comes trained defines :meth:`model`, :meth:`samples` and :meth:`forward`.

    Attributes:
        variant: Published configuration.
        target: What is trained for.
        mode: ``faithful`` or ``corrected``.
        settings: Complete settings.
        fitted_statistics: Prediction needs the statistics that a training found.
    """

    fitted_statistics: bool = False

    def __init__(self, variant: str, target: Target, mode: str, settings: P) -> None:
        self.variant, self.target, self.mode, self.settings = variant, target, mode, settings

    @property
    def schedule(self) -> Schedule:
        """Samples per batch; nothing is trained."""
        return Schedule(epochs=0, batch=self.settings.batch)

    @abstractmethod
    def model(self) -> nn.Module:
        """Network with random weights, drawn from torch's generator."""

    def network(self, rows: Mapping[str, Sequence[int]]) -> nn.Module:
        """Network with random weights for features whose rows have these shapes; by default `model`, which does not depend on them."""
        return self.model()

    def load(self, model: nn.Module, weights: Path) -> str:
        """Load trained weights into ``model``, strictly; the SHA-256 of the file."""
        return load_weights(model, weights).sha256

    def statistics(self, trials: Sequence[TrialData], fitted: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Statistics by which ``trials`` are normalised: those of the training trials, unless a system takes the trials' own.

        Args:
            trials: Trials of one partition.
            fitted: What a training found; None if it is not known.

        Raises:
            InputError: ``fitted`` is needed and None.
        """
        if fitted is None and self.fitted_statistics:
            raise InputError(
                f"{self.mode} models of this system need the statistics of their training data (stats.json); none were given. "
                "Keep stats.json beside the weights; published weights want mode: faithful."
            )
        return fitted or {}

    @abstractmethod
    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> Samples:
        """Samples of ``trials``, normalised by ``statistics``."""

    @abstractmethod
    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Raw outputs of a batch of samples, batch first. No labels may be read here."""


class Recipe(Predictor[S]):
    """One instance of a system that is trained here.

    A system defines :meth:`model`, :meth:`samples`, :meth:`forward`, :meth:`loss` and :meth:`score`, and overrides what else differs.

    Attributes:
        metric: Entry of :meth:`score` that selects the best epoch.
        maximise: Larger values of the metric are better.
        one_cycle: The learning rate rises and falls once over all steps of training; otherwise it falls at plateaus of the metric.
        frozen_mode: How frozen modules behave in training.
    """

    metric: str = "criterion"
    maximise: bool = True
    one_cycle: bool = False
    frozen_mode: FrozenMode = FrozenMode.EVALUATION

    @property
    def schedule(self) -> Schedule:
        """Numbers that steer the epoch loop."""
        settings = self.settings
        return Schedule(
            epochs=settings.epochs,
            batch=settings.batch,
            accumulate=settings.accumulate,
            minimum_rate=0.0 if self.one_cycle else settings.minimum_rate,  # a cycle begins and ends at small rates
            patience=settings.patience,
            scheduler_per_step=self.one_cycle,
        )

    def initialise(self, model: nn.Module) -> list[dict[str, Any]]:
        """Load pre-trained parts before training; a JSON record (part, file, SHA-256) of every weight file read."""
        return []

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """Statistics of the training trials that can be written as JSON; they are stored with the model."""
        return {}

    def epoch_indices(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """Indices of the training samples of an epoch, in order; may leave out or repeat some. By default all, shuffled every epoch."""
        return np.random.default_rng([seed, epoch]).permutation(count)

    def frozen(self, model: nn.Module, phase: int) -> Sequence[nn.Module]:
        """Modules of ``model`` that are not trained in ``phase``; everything else is."""
        return ()

    def configure_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Fresh optimiser of the trainable tensors; by default Adam with L2."""
        return torch.optim.Adam(
            trainable(model), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )

    def configure_scheduler(
        self, optimizer: torch.optim.Optimizer, steps_per_epoch: int
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Learning rates. By default they fall when the metric no longer improves, or make one cycle (Smith and Topin 2019).

        A ``ReduceLROnPlateau`` is given :meth:`watched` after every epoch. Others count epochs, or optimiser steps where the schedule has
        ``scheduler_per_step``; an epoch has about ``steps_per_epoch`` of these.
        """
        if self.one_cycle:
            steps = max(2, steps_per_epoch * self.settings.epochs)
            return torch.optim.lr_scheduler.OneCycleLR(optimizer, self.settings.learning_rate, total_steps=steps)
        return torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            mode="max" if self.maximise else "min",
            factor=self.settings.plateau_factor,
            patience=self.settings.plateau_patience,
        )

    def watched(self, metric: float) -> float:
        """What a plateau scheduler is given for the value ``metric`` of an epoch."""
        return metric

    def kept_bytes(self, trial: TrialData) -> int:
        """Memory for what samples make of the features of ``trial`` once, where there is some, and else again each time (see `room`)."""
        return 0

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the batch, a scalar."""

    @abstractmethod
    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """Validation metrics from predictions (N, columns) per trial."""


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that are not frozen, in the model's order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def batch_norms(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """Batch norms in ``modules``, synchronised ones too."""
    return [layer for module in modules for layer in module.modules() if isinstance(layer, _BatchNorm)]


class Freezing:
    """Keeps modules of a model from being trained, phase by phase."""

    def __init__(self, model: nn.Module, mode: FrozenMode) -> None:
        self._model, self._mode = model, mode
        self._frozen: Sequence[nn.Module] = ()
        self._momenta = [(layer, layer.momentum) for layer in batch_norms([model])]

    def freeze(self, modules: Sequence[nn.Module]) -> None:
        """Train everything but ``modules`` from now on."""
        self._frozen = modules
        self._model.requires_grad_()
        for module in modules:
            module.requires_grad_(requires_grad=False)
        for layer, momentum in self._momenta:
            layer.momentum = momentum
        if self._mode is FrozenMode.BATCH_STATISTICS:
            for layer in batch_norms(modules):
                layer.momentum = 0.0

    def train(self) -> None:
        """Put the model into training mode, frozen modules as their mode says."""
        self._model.train()
        if self._mode is FrozenMode.EVALUATION:
            for module in self._frozen:
                module.eval()
