"""Feature rows and video frames: which row belongs to a frame, and which frames have audio."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wildaffect.features.signal import RATE

ROWS_PER_SECOND = 100
LOWEST_FPS = 15.0
"""By the rule `BY_THIRD` slower videos have no audio (M3T spec 2.4)."""


@dataclass(frozen=True)
class Rule:
    """How the rows of a feature belong to frames. A feature may bring a rule of its own.

    Attributes:
        name: Written to ``about.json``.
        meaning: The same in a sentence.
        rows: ``rows(times, fps, available)`` gives the row of each frame among ``available`` >= 1 rows at 10 ms, int64 (N,); None where
            the feature finds its values otherwise.
        starts: ``starts(times, fps)`` gives when in the audio these rows begin (up to rounding), seconds from frame 0, float64 (N,), NaN
            where there is no row; None where they begin at the frames' timestamps.
        rate: What ``fps`` is: ``stated`` by the file, as OpenCV reports it, ``measured`` from the frames, or ``none``. Rules that need none
            are right for a variable rate too.
    """

    name: str
    meaning: str
    rows: Callable[[np.ndarray, float, int], np.ndarray] | None = None
    starts: Callable[[np.ndarray, float], np.ndarray] | None = None
    rate: Literal["none", "measured", "stated"] = "none"


def hop_samples(fps: float) -> int:
    """Distance of M3T's rows in samples at 16 kHz, for ``fps`` frames per second, computed in the published order (M3T spec 2.4)."""
    return max(1, int(1 / 3 * 1 / fps * RATE))


def patch_hop(fps: float) -> float:
    """Distance of VGGish's patches in rows, computed in the published order: its rounding decides ties (LFAN spec 2.7)."""
    return 1 / fps * 100.0


def by_time(times: np.ndarray, fps: float, rows: int) -> np.ndarray:
    """Rows by timestamp.

    Args:
        times: Seconds from frame 0, float64 (N,).
        fps: Unused.
        rows: Available rows, at least 1.

    Returns:
        int64 (N,).
    """
    return np.clip(np.rint(times * ROWS_PER_SECOND), 0, rows - 1).astype(np.int64)


def by_index(times: np.ndarray, fps: float, rows: int) -> np.ndarray:
    """Rows by frame index at the constant rate ``fps`` in Hz, half to even; otherwise as `by_time`."""
    return np.clip(np.rint(np.arange(len(times)) / fps / 0.01), 0, rows - 1).astype(np.int64)


def by_patch(times: np.ndarray, fps: float, rows: int) -> np.ndarray:
    """First rows of the patches of the frames; ``rows`` at which a patch can start; otherwise as `by_index`."""
    index = np.minimum(np.arange(len(times)), patch_count(rows, fps) - 1)
    return np.rint(patch_hop(fps) * index).astype(np.int64)


def patch_count(rows: int, fps: float) -> int:
    """Number of patches at the hop of 100 / ``fps`` rows when a patch can start at ``rows`` different rows."""
    return 1 + int((rows - 1) / patch_hop(fps))


def _index_starts(times: np.ndarray, fps: float) -> np.ndarray:
    return np.arange(len(times)) / fps


def _third_starts(times: np.ndarray, fps: float) -> np.ndarray:
    return np.where(fps < LOWEST_FPS, np.nan, 3 * np.arange(len(times)) * hop_samples(fps) / RATE)


BY_TIME = Rule("time", "the row that starts nearest to the frame's own timestamp", by_time)
BY_INDEX = Rule(
    "index", "the row that starts nearest to frame index / stated frame rate", by_index, _index_starts, rate="stated"
)
BY_PATCH = Rule(
    "patch",
    "patches at a constant hop of 100 / stated frame rate rows; frame i takes patch i",
    by_patch,
    _index_starts,
    rate="stated",
)
BY_THIRD = Rule(
    "third",
    "rows at a hop of a third of the average frame duration, cut to samples; frame i takes rows 3i to 3i + 4",
    starts=_third_starts,
    rate="measured",
)
# The rate is needed for the distance of the rows alone.
BY_THIRD_TIME = Rule(
    "third_time", "five rows from the one that is centred nearest to the frame's own timestamp", rate="measured"
)
BY_WINDOW = Rule("window", "the window whose centre, a multiple of 0.1 s, is nearest to the frame's own timestamp")
OWN_CLOCK = Rule(
    "signal",
    "no rows per frame: a signal that begins at the time of frame 0, from which windows are cut by timestamp",
)
AS_GIVEN = Rule("frame", "rows were assigned to frames by who computed them")
OF_IMAGE = Rule("picture", "the row is computed from the picture of the frame itself")


@dataclass(frozen=True)
class Clock:
    """The frames of one video as an analysis of its audio uses them.

    Attributes:
        times: Seconds from frame 0, float64 (N,).
        fps: Frame rate in Hz, as ``rule.rate`` says, NaN where ``rule`` has no use for it.
        rule: How rows belong to the frames.
    """

    times: np.ndarray
    fps: float = math.nan
    rule: Rule = BY_TIME

    def rows(self, available: int) -> np.ndarray:
        """The frames' rows among ``available`` >= 1 rows at 10 ms, int64 (N,)."""
        if self.rule.rows is None:
            raise ValueError(f"the rule {self.rule.name!r} gives no rows")
        return self.rule.rows(self.times, self.fps, available)


def has_audio(about: Mapping[str, Any], clock: Clock) -> np.ndarray:
    """Frames whose row begins within the audio, where its place in the video is known.

    Args:
        about: The description in ``audio.flac``, see `wildaffect.media.audio.read_about`.
        clock: The frames.

    Returns:
        bool (N,).
    """
    if not about["audio_valid"]:
        return np.zeros(len(clock.times), bool)
    begin = max(0.0, about["offset_s"])
    end = begin + about["samples"] / about["rate"] - about["padded_s"]
    at = instants(clock)
    valid = (at >= begin) & (at < end)
    for first, last in about.get("unplaced_s", ()):
        valid &= ~((at >= first) & (at < last))
    return valid


def instants(clock: Clock) -> np.ndarray:
    """When in the audio the rows of the frames begin (up to rounding), seconds from frame 0, float64 (N,).

    Their distance from ``clock.times`` is how far audio and video are apart. NaN where the rule gives no row at all.
    """
    return clock.rule.starts(clock.times, clock.fps) if clock.rule.starts else clock.times
