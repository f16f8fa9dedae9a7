"""Submission files as the organisers of each edition want them: ``write`` and ``validate``."""

from importlib import import_module

_HOMES = {
    "write": "wildaffect.submission.writer",
    "validate": "wildaffect.submission.validator",
}

__all__ = ["validate", "write"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
