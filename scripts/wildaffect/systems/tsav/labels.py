"""What TSAV learns from: labels per frame, which of them contradict each other, and how classes are weighted."""

from collections.abc import Mapping, Sequence

import numpy as np

from wildaffect.errors import InputError
from wildaffect.systems.interface import Target, TrialData
from wildaffect.systems.tsav.spec import EXPRESSIONS

NEUTRAL, HAPPINESS, SADNESS = (EXPRESSIONS.index(name) for name in ("Neutral", "Happiness", "Sadness"))
NEUTRAL_RADIUS = 0.5


def known_labels(trial: TrialData, target: Target) -> dict[str, np.ndarray]:
    """Labels float32 (N, columns) per task of ``target``, NaN where missing.

    Valence and arousal count together or not at all, units one by one. :class:`InputError` for a class that TSAV does not have.
    """
    found = {}
    for task, columns in target.labels.items():
        values = np.full((len(trial.times), len(columns)), np.nan, np.float32)
        if task in trial.labels:
            given = trial.labels[task]
            values = np.where(given.valid[:, None], given.values, np.nan).astype(np.float32)
        found[task] = values
    if "expr" in found and np.nanmax(found["expr"], initial=0) >= len(EXPRESSIONS):
        raise InputError(
            f"trial {trial.name}: expression label {np.nanmax(found['expr']):g}; TSAV knows the {len(EXPRESSIONS)} classes 0 to "
            f"{len(EXPRESSIONS) - 1} of the editions until 2021. Leave the targets expr and mtl out for this corpus."
        )
    return found


def without_contradictions(labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``labels`` without expression, valence and arousal where these do not go together (TSAV spec 5, after a third party).

    Happiness with negative valence, sadness with positive valence, neutral farther than 0.5 from the origin. Units stay.
    """
    if not {"expr", "va"} <= set(labels):
        return dict(labels)
    expression, valence = labels["expr"][:, 0], labels["va"][:, 0]
    strange = (
        ((expression == HAPPINESS) & (valence < 0))
        | ((expression == SADNESS) & (valence > 0))
        | ((expression == NEUTRAL) & (np.hypot(*labels["va"].T) > NEUTRAL_RADIUS))
    )[:, None]
    return dict(labels) | {task: np.where(strange, np.float32(np.nan), labels[task]) for task in ("expr", "va")}


def count_labels(labels: Sequence[Mapping[str, np.ndarray]]) -> dict[str, list[int]]:
    """Frames of every expression, and active and inactive frames of every unit, as far as the tasks are there."""
    found = {}
    if labels and "expr" in labels[0]:
        values = np.concatenate([part["expr"][:, 0] for part in labels])
        found["expressions"] = np.bincount(values[~np.isnan(values)].astype(int), minlength=len(EXPRESSIONS)).tolist()
    if labels and "au" in labels[0]:
        values = np.concatenate([part["au"] for part in labels])
        found |= {"active": (values == 1).sum(axis=0).tolist(), "inactive": (values == 0).sum(axis=0).tolist()}
    return found


def weights(
    labels: Mapping[str, np.ndarray], counts: Mapping[str, Sequence[int]], balance: float
) -> dict[str, np.ndarray]:
    """Weight of every label in the loss: float32 ``expr_weight`` (N, 1) and ``au_weight`` (N, units), 0 where the label is missing.

    A class weighs (mean count / its count) ** ``balance``, an active unit (inactive / active) ** ``balance`` times an inactive one; what
    never occurs in training weighs as if it had occurred once.
    """
    found = {}
    if "expr" in labels:
        occurred = np.maximum(np.asarray(counts["expressions"], float), 1)
        of_class = (occurred.mean() / occurred) ** balance
        known = ~np.isnan(labels["expr"])
        found["expr_weight"] = np.where(known, of_class[np.where(known, labels["expr"], 0).astype(int)], 0)
    if "au" in labels:
        active, inactive = (np.maximum(np.asarray(counts[name], float), 1) for name in ("active", "inactive"))
        known = ~np.isnan(labels["au"])
        found["au_weight"] = known * np.where(labels["au"] == 1, (inactive / active) ** balance, 1)
    return {name: values.astype(np.float32) for name, values in found.items()}
