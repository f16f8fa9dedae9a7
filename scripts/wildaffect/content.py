"""The identity of files that a person gives: what is in them, not where they lie or how old they are.

The hash of a file is computed from all of its bytes. It is remembered together with size, times and inode of the file, so that it is read
again only if one of these changed. A copy, a moved folder or a new time stamp is then read once and found equal.
"""

import hashlib
import json
import logging
import os
import stat
import time
from pathlib import Path

from wildaffect.errors import InputError
from wildaffect.files import sha256

log = logging.getLogger(__name__)

RECORDS = ".snakemake"
"""Folder, in that of the results, of what is recorded about them."""
SETTLED_NS = 2_000_000_000
"""Age from which a status is trusted: within the resolution of its clock a file may change twice without a trace."""
MANY_BYTES = 1 << 30


def content_hash(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, or of the names below a folder and the bytes of the files that have them."""
    if not Path(path).is_dir():
        return sha256(path)
    digest = hashlib.sha256()
    for name, file in _files_below(path):
        digest.update(os.fsencode(name) + b"\0" + sha256(file).encode() + b"\n")
    return digest.hexdigest()


class Contents:
    """Hashes by path, each file read once; ``memory`` is the file that remembers them from one process to the next.

    The memory is a line per hash, added as soon as it is known, so that several processes may use it and a killed one loses nothing. What
    cannot be read in it is computed again, and where it cannot be written, nothing is remembered.
    """

    def __init__(self, memory: str | os.PathLike) -> None:
        self._memory = Path(memory)
        self._known: dict[str, str] = {}
        self._remembered: dict[str, tuple[list, str]] | None = None
        self._bytes = 0

    def hash(self, path: str | os.PathLike) -> str:
        """`content_hash` of ``path`` as it was when this object was first asked for it.

        Raises:
            InputError: ``path`` is absent or cannot be read.
        """
        key = str(Path(path).absolute())
        if key not in self._known:
            try:
                self._known[key] = self._find(key)
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be read ({error.strerror}). Check the path and who may read it."
                ) from error
        return self._known[key]

    def _find(self, key: str) -> str:
        status, size, changed = _status(key)
        if self._remembered is None:
            self._remembered = _recall(self._memory)
        before, digest = self._remembered.get(key, (None, ""))
        if before == status:
            return digest
        self._announce(size)
        digest = content_hash(key)
        if _status(key)[0] == status and time.time_ns() - changed > SETTLED_NS:
            _remember(self._memory, [key, status, digest])
        return digest

    def _announce(self, size: int) -> None:
        if self._bytes <= MANY_BYTES < self._bytes + size:
            log.warning(
                "Given files that are new or changed are read once, to know them by what is in them: more than %d GiB. "
                "Remembered in %s.", MANY_BYTES >> 30, self._memory,
            )  # fmt: skip
        self._bytes += size


def _files_below(folder: str | os.PathLike) -> list[tuple[str, Path]]:
    """Regular files below ``folder``, sorted: relative name and path."""

    def refuse(error: OSError) -> None:
        raise error

    walked = os.walk(os.fspath(folder), onerror=refuse, followlinks=True)
    paths = (Path(root) / name for root, _, names in walked for name in names)
    return sorted((path.relative_to(folder).as_posix(), path) for path in paths if path.is_file())


def _status(path: str | Path) -> tuple[list, int, int]:
    """What betrays a change of a file or of any file below a folder; with the size in bytes and the time of the last change in ns.

    The time of the last status change is part of it: unpacking and synchronising tools set the other time back. The number of the device
    is not: network file systems have another one on every machine.
    """
    found = Path(path).stat()
    if not stat.S_ISDIR(found.st_mode):
        times = found.st_mtime_ns, found.st_ctime_ns
        return [found.st_size, *times, found.st_ino], found.st_size, max(times)
    files = [(name, *_status(file)) for name, file in _files_below(path)]
    summary = hashlib.sha256(json.dumps([file[:2] for file in files]).encode()).hexdigest()
    return [summary], sum(file[2] for file in files), max((file[3] for file in files), default=0)


def _recall(memory: Path) -> dict[str, tuple[list, str]]:
    try:
        lines = memory.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        try:
            key, status, digest = json.loads(line)
            found[key] = (status, digest)
        except (ValueError, TypeError):
            continue  # torn by a crash: computed again
    return found


def _remember(memory: Path, entry: list) -> None:
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with memory.open("a") as handle:
            handle.write(json.dumps(entry) + "\n")
    except OSError:
        pass  # results of somebody else: computed again next time
