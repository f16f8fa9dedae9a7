"""The head of a SafeTensors file: what is in it, without reading it or importing torch."""

import json
import os
from pathlib import Path
from typing import Any

from wildaffect.errors import InputError

SUFFIX = ".safetensors"
MOST_BYTES = 100_000_000
"""Largest head that the format allows."""


def read_header(path: str | os.PathLike) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Shapes by key, and what this project wrote about the weights (empty in other files).

    Raises:
        InputError: The file is absent, none of this format, or not complete.
    """
    path = Path(path)
    try:
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            total = os.fstat(handle.fileno()).st_size
            head = handle.read(length) if length <= min(MOST_BYTES, total - 8) else b""
        entries = json.loads(head)
        about = entries.pop("__metadata__", {}).get("wildaffect", "{}")
        shapes = {key: tuple(map(int, entry["shape"])) for key, entry in entries.items()}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        known = json.loads(about)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check the path and who may read it.") from error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{path}: no complete {SUFFIX} file. Copy it again, or train again.") from error
    if not shapes or 8 + length + end != total:
        raise InputError(
            f"{path}: {total} bytes, but its head announces {8 + length + end} bytes and {len(shapes)} tensors: no complete {SUFFIX} file. "
            "Copy it again, or train again."
        )
    return shapes, known if isinstance(known, dict) else {}
