"""Numbers in text files, spelled as people and programs spell them in tables.

Python's own conversions accept more than that: underscores, digits of other scripts, infinities and values that are no number.
"""

import math
import re

_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")


def decimal(text: str) -> float:
    """The finite number that ``text`` spells, blanks around it ignored.

    Raises:
        ValueError: It spells none.

    Examples:
        >>> decimal(" -5 "), decimal("1e-3")
        (-5.0, 0.001)
    """
    text = text.strip(" \t")
    if not _DECIMAL.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:40]!r} is not a number")
    return value


def whole(text: str) -> int:
    """The whole number that ``text`` spells, blanks around it ignored; otherwise as `decimal`.

    Examples:
        >>> whole("007")
        7
    """
    text = text.strip(" \t")
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)
