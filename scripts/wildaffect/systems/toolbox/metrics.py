"""The 2020 challenge's metrics of one task, from arrays; ABAW2 kept those of valence and arousal and of expressions."""

from collections.abc import Mapping

import numpy as np

from wildaffect.corpus.label_spaces import AU_THRESHOLD, EXPRESSIONS7
from wildaffect.errors import InputError
from wildaffect.scoring import ccc
from wildaffect.scoring.f1 import accuracy, confusion_matrix, macro_f1, unit_counts, unit_f1

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
