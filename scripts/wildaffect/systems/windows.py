"""Windows of consecutive rows, shared by systems."""

from collections.abc import Iterable, Sequence

import numpy as np


def windows(length: int, window: int, hop: int) -> list[tuple[int, int]]:
    """Half-open ranges that cover ``length`` rows: one every ``hop``, and always one that ends with the last row.

    A series shorter than ``window`` gives one short range, to be padded at its end; an empty one gives none.
    """
    if length <= window:
        return [(0, length)] if length else []
    return [(start, start + window) for start in range(0, length - window, hop)] + [(length - window, length)]


def average(
    pieces: Iterable[tuple[int, np.ndarray | slice, np.ndarray]], lengths: Sequence[int], columns: int
) -> list[np.ndarray]:
    """Plain mean, float64 (length, columns) per trial, of all windows that cover a row; NaN where none does.

    A piece is the number of its trial, rows there, each once, and their values (rows, columns).
    """
    sums = [np.zeros((length, columns)) for length in lengths]
    covers = [np.zeros((length, 1)) for length in lengths]
    for number, rows, values in pieces:
        sums[number][rows] += values
        covers[number][rows] += 1
    return [
        np.divide(total, cover, out=np.full_like(total, np.nan), where=cover > 0)
        for total, cover in zip(sums, covers, strict=True)
    ]
