"""Scores as the challenge computes them, fusion and smoothing of predictions.

The public functions are ``ccc``, ``expression_f1``, ``au_f1``, ``score`` and ``compare``; all but the first are loaded on first use, so
that code which only needs the correlation does not depend on the rest.
"""

from importlib import import_module

from wildaffect.scoring.ccc import ccc

_HOMES = {
    "expression_f1": "wildaffect.scoring.f1",
    "au_f1": "wildaffect.scoring.f1",
    "score": "wildaffect.scoring.scorer",
    "compare": "wildaffect.scoring.comparison",
}

__all__ = ["au_f1", "ccc", "compare", "expression_f1", "score"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
