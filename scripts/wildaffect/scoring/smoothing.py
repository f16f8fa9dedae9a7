"""Smoothing of predictions over time, with a window that is given or chosen on held-out trials."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.scoring.choice import choose, read_held_out
from wildaffect.scoring.read import KEYS, as_table, numbers, read_parquet, sort_rows
from wildaffect.scoring.tasks import Tracks
from wildaffect.tables import read_metadata, write_table

EDGES = ("zero", "nearest")
KIND = "smoothing window"


def wiener(values: np.ndarray, window: int, edges: str = "nearest") -> np.ndarray:
    """Apply a Wiener filter to (frames,) with an odd ``window``; the noise power is the mean of the local variances.

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
    """Apply a running median to (frames,) with an odd ``window``; ``edges`` as in `wiener` (zero: M3T spec 6.3)."""
    from scipy.signal import medfilt

    return _with_edges(values, window, edges, lambda padded: medfilt(padded, window))


def savitzky_golay(values: np.ndarray, window: int, edges: str = "nearest", order: int = 2) -> np.ndarray:
    """Apply a Savitzky-Golay filter to (frames,): a polynomial of ``order`` in each odd ``window``; ``edges`` as in `wiener`."""
    from scipy.signal import savgol_filter

    return savgol_filter(values, window, order, mode="constant" if edges == "zero" else "nearest", cval=0.0)


METHODS: dict[str, Callable[..., np.ndarray]] = {"wiener": wiener, "median": median, "savitzky_golay": savitzky_golay}


def smooth(
    table: pa.Table, method: str, window: int, edges: str = "nearest", columns: Sequence[str] | None = None
) -> pa.Table:
    """Smooth a prediction table within each trial in the order of frames.

    Args:
        table: Prediction table, Arrow or pandas.
        method: A key of ``METHODS``.
        window: Odd number of frames; 1 leaves the values as they are.
        edges: ``nearest`` repeats the end values, ``zero`` pads with zeros.
        columns: Columns to smooth, by default all predicted ones.

    Returns:
        The table in the same order, smoothed columns float32.

    Raises:
        InputError: For an unknown method, an even window, or values that are not numbers.
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


NONE = "none"


def smoothed_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Choose what is smoothed of a prediction table: valence and arousal (M3T spec 6.2), or everything predicted where it has neither."""
    values = tuple(name for name in columns if name not in KEYS)
    return tuple(name for name in values if name in VALENCE_AROUSAL) or values


def check_windows(key: str, window: Any, folds: int) -> None:
    """Check that ``window`` (odd frames, or several to choose from) can be used with so many folds; `InputError` if not."""
    several = isinstance(window, list)
    for size in window if several else [window]:
        if size < 1 or size % 2 == 0:
            raise InputError(
                f"{key}.window: {size} is not possible; use odd numbers of frames (1 leaves values as they are)."
            )
    if several and (len(set(window)) < 2 or len(set(window)) < len(window)):
        raise InputError(f"{key}.window: {window} leaves no choice; give different windows, or a single number.")
    if several and folds < 2:
        raise InputError(
            f"{key}.window: to choose among {window}, at least two folds with held-out trials are needed, because a fold's window is "
            f"chosen on the others; there are {folds}. Give one window, or run more folds."
        )


def choose_window(
    held_out: Sequence[pa.Table],
    labels: Mapping[str, pa.Table],
    editions: Tracks,
    method: str,
    windows: Sequence[int],
    edges: str,
) -> dict[str, Any]:
    """Choose the window with the best score over all held-out predictions joined, the smallest of equals.

    Args:
        held_out: Prediction tables.
        labels: Label table per task.
        editions: As for `wildaffect.scoring.choice.choose`.
        method: A key of ``METHODS``.
        windows: Odd numbers of frames.
        edges: As for `smooth`.

    Returns:
        Record of the choice, plain values.

    Raises:
        InputError: If nothing fits or no score is defined.
    """
    predictions = pa.concat_tables(held_out, promote_options="default")
    columns = smoothed_columns(predictions.column_names)
    tables = ((window, smooth(predictions, method, window, edges, columns)) for window in sorted(windows))
    window, choice = choose(tables, columns, labels, editions, KIND)
    return {"window": window, **choice}


def smooth_file(
    predictions: Path,
    output: Path,
    *,
    method: str,
    window: int | Sequence[int],
    edges: str,
    held_out: Sequence[Mapping] = (),
    labels: Mapping[str, Path] | None = None,
    editions: Tracks | None = None,
) -> None:
    """Smooth a prediction file trial by trial; the metadata of ``output`` says how, and why with this window.

    Args:
        predictions: Prediction table.
        output: Table to write.
        method: A key of ``METHODS``.
        window: Odd number of frames, or several from which `choose_window` chooses.
        edges: As for `smooth`.
        held_out: Predictions to choose on, mappings with the keys partition, fold and path.
        labels: Label table per task, to choose by.
        editions: Tracks by edition, to choose by.

    Raises:
        InputError: If held-out predictions are not of partition ``validation`` or share a source video with ``predictions``.
    """
    table, choice = read_parquet(predictions), None
    if isinstance(window, int):
        chosen = window
    else:
        tables = [read for _, read in read_held_out(table, predictions, held_out, KIND)]
        truth = {task: read_parquet(path) for task, path in (labels or {}).items()}
        choice = choose_window(tables, truth, editions or {}, method, window, edges)
        choice |= {"candidates": sorted(window), "folds": sorted(str(entry["fold"]) for entry in held_out)}
        chosen = choice["window"]
    columns = smoothed_columns(table.column_names)
    result = smooth(table, method, chosen, edges, columns)
    about = {
        "smoothing": {"method": method, "edges": edges, "window": chosen, "columns": list(columns), "choice": choice},
        "smoothed": read_metadata(predictions),
    }
    write_table(output, result, result.schema.remove_metadata(), about)
