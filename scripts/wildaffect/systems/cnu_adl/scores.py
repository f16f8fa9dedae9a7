"""The challenge's metrics beside the authors' own (CNU_ADL spec 1.3, 6)."""

from collections.abc import Mapping

import numpy as np

from wildaffect.scoring.f1 import accuracy, confusion_matrix, weighted_f1
from wildaffect.systems.cnu_adl.spec import EXPRESSIONS
from wildaffect.systems.scores import task_scores


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
    found = {}
    for task, labels in truth.items():
        if np.isnan(labels).all():
            continue
        metrics = task_scores(task, labels, prediction[task])
        found |= {name: value for name, value in metrics.items() if name != "criterion"}
        found[f"{task}_score"] = metrics["criterion"]
        if task == "expr":
            known = ~np.isnan(labels[:, 0])
            matrix = confusion_matrix(labels[:, 0], prediction[task].argmax(axis=1), range(len(EXPRESSIONS)), known)
            found["expr_legacy"] = legacy_expression_score(matrix)
    return found
