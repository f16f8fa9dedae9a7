"""Reading predictions and labels from the files that people have."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wildaffect.errors import InputError
from wildaffect.scoring import score
from wildaffect.scoring.editions import get_task
from wildaffect.scoring.read import read_list, read_rows, split_location

VA = get_task("abaw2", "va")


def test_annotation_folder(tmp_path):
    (tmp_path / "24.txt").write_text("valence,arousal\n0.5,-0.25\n-5,-5\n")
    (tmp_path / "a_left.txt").write_text("arousal,valence\r\n0.1,0.2\r\n")
    table = read_rows(tmp_path, VA)
    assert table["trial"].to_pylist() == ["24", "24", "a_left"]
    assert table["frame"].to_pylist() == [0, 1, 0]
    assert table["valence"].to_pylist() == [0.5, None, 0.2]
    assert table["arousal"].to_pylist() == [-0.25, None, 0.1]


def test_expression_and_unit_folders(tmp_path):
    expr, au = tmp_path / "expr", tmp_path / "au"
    expr.mkdir(), au.mkdir()
    (expr / "v.txt").write_text("Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise\n3\n-1\n")
    assert read_rows(expr, get_task("abaw2", "expr"))["expression"].to_pylist() == [3, None]
    with pytest.raises(InputError, match="Check the edition"):
        read_rows(expr, get_task("abaw3", "expr"))
    names = get_task("abaw2", "au").columns
    (au / "v.txt").write_text(",".join(reversed(names)) + "\n" + "1,0,-1" + ",0" * 9 + "\n")
    table = read_rows(au, get_task("abaw2", "au"))
    assert [table[name][0].as_py() for name in ("AU26", "AU25", "AU24", "AU1")] == [1, 0, None, 0]
    with pytest.raises(InputError, match="the header has no AU20, needed in edition abaw1"):
        read_rows(au, get_task("abaw1", "au"))


def test_tables(tmp_path):
    table = pa.table({"trial": ["24", "24"], "frame": [0, 1], "valence": [0.5, 0.1], "arousal": [0.1, 0.3]})
    pq.write_table(table, tmp_path / "t.parquet")
    pa.csv.write_csv(table, tmp_path / "t.csv")
    assert read_rows(tmp_path / "t.parquet", VA).equals(table)
    assert read_rows(tmp_path / "t.csv", VA)["trial"].to_pylist() == ["24", "24"]
    assert score(read_rows(tmp_path / "t.csv", VA), table, "abaw2")["value"][0].as_py() == 1.0


def test_multi_task_list_with_masks(tmp_path):
    file, task = tmp_path / "MTL.txt", get_task("abaw4", "mtl")
    rows = [
        "v/00001.jpg,0.5,-0.5,3" + ",1" * 12,
        "v/00008.jpg,-5,-5,-1" + ",-1" * 12,
        "w/00017.jpg,0.1,0.2,7,-1" + ",0" * 11,
    ]
    file.write_text("image,valence,arousal,expression,aus\n" + "\n".join(rows) + "\n")
    table = read_list(file, task)
    assert table["frame"].to_pylist() == [0, 7, 16]
    result = {row["metric"]: row for row in score(table, table, "abaw4").to_pylist()}
    assert (result["ccc_valence"]["frames"], result["expr_f1"]["frames"], result["au_f1"]["frames"]) == (2, 2, 2)
    assert result["au_f1_AU1"]["note"] == "active in 1 of 1 valid frames"
    assert result["expr_f1"]["value"] == pytest.approx(2 / 8)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.parquet", b"PAR1", r"p\.parquet: not a readable Parquet table"),
        ("p.csv", b"trial,frame\n1", "not a readable CSV table|missing"),
        ("p.xlsx", b"", r"expected a folder, \.parquet, \.csv or \.txt"),
        ("p.txt", b"\xff\xfe", "cannot be read as text"),
        ("p.txt", b"", "expected the header"),
        ("p.txt", b"image_location,valence,arousal\na/00001.jpg,1\n", "line 2: expected a path and 2 numbers"),
        ("p.txt", b"image_location,valence,arousal\na/00001.jpg,1,x\n", "line 2: expected a path and 2 numbers"),
        ("p.txt", b"image_location,valence,arousal\n00001.jpg,1,0\n", "line 2: expected '<trial>/<number"),
    ],
)
def test_refusals(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        score(read_rows(file, get_task("abaw5", "va")), pa.table({"trial": ["a"], "frame": [0]}), "abaw5", "va")


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "none", VA)
    with pytest.raises(InputError, match=r"no \.txt files"):
        read_rows(tmp_path, VA)
    (tmp_path / "a.txt").write_text("x\n")
    with pytest.raises(InputError, match="has no per-trial files"):
        read_rows(tmp_path, get_task("abaw7", "compound"))
    with pytest.raises(InputError, match="give a folder of per-trial files"):
        read_rows(tmp_path / "a.txt", VA)


@pytest.mark.parametrize(
    "location", ["a", "a/b/00001.jpg", "a/00000.jpg", "a/-0001.jpg", "a/x.jpg", "", "/00001.jpg/", "a/99999999999.jpg"]
)
def test_bad_locations(location):
    with pytest.raises(InputError, match="line 7: expected"):
        split_location(location, "line 7")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80), st.sampled_from([b"", b"image_location,valence,arousal\n", b"valence,arousal\n"]))
def test_any_bytes_are_read_or_refused(tmp_path, content, header):
    file = tmp_path / "p.txt"
    file.write_bytes(header + content)
    for path, task in ((file, get_task("abaw5", "va")), (tmp_path, VA)):
        try:
            assert np.isin(["trial", "frame"], read_rows(path, task).column_names).all()
        except InputError as error:
            assert "p.txt" in str(error)
