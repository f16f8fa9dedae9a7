"""Predictions against labels over time, as figures of the report."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from wildaffect.errors import InputError
from wildaffect.report.sources import columns_in, held_out_in, held_out_sources, series_name, trials_shown_from
from wildaffect.tables import read_table

DIMENSIONS = ("valence", "arousal")
POINTS_PER_TRACE = 1000
POINTS_PER_PAGE = 40_000


def points_per_trace(traces: int) -> int:
    """Points that each of `traces` traces may have so that the page has at most `POINTS_PER_PAGE`; even, at least 2.

    Examples:
        >>> points_per_trace(10), points_per_trace(100)
        (1000, 400)
    """
    return max(2, min(POINTS_PER_TRACE, POINTS_PER_PAGE // max(traces, 1)) // 2 * 2)


def bucket_starts(frames: int, points: int) -> np.ndarray:
    """First frame of each bucket, int64: one frame per bucket where `frames <= points`, else `points / 2` buckets.

    Examples:
        >>> bucket_starts(3, 4).tolist(), bucket_starts(100, 4).tolist()
        ([0, 1, 2], [0, 50])
    """
    if frames <= points:
        return np.arange(frames)
    return np.linspace(0, frames, points // 2 + 1).astype(np.int64)[:-1]


def envelope(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Minimum and maximum of each bucket, in the order in which they occur.

    Args:
        values: float (N,), NaN for no value.
        starts: Result of `bucket_starts`.

    Returns:
        `values` unchanged where every bucket is one frame, else two values per bucket, NaN twice for a bucket without any value.

    Examples:
        >>> envelope(np.array([1.0, 5.0, 2.0, 0.0]), np.array([0, 2])).tolist()
        [1.0, 5.0, 2.0, 0.0]
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
    """Times in seconds of the values of `envelope`: those of a bucket's first and middle frame."""
    if len(starts) == len(times):
        return times
    ends = np.append(starts[1:], len(times))
    return np.stack([times[starts], times[(starts + ends) // 2]], axis=1).ravel()


def spans(flags: np.ndarray, bounds: np.ndarray, starts: np.ndarray) -> list[list[float]]:
    """Runs of buckets with at least one flagged frame.

    Args:
        flags: bool (N,).
        bounds: Times of the frames and the end of the last one in seconds, float64 (N + 1,).
        starts: Result of `bucket_starts`.

    Returns:
        `[[from_s, to_s], ...]`.

    Examples:
        >>> spans(np.array([False, True, True, False]), np.array([0.0, 0.5, 1.0, 1.5, 2.0]), np.arange(4))
        [[0.5, 1.5]]
    """
    if not len(flags):
        return []
    marked = np.logical_or.reduceat(flags, starts)
    edges = np.flatnonzero(np.diff(np.r_[False, marked, False]))
    seconds = np.round(bounds[np.append(starts, len(flags))], 3)
    return [[float(seconds[a]), float(seconds[b])] for a, b in edges.reshape(-1, 2)]


def rounded(values: np.ndarray) -> list[float | None]:
    """JSON numbers with three decimals; None for NaN.

    Examples:
        >>> rounded(np.array([0.12345, np.nan]))
        [0.123, None]
    """
    return [None if value != value else value for value in np.round(values.astype(np.float64), 3).tolist()]


def by_trial(path: Path, values: Sequence[str], flag: str | None = None) -> dict[str, pd.DataFrame]:
    """Rows of a prediction or label table by trial: columns frame, `values` and, if named, the bool `flag`."""
    fields = [("trial", pa.string()), ("frame", pa.int32())] + [(name, pa.float32()) for name in values]
    schema = pa.schema(fields + ([(flag, pa.bool_())] if flag else []))
    table = read_table(path, schema).to_pandas()
    return dict(iter(table.groupby("trial", sort=False)))


def frame_index(rows: pd.DataFrame, frames: int, path: Path) -> np.ndarray:
    """Frame indices of the rows, int (rows,); an `InputError` if one is not among the decoded frames."""
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


@dataclass(frozen=True)
class _Timeline:
    """Frame times of one trial and the buckets that its values are thinned to.

    Attributes:
        bounds: Times of the decoded frames and the end of the last one in seconds, float64 (frames + 1,).
        starts: First frame of each bucket.
    """

    bounds: np.ndarray
    starts: np.ndarray

    @property
    def frames(self) -> int:
        return len(self.bounds) - 1

    def times(self) -> list[float | None]:
        return rounded(envelope_times(self.bounds[:-1], self.starts))

    def thinned(self, values: np.ndarray) -> list[float | None]:
        return rounded(envelope(values, self.starts))

    def spans(self, flags: np.ndarray) -> list[list[float]]:
        return spans(flags, self.bounds, self.starts)


def trial_traces(
    trials: Mapping[str, str],
    frames: Mapping[str, Path],
    persons: Mapping[str, Path],
    labels: Path | None,
    predictions: Sequence[Mapping],
    only: Collection[str] | None = None,
) -> tuple[dict[str, dict], int]:
    """Time series of the trials that have a valence or arousal prediction.

    Args:
        trials: Video by trial.
        frames: Frame table by video.
        persons: Table of persons by video; may lack some.
        labels: Label table of valence and arousal, if there is one.
        predictions: As in `held_out_sources`.
        only: Trials to draw; all by default.

    Returns:
        Per trial `length` (frames), `times`, `labels` and `series` (thinned values by dimension), `folds` (where each series comes from),
        `invalid` and `faceless` (spans in seconds); and the largest number of points of a trace.

    Raises:
        InputError: Predictions do not belong to these trials and frames.
    """
    sources = held_out_sources(predictions, DIMENSIONS)
    shown = sorted({trial for _, trial in sources})
    unknown = sorted(set(shown) - set(trials))
    if unknown:
        raise InputError(
            f"Predictions name trials that the trial table lacks: {', '.join(unknown[:5])}. Run again from the corpus."
        )
    shown = [trial for trial in shown if only is None or trial in only]
    sources = {key: entry for key, entry in sources.items() if key[1] in shown}
    count = 3 * len(shown) + sum(len(columns_in(entry["path"], DIMENSIONS)) for entry in sources.values())
    points = points_per_trace(count)
    timelines = {trial: _timeline(frames, trials[trial], points) for trial in shown}
    traces = {trial: _empty_trace(timeline) for trial, timeline in timelines.items()}
    _add_predictions(traces, timelines, predictions, sources)
    if labels:
        _add_labels(traces, timelines, labels)
    videos = {trials[trial] for trial in shown}
    _add_faceless(traces, timelines, [path for video, path in sorted(persons.items()) if video in videos])
    return traces, points


def _timeline(frames: Mapping[str, Path], video: str, points: int) -> _Timeline:
    if video not in frames:
        raise InputError(
            f"No frame table for video {video!r}, but there are predictions for it. Run the media stage again."
        )
    table = read_table(frames[video], pa.schema([("time_s", pa.float64()), ("duration_s", pa.float64())]))
    times, durations = table["time_s"].to_numpy(), table["duration_s"].to_numpy()
    bounds = np.append(times, times[-1] + durations[-1] if len(times) else 0.0)
    return _Timeline(bounds, bucket_starts(len(times), points))


def _empty_trace(timeline: _Timeline) -> dict:
    return {
        "length": timeline.frames,
        "times": timeline.times(),
        "labels": {},
        "series": {dimension: {} for dimension in DIMENSIONS},
        "folds": {},
        "invalid": [],
        "faceless": [],
    }


def _add_predictions(
    traces: dict[str, dict], timelines: Mapping[str, _Timeline], predictions: Sequence[Mapping], sources: Mapping
) -> None:
    for entry in predictions:
        path, series = entry["path"], series_name(entry)
        if not (shown := trials_shown_from(entry, sources)):
            continue
        columns = columns_in(path, DIMENSIONS)
        rows = by_trial(path, columns)
        for trial in shown:
            traces[trial]["folds"][series] = held_out_in(entry)
            for name in columns:
                values = on_frames(rows[trial], name, timelines[trial].frames, path)
                traces[trial]["series"][name][series] = timelines[trial].thinned(values)


def _add_labels(traces: dict[str, dict], timelines: Mapping[str, _Timeline], labels: Path) -> None:
    for trial, rows in by_trial(labels, DIMENSIONS, "valid").items():
        if trial not in traces:
            continue
        timeline = timelines[trial]
        valid = flagged(rows[rows["valid"]], timeline.frames, labels)
        traces[trial]["invalid"] = timeline.spans(~valid)
        for name in DIMENSIONS:
            values = np.where(valid, on_frames(rows, name, timeline.frames, labels), np.nan)
            traces[trial]["labels"][name] = timeline.thinned(values)


def _add_faceless(traces: dict[str, dict], timelines: Mapping[str, _Timeline], persons: Sequence[Path]) -> None:
    schema = pa.schema([("trial", pa.string()), ("frame", pa.int32()), ("source", pa.string())])
    for path in persons:
        table = read_table(path, schema).to_pandas()
        for trial, rows in table[table["source"] == "none"].groupby("trial", sort=False):
            if trial in traces:
                timeline = timelines[trial]
                traces[trial]["faceless"] = timeline.spans(flagged(rows, timeline.frames, path))
