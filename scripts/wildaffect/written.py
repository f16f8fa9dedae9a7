"""Folders that a command writes, each with a record beside it, by which later commands know that nothing in it is anybody else's."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wildaffect.errors import InputError
from wildaffect.files import atomic, in_words, sha256

SEAL = "record_sha256"
"""Key of a record: SHA-256 of the record without it."""


def record_of(folder: Path) -> Path:
    """The record of a folder: ``<folder>.json`` beside it."""
    return folder.with_name(f"{folder.name}.json")


def write_folder(folder: Path, texts: Mapping[str, str], about: Mapping[str, Any], *, overwrite: bool = False) -> dict:
    """Write a folder of text files and its record, all or nothing.

    An existing folder is replaced if it is empty or is what its record says, else only with ``overwrite``, and only if it holds nothing but
    ``.txt`` files.

    Args:
        folder: Folder to write; it holds these files and no others.
        texts: Content of each file by its path in the folder.
        about: What the record says besides the SHA-256 of each file, `files`, and its own.
        overwrite: Whether files that are not known as results of a command may be replaced.

    Returns:
        The content of the record.

    Raises:
        InputError: The folder or the record is there and may not be replaced, or cannot be written.
    """
    folder = Path(folder) if Path(folder).name not in ("", "..") else Path(folder).resolve()
    if not folder.name:
        raise InputError(f"{folder}: is the root of all folders; choose another one.")
    check_replaceable(folder, overwrite=overwrite)
    partial, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("partial", "replaced"))
    try:
        partial.mkdir(parents=True)
        for name, text in texts.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        content = _sealed({**about, "files": {name: sha256(partial / name) for name in sorted(texts)}})
        with atomic(record_of(folder)) as partial_record:
            partial_record.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            if folder.exists():
                folder.replace(old)
            partial.replace(folder)
        return content
    except OSError as error:
        raise InputError(f"{folder}: {in_words(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def check_replaceable(folder: Path, *, overwrite: bool = False) -> None:
    """Check that nothing is lost if a folder and its record are replaced, see `write_folder`.

    Raises:
        InputError: Something would be lost.
    """
    record = record_of(folder)
    found = _content(folder)
    if found is None:
        raise InputError(
            f"{folder}: exists and is not a submission folder (only .txt files, no links); choose another folder."
        )
    if overwrite:
        return
    known = _recorded(record)
    foreign = sorted(name for name, digest in found.items() if (known or {}).get(name) != digest)
    advice = "Choose another folder, or give --overwrite to replace it."
    if os.path.lexists(record) and known is None:
        raise InputError(f"{record}: exists, and was changed or not written by this command. {advice}")
    if foreign:
        raise InputError(
            f"{folder}: exists, and {len(foreign)} of its files were changed or not written by this command, first {foreign[0]}. {advice}"
        )


def _content(folder: Path) -> dict[str, str] | None:
    """SHA-256 of each file in a folder by its path there; none if there is no folder, None if it holds anything else than text files."""
    if not os.path.lexists(folder):
        return {}
    if folder.is_symlink() or not folder.is_dir():
        return None
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or (path.is_file() and path.suffix == ".txt")):
            return None
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = sha256(path)
    return found


def _recorded(record: Path) -> dict[str, str] | None:
    """SHA-256 by file, as recorded; None where there is no record, or not the one that was written."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        return dict(content["files"]) if content == _sealed(content) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its own SHA-256 as the last entry."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    return {**rest, SEAL: hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}
