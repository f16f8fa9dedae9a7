"""Stretches of time that values are summarised over: windows, turns of speech, and those of a table that the user gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wildaffect.corpus.timed import read_ranges

RELATIVE = "_relative"
"""How columns of values relative to a person's baseline end."""


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
    """Segments of a table by trial, in its order; see `wildaffect.corpus.timed.read_ranges`."""
    return {trial: [Segment("given", *part) for part in parts] for trial, parts in read_ranges(path, video_of).items()}
