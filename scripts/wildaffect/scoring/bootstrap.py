"""Confidence intervals by resampling whole trials.

Frames of one video depend on each other, so the trial is the unit that is drawn; intervals over frames would be far too narrow.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np

from wildaffect.scoring.tallies import Tally


def draws(trials: int, resamples: int, seed: int) -> np.ndarray:
    """How often each trial is drawn, int64 (resamples, trials): ``trials`` draws with replacement per resample."""
    return np.random.default_rng(seed).multinomial(trials, np.full(trials, 1 / trials), size=resamples)


def resampled(tallies: Sequence[Tally], times: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of every resample, (resamples,) each; ``times`` (resamples, trials) from :func:`draws`."""
    return reduce(add, (tally.repeated(times[:, i]) for i, tally in enumerate(tallies))).metrics()


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval over the resamples in which the metric is defined; NaN if there is none."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
