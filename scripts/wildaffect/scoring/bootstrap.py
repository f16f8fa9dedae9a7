"""Confidence intervals and paired comparisons by resampling whole source videos.

Frames of one video depend on each other, and so do the two persons of one video, so the source video is the unit that is drawn;
intervals over frames would be far too narrow.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np

from wildaffect.corpus.trials import split_person
from wildaffect.scoring.tallies import Tally


def videos_of(trials: Iterable[str]) -> list[str]:
    """List the source videos of ``trials``, sorted: ``a_left`` and ``a_right`` are one video."""
    return sorted({split_person(trial)[0] for trial in trials})


def draws(videos: int, resamples: int, seed: int) -> np.ndarray:
    """Draw ``videos`` videos with replacement per resample; how often each is drawn, int64 (resamples, videos)."""
    return np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=resamples)


def resampled(tallies: Mapping[str, Tally], videos: Sequence[str], times: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the metrics of every resample.

    Args:
        tallies: One per trial.
        videos: The videos that ``times`` counts, in its order.
        times: How often each is drawn, int64 (resamples, videos), from :func:`draws`.

    Returns:
        Values (resamples,) by metric.
    """
    column = {video: i for i, video in enumerate(videos)}
    parts = (tally.repeated(times[:, column[split_person(trial)[0]]]) for trial, tally in tallies.items())
    return reduce(add, parts).metrics()


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Compute the percentile interval over the resamples in which the metric is defined; NaN if there is none."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
