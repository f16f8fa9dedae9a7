"""The 2020 challenge's metrics of one task, from arrays; ABAW2 kept those of valence and arousal and of expressions."""

import numpy as np

from wildaffect.scoring import ccc
from wildaffect.scoring.f1 import accuracy, confusion_matrix, macro_f1, unit_counts, unit_f1

THRESHOLD = 0.5


def task_scores(task: str, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Metrics and ``criterion`` of ``task`` from labels (NaN where missing) and predicted columns, one row per frame; NaN without labels.

    ``va``: mean CCC. ``expr``: 0.67 macro F1 + 0.33 accuracy, the classes being the columns. ``au``: half mean F1, half accuracy over all
    decisions (TSAV spec 1).
    """
    known = ~np.isnan(truth)
    if not known.any():
        return {"criterion": float("nan")}
    return {"va": _valence_arousal, "expr": _expression, "au": _units}[task](truth, prediction, known)


def _valence_arousal(truth: np.ndarray, prediction: np.ndarray, known: np.ndarray) -> dict[str, float]:
    rows = known.all(axis=1)
    valence, arousal = (ccc(truth[rows, k].astype(float), prediction[rows, k]) for k in (0, 1))
    return {"ccc_valence": valence, "ccc_arousal": arousal, "criterion": (valence + arousal) / 2}


def _expression(truth: np.ndarray, prediction: np.ndarray, known: np.ndarray) -> dict[str, float]:
    matrix = confusion_matrix(truth[:, 0], prediction.argmax(axis=1), range(prediction.shape[1]), known[:, 0])
    f1, correct = float(macro_f1(matrix)), float(accuracy(matrix))
    return {"expr_f1": f1, "expr_accuracy": correct, "criterion": 0.67 * f1 + 0.33 * correct}


def _units(truth: np.ndarray, prediction: np.ndarray, known: np.ndarray) -> dict[str, float]:
    counts = unit_counts(np.where(known, truth, 0), prediction > THRESHOLD, known)
    f1, correct = float(unit_f1(counts).mean()), float(accuracy(counts.sum(axis=0)))
    return {"au_f1": f1, "au_accuracy": correct, "criterion": 0.5 * f1 + 0.5 * correct}
