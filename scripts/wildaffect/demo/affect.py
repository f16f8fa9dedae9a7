"""Valence and arousal of the demo over time, and the expressions and action units that follow from them by rule."""

import numpy as np

from wildaffect.corpus.label_spaces import AU12, EXPRESSIONS7
from wildaffect.demo.plan import DemoVideo

TICKS = 1000
"""Ticks per second on the clock of a variable-rate video."""

HIGHEST_FREQUENCY = 0.3
"""Affect changes no faster than this, hertz."""


def frame_times(video: DemoVideo, seed: int) -> np.ndarray:
    """Presentation time of every frame, float64 seconds (N,), 0 for the first.

    A variable-rate video has frame durations spread evenly between half and one and a half times the mean, and one
    in thirty lasts four to six times as long, as in recordings that drop frames; all are whole ticks.
    """
    if not video.variable_rate:
        return np.arange(round(video.seconds * video.frame_rate)) / float(video.frame_rate)
    rng = np.random.default_rng([seed, *(person.traits for person in video.persons)])
    mean = TICKS / float(video.frame_rate)
    count = int(video.seconds * video.frame_rate * 2)
    steps = rng.uniform(0.5, 1.5, count)
    steps[rng.random(count) < 1 / 30] *= 4
    ticks = np.concatenate([[0], np.cumsum(np.round(steps * mean).astype(np.int64))])
    return ticks[ticks < video.seconds * TICKS] / TICKS


def within(times: np.ndarray, spans: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Which times lie in one of the half-open spans, bool (N,)."""
    return np.any([(times >= start) & (times < end) for start, end in spans] or [np.zeros(len(times), bool)], axis=0)


def affect(traits: int, seconds: float, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Valence and arousal of one subject at ``times`` (seconds), each float64 (N,) in [-1, 1].

    Sums of sines with whole numbers of cycles in the video; one curve takes the odd numbers, the other the even
    ones. Before the soft limiter such sums are orthogonal, so valence and arousal are nearly uncorrelated in every
    video and not only on average. A random offset gives each subject a mood.
    """
    rng = np.random.default_rng([traits, 1])
    cycles = np.arange(1, max(6, round(HIGHEST_FREQUENCY * seconds)) + 1)
    families = [cycles[::2], cycles[1::2]]
    if rng.random() < 0.5:
        families.reverse()
    valence, arousal = (
        np.tanh(1.1 * sines(rng, family / seconds, times) + rng.uniform(-0.25, 0.25)) for family in families
    )
    return valence, arousal


def sines(rng: np.random.Generator, frequencies: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Sum of sines (hertz) with random amplitudes and phases, root mean square 1 over a long time, float64 (N,)."""
    amplitudes = rng.uniform(0.5, 1.0, len(frequencies)) / np.sqrt(frequencies)
    amplitudes *= np.sqrt(2 / np.sum(amplitudes**2))
    phases = rng.uniform(0, 2 * np.pi, len(frequencies))
    return np.sin(2 * np.pi * np.outer(times, frequencies) + phases) @ amplitudes


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
    """Class numbers int64 (N,) in the order of `EXPRESSIONS`, from ``valence`` and ``arousal`` (N,)."""
    starts, names = zip(*SECTORS, strict=True)
    angles = (np.degrees(np.arctan2(arousal, valence)) - starts[0]) % 360 + starts[0]
    classes = np.array([EXPRESSIONS.index(name) for name in names])[np.searchsorted(starts, angles, "right") - 1]
    return np.where(np.hypot(valence, arousal) < NEUTRAL_RADIUS, EXPRESSIONS.index("Neutral"), classes)


def units(valence: np.ndarray, arousal: np.ndarray) -> np.ndarray:
    """Which units are active, int64 (N, units) of 0 and 1 in the order of `UNITS`."""
    by_valence, by_arousal, least = np.array([MOVES[name] for name in UNITS]).T
    return (np.outer(valence, by_valence) + np.outer(arousal, by_arousal) > least).astype(np.int64)
