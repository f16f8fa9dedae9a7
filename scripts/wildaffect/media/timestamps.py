"""Frame times from presentation timestamps: repair by named rules, regularity. Pure functions on arrays."""

from bisect import bisect_left

import numpy as np

MISSING = "missing"
DUPLICATE = "duplicate"
OUT_OF_ORDER = "out_of_order"
DECODE_TIME = "decode_time"


def longest_increasing(values: np.ndarray) -> np.ndarray:
    """Mask of a longest strictly increasing subsequence; of equal neighbours the first is kept.

    Args:
        values: Numbers (N,).

    Returns:
        bool (N,).

    Examples:
        >>> longest_increasing(np.array([1, 2, 9, 3, 4])).tolist()
        [True, True, False, True, True]
    """
    values = np.asarray(values)
    if (np.diff(values) > 0).all():
        return np.ones(len(values), bool)
    tails: list = []  # smallest last value of an increasing subsequence of each length ...
    ends: list[int] = []  # ... and its index
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
    """Strictly increasing times for frames in presentation order.

    Trusted is the longest strictly increasing subsequence of the known timestamps, and of it the longest part without a jump beyond
    `longest`. Every other frame is placed linearly between its trusted neighbours, or at multiples of the typical step before the first
    and after the last of them. A clock that restarts inside a file, as in concatenated recordings, is not recognised as such: the longer
    part is trusted and the rest is repaired as out of order.

    Args:
        stamps: Timestamps in ticks, int64 (N,).
        known: Which of them exist, bool (N,).
        step: Frame period in ticks, > 0, used where fewer than two timestamps are trusted.
        longest: Largest credible distance of two frames, in ticks.

    Returns:
        Times in ticks, float64 (N,), and the rule of each repaired frame, object (N,): "missing", "duplicate" (the timestamp of another
        frame) or "out_of_order"; "" where nothing was repaired.

    Examples:
        >>> ticks, rules = repair_ticks([0, 10, 10, 30], [True] * 4, step=10)
        >>> ticks.tolist(), rules.tolist()
        ([0.0, 10.0, 20.0, 30.0], ['', '', 'duplicate', ''])
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
    """Display duration of each frame: until the next frame; the last one as stated by the file.

    Args:
        times: Frame times in seconds (N,).
        last: Duration of the last frame that the file states, None without. It counts if it lies between a tenth of and ten times the
            median of the other intervals; otherwise that median is taken.
        period: Duration of a single frame without a credible `last`.

    Returns:
        Seconds, float64 (N,).

    Examples:
        >>> durations(np.array([0, 0.5, 1]), last=None, period=0.04).tolist()
        [0.5, 0.5, 0.5]
    """
    if len(times) == 0:
        return np.zeros(0)
    steps = np.diff(times)
    typical = float(np.median(steps)) if len(steps) else period
    credible = last is not None and typical / 10 <= last <= typical * 10
    return np.append(steps, last if credible else typical)


def regularity(times: np.ndarray) -> tuple[bool, float]:
    """Whether the frame rate varies, and by how much.

    The rate is variable if the jitter exceeds a quarter of the average frame period: rounding to the ticks of a container does not reach
    that, one missing frame does.

    Args:
        times: Frame times in seconds (N,), the first 0.

    Returns:
        Whether the rate is variable, and the jitter in seconds: the largest error of `frame / average rate` as the time of a frame, with
        an average rate of (N - 1) / time of the last frame.

    Examples:
        >>> regularity(np.array([0, 1, 2, 3]))
        (False, 0.0)
        >>> regularity(np.array([0, 1, 3, 4]))[0]
        True
    """
    if len(times) < 3:
        return False, 0.0
    period = times[-1] / (len(times) - 1)
    jitter = float(np.abs(times - np.arange(len(times)) * period).max())
    return bool(jitter > period / 4), jitter
