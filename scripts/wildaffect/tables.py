"""Parquet tables with a declared schema, JSON metadata and a checksum.

Every table of the pipeline is written and read here, so that a missing, renamed or differently typed column, or a damaged file, is found
where the file is opened and not three stages later.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.integrity import Record, check_body, damaged, foreign, insert_seal, intact, read_footer

METADATA_KEY = b"wildaffect"
_MAGIC = b"PAR1"
_SEALED = b"wildaffect.sealed"
_EXPECTED = "a readable Parquet table"
_BLOCK = 1 << 20


ROWS_AT_ONCE = 1 << 12


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
    write_parts(path, [table], schema, metadata)


def write_parts(
    path: str | os.PathLike, parts: Iterable[pa.Table], schema: pa.Schema, metadata: dict[str, Any] | None = None
) -> None:
    """Write the rows of several tables as one table, as `write_table` does, with one of them in memory at a time."""
    encoded = {METADATA_KEY: json.dumps(metadata or {}, sort_keys=True).encode(), _SEALED: b"crc32"}
    # Dictionary encoding of numbers saves nothing after compression and needs memory that grows with the table.
    text_columns = [field.name for field in schema if pa.types.is_string(field.type)]
    with atomic(path) as partial:
        stored = schema.with_metadata(encoded)
        with pq.ParquetWriter(partial, stored, compression="zstd", use_dictionary=text_columns) as writer:
            for part in parts:
                # In chunks: while a chunk of lists is written it is in memory four times more.
                writer.write_table(pa.Table.from_batches(part.cast(schema).to_batches(ROWS_AT_ONCE), stored))
                del part  # before the next one is made
        insert_seal(partial, _MAGIC)


def read_table(path: str | os.PathLike, schema: pa.Schema) -> pa.Table:
    """Read the columns of a schema.

    Raises:
        InputError: The file is damaged or not a readable table, or a column is missing or of another type.
    """
    batches = read_batches(path, schema)
    return pa.Table.from_batches(batches, next(batches).schema).select(schema.names)


def read_batches(path: str | os.PathLike, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Read the columns of a schema, in the order of the file, in parts: first an empty one, then up to `ROWS_AT_ONCE` rows each.

    No more than a part is in memory. Raises as `read_table`.
    """
    with intact(path, _EXPECTED), _checked(path) as file:
        stored = file.schema_arrow
        for field in schema:
            index = stored.get_field_index(field.name)
            if index < 0 or stored.field(index).type != field.type:
                problem = "is missing" if index < 0 else f"has type {stored.field(index).type}"
                raise InputError(
                    f"{path}: column {field.name!r} {problem}, expected {field.type}. Delete the file and run again."
                )
        wanted = pa.schema([field for field in stored if field.name in schema.names], stored.metadata)
        yield pa.RecordBatch.from_pylist([], wanted)
        yield from file.iter_batches(ROWS_AT_ONCE, columns=wanted.names, use_threads=False)


def read_all(path: str | os.PathLike) -> pa.Table:
    """Read all columns of a table of any origin; `InputError` if it is damaged, not a readable table, or names a column twice."""
    with foreign(path, _EXPECTED), _checked(path) as file:
        names = file.schema_arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{path}: has more than one column {twice[0]!r}. Keep one of each name.")
        # `pq.read_table` leaves threads that may still hold the buffer when the process ends, and abort it then.
        return file.read(use_threads=False)


def read_schema(path: str | os.PathLike) -> pa.Schema:
    """Columns of a table without its rows; `InputError` as for `read_table`."""
    with intact(path, _EXPECTED):
        return pq.read_schema(pa.BufferReader(_footer(path)))


def count_rows(path: str | os.PathLike) -> int:
    """Number of rows of a table, from its footer; `InputError` as for `read_table`."""
    with intact(path, _EXPECTED):
        return pq.read_metadata(pa.BufferReader(_footer(path))).num_rows


def read_metadata(path: str | os.PathLike) -> Record:
    """The JSON metadata that `write_table` stored in a table; empty without any. A key that is asked for and missing is an `InputError`."""
    return metadata_of(read_schema(path), path)


def metadata_of(schema: pa.Schema, path: str | os.PathLike) -> Record:
    """The same from the schema of a table that `read_table` read from ``path``."""
    with intact(path, _EXPECTED):
        return Record(json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}")), path)


def _footer(path: str | os.PathLike) -> bytes:
    """The footer as a Parquet file of its own, checked."""
    return _MAGIC + read_footer(path, _MAGIC)[0]


def _had_seal(tail: bytes, start: int) -> bool:
    """Whether there is something between the last column and the footer, which begins at byte ``start``, of a table that was sealed.

    Another program that writes the table anew keeps the mark in its metadata, but leaves no room.
    """
    metadata = pq.read_metadata(pa.BufferReader(_MAGIC + tail))
    if _SEALED not in (metadata.metadata or {}):
        return False
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    columns = (group.column(index) for group in groups for index in range(group.num_columns))
    ends = (
        (column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset)
        + column.total_compressed_size
        for column in columns
    )
    return max(ends, default=len(_MAGIC)) < start


@contextmanager
def _checked(path: str | os.PathLike) -> Iterator[pq.ParquetFile]:
    """A table, checked, to be read in blocks."""
    tail, stated = read_footer(path, _MAGIC)
    with pa.OSFile(os.fspath(path)) as file:
        if stated is None and _had_seal(tail, file.size() - len(tail)):
            raise damaged(path, "its checksum is missing")
        check_body(path, file, tail, stated)
        yield pq.ParquetFile(file, buffer_size=_BLOCK, pre_buffer=False)
