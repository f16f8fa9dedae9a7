"""Options as frozen dataclasses, made from the plain values of a configuration."""

from dataclasses import fields
from typing import Any, TypeVar

from wildaffect.errors import InputError

Options = TypeVar("Options")


def parse_options(kind: type[Options], options: dict[str, Any]) -> Options:
    """A dataclass of options from plain values; :class:`InputError` names what is unknown."""
    known = [field.name for field in fields(kind)]
    if unknown := sorted(set(options) - set(known)):
        raise InputError(f"faces: unknown option {', '.join(unknown)}; known are {', '.join(known)}.")
    return kind(**options)
