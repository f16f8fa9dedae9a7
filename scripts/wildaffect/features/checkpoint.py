"""Variables of a TensorFlow checkpoint of version 1, a single file (``vggish_model.ckpt``), without TensorFlow.

The file is a sorted table as LevelDB writes them: blocks of entries whose keys share prefixes, an index block with the place of each, and a
footer with the place of the index. Every value is a protocol buffer ``SavedTensorSlices``; the one with the empty key lists names and
shapes, each of the others holds the numbers of a variable. Checked against files that TensorFlow 2.15 wrote.
"""

import os
import struct
from collections.abc import Container, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wildaffect.errors import InputError

_FOOTER, _MAGIC = 48, 0xDB4775248B80FB57
_FLOAT = 1
# Numbers of fields in SavedTensorSlices and the messages within.
_META, _DATA = 1, 2
_VARIABLES, _NAME, _SHAPE, _TYPE = 1, 1, 2, 3
_SLICE_NAME, _SLICE_TENSOR, _TENSOR_FLOATS = 1, 3, 5
_DIMENSION, _SIZE = 2, 1


def read_variables(path: str | os.PathLike, wanted: Container[str]) -> dict[str, np.ndarray]:
    """The float32 variables of the checkpoint ``path`` whose names are in ``wanted``; others are passed over.

    Raises :class:`InputError` for a file that is absent or of another format, and for variables of another type or stored in parts.
    """
    try:
        with Path(path).open("rb") as file:
            return _variables(file, wanted)
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        raise InputError(f"{path}: not a readable TensorFlow checkpoint of version 1 ({error}).") from error


def _variables(file: BinaryIO, wanted: Container[str]) -> dict[str, np.ndarray]:
    file.seek(-_FOOTER, os.SEEK_END)
    footer = memoryview(file.read())
    if struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("it does not end as one")
    _, _, place = _handle(footer, 0)
    shapes: dict[str, tuple[int, ...]] = {}
    found: dict[str, np.ndarray] = {}
    for _, block in _entries(_block(file, *_handle(footer, place)[:2])):
        for key, value in _entries(_block(file, *_handle(block, 0)[:2])):
            if not key:
                shapes = _shapes(value, wanted)
                continue
            saved = dict(_fields(dict(_fields(value))[_DATA]))
            name = bytes(saved[_SLICE_NAME]).decode()
            if name in shapes:
                numbers = np.frombuffer(dict(_fields(saved[_SLICE_TENSOR])).get(_TENSOR_FLOATS, b""), "<f4")
                if numbers.size != np.prod(shapes[name]):
                    raise ValueError(f"{name} is stored in parts or cut")
                found[name] = numbers.reshape(shapes[name]).copy()
    if found.keys() != shapes.keys():
        raise ValueError(f"the numbers of {min(shapes.keys() - found.keys())} are missing")
    return found


def _shapes(value: memoryview, wanted: Container[str]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for number, entry in _fields(dict(_fields(value))[_META]):
        about = dict(_fields(entry)) if number == _VARIABLES else {}
        name = bytes(about.get(_NAME, b"")).decode()
        if name in wanted:
            if about[_TYPE] != _FLOAT:
                raise ValueError(f"{name} is not float32")
            sizes = (dict(_fields(part)) for number, part in _fields(about[_SHAPE]) if number == _DIMENSION)
            shapes[name] = tuple(size[_SIZE] for size in sizes)
    return shapes


def _block(file: BinaryIO, offset: int, size: int) -> memoryview:
    if offset + size >= os.fstat(file.fileno()).st_size:
        raise ValueError("it is cut")
    file.seek(offset)
    block = memoryview(file.read(size + 1))
    if block[size]:
        raise ValueError("it is compressed")
    return block[:size]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values of a block, at whose end stand the places of full keys and their number."""
    end = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    key, at = b"", 0
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        size, at = _varint(block, at)
        key = key[:shared] + bytes(block[at : at + own])
        at += own + size
        yield key, block[at - size : at]


def _handle(data: memoryview, at: int) -> tuple[int, int, int]:
    """Offset and size of a block, and where ``data`` goes on."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return offset, size, at


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a protocol buffer."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
            case 1 | 5 as kind:
                size = 8 if kind == 1 else 4
                value, at = message[at : at + size], at + size
            case 2:
                size, at = _varint(message, at)
                value, at = message[at : at + size], at + size
            case kind:
                raise ValueError(f"a field of kind {kind}")
        yield tag >> 3, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
