"""Names of trials and videos, which become names of files and fields of tables."""

import os
import unicodedata

from wildaffect.errors import InputError

LONGEST = 251
"""Bytes: with a suffix such as `.txt` these are the 255 that file systems allow."""

UNWRITTEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Categories of characters that end a line, belong to no text, or cannot be encoded."""


def usable(character: str) -> bool:
    """Whether a name may hold a character: none that separates folders, the fields of a line, or lines, and none without a sign."""
    return character not in "/\\," and unicodedata.category(character) not in UNWRITTEN


def check_name(name: object, where: str) -> str:
    """Check that a name is safe as a file's name and as a field of a comma-separated line.

    Args:
        name: The name.
        where: What it stands in, for the message.

    Returns:
        The name.

    Raises:
        InputError: It is no text or empty, `.` or `..`, longer than `LONGEST`, or holds a character that is not `usable`.

    Examples:
        >>> check_name("24-30-1920x1080_left", "labels")
        '24-30-1920x1080_left'
        >>> check_name("../x", "p.csv")
        Traceback (most recent call last):
        wildaffect.errors.InputError: p.csv: '../x' is no name of a trial: it holds '/'. Rename it.
    """
    why = _problem(name)
    if why:
        shown = repr(name) if len(repr(name)) <= 80 else f"{repr(name)[:77]}..."
        raise InputError(f"{where}: {shown} is no name of a trial: {why}. Rename it.")
    return str(name)


def _problem(name: object) -> str:
    if not isinstance(name, str) or not name:
        return "it is empty" if isinstance(name, str) else "it is no text"
    if name in (".", ".."):
        return "it names a folder"
    if found := next((character for character in name if not usable(character)), None):
        return f"it holds {found!r}"
    if (size := len(os.fsencode(name))) > LONGEST:
        return f"it has {size} bytes, at most {LONGEST} are possible"
    return ""
