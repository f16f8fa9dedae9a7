"""Rendering: number formats, JSON blocks and the HTML template."""

import base64
import json
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from wildaffect.report.scores import mean_and_deviation, number

TEMPLATES = Path(__file__).parent / "templates"
UNSAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def render(context: dict[str, Any]) -> str:
    """The page for `context`; a name that the template uses and `context` lacks is an error."""
    return _template("report.html").render(context, plotly=packed_plotly())


@cache
def packed_plotly() -> str:
    """plotly.js, compressed, as base64; `report.js` unpacks it once the page is shown."""
    return base64.b64encode(zlib.compress(get_plotlyjs().encode(), 9)).decode()


def render_viewer(*, video: str, title: str, sheets: Sequence[tuple[str, str]]) -> str:
    """The page of one video; its data, script and contact sheets (trial and address) are files beside it."""
    return _template("viewer.html").render(video=video, title=title, sheets=sheets)


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": number,
        "integer": lambda value: f"{value:,}",
        "duration": duration,
        "percent": percent,
        "sparkline": sparkline,
        "json_block": json_block,
        "mean_and_deviation": mean_and_deviation,
    }
    return environment.get_template(name)


def json_block(value: Any) -> Markup:
    """JSON that is safe inside a `script` element; NaN is an error."""
    return Markup(json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False).translate(UNSAFE))


def pretty_json(value: Any) -> str:
    """Indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def json_number(value: float | None) -> float | None:
    """`value`, None for NaN."""
    return None if value is None or value != value else value


def duration(seconds: float) -> str:
    """A duration in words.

    Examples:
        >>> duration(3723), duration(123), duration(12.34)
        ('1:02:03', '2:03', '12.3 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def sparkline(values: Sequence[float | None]) -> str:
    """Points of a line of 120 by 20 units over all values that are numbers.

    Examples:
        >>> sparkline([0.0, None, 1.0])
        '0.0,19.0 120.0,1.0'
    """
    known = [(i, value) for i, value in enumerate(values) if value is not None]
    if not known:
        return ""
    low, high = min(value for _, value in known), max(value for _, value in known)
    return " ".join(
        f"{120 * i / max(len(values) - 1, 1):.1f},{19 - 18 * (value - low) / (high - low or 1):.1f}"
        for i, value in known
    )


def percent(part: float, whole: float) -> str:
    """A fraction as `12.3 %`; an en dash where the whole is 0."""
    return f"{100 * part / whole:.1f} %" if whole else "–"
