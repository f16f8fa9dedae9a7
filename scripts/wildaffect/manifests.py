"""Lists of files, which stand between thousands of per-trial files and the jobs that read them.

Without them the workflow would keep an edge from every trial to every training and prediction of every fold.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from wildaffect.errors import InputError
from wildaffect.files import atomic


def write_list(paths: Iterable[str], output: Path) -> None:
    """Write ``paths`` with size and time of each file, so that the list changes whenever one of them was made anew."""
    entries = []
    for path in paths:
        status = Path(path).stat()
        entries.append({"path": str(path), "bytes": status.st_size, "modified_ns": status.st_mtime_ns})
    with atomic(output) as partial:
        partial.write_text(json.dumps(entries, indent=0) + "\n")


def read_lists(lists: Iterable[str]) -> list[str]:
    """All paths in ``lists``, each once."""
    return list(dict.fromkeys(entry["path"] for path in lists for entry in _entries(path)))


def _entries(path: str) -> list[dict]:
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise InputError(f"{path}: not a readable list of files ({error}). Delete it and run again.") from error
