"""How far a job is: lines of its log, written at a steady pace and read by whoever follows the run."""

import logging
import re
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")

log = logging.getLogger(__name__)

PACE = 2.0
"""Seconds between two lines."""
LINE = re.compile(r"progress: (\d+) of (\d+) [^,\n]+, about (\d+) s left$", re.MULTILINE)


class Progress(NamedTuple):
    """What the last line says.

    Attributes:
        fraction: Done, 0 to 1.
        left: Seconds left, by the pace so far.
    """

    fraction: float
    left: float


def log_progress(done: int, total: int, what: str, left: float) -> None:
    """Log how many of ``total`` are done and the seconds ``left``."""
    log.info("progress: %d of %d %s, about %.0f s left", done, total, what, left)


def counted(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Pass on ``items`` and log now and then how many of ``total`` there were.

    Args:
        items: Anything.
        total: Number expected; only the log depends on it.
        what: The word for several items, such as ``frames``.
    """
    started = said = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= PACE:
            said = now
            log_progress(number, total, what, (now - started) / number * max(0, total - number))


def last_progress(text: str) -> Progress | None:
    """What the last line of progress in the text of a log says; None without one.

    Examples:
        >>> last_progress("INFO wildaffect.progress: progress: 50 of 200 frames, about 30 s left")
        Progress(fraction=0.25, left=30.0)
    """
    found = LINE.findall(text)
    if not found:
        return None
    done, total, left = map(int, found[-1])
    return Progress(min(1.0, done / total) if total else 1.0, float(left))
