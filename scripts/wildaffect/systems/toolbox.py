"""What several systems use: losses, metrics, rows and windows of trials, masks of spectrograms, networks with fewer channels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from wildaffect.corpus.label_spaces import AU_THRESHOLD, EXPRESSIONS7
from wildaffect.errors import InputError
from wildaffect.scoring import ccc
from wildaffect.scoring.f1 import accuracy, confusion_matrix, macro_f1, unit_counts, unit_f1
from wildaffect.systems.types import TrialData


def concordance(
    prediction: Tensor, truth: Tensor, mask: Tensor | None = None, *, mixed: bool, epsilon: float = 1e-8
) -> Tensor:
    """Concordance correlation along axis 1 of (batch, time, outputs) -> (batch, outputs), after Lin (1989).

    ``mask`` bool (batch, time) or (batch, time, outputs) selects positions. ``mixed`` takes the covariance with 1/N but the variances with
    1/(N-1), as several published systems do by mixing library defaults (LFAN spec 5.2); a perfect prediction then scores (N-1)/N.
    Otherwise all moments have 1/N. A series without variation scores 0 and has no gradient; so does one with fewer than two positions.
    """
    weight = torch.ones_like(truth) if mask is None else _expand(mask, truth)
    count = weight.sum(dim=1)
    at_least_one = count.clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return (values * weight).sum(dim=1) / at_least_one

    truth = torch.where(weight > 0, truth, torch.zeros_like(truth))  # NaN times zero would stay NaN
    mean_p, mean_t = mean(prediction), mean(truth)
    delta_p, delta_t = prediction - mean_p[:, None], truth - mean_t[:, None]
    covariance = mean(delta_p * delta_t)
    variances = mean(delta_p.square()) + mean(delta_t.square())
    if mixed:
        variances = variances * (count / (count - 1).clamp(min=1))
    return 2 * covariance / (variances + (mean_p - mean_t).square() + epsilon)


def _expand(mask: Tensor, like: Tensor) -> Tensor:
    return (mask if mask.dim() == like.dim() else mask[..., None]).to(like.dtype).expand_as(like)


RANKED: Mapping[str, Mapping[str, float]] = {
    "va": {"ccc_valence": 0.5, "ccc_arousal": 0.5},
    "expr": {"expr_f1": 0.67, "expr_accuracy": 0.33},
    "au": {"au_f1": 0.5, "au_accuracy": 0.5},
}
"""Weight of each metric in the score that ranked in 2020, as in the edition abaw1."""


def task_scores(task: str, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Metrics of ``task`` and the ``criterion`` that ranks it (:data:`RANKED`); NaN without labels.

    Args:
        task: ``va``: CCC; ``expr``: macro F1 and accuracy, the classes being the columns; ``au``: mean F1, accuracy over all decisions
            (TSAV spec 1).
        truth: Labels (N, label columns), NaN where missing.
        prediction: Predicted columns (N, columns).
    """
    known = ~np.isnan(truth)
    if not known.any():
        return {"criterion": float("nan")}
    metrics = {"va": _valence_arousal, "expr": _expression, "au": _units}[task](truth, prediction, known)
    return metrics | {"criterion": criterion(task, metrics)}


def criterion(task: str, metrics: Mapping[str, float]) -> float:
    """The score that ranks ``task``, from its ``metrics``."""
    return sum(weight * metrics[name] for name, weight in RANKED[task].items())


def check_classes(system: str, trial: str, expressions: np.ndarray) -> None:
    """:class:`InputError` for an expression that systems of the first two editions do not have.

    Args:
        system: Name of the system, for the message.
        trial: Name of the trial.
        expressions: Class numbers, NaN where missing.
    """
    highest = np.nanmax(expressions, initial=0)
    if highest >= len(EXPRESSIONS7):
        raise InputError(
            f"trial {trial}: expression label {highest:g}; {system} knows the {len(EXPRESSIONS7)} classes 0 to {len(EXPRESSIONS7) - 1} of "
            "the editions until 2021. Use the target va for this corpus."
        )


def _valence_arousal(truth: np.ndarray, prediction: np.ndarray, known: np.ndarray) -> dict[str, float]:
    rows = known.all(axis=1)
    valence, arousal = (ccc(truth[rows, k].astype(float), prediction[rows, k]) for k in (0, 1))
    return {"ccc_valence": valence, "ccc_arousal": arousal}


def _expression(truth: np.ndarray, prediction: np.ndarray, known: np.ndarray) -> dict[str, float]:
    matrix = confusion_matrix(truth[:, 0], prediction.argmax(axis=1), range(prediction.shape[1]), known[:, 0])
    return {"expr_f1": float(macro_f1(matrix)), "expr_accuracy": float(accuracy(matrix))}


def _units(truth: np.ndarray, prediction: np.ndarray, known: np.ndarray) -> dict[str, float]:
    counts = unit_counts(np.where(known, truth, 0), prediction > AU_THRESHOLD, known)
    return {"au_f1": float(unit_f1(counts).mean()), "au_accuracy": float(accuracy(counts.sum(axis=0)))}


@dataclass(frozen=True)
class RowSelection:
    """The rows of one trial that its windows run over.

    Attributes:
        trial: The trial.
        rows: int (n,), indices of frames.
        labels: float32 (n, columns), NaN where missing.
        counts: bool (n,), which rows count in the loss.
    """

    trial: TrialData
    rows: np.ndarray
    labels: np.ndarray
    counts: np.ndarray


def labelled_rows(trial: TrialData, task: str, columns: int = 1) -> RowSelection:
    """Rows with a usable label only, gaps closed without a mark; all rows of a trial without labels.

    Both published systems that take windows of labelled frames do so (LFAN spec 2.2, B10; NTUA spec 2.10). ``columns``: those of the task.
    """
    if task not in trial.labels:
        return all_rows(trial, task, columns)
    labels = trial.labels[task]
    rows = np.flatnonzero(labels.valid)
    return RowSelection(trial, rows, labels.values[rows], np.ones(len(rows), bool))


def all_rows(trial: TrialData, task: str, columns: int = 1) -> RowSelection:
    """All decoded frames, so that neighbours in the window are neighbours in time; unlabelled ones do not count."""
    rows = np.arange(len(trial.times))
    if task not in trial.labels:
        return RowSelection(trial, rows, np.full((len(rows), columns), np.nan, np.float32), np.zeros(len(rows), bool))
    return RowSelection(trial, rows, trial.labels[task].values, trial.labels[task].valid)


class FrameImages:
    """Samples of one frame each, all frames of all trials in order: ``image`` uint8 RGB (size, size, 3), black without a face."""

    def __init__(self, trials: Sequence[TrialData], template: str) -> None:
        self._images = [trial.crops[template] for trial in trials]
        self._starts = np.cumsum([0, *(len(trial.times) for trial in trials)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, index: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One frame; nothing is random."""
        trial = int(np.searchsorted(self._starts, index, "right")) - 1
        return {"image": self._images[trial].read(np.array([index - self._starts[trial]]))[0]}

    def to_frames(self, outputs: np.ndarray) -> list[np.ndarray]:
        """The outputs are the frames' own."""
        return np.split(outputs.astype(np.float64), self._starts[1:-1])


def windows(length: int, window: int, hop: int) -> list[tuple[int, int]]:
    """Half-open ranges that cover ``length`` rows: one every ``hop``, and always one that ends with the last row.

    A series shorter than ``window`` gives one short range, to be padded at its end; an empty one gives none.
    """
    if length <= window:
        return [(0, length)] if length else []
    return [(start, start + window) for start in range(0, length - window, hop)] + [(length - window, length)]


def average(
    pieces: Iterable[tuple[int, np.ndarray | slice, np.ndarray]], lengths: Sequence[int], columns: int
) -> list[np.ndarray]:
    """Plain mean, float64 (length, columns) per trial, of all windows that cover a row; NaN where none does.

    A piece is the index of its trial, rows there, each once, and their values (rows, columns).
    """
    sums = [np.zeros((length, columns)) for length in lengths]
    covers = [np.zeros((length, 1)) for length in lengths]
    for index, rows, values in pieces:
        sums[index][rows] += values
        covers[index][rows] += 1
    return [
        np.divide(total, cover, out=np.full_like(total, np.nan), where=cover > 0)
        for total, cover in zip(sums, covers, strict=True)
    ]


def with_statistics(states: Tensor, real: Tensor | None = None) -> Tensor:
    """States (B, T, d) beside their mean and standard deviation over the frames of their window, (B, T, 3 d).

    ``real`` bool (B, T): frames that are no padding; None: all.
    """
    weights = torch.ones_like(states[..., :1]) if real is None else real[..., None].to(states)
    count = weights.sum(dim=1, keepdim=True).clamp(min=1)
    mean = (states * weights).sum(dim=1, keepdim=True) / count
    variance = ((states - mean).square() * weights).sum(dim=1, keepdim=True) / count
    deviation = (variance + 1e-5).sqrt()  # the root of zero has no gradient
    return torch.cat([states, mean.expand_as(states), deviation.expand_as(states)], dim=-1)


def masked(images: np.ndarray, rng: np.random.Generator, columns: int, bands: int, fill: float) -> np.ndarray:
    """``images`` (n, bands, columns) with a run of up to ``columns`` columns and one of up to ``bands`` bands set to ``fill``.

    Drawn for each image by itself: a length below the largest, then a position, both uniform (NTUA spec 2.8).
    """
    masked = images.copy()
    for image in masked:
        for axis, most in ((1, columns), (0, bands)):
            length = rng.uniform(0, min(most, image.shape[axis]))
            start = int(rng.uniform(0, image.shape[axis] - length))
            np.moveaxis(image, axis, 0)[start : start + int(length)] = fill
    return masked


# Layers with so few channels take the images themselves.
INPUTS = 4


def scaled(channels: int, width: float) -> int:
    """Channels of a layer that has ``channels`` in the published network; those of the inputs stay."""
    return channels if channels <= INPUTS else max(1, round(channels * width))


def scale_channels(network: nn.Module, width: float) -> None:
    """Replace all convolutions and batch norms, in place, by ones with ``width`` times the channels, initialised as torchvision does.

    Every layer is scaled by the same rule, so they still fit together; names and number of the parameters stay.
    """
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            shape = (layer.kernel_size, layer.stride, layer.padding)
            new: nn.Module = type(layer)(
                scaled(layer.in_channels, width), scaled(layer.out_channels, width), *shape, bias=False
            )
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            new = type(layer)(scaled(layer.num_features, width))
        else:
            continue
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, new)
