"""Settings of a system: defaults written once, in the schema that also describes and checks them."""

from collections.abc import Mapping
from typing import Any

import jsonschema

from wildaffect.errors import InputError


def resolve(system: str, schema: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` laid over the defaults of ``schema`` (JSON Schema; objects are merged key by key).

    Raises :class:`InputError` naming the key for unknown keys and values out of range.
    """
    complete = merge(defaults(schema), settings)
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(complete))
    if error is not None:
        where = ".".join(["recipe", *(str(part) for part in error.absolute_path)])
        raise InputError(f"configuration of system {system}, {where}: {error.message}.")
    return complete


def defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Default of every property of an object schema."""
    return {
        name: defaults(part) if part.get("type") == "object" else part["default"]
        for name, part in schema["properties"].items()
    }


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``base``; where both hold a mapping, recursively."""
    nested = {
        name: merge(base[name], value)
        for name, value in over.items()
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping)
    }
    return {**base, **over, **nested}
