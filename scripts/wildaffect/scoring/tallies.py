"""What one trial adds to the metrics of a label space. Tallies add up, so a score over trials is a sum and then one formula."""

from dataclasses import dataclass

import numpy as np

from wildaffect.scoring import f1
from wildaffect.scoring.ccc import Moments, concordance
from wildaffect.scoring.tasks import Part


@dataclass(frozen=True)
class ValueTally:
    """Moments per named value."""

    part: Part
    frames: np.ndarray
    moments: tuple[Moments, ...]

    def __add__(self, other: "ValueTally") -> "ValueTally":
        moments = tuple(a + b for a, b in zip(self.moments, other.moments, strict=True))
        return ValueTally(self.part, self.frames + other.frames, moments)

    def repeated(self, times: np.ndarray) -> "ValueTally":
        """Tally of the trial taken ``times`` times over, one entry per entry of ``times``."""
        return ValueTally(self.part, self.frames * times, tuple(m.repeated(times) for m in self.moments))

    def metrics(self) -> dict[str, np.ndarray]:
        """``ccc_<name>`` for each value (population variant)."""
        return {f"ccc_{name}": m.ccc() for name, m in zip(self.part.names, self.moments, strict=True)}

    def reason(self, metric: str) -> str:
        """Why ``metric`` is NaN; empty where it is a number. For scalars only."""
        return concordance(self.moments[self.part.names.index(metric.removeprefix("ccc_"))]).reason

    def details(self) -> dict[str, tuple[float, str]]:
        """No further metrics."""
        return {}


@dataclass(frozen=True)
class ClassTally:
    """A confusion matrix."""

    part: Part
    frames: np.ndarray
    matrix: np.ndarray

    def __add__(self, other: "ClassTally") -> "ClassTally":
        return ClassTally(self.part, self.frames + other.frames, self.matrix + other.matrix)

    def repeated(self, times: np.ndarray) -> "ClassTally":
        """As for :class:`ValueTally`."""
        return ClassTally(self.part, self.frames * times, self.matrix * np.asarray(times)[..., None, None])

    def metrics(self) -> dict[str, np.ndarray]:
        """``<part>_f1`` (macro over all classes) and ``<part>_accuracy``."""
        return {
            f"{self.part.name}_f1": f1.macro_f1(self.matrix),
            f"{self.part.name}_accuracy": f1.accuracy(self.matrix),
        }

    def reason(self, metric: str) -> str:
        """As for :class:`ValueTally`."""
        return "" if self.matrix.any() else "no valid frames"

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
        """As for :class:`ValueTally`."""
        return UnitTally(self.part, self.frames * times, self.counts * np.asarray(times)[..., None, None, None])

    def metrics(self) -> dict[str, np.ndarray]:
        """``<part>_f1`` (mean over units) and ``<part>_accuracy`` (over all unit decisions joined)."""
        any_frame = self.counts.sum((-3, -2, -1)) > 0
        mean = np.where(any_frame, f1.unit_f1(self.counts).mean(-1), np.nan)[()]
        return {f"{self.part.name}_f1": mean, f"{self.part.name}_accuracy": f1.accuracy(self.counts.sum(-3))}

    def reason(self, metric: str) -> str:
        """As for :class:`ValueTally`."""
        return "" if self.counts.any() else "no valid frames"

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
    if part.kind == "values":
        columns = zip(truth.T, prediction.T, mask.T, strict=True)
        return ValueTally(part, frames, tuple(Moments.of(t, p, keep) for t, p, keep in columns))
    if part.kind == "classes":
        labels = range(len(part.names))
        return ClassTally(part, frames, f1.confusion_matrix(truth[:, 0], prediction[:, 0], labels, mask[:, 0]))
    return UnitTally(part, frames, f1.unit_counts(truth, prediction, mask))
