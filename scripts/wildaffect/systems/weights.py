"""Weight files: SafeTensors, or PyTorch archives read without executing anything in them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wildaffect import files
from wildaffect.errors import InputError
from wildaffect.tables import METADATA_KEY


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


def read_weights(path: str | Path, sha256: str | None = None) -> tuple[dict[str, Tensor], str]:
    """Tensors of a ``.safetensors`` or PyTorch file on the CPU, and the file's SHA-256.

    A PyTorch file may hold a state dict or a mapping with one under ``state_dict`` or ``model_state_dict``. It is unpickled with
    ``weights_only``: tensors and plain containers, never code. Raises :class:`InputError` naming the file if it is absent, unreadable or
    not the expected one.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: weight file not found.")
    found = files.sha256(path)
    if sha256 is not None and found != sha256.lower():
        raise InputError(
            f"{path}: SHA-256 is {found}, expected {sha256.lower()}. This is not the intended file or it is damaged."
        )
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            f"{path}: not a weight file that can be read safely ({error}). Save a plain state dict as .safetensors or .pth."
        ) from error
    for name in ("state_dict", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(part, Tensor) for part in content.values())
    ):
        raise InputError(f"{path}: does not hold a state dict (a mapping of names to tensors).")
    return dict(content), found


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


def save_weights(model_state: Mapping[str, Tensor], path: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a state dict as SafeTensors, atomically; keys that share storage are written once each, as the originals did.

    ``about`` is stored as JSON in one metadata entry: the format writes several entries in random order, and equal weights shall make
    equal files.
    """
    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in model_state.items()}
    with files.atomic(path) as partial:
        save_file(tensors, partial, {METADATA_KEY.decode(): json.dumps(about or {}, sort_keys=True)})
