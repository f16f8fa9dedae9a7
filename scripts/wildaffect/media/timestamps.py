"""Frame times from presentation timestamps: repair by named rules, regularity. Pure functions on arrays."""

from bisect import bisect_left

import numpy as np

MISSING = "missing"
DUPLICATE = "duplicate"
OUT_OF_ORDER = "out_of_order"
DECODE_TIME = "decode_time"


def longest_increasing(values: np.ndarray) -> np.ndarray:
    """Mask of a longest strictly increasing subsequence of ``values`` (N,); of equal neighbours the first stays."""
    values = np.asarray(values)
    if (np.diff(values) > 0).all():
        return np.ones(len(values), bool)
    tails: list = []  # smallest last value of an increasing subsequence of each length ...
    ends: list[int] = []  # ... and where it stands
    before = np.full(len(values), -1)
    for index, value in enumerate(values.tolist()):
        length = bisect_left(tails, value)
        if length == len(tails):
            tails.append(value)
            ends.append(index)
        elif value < tails[length]:
            tails[length] = value
            ends[length] = index
        before[index] = ends[length - 1] if length else -1
    mask = np.zeros(len(values), bool)
    index = ends[-1] if ends else -1
    while index >= 0:
        mask[index] = True
        index = before[index]
    return mask


def repair_ticks(
    stamps: np.ndarray, known: np.ndarray, step: float, longest: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Strictly increasing times for frames that come in presentation order.

    ``stamps`` int64 (N,) in ticks, ``known`` bool (N,) says which of them exist, ``step`` > 0 is the frame period in
    ticks used where the neighbours do not tell, ``longest`` the largest credible distance of two frames. The longest
    strictly increasing subsequence of the known stamps is trusted, of which the largest part without a jump beyond
    ``longest``; every other frame is placed linearly between its trusted neighbours, or one typical step after another
    before the first and after the last of them. Returns ticks float64 (N,) and the rule of each repaired frame
    (object (N,), "" where nothing was repaired): "missing", "duplicate" (the stamp of another frame) or
    "out_of_order". A clock that restarts inside a file, as in concatenated recordings, is not recognised as such: the
    longer part wins and the rest is repaired as out of order.
    """
    stamps, known = np.asarray(stamps, np.int64), np.asarray(known, bool)
    index = np.arange(len(stamps))
    trusted = index[known][longest_increasing(stamps[known])]
    jumps = np.flatnonzero(np.diff(stamps[trusted]) > longest) + 1
    trusted = max(np.split(trusted, jumps), key=len)
    rules = np.full(len(stamps), "", object)
    rules[~known] = MISSING
    if len(trusted) == 0:
        return index * float(step), rules
    anchors = stamps[trusted].astype(np.float64)
    if len(trusted) > 1:
        step = float(np.median(np.diff(anchors) / np.diff(trusted)))
    ticks = np.interp(index, trusted, anchors)
    head, tail = index < trusted[0], index > trusted[-1]
    ticks[head] = anchors[0] - step * (trusted[0] - index[head])
    ticks[tail] = anchors[-1] + step * (index[tail] - trusted[-1])
    refused = known.copy()
    refused[trusted] = False
    rules[refused] = np.where(np.isin(stamps[refused], stamps[trusted]), DUPLICATE, OUT_OF_ORDER)
    return ticks, rules


def durations(times: np.ndarray, last: float | None, period: float) -> np.ndarray:
    """How long each frame is shown, in seconds: until the next frame; the last one as long as the file says.

    ``last`` is the file's word on the last frame (None where it has none). It counts if it lies between a tenth of and
    ten times the median of the other intervals; otherwise that median is taken, or ``period`` for a single frame.
    """
    if len(times) == 0:
        return np.zeros(0)
    steps = np.diff(times)
    typical = float(np.median(steps)) if len(steps) else period
    sensible = last is not None and typical / 10 <= last <= typical * 10
    return np.append(steps, last if sensible else typical)


def regularity(times: np.ndarray) -> tuple[bool, float]:
    """(variable rate?, jitter in seconds) of frame times in seconds (N,), first 0.

    The jitter is the largest error made by whoever takes ``frame / average rate`` for the time of a frame, the
    average rate being (N - 1) / time of the last frame. The rate is variable if that error exceeds a quarter of the
    average frame period: rounding to the ticks of a container does not reach it, one missing frame does.
    """
    if len(times) < 3:
        return False, 0.0
    period = times[-1] / (len(times) - 1)
    jitter = float(np.abs(times - np.arange(len(times)) * period).max())
    return bool(jitter > period / 4), jitter
