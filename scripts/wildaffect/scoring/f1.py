"""F1 and accuracy from counts, always over the whole label space.

A class without a frame in truth and prediction scores 0 and stays in the mean, as in the challenge's evaluation with ``zero_division=0``
and the full label list. Counts may carry leading axes (many samples at once); every function works on the last two.
"""

from collections.abc import Sequence

import numpy as np


def confusion_matrix(
    truth: np.ndarray, prediction: np.ndarray, labels: Sequence[int], mask: np.ndarray | None = None
) -> np.ndarray:
    """Counts int64 (classes, classes), rows = truth, columns = prediction, in the order of ``labels``.

    ``truth`` and ``prediction`` hold label numbers, one per frame. Raises ``ValueError`` where ``mask`` holds and a value is no label.
    """
    truth, prediction = _masked(truth, prediction, mask)
    order = np.argsort(labels)
    ranks = []
    for name, values in (("truth", truth), ("prediction", prediction)):
        at = np.minimum(np.searchsorted(labels, values, sorter=order), len(order) - 1)
        rank = order[at]
        strange = np.asarray(labels)[rank] != values
        if strange.any():
            raise ValueError(
                f"{name} holds {values[strange][0]:g}, which is not one of the labels {list(labels)}; mask it"
            )
        ranks.append(rank)
    size = len(order)
    return np.bincount(ranks[0] * size + ranks[1], minlength=size * size).reshape(size, size)


def unit_counts(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Counts int64 (units, 2, 2), rows = truth, columns = prediction, from arrays (frames, units) of zeros and ones.

    ``mask``: (frames, units), each unit on its own valid frames, or (frames,). Raises ``ValueError`` for other values where it holds.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.ndim != 2 or truth.shape != prediction.shape:
        raise ValueError(f"truth and prediction must be (frames, units) both, got {truth.shape} and {prediction.shape}")
    mask = np.ones(truth.shape, bool) if mask is None else np.asarray(mask, bool)
    if mask.ndim == 1:
        mask = mask[:, None]
    mask = np.broadcast_to(mask, truth.shape)
    columns = zip(truth.T, prediction.T, mask.T, strict=True)
    return np.stack([confusion_matrix(t, p, (0, 1), keep) for t, p, keep in columns])


def f1_per_class(matrix: np.ndarray) -> np.ndarray:
    """Compute the F1 of every class, (..., classes)."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    both = matrix.sum(-1) + matrix.sum(-2)
    return 2 * hits / np.maximum(both, 1)


def macro_f1(matrix: np.ndarray) -> np.ndarray:
    """Average F1 over all classes without weights; NaN without a frame."""
    return _defined(matrix, f1_per_class(matrix).mean(-1))


def weighted_f1(matrix: np.ndarray) -> np.ndarray:
    """Average F1 weighted by the classes' frequency in the truth; NaN without a frame. Not a challenge metric (CNU_ADL spec 1.3)."""
    weights = matrix.sum(-1) / np.maximum(matrix.sum((-2, -1)), 1)[..., None]
    return _defined(matrix, (f1_per_class(matrix) * weights).sum(-1))


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of correct decisions; NaN without a frame."""
    return _defined(matrix, np.trace(matrix, axis1=-2, axis2=-1) / np.maximum(matrix.sum((-2, -1)), 1))


def unit_f1(counts: np.ndarray) -> np.ndarray:
    """Compute the F1 of the active state of every unit, (..., units), from counts (..., units, 2, 2)."""
    return f1_per_class(counts)[..., 1]


def expression_f1(
    truth: np.ndarray, prediction: np.ndarray, labels: Sequence[int], mask: np.ndarray | None = None
) -> float:
    """Compute the macro F1 of expressions.

    Args:
        truth: Label numbers (frames,).
        prediction: Predicted label numbers (frames,).
        labels: All label numbers: ``range(7)`` until 2021, ``range(8)`` since 2022.
        mask: Bool (frames,): frames that count; all without one.

    Returns:
        Mean F1 over all of ``labels``, NaN without a frame.

    Raises:
        ValueError: For another label number in a frame that counts.
    """
    return float(macro_f1(confusion_matrix(truth, prediction, labels, mask)))


def au_f1(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Compute the mean over action units of the binary F1.

    Args:
        truth: Zeros and ones (frames, units).
        prediction: Zeros and ones (frames, units).
        mask: Bool (frames, units) or (frames,): what counts; all without one.

    Returns:
        The mean, NaN if no unit has a valid frame.

    Raises:
        ValueError: For other values where the mask holds.
    """
    counts = unit_counts(truth, prediction, mask)
    return float(unit_f1(counts).mean()) if counts.any() else float("nan")


def _masked(truth, prediction, mask) -> tuple[np.ndarray, np.ndarray]:
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.ndim != 1 or truth.shape != prediction.shape or (mask is not None and np.shape(mask) != truth.shape):
        shapes = [truth.shape, prediction.shape] + ([] if mask is None else [np.shape(mask)])
        raise ValueError(f"truth, prediction and mask must be (frames,), got {shapes}")
    if mask is None:
        return truth, prediction
    keep = np.asarray(mask, bool)
    return truth[keep], prediction[keep]


def _defined(matrix: np.ndarray, value: np.ndarray) -> np.ndarray:
    """``value`` where the matrix holds any count, NaN elsewhere."""
    return np.where(matrix.sum((-2, -1)) > 0, value, np.nan)[()]
