"""Typed sections of a configuration: one definition gives defaults, types, descriptions and messages.

A section is a class whose attributes are the keys; the text below an attribute describes the key:

    class Folds(Section):
        count: Annotated[int, Field(ge=2)] = 6
        \"""Number of folds.\"""

`parse` makes such an object from the plain values that a YAML file holds, and says in words what is wrong with them.
"""

import contextlib
import datetime
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from wildaffect.errors import InputError

MAX_DEPTH = 16
"""Deepest nesting of a configuration."""
MAX_VALUES = 100_000
"""Most values of a configuration, counted where they are used, so that a few lines of YAML aliases cannot fill the memory."""


class Section(BaseModel):
    """A block of the configuration: unknown keys are refused, types are not converted, objects do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    renamed: ClassVar[Mapping[str, str]] = {}
    """Former names of keys, ``{old: new}``."""

    def plain(self) -> dict[str, Any]:
        """All keys and values as YAML spells them."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """The section whose `plain` gave ``values``, for jobs: what they are given was checked when the run was planned."""
        return cls.model_validate_json(json.dumps(values))


Path = tuple[str | int, ...]
"""Keys and positions that lead to a value."""

Problem = tuple[Path, str]
"""Where something is wrong, and what."""

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a block of keys",
    "model_type": "a block of keys",
    "none_required": "null",
}
"""What a value should have been, by pydantic's type of error."""

LIMITS = {
    "greater_than": ("gt", "is too small; use more than"),
    "greater_than_equal": ("ge", "is too small; the least is"),
    "less_than": ("lt", "is too large; use less than"),
    "less_than_equal": ("le", "is too large; the most is"),
    "multiple_of": ("multiple_of", "is not possible; use multiples of"),
    "too_short": ("min_length", "has too few entries; the least are"),
    "too_long": ("max_length", "has too many entries; the most are"),
    "string_too_short": ("min_length", "is too short; the least length is"),
    "string_pattern_mismatch": ("pattern", "does not match"),
}
"""Which limit a value exceeds, and what to say of it."""

S = TypeVar("S", bound=Section)


def distinct(values: Sequence[Any]) -> Sequence[Any]:
    """Validator of lists whose entries must differ."""
    twice = [value for position, value in enumerate(values) if value in values[:position]]
    if twice:
        raise ValueError(f"{shown(twice[0])} is named twice")
    return values


Text = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Text, ...], AfterValidator(distinct)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Wrong(ValueError):
    """What is wrong inside a value; a validator raises it to name several keys at once.

    Attributes:
        problems: Path below the value, and what is wrong there.
    """

    def __init__(self, problems: Iterable[Problem]):
        self.problems = list(problems)
        super().__init__("; ".join(line for _, line in self.problems))


def parse(section: type[S], values: Mapping[str, Any], where: str) -> S:
    """A section from plain values.

    Args:
        section: Class of the section.
        values: Its keys as YAML gives them; missing ones take their defaults.
        where: Name of the block in messages, such as ``config.folds``.

    Returns:
        The complete, immutable section.

    Raises:
        InputError: Lists everything that is wrong with ``values``, a line each.
    """
    problems = unreadable(values)
    parsed, problems = (None, problems) if problems else check(section, values)
    if parsed is None:
        lines = [f"  - {place(where, path)}: {line}" for path, line in problems]
        raise InputError("configuration:\n" + "\n".join(lines))
    return parsed


def check(section: type[S], values: Any) -> tuple[S | None, list[Problem]]:
    """A section from plain values that are readable; None, and what is wrong with them, if anything is."""
    try:
        # JSON has the types of YAML without their traps: true is no number, and a list is what a tuple is there.
        return section.model_validate_json(json.dumps(values, default=dict)), []
    except ValidationError as error:
        return None, _problems(section, error, values)


def completed(section: type[Section], values: Any) -> dict[str, Any]:
    """Plain ``values`` completed by ``section``, for validators of a block whose type depends on another key.

    Raises:
        Wrong: Names what is wrong.
    """
    parsed, problems = check(section, values)
    if parsed is None:
        raise Wrong(problems)
    return parsed.plain()


def laid_over(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with ``changes``, block by block.

    >>> laid_over({"epochs": 3, "network": {"width": 1, "units": [1]}}, {"network": {"units": [2]}})
    {'epochs': 3, 'network': {'width': 1, 'units': [2]}}
    """
    found = {**values}
    for key, value in changes.items():
        old = found.get(key)
        found[key] = laid_over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return found


def place(where: str, path: Path) -> str:
    """Name of a value in messages, such as ``config.faces.options.det_sizes[0]``."""
    steps = [
        f"[{step}]" if isinstance(step, int) else f".{step if str(step).isprintable() else repr(step)}" for step in path
    ]
    return where + "".join(steps)


def one_of(names: Callable[[], Iterable[str]]) -> AfterValidator:
    """Validator of a name that must be among ``names()``, which are looked up when a value is checked."""

    def look_up(name: str) -> str:
        known = list(names())
        if name not in known:
            raise ValueError(f"{shown(name)} is not possible{nearest(name, known)}")
        return name

    return AfterValidator(look_up)


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'? (known: …)`` for an unknown name."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{guess} known: {', '.join(names)}"


def unreadable(values: Any) -> list[Problem]:
    """What no configuration may hold, whatever its keys mean. The first problem of size or nesting ends the search."""
    problems: list[Problem] = []
    pending: list[tuple[Any, Path, tuple[int, ...]]] = [(values, (), ())]
    for _ in range(MAX_VALUES):
        if not pending:
            return problems
        value, path, around = pending.pop()
        match value:
            case Mapping() | list() | tuple() if id(value) in around:
                return [*problems, (path, "contains itself; remove the YAML alias of a block inside the block")]
            case Mapping() | list() | tuple() if len(around) == MAX_DEPTH:
                return [*problems, (path, f"is nested more than {MAX_DEPTH} levels deep")]
            case Mapping() | list() | tuple():
                parts = list(value.items() if isinstance(value, Mapping) else enumerate(value))
                pending += [(part, (*path, step), (*around, id(value))) for step, part in reversed(parts)]
                if isinstance(value, Mapping):
                    numbers = [key for key in value if not isinstance(key, str)]
                    problems += [(path, f"the key {shown(key)} is not text; put it in quotes") for key in numbers]
            case float() if not math.isfinite(value):
                problems.append((path, f"{shown(value)} is not a finite number"))
            case datetime.date():
                problems.append((path, f"{value} is a date; put it in quotes if text is meant"))
            case str() | int() | float() | None:
                pass
            case _:
                problems.append((path, f"{type(value).__name__} is no type of value that a configuration can have"))
    return [*problems, ((), f"more than {MAX_VALUES:,} values; do not repeat large blocks by YAML aliases")]


def _problems(section: type[Section], error: ValidationError, values: Any) -> list[Problem]:
    """What is wrong, in words; what the alternatives of one value expect is joined."""
    problems: list[Problem] = []
    expected: dict[Path, dict[str, None]] = {}
    for detail in error.errors(include_url=False):
        path, inner = _path(detail["loc"], values), detail.get("ctx", {}).get("error")
        if phrase := _expectation(detail, path):
            if path not in expected:
                problems.append((path, ""))
            expected.setdefault(path, {})[phrase] = None
        elif isinstance(inner, Wrong):
            problems += [((*path, *below), line) for below, line in inner.problems]
        else:
            problems.append(
                (path[:-1] if detail["type"] == "extra_forbidden" else path, _problem(section, detail, path))
            )
    # Where one alternative fits so well that only something about it or inside it is wrong, the others say nothing of use.
    fitting = {path[:length] for path, line in problems for length in range(len(path) + bool(line))}
    said = [
        (path, line or _mismatch(_at(values, path), expected[path]))
        for path, line in problems
        if line or path not in fitting
    ]
    return list(dict.fromkeys(said))


def keys(section: type[Section]) -> dict[str, FieldInfo]:
    """The keys of a section as YAML spells them."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def sections(annotation: Any) -> list[type[Section]]:
    """The sections that a type is or contains."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in get_args(annotation) for found in sections(part)]


def _path(location: Path, values: Any) -> Path:
    """The keys and positions in ``location`` that are in ``values``, without the names of alternatives that stand between them."""
    path: list[str | int] = []
    for step in location:
        if step in (
            values if isinstance(values, Mapping) else range(len(values)) if isinstance(values, list | tuple) else ()
        ):
            path.append(step)
            values = values[step]
    return tuple(path)


def _at(values: Any, path: Path) -> Any:
    for step in path:
        values = values[step]
    return values


def _expectation(detail: Mapping[str, Any], path: Path) -> str | None:
    """What a value of another type should have been; None if its type is right."""
    if detail["type"] == "literal_error" and path != detail["loc"]:
        return detail["ctx"]["expected"].replace("None", "null")
    return EXPECTED.get(detail["type"])


def _mismatch(value: Any, expected: Iterable[str]) -> str:
    phrases = list(expected)
    cure = ""
    if isinstance(value, str) and {"a number", "a whole number"} & {*phrases}:
        with contextlib.suppress(ValueError):
            number = float(value)
            whole = number.is_integer() and "e" not in value.lower()
            if whole or "a number" in phrases:
                cure = f"; it is text, write {int(number) if whole else yaml.safe_dump(number).split()[0]}"
    elif "text" in phrases and isinstance(value, bool | int | float):
        cure = "; put it in quotes"
    return f"{shown(value)} where {' or '.join(phrases)} is expected{cure}"


def _problem(section: type[Section], detail: Mapping[str, Any], path: Path) -> str:
    """What is wrong with one key, or with a value of the right type."""
    kind, value, about = detail["type"], shown(detail["input"]), detail.get("ctx", {})
    key = detail["loc"][-1] if detail["loc"] else ""
    if kind == "extra_forbidden":
        return _unknown(key, _sections_at(section, path[:-1]))
    if kind == "missing":
        return f"{key!r} is missing" if isinstance(key, str) else f"{value} has too few entries"
    if kind == "literal_error":
        return f"{value} is not possible{nearest(str(detail['input']), _choices(about['expected']))}"
    if kind in LIMITS:
        limit, words = LIMITS[kind]
        return f"{value} {words} {about[limit]}"
    return str(about.get("error", detail["msg"]))


def _unknown(key: str, blocks: Sequence[type[Section]]) -> str:
    """What to write in place of ``key``, which none of ``blocks`` has."""
    for block in blocks:
        if key in block.renamed:
            return f"{key!r} was renamed to {block.renamed[key]!r}"
    return f"unknown key {key!r}{nearest(key, [name for block in blocks for name in keys(block)])}"


def _choices(expected: str) -> list[str]:
    """The values in pydantic's ``'a', 'b' or 'c'``."""
    return [{"None": "null"}.get(choice, choice.strip("'")) for choice in re.split(", | or ", expected)]


def _sections_at(section: type[Section], path: Path) -> list[type[Section]]:
    """The sections that may stand at ``path``."""
    found = [section]
    for step in path:
        fields = [keys(block)[step] for block in found if step in keys(block)]
        if fields:  # else a position in a list or a name in a block of free names, whose sections are found already
            found = [inner for field in fields for inner in sections(field.annotation)]
    return found


def shown(value: Any) -> str:
    """A value as YAML spells it, long ones cut."""
    if isinstance(value, str):
        text = repr(value)
    else:
        text = " ".join(yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").split())
    return text if len(text) <= 100 else f"{text[:99]}…"
