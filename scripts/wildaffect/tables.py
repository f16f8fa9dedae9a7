"""Parquet tables with a declared schema and JSON metadata.

Every table of the pipeline is written and read here, so that a missing, renamed or differently typed column is found where the file is
opened and not three stages later.
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
    """Write a table atomically.

    Args:
        path: Parquet file to write.
        table: The table; it is cast to `schema`.
        schema: Columns by name, type and order.
        metadata: JSON values that `read_metadata` returns.

    Raises:
        ValueError: The table has other columns.
        pyarrow.ArrowInvalid: Values do not fit their column.
    """
    encoded = {METADATA_KEY: json.dumps(metadata or {}, sort_keys=True).encode()}
    # Dictionary encoding of numbers saves nothing after compression and needs memory that grows with the table.
    text_columns = [field.name for field in schema if pa.types.is_string(field.type)]
    with atomic(path) as partial:
        cast = table.cast(schema).replace_schema_metadata(encoded)
        pq.write_table(cast, partial, compression="zstd", use_dictionary=text_columns)


def read_table(path: str | os.PathLike, schema: pa.Schema) -> pa.Table:
    """Read the columns of a schema.

    Raises:
        InputError: The file is not a readable table, or a column is missing or of another type.
    """
    try:
        stored = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: not a readable Parquet table ({error}). Delete it and run again.") from error
    for field in schema:
        index = stored.get_field_index(field.name)
        if index < 0 or stored.field(index).type != field.type:
            problem = "is missing" if index < 0 else f"has type {stored.field(index).type}"
            raise InputError(
                f"{path}: column {field.name!r} {problem}, expected {field.type}. Delete the file and run again."
            )
    return pq.read_table(path, columns=schema.names)


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """The JSON metadata that `write_table` stored in a table; empty without any."""
    return json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))
