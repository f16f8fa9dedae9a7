"""Which row of an audio analysis belongs to which video frame.

All audio features advance by 10 ms, and the rows that matter start at multiples of 10 ms counted from the time of
frame 0. A rule answers, for every video frame, the index of its row. Frames after the last row take the last row.

``time``
    The row that starts nearest to the frame's own timestamp. Right for any video, variable frame rates included.
``index``
    The published rule for openSMILE features (LFAN spec 2.5): the timestamp is taken to be index / frame rate.
``patch``
    The published rule for VGGish (LFAN spec 2.7): patches are cut at a constant hop of 100 / frame rate rows, as many
    as fit entirely into the signal, and frame ``i`` takes patch ``i``.

The last two drift from the picture wherever the frame rate is not constant, which is why the first is the default.
"""

from dataclasses import dataclass

import numpy as np

ROWS_PER_SECOND = 100


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
