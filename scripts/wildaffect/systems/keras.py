"""Keras' HDF5 files: arrays by Keras' names, and tensors in PyTorch's order."""

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from wildaffect.errors import InputError
from wildaffect.files import sha256

SUFFIXES = (".h5", ".hdf5")
# Keras' variables and ours; the first dimension of its kernels is the input.
VARIABLES = {
    "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var", "depthwise_kernel": "depthwise.weight", "pointwise_kernel": "pointwise.weight",
}  # fmt: skip


def read_keras(path: str | Path, expected: str | None = None) -> tuple[dict[str, np.ndarray], str]:
    """Arrays by Keras' names (``layer/variable``) of a weights file or a whole saved model, and the file's SHA-256.

    A layer that several parts of a model share is stored with each of them; all copies must be equal. Raises :class:`InputError` for a file
    that is absent, not the expected one, or not Keras', and for links and datasets that lead to other files.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: weight file not found.")
    digest = sha256(path)
    if expected is not None and digest != expected.lower():
        raise InputError(f"{path}: SHA-256 is {digest}, expected {expected.lower()}. This is not the intended file.")
    found: dict[str, np.ndarray] = {}
    try:
        with h5py.File(path) as file:
            if inside := file.visititems_links(_link) or file.visititems(_foreign):
                raise InputError(
                    f"{path}: {inside}, which weights have no use for; it could read any file. Not loaded."
                )
            root = file.get("model_weights", file)
            for layer in _names(root, "layer_names"):
                for name in _names(root[layer], "weight_names"):
                    values, known = np.asarray(root[layer][name]), _plain(f"{layer}>{name}")
                    if known in found and not np.array_equal(found[known], values):
                        raise InputError(f"{path}: holds two different {known}, which its parts should share.")
                    found[known] = values
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError) as error:
        raise InputError(
            f"{path}: not a weight file of Keras ({error}). Expected the HDF5 of save or save_weights."
        ) from error
    if not found:
        raise InputError(f"{path}: holds no weights.")
    return found, digest


def _link(name: str, link: Any) -> str | None:
    """What is wrong with a link: all but hard ones lead elsewhere in the file or in another one."""
    return None if isinstance(link, h5py.HardLink) else f"{name!r} is a {type(link).__name__}"


def _foreign(name: str, thing: h5py.Group | h5py.Dataset) -> str | None:
    """What is wrong with an object: the values of external and virtual datasets lie in other files."""
    if not isinstance(thing, h5py.Dataset):
        return None
    return f"{name!r} keeps its values in other files" if thing.external or thing.is_virtual else None


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names that Keras splits into numbered attributes when it is long."""
    if attribute in group.attrs:
        return [text(name) for name in group.attrs[attribute]]
    parts, found = 0, []
    while f"{attribute}{parts}" in group.attrs:
        found += [text(name) for name in group.attrs[f"{attribute}{parts}"]]
        parts += 1
    if not parts:
        raise KeyError(f"no attribute {attribute}")
    return found


def text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _plain(name: str) -> str:
    """``layer/variable`` without the groups around it and the numbers that TensorFlow adds to a name it has met before.

    Of ``name``, ``group>path/of/variable:0``, the group tells bidirectional layers apart; all others have names of their own.
    """
    group, _, path = name.partition(">")
    layer, _, variable = path.removesuffix(":0").rpartition("/")
    if direction := re.search(r"(forward|backward)_", layer):
        return f"{group}/{direction[1]}/{variable}"
    known = re.search(r"(conv1/7x7_s2|conv\d_\d+_\dx\d(?:_(?:reduce|increase|proj))?)(?:_\d+)?(/bn)?(?:_\d+)?$", layer)
    if known:
        return f"{known[1]}{known[2] or ''}/{variable}"
    return f"{re.sub(r'_[0-9]+$', '', layer.rpartition('/')[2])}/{variable}"


def to_tensor(variable: str, values: np.ndarray) -> Tensor:
    """The values of a variable of Keras in the order of PyTorch: of kernels outputs first, of images channels before rows."""
    if values.ndim == 4:
        order: tuple[int, ...] = (2, 3, 0, 1) if variable == "depthwise_kernel" else (3, 2, 0, 1)
    else:
        order = tuple(reversed(range(values.ndim)))
    return torch.from_numpy(np.ascontiguousarray(values.transpose(order)))
