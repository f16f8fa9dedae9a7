"""Frame times from presentation timestamps: repair by named rules, regularity. Pure functions on arrays."""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

MISSING = "missing"
DUPLICATE = "duplicate"
OUT_OF_ORDER = "out_of_order"
DECODE_TIME = "decode_time"
CLOCK = "clock"

# A new clock must explain more timestamps than this that would otherwise be refused: a few wild ones are damage.
FEW = 2
# Coded frames leave a decoder at most this far from where they entered it (H.264, A.4.2).
MOST_REORDERED = 16
# Fraction of timestamps out of order from which on they are taken for decoding times: one B-frame in ten.
OFTEN = 0.1


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


def _longest_of_heads(values: np.ndarray) -> np.ndarray:
    """Length of a longest strictly increasing subsequence of each `values[:n]`, int (N + 1,)."""
    tails: list = []
    lengths = [0]
    for value in values.tolist():
        tails[(place := bisect_left(tails, value)) : place + 1] = [value]
        lengths.append(len(tails))
    return np.array(lengths)


def clock_starts(stamps: np.ndarray, longest: float = np.inf) -> list[int]:
    """Where the clock of successive timestamps is another one: it restarts, runs back, or jumps by more than `longest`.

    The timestamps are cut where both parts together have the longest increasing subsequences, as long as a cut explains more than two
    timestamps that would be refused otherwise.

    Args:
        stamps: Timestamps in presentation order (N,).
        longest: Largest credible distance of two frames.

    Returns:
        Index of the first timestamp of each further clock.

    Examples:
        >>> clock_starts(np.array([50, 60, 70, 80, 50, 60, 70, 80]))
        [4]
        >>> clock_starts(np.array([50, 60, 9000, 80, 90, 100]))
        []
    """
    starts, waiting = [], [(0, len(stamps))]
    while waiting:
        begin, end = waiting.pop()
        cut = _cut(stamps[begin:end], longest)
        if cut:
            starts.append(begin + cut)
            waiting += [(begin, begin + cut), (begin + cut, end)]
    return sorted(starts)


def _cut(stamps: np.ndarray, longest: float) -> int:
    """Where the second clock of `stamps` begins; 0 if there is one only."""
    trusted = np.flatnonzero(longest_increasing(stamps))
    for jump in np.flatnonzero(np.diff(stamps[trusted]) > longest) + 1:
        if FEW < jump < len(trusted) - FEW:
            return int(trusted[jump])
    if len(stamps) - len(trusted) <= FEW:
        return 0
    both = _longest_of_heads(stamps) + _longest_of_heads(-stamps[::-1])[::-1]
    cut = int(both.argmax())
    return cut if both[cut] - len(trusted) > FEW else 0


@dataclass(frozen=True)
class Clock:
    """Successive frames that one clock timed.

    Attributes:
        frame: The first of them.
        begin: Time of the first one, by that clock.
        end: End of the last one, by that clock.
        shift: What has to be added to the times of that clock.
    """

    frame: int
    begin: float
    end: float
    shift: float


def repair_clocks(
    stamps: np.ndarray, known: np.ndarray, step: float, longest: float = np.inf
) -> tuple[np.ndarray, np.ndarray, list[Clock]]:
    """`repair_ticks` for each clock by itself; the first frame of a clock follows the last of the one before by that one's typical step.

    Args:
        stamps: As for `repair_ticks`, as are the others.
        known: Which of them exist.
        step: Frame period.
        longest: Largest credible distance of two frames.

    Returns:
        Times and rules as of `repair_ticks`, the rule "clock" where a whole clock was moved; the clocks, in ticks.
    """
    stamps, known = np.asarray(stamps, np.int64), np.asarray(known, bool)
    at = np.flatnonzero(known)
    bounds = [0, *at[clock_starts(stamps[known], longest)].tolist(), len(stamps)]
    ticks, rules, clocks = np.zeros(len(stamps)), np.full(len(stamps), "", object), []
    reached = None
    for first, last in pairwise(bounds):
        own, why = repair_ticks(stamps[first:last], known[first:last], step, longest)
        if not len(own):
            break
        period = float(np.median(np.diff(own))) if len(own) > 1 else step
        shift = 0.0 if reached is None else reached - float(own[0])
        clocks.append(Clock(first, float(own[0]), float(own[-1]) + period, shift))
        ticks[first:last] = own + shift
        rules[first:last] = np.where((why == "") & (shift != 0), CLOCK, why)
        reached = float(own[-1]) + shift + period
    return ticks, rules, clocks


def in_decoding_order(pts: np.ndarray, dts: np.ndarray, missing: int) -> bool:
    """Whether the presentation timestamps of frames are those of their packets in decoding order, so that decoding times tell more.

    Files that were written without presentation times are read so: the timestamps of B-frames run back, but none is missing or repeated.

    Args:
        pts: Presentation timestamps in presentation order, int64 (N,).
        dts: Decoding times at which the decoder gave the frames, int64 (N,).
        missing: The value of absent ones.
    """
    timed = dts[dts != missing]
    if (pts == missing).any() or len(timed) < len(dts) - MOST_REORDERED or (np.diff(timed) <= 0).any():
        return False
    order = np.argsort(pts, kind="stable")
    local = np.abs(order - np.arange(len(pts))).max(initial=0) <= MOST_REORDERED
    distinct = (np.diff(pts[order]) > 0).all()
    return bool(local and distinct and (~longest_increasing(pts)).mean() > OFTEN)


def repair_ticks(
    stamps: np.ndarray, known: np.ndarray, step: float, longest: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Strictly increasing times for frames in presentation order.

    Trusted is the longest strictly increasing subsequence of the known timestamps, and of it the longest part without a jump beyond
    `longest`. Every other frame is placed linearly between its trusted neighbours, or at multiples of the typical step before the first
    and after the last of them.

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
