"""Mean and standard deviation over many feature arrays, one piece in memory at a time.

Pieces are summarised in double precision and merged pairwise: T. F. Chan, G. H. Golub, R. J. LeVeque, Updating Formulae and a Pairwise
Algorithm for Computing Sample Variances, 1979.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np

_PIECE = 1 << 20  # values read at a time
CONSTANT = 1e-6


@dataclass(frozen=True)
class ColumnMoments:
    """Moments of the columns of an array.

    Attributes:
        count: Number of rows.
        mean: Mean of each column, float64 (C,).
        squares: Sum of squared deviations of each column, float64 (C,).
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray

    def __add__(self, other: "ColumnMoments") -> "ColumnMoments":
        """Moments of both sets of rows together."""
        if not (self.count and other.count):
            return self if self.count else other
        count = self.count + other.count
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / count)
        squares = self.squares + other.squares + step**2 * (self.count * other.count / count)
        return ColumnMoments(count, mean, squares)

    def deviation(self) -> np.ndarray:
        """Standard deviation (N - 1), float64 (C,); 1 where a column never varies, so that scaling leaves it centred and finite."""
        std = np.sqrt(self.squares / max(self.count - 1, 1))
        return np.where(std > CONSTANT, std, 1.0)


def moments(values: np.ndarray, rows: np.ndarray | None = None) -> ColumnMoments:
    """Moments per column.

    Args:
        values: (N, C) of any dtype; a memory map is read piece by piece.
        rows: Rows to take, (n,); None takes all.
    """
    count = len(values) if rows is None else len(rows)
    step = max(1, _PIECE // max(1, values.shape[1]))
    pieces = (slice(first, first + step) for first in range(0, count, step))
    empty = ColumnMoments(0, np.zeros(values.shape[1]), np.zeros(values.shape[1]))
    return sum((_summary(values[piece if rows is None else rows[piece]]) for piece in pieces), empty)


def pooled(columns: ColumnMoments) -> ColumnMoments:
    """Moments of all columns together as one, (1,)."""
    parts = (
        ColumnMoments(columns.count, mean[None], squares[None])
        for mean, squares in zip(columns.mean, columns.squares, strict=True)
    )
    return reduce(ColumnMoments.__add__, parts)


def column_statistics(arrays: Iterable[np.ndarray]) -> dict[str, list[float]]:
    """``mean`` and ``std`` of every column over all rows of all ``arrays`` (N, C), as lists that JSON can hold."""
    total = _total(arrays)
    return {"mean": total.mean.tolist(), "std": total.deviation().tolist()}


def scalar_statistics(arrays: Iterable[np.ndarray]) -> dict[str, float]:
    """One ``mean`` and one ``std`` over all rows and columns of all ``arrays`` (N, C)."""
    total = pooled(_total(arrays))
    return {"mean": float(total.mean[0]), "std": float(total.deviation()[0])}


def _total(arrays: Iterable[np.ndarray]) -> ColumnMoments:
    parts = (moments(values) for values in arrays)
    first = next(parts, None)
    if first is None:
        raise ValueError("statistics of no arrays are not defined")
    return sum(parts, first)


def _summary(piece: np.ndarray) -> ColumnMoments:
    piece = np.asarray(piece, np.float64)
    mean = piece.mean(axis=0)
    return ColumnMoments(len(piece), mean, np.square(piece - mean).sum(axis=0))
