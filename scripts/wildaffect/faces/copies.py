"""Recordings that are in a corpus under two names, found by the movement of faces.

A copy that was encoded again, resized or cut shows the same movement of a face at a constant shift in time, and no other recording does.
Tracks are there anyway and small, so no image is read. What cannot be told: faces that hardly move, stretches shorter than `SPAN`, mirrored
or slowed copies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from wildaffect.faces.tables import DETECTED, SIDES, read_boxes
from wildaffect.tables import read_table

RATE = 5.0
"""Samples of a track per second, each the mean of half a second."""
SPAN = 4.0
"""Seconds of a stretch that is looked for in other tracks."""
STRETCHES = 8
"""Stretches of each trial that are looked for."""
LEAST_MOVEMENT = 0.02
"""Movement of a stretch (root mean square, in widths of the face) below which it is not told from noise."""
ALIKE = 0.95
"""Correlation of two stretches from which on they are the same movement."""
SHIFT = 0.4
"""Seconds by which shifts of stretches of one copy may differ."""

BOXES = pa.schema(
    [("trial", pa.string()), ("frame", pa.int32()), ("source", pa.string()), *((name, pa.float32()) for name in SIDES)]
)
TIMES = pa.schema([("time_s", pa.float64())])


@dataclass(frozen=True)
class Copy:
    """A trial that shows what another shows.

    Attributes:
        trial: Name of the trial.
        of: The other one.
        fraction: Part of its stretches that are found there.
        shift: Seconds that the other shows them later.
    """

    trial: str
    of: str
    fraction: float
    shift: float


def find_copies(persons: Mapping[str, Path], frames: Mapping[str, Path]) -> list[Copy]:
    """All pairs of trials of different videos that show one recording, each pair once.

    Args:
        persons: Table of persons by video.
        frames: Frame table by video.
    """
    tracks: dict[str, np.ndarray] = {}
    video_of: dict[str, str] = {}
    for video, path in persons.items():
        times = read_table(frames[video], TIMES)["time_s"].to_numpy()
        for trial, track in _tracks(path, times).items():
            tracks[trial], video_of[trial] = track, video
    stretches = {trial: _stretches(track) for trial, track in tracks.items()}
    looked_for = {trial: _spread(found) for trial, found in stretches.items()}
    best: dict[frozenset[str], Copy] = {}
    for other, (at, vectors) in stretches.items():
        for trial, (starts, wanted) in looked_for.items():
            if video_of[trial] == video_of[other] or not len(starts) or not len(at):
                continue
            copy = _compare(trial, other, starts, wanted, at, vectors)
            pair = frozenset((trial, other))
            if copy and (pair not in best or copy.fraction > best[pair].fraction):
                best[pair] = copy
    return sorted(best.values(), key=lambda copy: (copy.trial, copy.of))


def _compare(
    trial: str, other: str, starts: np.ndarray, wanted: np.ndarray, at: np.ndarray, vectors: np.ndarray
) -> Copy | None:
    """What ``trial`` shows of ``other``, if it is half of its stretches, at least two, at one shift."""
    likeness = wanted @ vectors.T
    nearest = likeness.argmax(axis=1)
    shifts = (at[nearest] - starts)[likeness.max(axis=1) >= ALIKE]
    if len(shifts) < 2:
        return None
    agree = (np.abs(shifts[:, None] - shifts) <= SHIFT).sum(axis=1)
    count = int(agree.max())
    if count < 2 or 2 * count < len(starts):
        return None
    return Copy(trial, other, count / len(starts), float(shifts[agree.argmax()]))


def _tracks(persons: Path, times: np.ndarray) -> dict[str, np.ndarray]:
    """Centre and side of the face (n, 3) of each trial at `RATE`, in widths of the face; NaN where none was detected."""
    table = read_table(persons, BOXES)
    names, sources = np.array(table["trial"].to_pylist()), np.array(table["source"].to_pylist())
    boxes, frame = read_boxes(table).astype(float), table["frame"].to_numpy()
    found = {}
    for trial in dict.fromkeys(names.tolist()):
        rows = (names == trial) & (sources == DETECTED)
        if not rows.any():
            continue
        low, high = boxes[rows, :2], boxes[rows, 2:]
        sides = np.sqrt((high - low).prod(axis=1))
        values = np.column_stack([(low + high) / 2, sides]) / np.median(sides)
        found[trial] = _resampled(times[frame[rows]], values)
    return found


def _resampled(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means of half a second around each sample (n, columns)."""
    grid = np.arange(times[0], times[-1], 1 / RATE)
    sums = np.vstack([np.zeros(values.shape[1]), np.cumsum(values, axis=0)])
    first, last = (np.searchsorted(times, grid + side) for side in (-0.25, 0.25))
    count = (last - first)[:, None]
    return np.divide(
        sums[last] - sums[first], count, out=np.full((len(grid), values.shape[1]), np.nan), where=count > 0
    )


def _stretches(track: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts in seconds from the track's first sample, and movement as unit vectors (n, samples * 3), of stretches that move enough."""
    length = round(SPAN * RATE)
    if len(track) < length:
        return np.empty(0), np.empty((0, 3 * length), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(track, length, axis=0)  # (n, 3, length)
    ramp = np.arange(length) - (length - 1) / 2
    slope = (windows @ ramp / (ramp @ ramp))[..., None]
    moved = windows - windows.mean(axis=2, keepdims=True) - slope * ramp  # a steady drift is no sign of anything
    size = np.sqrt(np.square(moved).sum(axis=(1, 2)))
    kept = np.flatnonzero(size >= LEAST_MOVEMENT * np.sqrt(length))
    vectors = (moved[kept] / size[kept, None, None]).reshape(len(kept), 3 * length)
    return kept / RATE, vectors.astype(np.float32)


def _spread(found: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """At most `STRETCHES` of them, evenly spread."""
    starts, vectors = found
    chosen = np.unique(np.linspace(0, len(starts) - 1, STRETCHES).round().astype(int)) if len(starts) else []
    return starts[chosen], vectors[chosen]
