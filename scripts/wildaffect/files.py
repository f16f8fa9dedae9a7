"""Atomic files, checksums, and JSON files beside other files."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wildaffect.errors import InputError

LONGEST_NAME = 255
"""Bytes of a file's name that file systems allow."""


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path` that is renamed to `path` when the block succeeds.

    The temporary name keeps the suffix, by which writers choose formats. On any exception the file is removed and an existing `path` is
    unchanged, so that no reader ever opens a half-written file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    if len(os.fsencode(partial.name)) > LONGEST_NAME >= len(os.fsencode(path.name)):
        short = hashlib.sha256(os.fsencode(path.stem)).hexdigest()[:32]
        partial = path.with_name(f".{short}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def json_beside(path: str | os.PathLike, name: str) -> Any:
    """Content of the JSON file `name` in the folder of `path`; None where there is none.

    Raises:
        InputError: The file is damaged.
    """
    beside = Path(path).with_name(name)
    try:
        return json.loads(beside.read_text()) if beside.exists() else None
    except ValueError as error:
        raise InputError(f"{beside}: not readable JSON ({error}). Train this instance again.") from error


def read_yaml(path: str | os.PathLike) -> Any:
    """Content of a YAML file that is part of the project, parsed in C where PyYAML has it."""
    import yaml  # most who need this module do not

    return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
