"""What weight files bring into models."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from wildaffect.errors import InputError
from wildaffect.weights import read_weights


@dataclass(frozen=True)
class LoadReport:
    """What a weight file brought into a model.

    Attributes:
        path: The file.
        sha256: Its hash.
        matched: Keys that were loaded.
        missing, unexpected: Keys of one side alone; empty, as others are refused.
    """

    path: str
    sha256: str
    matched: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


def load_weights(model: nn.Module, path: str | Path, sha256: str | None = None) -> LoadReport:
    """Load ``path`` into ``model``, strictly: same keys, same shapes, else :class:`InputError` and the model stays as it was.

    Returns:
        What was loaded.
    """
    state, digest = read_weights(path, sha256)
    load_state(model, state, path)
    return LoadReport(str(path), digest, tuple(state))


def load_state(model: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Load ``state``, read from ``path``, into ``model`` as :func:`load_weights` does.

    A model with a method ``explain(state) -> str`` says itself what a state dict that does not fit belongs to.
    """
    own = model.state_dict()
    matched = tuple(key for key in own if key in state)
    missing = tuple(key for key in own if key not in state)
    unexpected = tuple(key for key in state if key not in own)
    shapes = [
        f"{key} is {tuple(state[key].shape)}, model has {tuple(own[key].shape)}"
        for key in matched
        if state[key].shape != own[key].shape
    ]
    problems = [
        f"{len(names)} {label} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for label, names in (("keys missing", missing), ("keys unknown", unexpected), ("shapes differ", shapes))
        if names
    ]
    if problems:
        advice = model.explain(state) if hasattr(model, "explain") else "Check system, variant and model options."
        raise InputError(f"{path}: does not fit {type(model).__name__}: {'; '.join(problems)}. {advice}")
    model.load_state_dict(dict(state))
