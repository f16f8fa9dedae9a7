"""Text files and tables that people write and open: encodings, separators, numbers as they are spelled, and cells that no spreadsheet runs.

What cannot be read is named with its line.
"""

import codecs
import csv
import io
import math
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from wildaffect.config import nearest
from wildaffect.errors import InputError

DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
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
    if not DECIMAL.fullmatch(text) or not math.isfinite(value := float(text)):
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


STARTS = frozenset("=+-@\t\r\n＝＋－＠")


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: `'` before a text that begins like one and is no number; all else as it is.

    A text that begins with `'` gets another, so that `plain_cell` gives every text back.

    Examples:
        >>> safe_cell("=cmd|' /C calc'!A0"), safe_cell("-1.5"), safe_cell("-x"), safe_cell(-1.5)
        ("'=cmd|' /C calc'!A0", '-1.5', "'-x", -1.5)
    """
    if not isinstance(value, str) or not value or DECIMAL.fullmatch(value):
        return value
    return f"'{value}" if value[0] in STARTS or value[0] == "'" else value


def plain_cell(value: Any) -> Any:
    """What `safe_cell` was given.

    Examples:
        >>> plain_cell("'=cmd"), plain_cell("'twas"), plain_cell("-1.5")
        ('=cmd', "'twas", '-1.5')
    """
    marked = isinstance(value, str) and len(value) > 1 and value[0] == "'" and (value[1] in STARTS or value[1] == "'")
    return value[1:] if marked else value


# The first that fits: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BEGINNING = 2000
_SEPARATORS = ",;\t"


def read_text(path: Path) -> str:
    """Read UTF-8 with or without byte-order mark, or UTF-16 and UTF-32 with one.

    Raises:
        InputError: It is anything else, such as Latin-1, which cannot be told from its relatives; names the first line that shows it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a text file ({error.strerror}).") from error
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, errors="ignore")
        _refuse(path, before)
    if "\0" in text:
        _refuse(path, text[: text.index("\0")])
    return text


def read_lines(path: Path) -> list[str]:
    """Lines of a text file (`read_text`) without their ends; blank ones at the end are left out."""
    text = read_text(path).rstrip()
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if text else []


def read_beginning(path: Path) -> list[str]:
    """The first complete lines of a text file, as `read_lines` gives them; what is wrong further on is not noticed."""
    try:
        with path.open("rb") as file:
            data = file.read(_BEGINNING)
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a text file ({error.strerror}).") from error
    if len(data) < _BEGINNING:
        return read_lines(path)
    return data.decode(_encoding(data), errors="replace").splitlines()[:-1]


def read_rows(path: Path, columns: Sequence[str], needed: Collection[str]) -> list[tuple[str, dict[str, str]]]:
    """Rows of a table with a header, separated by commas, semicolons or tabs as spreadsheets write it.

    Args:
        path: The file, see `read_text`.
        columns: Known columns; they may come in any order.
        needed: Those that must be there.

    Returns:
        For each row that is not blank where it stands (``<path>, line <number>``) and its values without blanks around them, by column.

    Raises:
        InputError: Columns are unknown, missing or repeated, quotes do not end, or a row has more or fewer values than the header.
    """
    reader = _reader(path)
    _, header = next(reader, ("", []))
    header = [name.strip() for name in header]
    if "" in header:
        raise InputError(
            f"{path}, line 1: column {header.index('') + 1} has no name. Name it, or remove its separator."
        )
    unknown = [name for name in header if name not in columns]
    if unknown:
        named = nearest(unknown[0], columns)
        raise InputError(f"{path}: unknown columns {unknown}{named}.")
    missing = [name for name in needed if name not in header]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing. Known columns: {', '.join(columns)}.")
    repeated = {name for name in header if header.count(name) > 1}
    if repeated:
        raise InputError(f"{path}, line 1: columns {sorted(repeated)} are given more than once.")
    rows = []
    for where, values in reader:
        if len(values) != len(header):
            raise InputError(
                f"{where}: {len(values)} values where the header names {len(header)} columns. Put a value that contains the separator in "
                'double quotes ("a, b.mp4"), and write a separator for each empty value.'
            )
        rows.append((where, dict(zip(header, map(str.strip, values), strict=True))))
    return rows


def _encoding(data: bytes) -> str:
    return next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")


def _reader(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Values of each row that is not blank, with where it stands; the separator is the first one that the header contains."""
    text = read_text(path)
    header = text.lstrip().splitlines()[0] if text.strip() else ""
    separator = next((mark for mark in _SEPARATORS if mark in header), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begin = 1
    try:
        for values in reader:
            if values:
                yield f"{path}, line {begin}", values
            begin = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {begin}: {error}. Are all double quotes closed?") from error


def _refuse(path: Path, before: str) -> NoReturn:
    """Raise the `InputError` for a file that is not in a known encoding after ``before``."""
    line = before.count("\n") + 1
    raise InputError(
        f"{path}, line {line}: cannot be read as UTF-8 text, nor as UTF-16 with a byte-order mark; older spreadsheets write Latin-1 "
        "(Windows-1252). Save it as UTF-8 (in spreadsheets: CSV UTF-8)."
    )
