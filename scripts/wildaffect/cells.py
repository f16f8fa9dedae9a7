"""Cells of CSV files that people open in a spreadsheet, which would run a cell that begins like a formula."""

import re
from typing import Any

STARTS = frozenset("=+-@\t\r\n＝＋－＠")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: `'` before a text that begins like one and is no number; all else as it is.

    A text that begins with `'` gets another, so that `plain_cell` gives every text back.

    Examples:
        >>> safe_cell("=cmd|' /C calc'!A0"), safe_cell("-1.5"), safe_cell("-x"), safe_cell(-1.5)
        ("'=cmd|' /C calc'!A0", '-1.5', "'-x", -1.5)
    """
    if not isinstance(value, str) or not value or NUMBER.fullmatch(value):
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
