"""Atomic files, what disks answer in words, checksums, JSON files beside other files, and YAML files."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from wildaffect.errors import InputError

FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
WORDS = {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.ENAMETOOLONG: "the name is too long",
}
FULL_ADVICE = "Free some space and run again; what is finished is kept."
LONGEST_NAME = 255
"""Bytes of a file's name that file systems allow."""


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path` that is renamed to `path` when the block succeeds.

    The temporary name keeps the suffix, by which writers choose formats. On any exception the file is removed and an existing `path` is
    unchanged, so that no reader ever opens a half-written file. Permissions follow the umask, whatever the writer sets.

    Raises:
        InputError: The disk is full, or the folder cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    if len(os.fsencode(partial.name)) > LONGEST_NAME >= len(os.fsencode(path.name)):
        short = hashlib.sha256(os.fsencode(path.stem)).hexdigest()[:32]
        partial = path.with_name(f".{short}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        mode = partial.stat().st_mode
        partial.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {in_words(error)}") from error
    try:
        yield partial
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.chmod(mode)
        partial.replace(path)
    except Exception as error:
        # Several libraries answer a full disk with errors that do not say so.
        if why := disk_full(error) or (not isinstance(error, InputError) and _no_space(path.parent)):
            raise InputError(f"{path}: cannot be written: {why}. {FULL_ADVICE}") from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def disk_full(error: BaseException | None) -> str:
    """That the disk is full or the quota used up, in words, if that made `error` or one that led to it; else an empty text."""
    while error is not None:
        for number, words in FULL.items():
            if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
                return words
        error = error.__cause__ or error.__context__
    return ""


def in_words(error: OSError) -> str:
    """What the file system answered, and what to do."""
    if why := disk_full(error):
        return f"{why}. {FULL_ADVICE}"
    why = WORDS.get(error.errno or 0) or error.strerror or str(error)
    where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
    return f"{why}{where}. Check the path, or choose another folder."


def _no_space(folder: Path) -> str:
    found = os.statvfs(folder)
    return FULL[errno.ENOSPC] if found.f_blocks and not found.f_bavail else ""


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def json_beside(path: str | os.PathLike, name: str) -> Any:
    """Content of the JSON file `name` in the folder of `path`; None where there is none.

    Raises:
        InputError: The file is damaged.
    """
    from wildaffect.integrity import read_json  # which needs this module

    beside = Path(path).with_name(name)
    return read_json(beside) if beside.exists() else None


def read_yaml(path: str | os.PathLike) -> Any:
    """Content of a YAML or JSON file of the project or of a plug-in, parsed in C where PyYAML has it.

    Raises:
        InputError: The file cannot be read, is no YAML, or holds what no configuration may hold either.
    """
    import yaml  # most who need this module do not

    from wildaffect.config import MAX_DEPTH, place, unreadable

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = Path(path).read_text(encoding="utf-8")
        # The parser in C follows any depth, to a crash of the process.
        events = yaml.parse(text, loader)
        steps = (
            isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            for event in events
        )
        if any(depth > MAX_DEPTH for depth in accumulate(steps)):
            raise InputError(f"{path}: is nested more than {MAX_DEPTH} levels deep. Make it flatter.")
        content = yaml.load(text, loader)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check the path and who may read it.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: not readable YAML ({error}). Correct the file.") from error
    if problems := unreadable(content):
        raise InputError("\n".join(f"{place(str(path), where)}: {what}" for where, what in problems))
    return content
