"""The curves behind the corpus: frame times, valence and arousal, and slow random movement."""

import numpy as np

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
