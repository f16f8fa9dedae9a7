"""The configuration: defaults, schema checks and semantic checks, all before any job starts."""

import difflib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from wildaffect.errors import InputError


def load_schema(path: Path) -> dict[str, Any]:
    """A JSON schema kept as YAML."""
    return yaml.safe_load(path.read_text())


def complete(config: Mapping[str, Any], schema: Mapping[str, Any], place: str = "config") -> dict[str, Any]:
    """``config`` with the schema's defaults filled in, checked against the schema.

    Raises one :class:`InputError` that lists every problem; an unknown key is answered with the nearest known one.
    """
    filled = _with_defaults(deepcopy(dict(config)), schema)
    problems = [
        _explain(error, place)
        for error in sorted(Draft202012Validator(schema).iter_errors(filled), key=lambda e: list(e.path))
    ]
    if problems:
        raise InputError("configuration:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return filled


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'? (known: …)`` for an unknown name."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{guess} known: {', '.join(names)}"


def _with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    for key, part in schema.get("properties", {}).items():
        if key not in value and "default" in part:
            value[key] = deepcopy(part["default"])
        if key in value:
            value[key] = _with_defaults(value[key], part)
    return value


def _explain(error, place: str) -> str:
    """One readable line for a schema error."""
    where = ".".join([place, *map(str, error.absolute_path)])
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = [key for key in error.instance if key not in known]
        return "; ".join(f"{where}: unknown key {key!r}{nearest(key, known)}" for key in unknown)
    if error.validator == "enum":
        return f"{where}: {error.instance!r} is not possible{nearest(str(error.instance), error.validator_value)}"
    return f"{where}: {error.message}"
