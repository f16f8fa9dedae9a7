"""Read other people's pickle files without executing anything that they ask for."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from wildaffect.integrity import foreign

ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Old protocols keep the bytes of an array as text."""
    return text.encode({"latin1": "latin1", "latin-1": "latin1"}[encoding])


def _allowed() -> dict[tuple[str, str], Any]:
    make, scalar, from_buffer = np.array([0.0]).__reduce__()[0], np.float64(0).__reduce__()[0], _from_buffer
    found: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
    for module in ARRAYS:
        found |= {(module, "_reconstruct"): make, (module, "scalar"): scalar, (module, "_frombuffer"): from_buffer}
    return found | {("_codecs", "encode"): _encode}


def _from_buffer(buffer: Any, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F" if order == "F" else "C")


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _allowed()[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def read_pickle(path: str | os.PathLike) -> Any:
    """Read numbers, text, arrays, and lists, tuples, sets and mappings of them.

    Raises:
        InputError: The file holds, or asks for, anything else, or cannot be read.
    """
    advice = "Nothing in it was executed. Fetch it again."
    with foreign(path, "a pickle file of numbers and arrays", advice), Path(path).open("rb") as file:
        return _PlainUnpickler(file, encoding="latin1").load()
