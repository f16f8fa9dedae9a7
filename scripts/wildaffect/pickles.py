"""Read other people's pickle files without executing anything that they ask for."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from wildaffect.errors import InputError
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


def marks_of(path: str | os.PathLike, trial: str) -> np.ndarray:
    """Read the marks of a trial, one for each frame, from a file that has them by partition and trial, as LFAN's lists of frames do.

    Raises:
        InputError: The file has no such marks, or several partitions have.
    """
    content = read_pickle(path)
    partitions = content.values() if isinstance(content, dict) else []
    marks = [part[trial] for part in partitions if isinstance(part, dict) and trial in part]
    if len(marks) != 1:
        raise InputError(f"{path}: has {len(marks)} lists of kept frames of trial {trial}, expected one.")
    with foreign(path, "lists of numbers by partition and trial"):
        return np.asarray(marks[0], np.int64).reshape(-1)


def kept_frames(path: str | os.PathLike, trial: str, rows: int) -> np.ndarray:
    """Read from ``labeled_frame_indices.pkl`` which frames ``rows`` rows of a trial are of, int64 (rows,).

    Raises:
        InputError: The file does not say it, or keeps another number of frames.
    """
    frames = np.flatnonzero(marks_of(path, trial) == 1)
    if len(frames) != rows:
        raise InputError(f"{path}: keeps {len(frames)} frames of trial {trial}, but there are {rows} rows of values.")
    return frames
