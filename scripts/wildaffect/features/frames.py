"""Feature rows and video frames: which row belongs to a frame, and which frames have audio."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wildaffect.features.waveform import RATE

ROWS_PER_SECOND = 100
LOWEST_FPS = 15.0
"""By the rule ``third`` slower videos have no audio (M3T spec 2.4)."""


def hop_samples(fps: float) -> int:
    """Distance of the rows in samples at 16 kHz."""
    return max(1, int(RATE / (3 * fps)))


def by_time(times: np.ndarray, fps: float | None, rows: int) -> np.ndarray:
    """Rows by timestamp: ``times`` float64 (N,) in seconds, ``rows`` >= 1 available -> int64 (N,). ``fps`` is unused."""
    return np.clip(np.rint(times * ROWS_PER_SECOND), 0, rows - 1).astype(np.int64)


def by_index(times: np.ndarray, fps: float | None, rows: int) -> np.ndarray:
    """Rows by frame index at the constant rate ``fps`` in Hz, half to even -> int64 (N,)."""
    return np.clip(np.rint(np.arange(len(times)) / fps / 0.01), 0, rows - 1).astype(np.int64)


def by_patch(times: np.ndarray, fps: float | None, rows: int) -> np.ndarray:
    """First rows of the patches of the frames; ``rows`` = number of rows at which a patch can start -> int64 (N,)."""
    index = np.minimum(np.arange(len(times)), patch_count(rows, fps) - 1)
    return np.rint(index * ROWS_PER_SECOND / fps).astype(np.int64)


def patch_count(rows: int, fps: float) -> int:
    """Number of patches at the hop of 100 / ``fps`` rows when a patch can start at ``rows`` different rows."""
    return 1 + int((rows - 1) / (ROWS_PER_SECOND / fps))


RULES = {"time": by_time, "index": by_index, "patch": by_patch}
MEANING = {
    "time": "the row that starts nearest to the frame's own timestamp",
    "index": "the row that starts nearest to frame index / average frame rate",
    "patch": "patches at a constant hop of 100 / average frame rate rows; frame i takes patch i",
    "third": "rows at a hop of a third of the average frame duration, cut to samples; frame i takes rows 3i to 3i + 4",
    "third_time": "five rows from the one that is centred nearest to the frame's own timestamp",
    "window": "the window whose centre, a multiple of 0.1 s, is nearest to the frame's own timestamp",
    "signal": "no rows per frame: a signal that begins at the time of frame 0, from which windows are cut by timestamp",
    "frame": "rows were assigned to frames by who computed them",
    "picture": "the row is computed from the picture of the frame itself",
}
# Rules that need no frame rate; only they are right for a variable one. (third_time uses it for the distance of its rows alone.)
WITHOUT_RATE = frozenset({"time", "window", "signal", "frame", "picture"})


@dataclass(frozen=True)
class Clock:
    """The frames of one video as an analysis of its sound sees them.

    ``times``: float64 (N,) seconds from frame 0. ``fps``: average rate in Hz, None where ``rule`` has no use for it.
    """

    times: np.ndarray
    fps: float | None = None
    rule: str = "time"

    def rows(self, available: int) -> np.ndarray:
        """The frames' rows among ``available`` >= 1 rows at 10 ms, by one of :data:`RULES` -> int64 (N,)."""
        return RULES[self.rule](self.times, self.fps, available)


def heard(sound: Mapping[str, Any], clock: Clock) -> np.ndarray:
    """Frames whose row begins within the sound that ``sound``, the description of an ``audio.flac``, tells of -> bool (N,)."""
    if not sound["audio_valid"]:
        return np.zeros(len(clock.times), bool)
    begin = max(0.0, sound["offset_s"])
    end = begin + sound["samples"] / sound["rate"] - sound["padded_s"]
    at = instants(clock)
    return (at >= begin) & (at < end)


def instants(clock: Clock) -> np.ndarray:
    """When in the sound the rows of the frames begin by the rule of ``clock`` (up to its rounding), seconds from frame 0, float64 (N,).

    Their distance from ``clock.times`` is how far sound and picture are apart. NaN where the rule gives no row at all.
    """
    frames = np.arange(len(clock.times))
    match clock.rule:
        case "index" | "patch":
            return frames / clock.fps
        case "third":
            return np.where(clock.fps < LOWEST_FPS, np.nan, 3 * frames * hop_samples(clock.fps) / RATE)
        case _:
            return clock.times
