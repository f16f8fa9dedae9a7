"""Stretches of time that values are summarised over: windows, turns of speech, and those of a table that the user gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.textfiles import decimal, read_rows

RELATIVE = "_relative"
"""How columns of values relative to a person's baseline end."""
COLUMNS = ("trial", "video", "start_s", "end_s", "label")


@dataclass(frozen=True)
class Segment:
    """Frames from ``start_s`` on and before ``end_s``, in seconds from frame 0.

    Attributes:
        kind: ``window``, ``speech`` or ``given``.
        label: The user's word for it; empty otherwise.
    """

    kind: str
    start_s: float
    end_s: float
    label: str = ""


def windows(end_s: float, length_s: float) -> list[Segment]:
    """Windows of equal length from frame 0 on; the last one is as long as what is left.

    >>> [(part.start_s, part.end_s) for part in windows(2.5, 1.0)]
    [(0.0, 1.0), (1.0, 2.0), (2.0, 2.5)]
    """
    starts = [k * length_s for k in range(int(np.ceil(round(end_s / length_s, 9))))]
    return [Segment("window", start, min(start + length_s, end_s)) for start in starts]


def speech_turns(times: np.ndarray, durations: np.ndarray, speaking: np.ndarray) -> list[Segment]:
    """Turns of frames in which somebody speaks.

    Args:
        times: Seconds of the frames (N,).
        durations: How long each is shown (N,).
        speaking: bool (N,).
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], speaking, [False]]).astype(int)))
    return [
        Segment("speech", float(times[first]), float(times[stop - 1] + durations[stop - 1]))
        for first, stop in edges.reshape(-1, 2)
    ]


def read_segments(path: Path, video_of: Mapping[str, str]) -> dict[str, list[Segment]]:
    """Segments of a table by trial, in its order.

    Args:
        path: A table with ``start_s`` and ``end_s`` in seconds and ``trial``, or ``video`` for all trials of one; ``label`` may be absent.
        video_of: Video of each trial.

    Raises:
        InputError: The table cannot be read, or names what the corpus does not have, or times that are none.
    """
    found: dict[str, list[Segment]] = {}
    for where, row in read_rows(path, COLUMNS, ("start_s", "end_s")):
        trials = _trials(where, row, video_of)
        try:
            start, end = (decimal(row[name]) for name in ("start_s", "end_s"))
        except ValueError as error:
            raise InputError(f"{where}: start_s and end_s are seconds, such as 12.5 ({error}).") from None
        if not 0 <= start < end:
            raise InputError(
                f"{where}: the segment from {start:g} to {end:g} s has no length, or begins before frame 0."
            )
        for trial in trials:
            found.setdefault(trial, []).append(Segment("given", start, end, row.get("label", "")))
    return found


def _trials(where: str, row: Mapping[str, str], video_of: Mapping[str, str]) -> list[str]:
    """Trials that a row names."""
    if name := row.get("trial"):
        if name not in video_of:
            raise InputError(f"{where}: the corpus has no trial {name!r}.")
        return [name]
    if not (video := row.get("video")):
        raise InputError(f"{where}: names neither a trial nor a video.")
    trials = [trial for trial, own in video_of.items() if own == video]
    if not trials:
        raise InputError(f"{where}: the corpus has no video {video!r}.")
    return trials
