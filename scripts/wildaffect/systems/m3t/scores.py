"""Validation metrics of M3T from arrays (M3T spec 6.2)."""

import numpy as np

from wildaffect.scoring import ccc
from wildaffect.scoring.f1 import accuracy, confusion_matrix, macro_f1
from wildaffect.systems.m3t.spec import EXPRESSIONS, VALENCE_AROUSAL


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
    matrix = confusion_matrix(truth[:, 0], prediction.argmax(axis=1), range(len(EXPRESSIONS)), known)
    return {"expr_f1": float(macro_f1(matrix)), "expr_accuracy": float(accuracy(matrix))}
