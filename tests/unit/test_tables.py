"""Tables keep their schema and their metadata, and a reader is told what does not fit."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wildaffect import tables
from wildaffect.errors import InputError
from wildaffect.tables import read_batches, read_metadata, read_table, write_parts, write_table

SCHEMA = pa.schema([("trial", pa.string()), ("frame", pa.int32())])


def test_round_trip_with_metadata(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(
        path, pa.table({"trial": ["ä b"], "frame": pa.array([3], pa.int64())}), SCHEMA, {"n": 1, "deep": {"x": None}}
    )
    assert read_table(path, SCHEMA).to_pylist() == [{"trial": "ä b", "frame": 3}]
    assert read_metadata(path) == {"n": 1, "deep": {"x": None}}


def test_a_table_that_is_read_in_parts_is_whole(tmp_path, monkeypatch):
    """Columns in the order asked for, lists and nulls among them."""
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 2)
    schema = pa.schema(
        [("a", pa.int32()), ("b", pa.list_(pa.float32(), 2)), ("c", pa.list_(pa.float32())), ("d", pa.string())]
    )
    rows = [{"a": n, "b": [n, -n] if n % 2 else None, "c": [0.5] * n or None, "d": f"{n}"} for n in range(5)]
    path = tmp_path / "t.parquet"
    write_table(path, pa.Table.from_pylist(rows, schema), schema)
    assert read_table(path, schema).to_pylist() == rows
    some = read_table(path, pa.schema([schema.field("c"), schema.field("a")]))
    assert some.column_names == ["c", "a"] and some.to_pylist() == [{"c": row["c"], "a": row["a"]} for row in rows]
    write_table(path, schema.empty_table(), schema)
    assert read_table(path, schema).equals(schema.empty_table())


def test_parts_are_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 2)
    path, schema = tmp_path / "t.parquet", pa.schema([("a", pa.int32()), ("b", pa.list_(pa.float32(), 2))])
    rows = [{"a": n, "b": [n, -n] if n % 3 else None} for n in range(8)]
    write_parts(path, (pa.Table.from_pylist(some, schema) for some in (rows[:5], [], rows[5:])), schema, {"n": 1})
    assert read_table(path, schema).to_pylist() == rows and read_metadata(path) == {"n": 1}
    batches = list(read_batches(path, schema))
    assert max(map(len, batches)) == 2 and sum(map(len, batches)) == 8
    write_parts(path, [], schema)
    assert read_table(path, schema).num_rows == 0


def test_other_columns_are_not_written(tmp_path):
    with pytest.raises(ValueError):
        write_table(tmp_path / "t.parquet", pa.table({"trial": ["a"]}), SCHEMA)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"trial": ["a"]}), "'frame' is missing"),
        (pa.table({"trial": ["a"], "frame": [1.5]}), "'frame' has type double, expected int32"),
    ],
)
def test_a_reader_names_file_and_column(tmp_path, table, message):
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    with pytest.raises(InputError, match=message) as caught:
        read_table(path, SCHEMA)
    assert str(path) in str(caught.value)


def test_a_broken_file_is_an_input_error(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 half a file")
    with pytest.raises(InputError, match="not a readable Parquet table"):
        read_table(path, SCHEMA)
