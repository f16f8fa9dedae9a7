"""Tallies of trials, which add up, and bootstrap over source videos of what they add up to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Self

import numpy as np

from wildaffect.corpus.trials import split_person
from wildaffect.scoring import f1
from wildaffect.scoring.ccc import Moments, concordance
from wildaffect.scoring.tasks import Part


@dataclass(frozen=True)
class ValueTally:
    """Moments per named value."""

    part: Part
    frames: np.ndarray
    moments: tuple[Moments, ...]

    def __add__(self, other: Self) -> Self:
        moments = tuple(a + b for a, b in zip(self.moments, other.moments, strict=True))
        return replace(self, frames=self.frames + other.frames, moments=moments)

    def repeated(self, times: np.ndarray) -> Self:
        """Tally of the trial taken ``times`` times over, one entry per entry of ``times``."""
        return replace(self, frames=self.frames * times, moments=tuple(m.repeated(times) for m in self.moments))

    def metrics(self) -> dict[str, np.ndarray]:
        """``ccc_<name>`` for each value (population variant)."""
        return {f"ccc_{name}": m.ccc() for name, m in zip(self.part.names, self.moments, strict=True)}

    def reason(self, metric: str) -> str:
        """Why ``metric`` is NaN; empty where it is a number. For scalars only."""
        return concordance(self.moments[self.part.names.index(metric.removeprefix("ccc_"))]).reason

    def meaningless(self, metric: str) -> str:
        """Why ``metric`` of a single trial says nothing of its predictions, whatever number it is; empty where it does."""
        moments = self.moments[self.part.names.index(metric.removeprefix("ccc_"))]
        if moments.count == 1:
            return "there is a single frame"
        return "the label is constant" if moments.squares_truth == 0 else ""

    def details(self) -> dict[str, tuple[float, str]]:
        """No further metrics."""
        return {}


@dataclass(frozen=True)
class IntensityTally(ValueTally):
    """The same, of intensities, which are ranked by correlation."""

    def metrics(self) -> dict[str, np.ndarray]:
        """``<part>_pearson``, the mean over the intensities; NaN where one of them is constant."""
        return {f"{self.part.name}_pearson": np.mean([m.pearson() for m in self.moments], axis=0)[()]}

    def reason(self, metric: str) -> str:
        """As for `ValueTally`."""
        if not self.frames:
            return "no valid frames"
        flat = [name for name, m in zip(self.part.names, self.moments, strict=True) if np.isnan(m.pearson())]
        return f"{', '.join(flat)} of truth or prediction is constant" if flat else ""

    def meaningless(self, metric: str) -> str:
        """As for `ValueTally`; never: a correlation with a constant is not defined anyway."""
        return ""

    def details(self) -> dict[str, tuple[float, str]]:
        """``<part>_pearson_<name>``; not ranked."""
        names = zip(self.part.names, self.moments, strict=True)
        return {f"{self.part.name}_pearson_{name}": (float(m.pearson()), "") for name, m in names}


@dataclass(frozen=True)
class ClassTally:
    """A confusion matrix."""

    part: Part
    frames: np.ndarray
    matrix: np.ndarray

    def __add__(self, other: "ClassTally") -> "ClassTally":
        return ClassTally(self.part, self.frames + other.frames, self.matrix + other.matrix)

    def repeated(self, times: np.ndarray) -> "ClassTally":
        """As for `ValueTally`."""
        return ClassTally(self.part, self.frames * times, self.matrix * np.asarray(times)[..., None, None])

    def metrics(self) -> dict[str, np.ndarray]:
        """``<part>_f1`` (macro over all classes) and ``<part>_accuracy``."""
        return {
            f"{self.part.name}_f1": f1.macro_f1(self.matrix),
            f"{self.part.name}_accuracy": f1.accuracy(self.matrix),
        }

    def reason(self, metric: str) -> str:
        """As for `ValueTally`."""
        return "" if self.matrix.any() else "no valid frames"

    def meaningless(self, metric: str) -> str:
        """As for `ValueTally`; never."""
        return ""

    def details(self) -> dict[str, tuple[float, str]]:
        """``<part>_weighted_f1`` and ``<part>_f1_<class>`` with a note on what they rest on; not ranked, for scalars only."""
        rows = {
            f"{self.part.name}_weighted_f1": (
                f1.weighted_f1(self.matrix),
                "classes weighted by their share; not a challenge metric",
            )
        }
        support, single = self.matrix.sum(-1), f1.f1_per_class(self.matrix)
        for i, name in enumerate(self.part.names):
            rows[f"{self.part.name}_f1_{name}"] = single[i], f"{support[i]} frames of this class"
        return rows


@dataclass(frozen=True)
class UnitTally:
    """Two-by-two counts per unit, each on its own valid frames."""

    part: Part
    frames: np.ndarray
    counts: np.ndarray

    def __add__(self, other: "UnitTally") -> "UnitTally":
        return UnitTally(self.part, self.frames + other.frames, self.counts + other.counts)

    def repeated(self, times: np.ndarray) -> "UnitTally":
        """As for `ValueTally`."""
        return UnitTally(self.part, self.frames * times, self.counts * np.asarray(times)[..., None, None, None])

    def metrics(self) -> dict[str, np.ndarray]:
        """``<part>_f1`` (mean over units) and ``<part>_accuracy`` (over all unit decisions joined)."""
        any_frame = self.counts.sum((-3, -2, -1)) > 0
        mean = np.where(any_frame, f1.unit_f1(self.counts).mean(-1), np.nan)[()]
        return {f"{self.part.name}_f1": mean, f"{self.part.name}_accuracy": f1.accuracy(self.counts.sum(-3))}

    def reason(self, metric: str) -> str:
        """As for `ValueTally`."""
        return "" if self.counts.any() else "no valid frames"

    def meaningless(self, metric: str) -> str:
        """As for `ValueTally`: F1 is 0 for any prediction where no unit is active."""
        if metric != f"{self.part.name}_f1" or self.counts[:, 1].any():
            return ""
        return "no unit is active in the labels"

    def details(self) -> dict[str, tuple[float, str]]:
        """``<part>_accuracy_unit_mean`` (over units with a valid frame) and ``<part>_f1_<unit>``, with notes; for scalars only."""
        single, each = f1.unit_f1(self.counts), f1.accuracy(self.counts)
        known = each[~np.isnan(each)]
        rows = {
            f"{self.part.name}_accuracy_unit_mean": (
                known.mean() if known.size else np.nan,
                "mean over units; not ranked",
            )
        }
        for i, name in enumerate(self.part.names):
            active, valid = self.counts[i, 1].sum(), self.counts[i].sum()
            rows[f"{self.part.name}_f1_{name}"] = single[i], f"active in {active} of {valid} valid frames"
        return rows


Tally = ValueTally | ClassTally | UnitTally


def tally(part: Part, truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray) -> Tally:
    """Tally of aligned arrays (frames, columns of the part); ``mask`` bool of the same shape says which labels are valid."""
    frames = np.int64(mask.any(axis=1).sum())
    if part.real:
        columns = zip(truth.T, prediction.T, mask.T, strict=True)
        kind = ValueTally if part.kind == "values" else IntensityTally
        return kind(part, frames, tuple(Moments.of(t, p, keep) for t, p, keep in columns))
    if part.kind == "classes":
        labels = range(len(part.names))
        return ClassTally(part, frames, f1.confusion_matrix(truth[:, 0], prediction[:, 0], labels, mask[:, 0]))
    return UnitTally(part, frames, f1.unit_counts(truth, prediction, mask))


def of_trial(tally: Tally) -> dict[str, tuple[float, str]]:
    """The metrics of a single trial; NaN and the reason where one is not defined or says nothing of the predictions."""
    found = {}
    for metric, value in tally.metrics().items():
        reason = tally.reason(metric) or tally.meaningless(metric)
        found[metric] = (float("nan") if reason else float(value), reason)
    return found


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
        times: How often each is drawn, int64 (resamples, videos), from `draws`.

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
