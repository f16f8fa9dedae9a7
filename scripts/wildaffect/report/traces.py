"""Predictions against labels over time, as figures of the report."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from wildaffect.errors import InputError
from wildaffect.tables import read_table


def held_out_sources(predictions: Sequence[Mapping], columns: Sequence[str]) -> dict[tuple[str, str], Mapping]:
    """The entry of ``predictions`` to show per ``(series name, trial)``, among those that have any of ``columns``.

    Training partitions are never shown. A trial's validation prediction comes before its test prediction, an
    ensemble before single folds, a lower fold before a higher one.
    """
    chosen: dict[tuple[str, str], Mapping] = {}
    for entry in sorted(predictions, key=_preference):
        if entry["partition"] == "train" or not columns_in(entry["path"], columns):
            continue
        series = series_name(entry)
        for trial in read_table(entry["path"], pa.schema([("trial", pa.string())]))["trial"].unique().to_pylist():
            chosen.setdefault((series, trial), entry)
    return chosen


def series_name(entry: Mapping) -> str:
    """The name of one variant trained for one target, as it stands in figures and tables."""
    return f"{entry['system']}/{entry['variant']}/{entry['target']}"


def columns_in(path: Path, columns: Sequence[str]) -> list[str]:
    """Those of ``columns`` that a table has."""
    names = pq.read_schema(path).names
    return [name for name in columns if name in names]


def _preference(entry: Mapping) -> tuple:
    fold = str(entry["fold"])
    return entry["partition"] != "validation", fold.isdigit(), int(fold) if fold.isdigit() else 0, fold


DIMENSIONS = ("valence", "arousal")
POINTS_PER_TRACE = 1000
POINTS_PER_PAGE = 2_000_000


def points_per_trace(traces: int) -> int:
    """How many points each of ``traces`` traces may have so that the page holds at most `POINTS_PER_PAGE` (even, >= 2)."""
    return max(2, min(POINTS_PER_TRACE, POINTS_PER_PAGE // max(traces, 1)) // 2 * 2)


def bucket_starts(frames: int, points: int) -> np.ndarray:
    """First frame of each bucket, int64. One frame per bucket where ``frames <= points``, else ``points / 2`` buckets."""
    if frames <= points:
        return np.arange(frames)
    return np.linspace(0, frames, points // 2 + 1).astype(np.int64)[:-1]


def envelope(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Min/max envelope of ``values`` float (N,), NaN = no value: (N,) unchanged or two values per bucket.

    A bucket without any value gives NaN twice.
    """
    if len(starts) == len(values):
        return values
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    frame = np.arange(len(values))
    bucket = np.searchsorted(starts, frame, side="right") - 1
    first_low = np.minimum.reduceat(np.where(values == low[bucket], frame, len(values)), starts)
    first_high = np.minimum.reduceat(np.where(values == high[bucket], frame, len(values)), starts)
    rising = first_low <= first_high
    return np.stack([np.where(rising, low, high), np.where(rising, high, low)], axis=1).ravel()


def envelope_times(times: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Times in seconds that belong to :func:`envelope`: a bucket's first and middle frame."""
    if len(starts) == len(times):
        return times
    ends = np.append(starts[1:], len(times))
    return np.stack([times[starts], times[(starts + ends) // 2]], axis=1).ravel()


def spans(flags: np.ndarray, bounds: np.ndarray, starts: np.ndarray) -> list[list[float]]:
    """Runs of buckets with at least one flagged frame as ``[[from_s, to_s], ...]``.

    ``flags`` bool (N,); ``bounds`` float64 (N + 1,): the frames' times and the end of the last one.
    """
    if not len(flags):
        return []
    marked = np.logical_or.reduceat(flags, starts)
    edges = np.flatnonzero(np.diff(np.r_[False, marked, False]))
    seconds = np.round(bounds[np.append(starts, len(flags))], 3)
    return [[float(seconds[a]), float(seconds[b])] for a, b in edges.reshape(-1, 2)]


def rounded(values: np.ndarray) -> list[float | None]:
    """JSON numbers with three decimals; None for NaN."""
    return [None if value != value else value for value in np.round(values.astype(np.float64), 3).tolist()]


def by_trial(path: Path, values: Sequence[str], flag: str | None = None) -> dict[str, pd.DataFrame]:
    """Rows of a prediction or label table per trial: columns frame, ``values`` and, if named, the bool ``flag``."""
    fields = [("trial", pa.string()), ("frame", pa.int32())] + [(name, pa.float32()) for name in values]
    schema = pa.schema(fields + ([(flag, pa.bool_())] if flag else []))
    table = read_table(path, schema).to_pandas()
    return dict(iter(table.groupby("trial", sort=False)))


def frame_index(rows: pd.DataFrame, frames: int, path: Path) -> np.ndarray:
    """The rows' frame numbers, int (rows,); :class:`InputError` if one is not among the ``frames`` decoded ones."""
    index = rows["frame"].to_numpy()
    outside = index[(index < 0) | (index >= frames)]
    if len(outside):
        raise InputError(
            f"{path}: frame {outside[0]} of trial {rows['trial'].iloc[0]!r} lies outside the {frames:,} decoded frames. "
            "The table belongs to another version of the video: delete it and run again."
        )
    return index


def on_frames(rows: pd.DataFrame, column: str, frames: int, path: Path) -> np.ndarray:
    """A column spread over all decoded frames, float64 (frames,), NaN where the table has no row."""
    spread = np.full(frames, np.nan)
    spread[frame_index(rows, frames, path)] = rows[column].to_numpy(np.float64, na_value=np.nan)
    return spread


def flagged(rows: pd.DataFrame, frames: int, path: Path) -> np.ndarray:
    """Which of the decoded frames have a row, bool (frames,)."""
    flags = np.zeros(frames, bool)
    flags[frame_index(rows, frames, path)] = True
    return flags


def trial_traces(
    trials: Mapping[str, str],
    frames: Mapping[str, Path],
    persons: Mapping[str, Path],
    labels: Path | None,
    predictions: Sequence[Mapping],
) -> tuple[dict[str, dict], int]:
    """Time series of every trial that has a valence or arousal prediction, and the points each trace may have.

    ``trials`` maps trial to video. A trial's value holds ``times``, ``labels`` and ``series`` (thinned values by
    dimension), ``invalid`` and ``faceless`` (spans in seconds) and ``length`` (frames).
    """
    sources = held_out_sources(predictions, DIMENSIONS)
    shown = {trial for _, trial in sources}
    unknown = sorted(shown - set(trials))
    if unknown:
        raise InputError(
            f"Predictions name trials that the trial table lacks: {', '.join(unknown[:5])}. Run again from the corpus."
        )
    count = 3 * len(shown) + sum(len(columns_in(entry["path"], DIMENSIONS)) for entry in sources.values())
    points = points_per_trace(count)
    clocks = {trial: _clock(frames, trials[trial]) for trial in sorted(shown)}
    starts = {trial: bucket_starts(len(bounds) - 1, points) for trial, bounds in clocks.items()}
    result = {
        trial: {
            "length": len(bounds) - 1,
            "times": rounded(envelope_times(bounds[:-1], starts[trial])),
            "labels": {},
            "series": {dimension: {} for dimension in DIMENSIONS},
            "folds": {},
            "invalid": [],
            "faceless": [],
        }
        for trial, bounds in clocks.items()
    }
    wanted: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for (series, trial), entry in sources.items():
        wanted[id(entry)].append((series, trial))
    for entry in predictions:
        if id(entry) not in wanted:
            continue
        names = columns_in(entry["path"], DIMENSIONS)
        rows = by_trial(entry["path"], names)
        for series, trial in wanted[id(entry)]:
            result[trial]["folds"][series] = f"{entry['partition']}, fold {entry['fold']}"
            for name in names:
                values = on_frames(rows[trial], name, result[trial]["length"], entry["path"])
                result[trial]["series"][name][series] = rounded(envelope(values, starts[trial]))
    if labels:
        _add_labels(result, labels, clocks, starts)
    _add_faceless(result, {trials[trial] for trial in shown}, persons, clocks, starts)
    return result, points


def _clock(frames: Mapping[str, Path], video: str) -> np.ndarray:
    """Times of the decoded frames and the end of the last one in seconds, float64 (frames + 1,)."""
    if video not in frames:
        raise InputError(
            f"No frame table for video {video!r}, but there are predictions for it. Run the media stage again."
        )
    table = read_table(frames[video], pa.schema([("time_s", pa.float64()), ("duration_s", pa.float64())]))
    times, durations = table["time_s"].to_numpy(), table["duration_s"].to_numpy()
    return np.append(times, times[-1] + durations[-1] if len(times) else 0.0)


def _add_labels(result: dict, labels: Path, clocks: Mapping, starts: Mapping) -> None:
    for trial, rows in by_trial(labels, DIMENSIONS, "valid").items():
        if trial not in result:
            continue
        frames = result[trial]["length"]
        valid = flagged(rows[rows["valid"]], frames, labels)
        result[trial]["invalid"] = spans(~valid, clocks[trial], starts[trial])
        for name in DIMENSIONS:
            values = np.where(valid, on_frames(rows, name, frames, labels), np.nan)
            result[trial]["labels"][name] = rounded(envelope(values, starts[trial]))


def _add_faceless(result: dict, videos: set[str], persons: Mapping, clocks: Mapping, starts: Mapping) -> None:
    schema = pa.schema([("trial", pa.string()), ("frame", pa.int32()), ("source", pa.string())])
    for video in sorted(videos & set(persons)):
        table = read_table(persons[video], schema).to_pandas()
        for trial, rows in table[table["source"] == "none"].groupby("trial", sort=False):
            if trial in result:
                flags = flagged(rows, result[trial]["length"], persons[video])
                result[trial]["faceless"] = spans(flags, clocks[trial], starts[trial])
