"""What a system tells the rest of the house: the plug-in interface.

A system's ``spec.py`` holds one :class:`Spec` called ``SPEC`` (read while the workflow is planned, so it imports no torch); its
``recipe.py`` has a function ``build(variant, target, mode, settings)`` that returns a :class:`Recipe`; its ``model.py`` a function
``build(variant, **options)`` that returns an untrained module.

The trainer knows nothing but this page. A *sample* is whatever the system trains on at once: a window of 300 frames for one system, one
frame with the clip and the sound before it for another. Labels that are missing are NaN and each recipe masks them in its own loss, so
one model may learn several tasks from trials that are annotated for some of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Target:
    """What one instance is trained for: ``columns`` of its predictions, and the label columns it reads of each task."""

    name: str
    columns: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Needs:
    """Crop templates and feature ids that a variant reads, and the templates whose landmark drawings it reads."""

    crops: tuple[str, ...]
    features: tuple[str, ...]
    masks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spec:
    """A system as the workflow sees it.

    ``needs(variant, mode, recipe)`` gives its inputs, with ``recipe`` complete. ``schema`` is a JSON Schema whose property ``recipe``
    describes the system's settings; their defaults are written there and nowhere else.
    """

    name: str
    title: str
    variants: tuple[str, ...]
    targets: Mapping[str, Target]
    needs: Callable[[str, str, Mapping[str, Any]], Needs]
    schema: Mapping[str, Any]
    modes: tuple[str, ...] = ("faithful", "corrected")


class Pictures(Protocol):
    """Face pictures of one trial: ``valid`` bool (N,), ``read(rows)`` uint8 (n, size, size, 3) RGB, black where not valid.

    Landmark drawings are the same without the last axis, (n, size, size).
    """

    valid: np.ndarray

    def read(self, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Labels:
    """Labels of one task on all N decoded frames.

    ``values`` float32 (N, C), NaN where missing; ``valid`` bool (N,): the row is usable as a whole.
    """

    values: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class TrialData:
    """One trial opened for reading: ``times`` float64 (N,) seconds of its decoded frames and everything that is known about them.

    A feature has a row per frame, or rows at a rate of its own from the time of frame 0, as its specification says. ``labels`` has an
    entry for every task for which the trial belongs to the partition being read; none for new videos.
    """

    name: str
    times: np.ndarray
    crops: Mapping[str, Pictures]
    features: Mapping[str, np.ndarray]
    labels: Mapping[str, Labels] = field(default_factory=dict)
    masks: Mapping[str, Pictures] = field(default_factory=dict)


class Samples(Protocol):
    """The samples of one partition, in a fixed order."""

    def __len__(self) -> int: ...

    def read(self, index: int, draw: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One sample as named arrays of equal shapes for all indices. ``draw`` decides augmentation; None means none."""
        ...

    def combine(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Model outputs of all samples, in order (S, ...), as float64 (N, columns) per trial; NaN in rows no sample covers.

        Without any sample (none of the trials has a frame) the outputs come as (0, columns).
        """
        ...


@dataclass(frozen=True)
class Schedule:
    """Numbers that steer the epoch loop.

    A *phase* is a stage of training with its own set of trainable tensors and a fresh optimiser; most systems have one. A phase ends
    when the learning rate falls below ``minimum_rate``; after the last one training is over. ``patience`` counts epochs without a new
    best (None: never stop early); ``patience_per_phase`` starts the count anew with each phase. ``reload_best`` returns to the best
    weights after every epoch that brought no new best. ``accumulate`` batches make one optimiser step.

    ``prediction_stride``: the recipe predicts every so many frames of a trial, and the last; it interpolates the others, and their rows
    are marked.
    """

    epochs: int
    batch: int
    accumulate: int = 1
    phases: int = 1
    minimum_rate: float = 0.0
    patience: int | None = None
    patience_per_phase: bool = False
    reload_best: bool = False
    prediction_stride: int = 1


class Recipe(Protocol):
    """How one instance of a system is trained, selected and run."""

    target: Target
    schedule: Schedule
    metric: str
    """Name of the entry of :meth:`score` that selects the best epoch; larger is better."""

    def model(self) -> "torch.nn.Module":
        """Network with random weights, drawn from torch's generator."""
        ...

    def initialise(self, model: "torch.nn.Module") -> list[dict[str, Any]]:
        """Load pre-trained parts before training; a JSON record (part, file, SHA-256) of every weight file read."""
        ...

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """JSON-able statistics of the training trials, stored with the model."""
        ...

    def statistics(self, trials: Sequence[TrialData], fitted: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Statistics that normalise ``trials``: those stored with the model, or the trials' own where the system does so.

        :class:`~wildaffect.errors.InputError` if ``fitted`` is None but needed.
        """
        ...

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: str) -> Samples:
        """Samples of ``trials``; ``purpose`` is ``train``, ``validate`` or ``predict``."""
        ...

    def order(self, count: int, epoch: int, seed: int) -> np.ndarray:
        """Indices of the training samples of an epoch, in order; may leave out or repeat some."""
        ...

    def start_phase(self, model: "torch.nn.Module", phase: int) -> None:
        """Set ``requires_grad`` of all parameters for ``phase``."""
        ...

    def train_mode(self, model: "torch.nn.Module") -> None:
        """Put ``model`` into training mode (a system may keep frozen layers in evaluation mode)."""
        ...

    def optimizer(self, parameters: Sequence["torch.nn.Parameter"]) -> "torch.optim.Optimizer":
        """Fresh optimiser of the trainable tensors."""
        ...

    def scheduler(self, optimizer: "torch.optim.Optimizer") -> "torch.optim.lr_scheduler.LRScheduler":
        """Scheduler stepped once per epoch; one that watches a metric is given the one that selects."""
        ...

    def forward(self, model: "torch.nn.Module", batch: dict[str, "torch.Tensor"]) -> "torch.Tensor":
        """Raw outputs of a batch of samples, batch first. No labels may be read here."""
        ...

    def loss(self, outputs: "torch.Tensor", batch: dict[str, "torch.Tensor"]) -> "torch.Tensor":
        """Mean loss of the batch, a scalar."""
        ...

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """Validation metrics from per-trial predictions (N, columns)."""
        ...
