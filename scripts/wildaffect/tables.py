"""Parquet tables with a declared schema and JSON metadata.

Every table of the pipeline is written and read here, so a column that is missing, renamed or of another type
is found where the file is opened and not three stages later.
"""

import json
import os
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wildaffect.errors import InputError
from wildaffect.files import atomic

METADATA_KEY = b"wildaffect"


def write_table(
    path: str | os.PathLike, table: pa.Table, schema: pa.Schema, metadata: dict[str, Any] | None = None
) -> None:
    """Write ``table`` to ``path`` atomically, cast to ``schema`` (same column names, same order).

    ``metadata`` is any JSON value; it comes back from :func:`read_metadata`.
    Raises ``ValueError`` for other columns and ``pa.ArrowInvalid`` for values that do not fit.
    """
    encoded = {METADATA_KEY: json.dumps(metadata or {}, sort_keys=True).encode()}
    # Dictionaries of numbers save nothing after compression and take memory that grows with the table.
    words = [field.name for field in schema if pa.types.is_string(field.type)]
    with atomic(path) as partial:
        cast = table.cast(schema).replace_schema_metadata(encoded)
        pq.write_table(cast, partial, compression="zstd", use_dictionary=words)


def read_table(path: str | os.PathLike, schema: pa.Schema) -> pa.Table:
    """Read the columns of ``schema`` from ``path``; :class:`InputError` if one is missing or of another type."""
    try:
        found = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: not a readable Parquet table ({error}). Delete it and run again.") from error
    for field in schema:
        index = found.get_field_index(field.name)
        if index < 0 or found.field(index).type != field.type:
            have = "is missing" if index < 0 else f"has type {found.field(index).type}"
            raise InputError(
                f"{path}: column {field.name!r} {have}, expected {field.type}. Delete the file and run again."
            )
    return pq.read_table(path, columns=schema.names)


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """The JSON metadata that :func:`write_table` stored in ``path``."""
    return json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))
