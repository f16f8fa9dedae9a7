"""Tables keep their schema and their metadata, and a reader is told what does not fit."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wildaffect.errors import InputError
from wildaffect.tables import read_metadata, read_table, write_table

SCHEMA = pa.schema([("trial", pa.string()), ("frame", pa.int32())])


def test_round_trip_with_metadata(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(
        path, pa.table({"trial": ["ä b"], "frame": pa.array([3], pa.int64())}), SCHEMA, {"n": 1, "deep": {"x": None}}
    )
    assert read_table(path, SCHEMA).to_pylist() == [{"trial": "ä b", "frame": 3}]
    assert read_metadata(path) == {"n": 1, "deep": {"x": None}}


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
