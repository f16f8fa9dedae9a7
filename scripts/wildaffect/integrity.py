"""Damaged files: checksums of those that the pipeline writes, and one error for all that parsers say of those that it does not.

Where the checksum of a file is depends on its format:

- Parquet tables and crop files end with a list of their parts (the footer). Before it stands a seal, which readers of the format skip.
  Parquet's own checksums would cover the values of a page alone, not its head nor the footer, in which a flipped bit changes values too.
- The others (arrays, JSON, audio, weights, training state) have it beside them, in ``crc32/<name>``, and stay plain files of their format.

Files of earlier versions, and those copied without the folder ``crc32``, are read unchecked.
"""

import errno
import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from wildaffect.errors import InputError
from wildaffect.files import atomic

_AT_ONCE = 1 << 20
_SEAL = struct.Struct("<8sII")
_MARK = b"\xc3CRC-32\n"
_LENGTH = struct.Struct("<i")
_SHOWN = 200
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EROFS)


class Record(dict):
    """A JSON object of a file; a key that it lacks is an `InputError` that names the file."""

    def __init__(self, values: Any, path: str | os.PathLike) -> None:
        if not isinstance(values, dict):
            raise InputError(f"{path}: holds {type(values).__name__} where a JSON object is expected.")
        super().__init__(values)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise InputError(
            f"{self._path}: has no entry {key!r}: it is not a file of this stage. Delete it and run again."
        )

    def __reduce__(self) -> tuple:
        return Record, (dict(self), self._path)


def damaged(path: str | os.PathLike, reason: str) -> InputError:
    """The error for a damaged file that can be made again."""
    return InputError(f"{path} is damaged ({reason}); delete it and run again.")


@contextmanager
def intact(path: str | os.PathLike, expected: str) -> Iterator[None]:
    """Turn whatever a parser raises on ``path``, which the pipeline wrote as ``expected`` (with its article), into `damaged`."""
    try:
        yield
    except Exception as error:
        raise _of_the_machine(path, error) or damaged(path, f"not {expected}: {_words(error)}") from error


@contextmanager
def foreign(path: str | os.PathLike, expected: str, advice: str = "") -> Iterator[None]:
    """Turn whatever a parser raises on the given file ``path`` into an `InputError`.

    Parsers do not say which exceptions they raise: on damaged files they are of any class. The block should hold little but the parser.

    Args:
        path: The file.
        expected: What it should have been, with its article.
        advice: What to do, a sentence.
    """
    try:
        yield
    except Exception as error:
        reason = f"{path}: not {expected} ({_words(error)}). {advice}".rstrip()
        raise _of_the_machine(path, error) or InputError(reason) from error


def _of_the_machine(path: str | os.PathLike, error: Exception) -> Exception | None:
    """What to raise where an error says nothing about the content of a file; None where it does."""
    if isinstance(error, InputError) or (isinstance(error, OSError) and error.errno in _OF_THE_DISK):
        return error
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return InputError(f"{path}: cannot be read ({error.strerror or error}).")
    return None


def _words(error: Exception) -> str:
    """The first line of an error's message, or its class where it has none."""
    reason = getattr(error, "strerror", None) or str(error).strip()
    line = (reason.splitlines() or [""])[0] if isinstance(reason, str) else ""
    return line[:_SHOWN] if len(line.split()) > 1 else f"{type(error).__name__}{': ' * bool(line)}{line[:_SHOWN]}"


@contextmanager
def sealed(path: str | os.PathLike) -> Iterator[Path]:
    """`wildaffect.files.atomic`, with a checksum beside the file, which `check` compares."""
    path, beside = Path(path), _beside(path)
    with atomic(path) as partial:
        yield partial
        digest = _crc32_of_file(partial)
        # A kill between the two files leaves one without a checksum, not with a wrong one.
        beside.unlink(missing_ok=True)
    with atomic(beside) as partial:
        partial.write_text(f"{digest:08x}\n")


def check(path: str | os.PathLike) -> None:
    """`InputError` if a file is not what `sealed` wrote. The file is read once, in blocks."""
    try:
        stated = _beside(path).read_text(errors="replace")
    except FileNotFoundError:
        return
    with intact(path, "a readable file"):
        found = f"{_crc32_of_file(path):08x}\n"
    if stated != found:
        raise damaged(path, f"its content does not fit the checksum in {_beside(path)}")


def read_json(path: str | os.PathLike) -> Any:
    """The JSON values of a file, objects as `Record`; `InputError` if it is damaged or no JSON."""
    check(path)
    with intact(path, "readable JSON"):
        values = json.loads(Path(path).read_bytes())
    return Record(values, path) if isinstance(values, dict) else values


def insert_seal(path: str | os.PathLike, magic: bytes, body: int | None = None) -> None:
    """Write a seal before the footer of a file that ends with the footer, its length and ``magic``.

    Args:
        path: The file.
        magic: Its last bytes.
        body: Checksum of what stands before; None: computed from these bytes.
    """
    with Path(path).open("r+b") as file:
        start, tail = _tail(file, magic)
        if body is None:
            body = _crc32_of(file, start)
        file.seek(start)
        file.write(_SEAL.pack(_MARK, body, zlib.crc32(tail)) + tail)


def read_footer(path: str | os.PathLike, magic: bytes) -> tuple[bytes, int | None]:
    """The bytes from the footer to the end of a file, checked, and the checksum of what stands before them (None without a seal).

    Raises:
        InputError: The footer does not fit its checksum.
        ValueError: The file has none.
    """
    with Path(path).open("rb") as file:
        start, tail = _tail(file, magic)
        file.seek(max(start - _SEAL.size, 0))
        seal = file.read(_SEAL.size)
    if len(seal) < _SEAL.size or not seal.startswith(_MARK):
        return tail, None
    _, body, footer = _SEAL.unpack(seal)
    if zlib.crc32(tail) != footer:
        raise damaged(path, "its footer does not fit its checksum")
    return tail, body


def check_body(path: str | os.PathLike, file: BinaryIO, tail: bytes, stated: int | None) -> None:
    """`InputError` if what stands before the seal is not what was sealed. The file is read once, in blocks.

    Args:
        path: The file, for the message.
        file: The same, open.
        tail: The first result of `read_footer`.
        stated: The second.
    """
    if stated is None:
        return
    if _crc32_of(file, file.seek(0, os.SEEK_END) - len(tail) - _SEAL.size) != stated:
        raise damaged(path, "its content does not fit its checksum")


def _beside(path: str | os.PathLike) -> Path:
    path = Path(path)
    return path.parent / "crc32" / path.name


def _crc32_of_file(path: str | os.PathLike) -> int:
    with Path(path).open("rb") as file:
        return _crc32_of(file, None)


def _crc32_of(file: BinaryIO, count: int | None) -> int:
    """CRC-32 of the first ``count`` bytes of a file, or of all."""
    file.seek(0)
    digest, left = 0, count
    while block := file.read(_AT_ONCE if left is None else min(_AT_ONCE, left)):
        digest = zlib.crc32(block, digest)
        left = None if left is None else left - len(block)
    return digest


def _tail(file: BinaryIO, magic: bytes) -> tuple[int, bytes]:
    """Position of the footer, and the bytes from there to the end."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - _LENGTH.size - len(magic), 0))
    last = file.read()
    if len(last) < _LENGTH.size + len(magic) or not last.endswith(magic):
        raise ValueError("the end of the file is missing")
    start = end - len(last) - _LENGTH.unpack_from(last)[0]
    if not 0 <= start < end - len(last):
        raise ValueError("the footer is missing")
    file.seek(start)
    return start, file.read()
