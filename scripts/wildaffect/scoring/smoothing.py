"""Smoothing of predictions over time, trial by trial. Windows are counted in frames."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from wildaffect.errors import InputError
from wildaffect.scoring.fusion import KEYS
from wildaffect.scoring.rows import as_table, numbers, sort_rows

EDGES = ("zero", "nearest")


def wiener(values: np.ndarray, window: int, edges: str = "nearest") -> np.ndarray:
    """Wiener filter of (frames,) with an odd ``window``; the noise power is the mean of the local variances.

    ``edges="zero"`` pads with zeros, which pulls the ends towards 0 (M3T spec 6.3); ``nearest`` repeats the end values. Where the local
    variance and the noise are both zero the local mean is kept; SciPy alone gives NaN there.
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import wiener as scipy_wiener

    def smooth(padded: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            result = scipy_wiener(padded, window)
        return np.where(np.isnan(result), uniform_filter1d(padded, window, mode="constant"), result)

    return _with_edges(values, window, edges, smooth)


def median(values: np.ndarray, window: int, edges: str = "nearest") -> np.ndarray:
    """Running median of (frames,) with an odd ``window``; ``edges`` as in :func:`wiener` (zero: M3T spec 6.3)."""
    from scipy.signal import medfilt

    return _with_edges(values, window, edges, lambda padded: medfilt(padded, window))


def savitzky_golay(values: np.ndarray, window: int, edges: str = "nearest", order: int = 2) -> np.ndarray:
    """Savitzky-Golay filter of (frames,): a polynomial of ``order`` fitted in each odd ``window``; ``edges`` as in :func:`wiener`."""
    from scipy.signal import savgol_filter

    return savgol_filter(values, window, order, mode="constant" if edges == "zero" else "nearest", cval=0.0)


METHODS: dict[str, Callable[..., np.ndarray]] = {"wiener": wiener, "median": median, "savitzky_golay": savitzky_golay}


def smooth(
    table: pa.Table, method: str, window: int, edges: str = "nearest", columns: Sequence[str] | None = None
) -> pa.Table:
    """A prediction table with ``columns`` (all predicted ones by default) smoothed within each trial in the order of frames.

    Row order, other columns and column order stay; smoothed columns are float32. Raises :class:`InputError` for an unknown method, an
    even window, or values that are not numbers. A window of 1 leaves the values as they are.
    """
    table = as_table(table, "predictions")
    if method not in METHODS or edges not in EDGES:
        raise InputError(
            f"smoothing {method!r} with edges {edges!r}: choose from {', '.join(METHODS)} and {', '.join(EDGES)}."
        )
    if window < 1 or window % 2 == 0:
        raise InputError(f"smoothing window {window}: use an odd number of frames.")
    columns = tuple(columns or (name for name in table.column_names if name not in KEYS))
    values = numbers(table, columns)
    if not np.isfinite(values).all():
        raise InputError("predictions: smoothing needs a number in every row; fill rows without prediction first.")
    rows = sort_rows(table, "predictions")
    smoothed = values.copy()
    for part in rows.slices().values() if window > 1 else ():
        at = rows.order[part]
        for column in range(len(columns)):
            smoothed[at, column] = METHODS[method](values[at, column], window, edges)
    for i, name in enumerate(columns):
        index = table.column_names.index(name)
        table = table.set_column(index, name, pa.array(smoothed[:, i].astype(np.float32)))
    return table


def _with_edges(values: np.ndarray, window: int, edges: str, filtered: Callable) -> np.ndarray:
    """Apply a filter that pads with zeros itself, after repeating the end values if asked."""
    if edges == "zero":
        return filtered(values)
    half = window // 2
    return filtered(np.pad(values, half, mode="edge"))[half:-half]
