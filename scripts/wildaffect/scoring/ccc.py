"""Concordance correlation coefficient (Lin 1989) from moments that can be merged.

CCC = 2 cov(t, p) / (var(t) + var(p) + (mean t - mean p)^2). Whether the second moments are divided by n or n - 1 differs between
publications and changes the value, so the variant has a name:

``population``  n everywhere: the challenge's evaluation scripts; the one that is ranked
``sample``      n - 1 everywhere
``mixed``       covariance by n, variances by n - 1: LFAN spec 6.2 and several training losses; at most (n - 1) / n
"""

from dataclasses import dataclass, fields

import numpy as np

VARIANTS = ("population", "sample", "mixed")


@dataclass(frozen=True)
class Moments:
    """Counts, means and centred sums of squares and products of paired values, float64.

    All fields are scalars, or arrays of one shape for many samples at once. ``a + b`` is the moments of the joined samples (Chan, Golub
    and LeVeque 1979), so shards of any size give the same coefficient to rounding error.
    """

    count: np.ndarray
    mean_truth: np.ndarray
    mean_prediction: np.ndarray
    squares_truth: np.ndarray
    squares_prediction: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None = None) -> "Moments":
        """Compute the moments of the entries where ``mask`` holds (everywhere without one); ``ValueError`` unless all have one shape."""
        truth, prediction = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
        if truth.shape != prediction.shape or (mask is not None and np.shape(mask) != truth.shape):
            shapes = [truth.shape, prediction.shape] + ([] if mask is None else [np.shape(mask)])
            raise ValueError(f"truth, prediction and mask need one shape, got {shapes}")
        if mask is not None:
            keep = np.asarray(mask, bool)
            truth, prediction = truth[keep], prediction[keep]
        truth, prediction = truth.ravel(), prediction.ravel()
        if not truth.size:
            return cls(*(np.float64(0) for _ in fields(cls)))
        # Relative to its first value a constant series is exactly zero, whatever the rounding of its mean.
        t, p = truth - truth[0], prediction - prediction[0]
        mean_t, mean_p = t.mean(), p.mean()
        t, p = t - mean_t, p - mean_p
        return cls(np.float64(t.size), truth[0] + mean_t, prediction[0] + mean_p, t @ t, p @ p, t @ p)

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        fraction = other.count / np.maximum(count, 1)
        between = self.count * fraction
        shift_t, shift_p = other.mean_truth - self.mean_truth, other.mean_prediction - self.mean_prediction
        return Moments(
            count,
            self.mean_truth + shift_t * fraction,
            self.mean_prediction + shift_p * fraction,
            self.squares_truth + other.squares_truth + shift_t * shift_t * between,
            self.squares_prediction + other.squares_prediction + shift_p * shift_p * between,
            self.products + other.products + shift_t * shift_p * between,
        )

    def repeated(self, times: np.ndarray) -> "Moments":
        """Moments of the sample taken ``times`` times over; one entry per entry of ``times``."""
        times = np.asarray(times, np.float64)
        same = np.ones_like(times)
        return Moments(
            self.count * times,
            self.mean_truth * same,
            self.mean_prediction * same,
            self.squares_truth * times,
            self.squares_prediction * times,
            self.products * times,
        )

    def ccc(self, variant: str = "population") -> np.ndarray:
        """The coefficient, NaN where it is undefined."""
        if variant not in VARIANTS:
            raise ValueError(f"unknown CCC variant {variant!r}; choose from {', '.join(VARIANTS)}")
        by_variance = self.count - (variant != "population")
        by_covariance = self.count - (variant == "sample")
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = (self.squares_truth + self.squares_prediction) / by_variance
            value = 2 * self.products / by_covariance / (spread + (self.mean_truth - self.mean_prediction) ** 2)
        return np.where(np.isfinite(value), value, np.nan)[()]

    def pearson(self) -> np.ndarray:
        """Pearson's correlation, NaN where truth or prediction is constant."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value = self.products / np.sqrt(self.squares_truth * self.squares_prediction)
        return np.where(np.isfinite(value), value, np.nan)[()]


@dataclass(frozen=True)
class Concordance:
    """A coefficient, the number of value pairs it rests on, and why it is NaN (empty where it is a number)."""

    value: float
    frames: int
    reason: str = ""


def ccc(
    truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None = None, variant: str = "population"
) -> float:
    """Compute the concordance correlation coefficient in float64.

    Args:
        truth: Labels, of any shape.
        prediction: Predictions of the same shape.
        mask: Bool of that shape: entries that count; all without one.
        variant: One of ``VARIANTS``.

    Returns:
        The coefficient: 0 for a constant series against a varying one, NaN where undefined (`ccc_with_reason` says why).

    Raises:
        ValueError: If shapes differ, and for an unknown variant.

    Examples:
        >>> round(ccc([0.0, 0.5, 1.0], [0.1, 0.5, 0.9]), 4)
        0.9756
    """
    return ccc_with_reason(truth, prediction, mask, variant).value


def ccc_with_reason(
    truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None = None, variant: str = "population"
) -> Concordance:
    """Compute `ccc`, with the count and the reason of an undefined value."""
    return concordance(Moments.of(truth, prediction, mask), variant)


def concordance(moments: Moments, variant: str = "population") -> Concordance:
    """Compute coefficient and reason from scalar moments."""
    value, count = float(moments.ccc(variant)), int(moments.count)
    if not np.isnan(value):
        return Concordance(value, count)
    if count == 0:
        reason = "no valid frames"
    elif not np.isfinite(moments.squares_truth + moments.squares_prediction):
        reason = "a value is not finite"
    elif count == 1 and variant != "population":
        reason = "one frame has no variance"
    else:
        reason = "truth and prediction are the same constant"
    return Concordance(value, count, reason)
