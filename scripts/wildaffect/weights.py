"""Weight files: SafeTensors, or PyTorch archives read without executing anything in them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from wildaffect import files
from wildaffect.errors import InputError
from wildaffect.integrity import check, foreign, sealed
from wildaffect.tables import METADATA_KEY

_ADVICE = "Save a plain state dict as .safetensors or .pth."
# Archives are ZIP files; before PyTorch 1.6 they were pickles.
_TORCH = (b"PK", b"\x80")


def read_weights(path: str | os.PathLike, sha256: str | None = None) -> tuple[dict[str, Tensor], str]:
    """Tensors of a ``.safetensors`` or PyTorch file on the CPU, and the file's SHA-256.

    A PyTorch file may hold a state dict or a mapping with one under ``state_dict`` or ``model_state_dict``. It is unpickled with
    ``weights_only``: tensors and plain containers, never code.

    Raises:
        InputError: The file is absent, damaged, not the expected one, or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: weight file not found.")
    found = files.sha256(path)
    if sha256 is not None and found != sha256.lower():
        raise InputError(
            f"{path}: SHA-256 is {found}, expected {sha256.lower()}. This is not the intended file or it is damaged."
        )
    check(path)
    content = _unpacked(path)
    for name in ("state_dict", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(key, str) and isinstance(part, Tensor) for key, part in content.items())
    ):
        raise InputError(f"{path}: does not hold a state dict (a mapping of names to tensors).")
    return dict(content), found


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Arrays of numbers by name from an ``.npz`` file; `InputError` if it is anything else."""
    with (
        foreign(path, "a weight file that can be read", "Save the variables by numpy.savez."),
        np.load(path, allow_pickle=False) as archive,
    ):
        arrays = dict(archive)
        for name, values in arrays.items():
            if values.dtype.kind not in "fiu":
                raise InputError(f"{path}: {name} holds {values.dtype}, no numbers.")
        return arrays


def save_weights(model_state: Mapping[str, Tensor], path: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a state dict as SafeTensors, atomically; keys that share storage are written once each, as the originals did.

    ``about`` is stored as JSON in one metadata entry: the format writes several entries in random order, and equal weights shall make
    equal files.
    """
    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in model_state.items()}
    with sealed(path) as partial:
        save_file(tensors, partial, {METADATA_KEY.decode(): json.dumps(about or {}, sort_keys=True)})


def _unpacked(path: Path) -> Any:
    if path.suffix == ".safetensors":
        with foreign(path, "a weight file that can be read", _ADVICE):
            return load_file(path)
    with path.open("rb") as file:
        if not file.read(2).startswith(_TORCH):
            raise InputError(f"{path}: not a weight file: it must be .safetensors, .pth or .pt. {_ADVICE}")
    try:
        return torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # its messages advise to read the file unsafely, so none is shown
        raise InputError(
            f"{path}: not a weight file that can be read safely: it is damaged or holds more than tensors and numbers. {_ADVICE}"
        ) from error
