"""Expressions and action units of the rendered subjects: rules of valence and arousal, made up so that there is something to learn.

They are no psychology. What a subject shows is decided by two numbers alone, so its expression can only be a piece of their plane and an
action unit a half of it. The pieces lie in the order of the circumplex of affect (Russell 1980); where they meet is our choice. A unit is
active where :mod:`wildaffect.demo.expression` has moved the landmarks of that part of the face far enough.
"""

import numpy as np

from wildaffect.corpus.label_spaces import AU12, EXPRESSIONS7

EDITION = "abaw2"
"""The edition whose label spaces these are."""
EXPRESSIONS, UNITS = EXPRESSIONS7, AU12

NEUTRAL_RADIUS = 0.45
"""Nearer to the origin than this, a face is neutral."""

SECTORS = (
    (-90, "Happiness"),  # calm or excited
    (50, "Surprise"),
    (100, "Fear"),
    (135, "Anger"),
    (165, "Disgust"),
    (205, "Sadness"),
)
"""Where each other expression begins, degrees from pleasure towards arousal; the last ends where the first begins."""

MOVES = {
    "AU1": (2.5, 5.0, 1.5),  # inner brows up
    "AU2": (0.0, 5.0, 2.0),  # outer brows up
    "AU4": (-3.0, 0.0, 1.2),  # brows together
    "AU6": (1.2, -0.7, 0.6),  # lower lids up
    "AU7": (1.2, -2.7, 1.2),  # eyes narrow
    "AU10": (-2.0, 2.9375, 2.0),  # upper lip up
    "AU12": (10.0, 0.0, 3.0),  # corners of the mouth up
    "AU15": (-10.0, 0.0, 4.0),  # corners of the mouth down
    "AU23": (-10.0, -11.75, 7.0),  # mouth narrow and nearly closed
    "AU24": (0.0, -11.75, 7.0),  # lips pressed together
    "AU25": (0.0, 11.75, -3.0),  # lips apart
    "AU26": (0.0, 6.4625, 2.2),  # chin down
}
"""For each unit how many pixels its landmarks move per unit of valence and of arousal, and beyond how many it is active."""


def expressions(valence: np.ndarray, arousal: np.ndarray) -> np.ndarray:
    """Class numbers int64 (N,) in the order of :data:`EXPRESSIONS`, from ``valence`` and ``arousal`` (N,)."""
    starts, names = zip(*SECTORS, strict=True)
    angles = (np.degrees(np.arctan2(arousal, valence)) - starts[0]) % 360 + starts[0]
    classes = np.array([EXPRESSIONS.index(name) for name in names])[np.searchsorted(starts, angles, "right") - 1]
    return np.where(np.hypot(valence, arousal) < NEUTRAL_RADIUS, EXPRESSIONS.index("Neutral"), classes)


def units(valence: np.ndarray, arousal: np.ndarray) -> np.ndarray:
    """Which units are active, int64 (N, units) of 0 and 1 in the order of :data:`UNITS`."""
    by_valence, by_arousal, least = np.array([MOVES[name] for name in UNITS]).T
    return (np.outer(valence, by_valence) + np.outer(arousal, by_arousal) > least).astype(np.int64)
