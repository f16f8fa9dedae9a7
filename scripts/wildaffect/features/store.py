"""Arrays of features on disk, in blocks, and which of their frames are valid."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from wildaffect.errors import InputError
from wildaffect.integrity import check, intact, sealed

_FRAMES = 1024


class Spool:
    """Rows of one shape and type that are appended block by block and read by slices, as copies.

    They wait in a nameless file in the directory for temporary files (``TMPDIR``), which goes with the object.

    Args:
        dtype: Type of the values.
        row: Shape of a row; empty for a row of one value.
    """

    def __init__(self, dtype: np.dtype | type, row: tuple[int, ...] = ()) -> None:
        self._dtype, self._row = np.dtype(dtype), row
        self._bytes = self._dtype.itemsize * int(np.prod(row))
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the object
        self._count = 0

    def append(self, rows: np.ndarray) -> None:
        """Add ``rows`` (n, *row) at the end."""
        self._file.seek(0, os.SEEK_END)
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self._count += len(rows)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice) -> np.ndarray:
        first, stop, step = part.indices(self._count)
        if step != 1:
            raise ValueError("rows on disk are read in order and without gaps")
        rows = np.empty((max(0, stop - first), *self._row), self._dtype)
        self._file.seek(first * self._bytes)
        self._file.readinto(rows.data)
        return rows


Rows: TypeAlias = np.ndarray | Spool
"""Rows that are read by slices alone."""


def pieces(rows: Rows, size: int) -> Iterator[np.ndarray]:
    """All ``rows``, ``size`` at a time."""
    return (rows[first : first + size] for first in range(0, len(rows), size))


def picked(rows: Rows, index: np.ndarray) -> Iterator[np.ndarray]:
    """Chosen rows in blocks.

    Args:
        rows: Rows (R, …).
        index: Wanted rows, int (N,). Neighbours should be near in ``rows``, because what lies between them is read.

    Yields:
        Blocks of ``rows[index]``.
    """
    for wanted in pieces(index, _FRAMES):
        low = wanted.min()
        yield rows[low : wanted.max() + 1][wanted - low]


def save_blocks(
    output: str | os.PathLike, blocks: Iterable[np.ndarray], row: tuple[int, ...], dtype: np.dtype | type = np.float32
) -> None:
    """Write blocks, one after the other, as one ``.npy`` file; it appears whole or not at all, with its checksum beside it.

    It is written as a stream, not through a memory map: on a full disk a map would end the process without a message.

    Args:
        output: Path of the file.
        blocks: Arrays (n, *row).
        row: Shape of a row.
        dtype: Type of the values in the file.
    """
    layout = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
    with sealed(output) as partial, partial.open("wb") as file:
        # NumPy leaves room in the header for the first axis to grow.
        np.lib.format.write_array_header_1_0(file, layout | {"shape": (0, *row)})
        begin, count = file.tell(), 0
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype).data)
            count += len(block)
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, layout | {"shape": (count, *row)})
        if file.tell() != begin:
            raise RuntimeError("the header of the .npy file changed its length")


def save_array(output: str | os.PathLike, array: np.ndarray) -> None:
    """Write an array as ``save_blocks`` does."""
    save_blocks(output, [array], array.shape[1:], array.dtype)


def open_array(path: str | os.PathLike) -> np.ndarray:
    """An array of `save_blocks`, mapped into memory after its checksum was compared, for which it is read once in blocks.

    Raises:
        InputError: The file is damaged or absent.
    """
    with intact(path, "a readable .npy file"):
        check(path)
        return np.lib.format.open_memmap(path, mode="r")


def write_valid(feature: str | os.PathLike, valid: np.ndarray) -> None:
    """Write which rows of the file ``feature`` are valid beside it, in ``valid/``.

    Args:
        feature: Path of the feature's array.
        valid: bool (frames,).
    """
    save_array(_beside(feature), np.asarray(valid, bool))


def read_valid(feature: str | os.PathLike) -> np.ndarray:
    """Which rows of a feature are valid.

    Args:
        feature: Path of the feature's array.

    Returns:
        bool (frames,); of a signal, for which frames there is audio.

    Raises:
        InputError: The file beside the array is missing or damaged.
    """
    path = _beside(feature)
    try:
        return np.array(open_array(path))
    except InputError as error:  # the array is what is made again, with this file
        raise InputError(f"{path}: not a readable .npy file ({error}). Delete {feature} and run again.") from error


def _beside(feature: str | os.PathLike) -> Path:
    path = Path(feature)
    return path.parent / "valid" / path.name
