"""The validator: every kind of damage has its message, and no file makes it fail."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wildaffect.errors import InputError
from wildaffect.scoring.editions import get_task
from wildaffect.submission import validate, write

COUNTS = {"a": 4, "b_left": 3}
LIST = "predictions.txt"


def submission(folder, edition, task):
    rules = get_task(edition, task)
    columns = {"trial": ["a"] * 4 + ["b_left"] * 3, "frame": [0, 1, 2, 3, 0, 1, 2]}
    for part in rules.parts:
        for i, name in enumerate(part.columns):
            columns[name] = np.linspace(-1, 1, 7) if part.kind == "values" else (np.arange(7) + i) % 2
    write(pa.table(columns), folder, edition, task, overwrite=True)
    return folder


def check(path, edition="abaw2", task="va"):
    return validate(path, None, edition, task, frames=COUNTS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("valence,arousal\n", "arousal,valence\n", "line 1: header is 'arousal,valence', expected 'valence,arousal'"),
        ("valence,arousal\n", "", "line 1: header is"),
        ("-1.000000,", "1e-05,", "line 2: valence is '1e-05': written with an exponent"),
        ("-1.000000,", "nan,", "line 2: valence is 'nan', not a number"),
        ("-1.000000,", "-inf,", "line 2: valence is '-inf', not a number"),
        ("-1.000000,", ",", "line 2: valence is '', not a number"),
        ("-1.000000,", "1.000001,", "line 2: valence is '1.000001', outside [-1, 1]"),
        ("-1.000000,", "-5,", "line 2: valence is '-5', outside [-1, 1]"),
        ("-1.000000,", "0;5,", "line 2: valence is '0;5', not a plain decimal number"),
        ("-1.000000,", "-1.000000, ", "line 2: arousal is ' -1.000000', not a plain decimal number"),
        ("-1.000000,", "", "line 2: 1 values, expected 2"),
        ("-1.000000,", "0,0,", "line 2: 3 values, expected 2"),
        ("0.000000,0.000000\n", "", "3 rows, expected 4"),
        ("0.000000,0.000000\n", "0.000000,0.000000\n\n", "line 5: 0 values, expected 2"),
        ("\n", "\r\n", "has carriage returns"),
        ("valence,arousal\n", "\ufeffvalence,arousal\n", "starts with a byte-order mark"),
    ],
)
def test_damage_in_a_folder(tmp_path, old, new, message):
    folder = submission(tmp_path / "out", "abaw2", "va")
    assert check(folder) == []
    text = (folder / "a.txt").read_text().replace("-0.333333,-0.333333", "0.000000,0.000000", 1)
    text = text.replace("0.000000,0.000000\n", "", 1) + "0.000000,0.000000\n"
    (folder / "a.txt").write_text(text)
    assert check(folder) == []
    assert old in text
    (folder / "a.txt").write_bytes(text.replace(old, new, 1).encode())
    problems = check(folder)
    assert problems
    assert any(message in problem for problem in problems), problems
    assert all(problem.startswith("a.txt: ") for problem in problems)


def test_missing_and_foreign_files(tmp_path):
    folder = submission(tmp_path / "out", "abaw2", "va")
    (folder / "b_left.txt").rename(folder / "b.txt")
    assert check(folder) == ["b_left.txt: file is missing", "b.txt: is not a file of this submission"]
    (folder / "a.txt").write_text((folder / "a.txt").read_text().rstrip("\n"))
    assert "a.txt: the last line has no line end" in check(folder)
    (folder / "a.txt").write_bytes(b"valence,arousal\n\xff")
    assert "a.txt: byte 16 is not UTF-8" in check(folder)
    (folder / "a.txt").unlink()
    (folder / "a.txt").mkdir()
    assert any("a.txt: cannot be read" in problem for problem in check(folder))
    assert "does not exist" in check(tmp_path / "none")[0]
    assert "expected a folder" in check(folder / "b.txt")[0]


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("expr", ("a/00001.jpg,0", "a/00001.jpg,8"), "line 2: expression is '8', expected 0 to 7"),
        ("expr", ("a/00001.jpg,0", "a/00001.jpg,0.0"), "line 2: expression is '0.0', expected 0 to 7"),
        ("expr", ("a/00001.jpg,0", "a/00001.jpg,-1"), "line 2: expression is '-1', expected 0 to 7"),
        ("expr", ("a/00001.jpg,0", "a/00001.jpg,٣"), "line 2: expression is '٣', expected 0 to 7"),
        ("expr", ("a/00001.jpg,0", "a/00001.jpg"), "line 2: 0 values, expected 1"),
        ("expr", ("a/00001.jpg,0\n", ""), "1 images missing, first 'a/00001.jpg'"),
        ("expr", ("a/00001.jpg,0\n", ""), "6 rows, expected 7"),
        ("expr", ("a/00001.jpg,", "a/00009.jpg,"), "line 2: image 'a/00009.jpg' where the sample has 'a/00001.jpg'"),
        ("expr", ("a/00001.jpg,", "a/1.jpg,"), "1 images not in the sample, first 'a/1.jpg'"),
        ("expr", ("a/00002.jpg,", "a/00001.jpg,"), "1 rows repeat an image"),
        ("au", ("a/00001.jpg,0", "a/00001.jpg,2"), "line 2: AU1 is '2', expected 0 to 1"),
        ("va", ("a/00001.jpg,-1.000000", "a/00001.jpg,-1.1"), "line 2: valence is '-1.1', outside"),
        ("va", ("image_location", "image"), "line 1: header is 'image,valence,arousal'"),
    ],
)
def test_damage_in_a_list(tmp_path, task, change, message):
    folder = submission(tmp_path / "out", "abaw5", task)
    assert check(folder, "abaw5", task) == check(folder / LIST, "abaw5", task) == []
    text = (folder / LIST).read_text()
    assert change[0] in text
    (folder / LIST).write_text(text.replace(*change, 1))
    problems = check(folder, "abaw5", task)
    assert any(message in problem for problem in problems), problems


def test_swapped_rows_and_extra_files_in_a_list(tmp_path):
    folder = submission(tmp_path / "out", "abaw5", "va")
    header, first, second, *rest = (folder / LIST).read_text().splitlines(keepends=True)
    (folder / LIST).write_text("".join([header, second, first, *rest]))
    assert check(folder, "abaw5") == [f"{LIST}: line 2: image 'a/00002.jpg' where the sample has 'a/00001.jpg'"]
    (folder / "notes.txt").write_text("hello")
    assert "expected exactly one file, found 2" in check(folder, "abaw5")[0]


def test_mtl_rows_name_the_column(tmp_path):
    folder = submission(tmp_path / "out", "abaw7", "mtl")
    assert check(folder, "abaw7", "mtl") == []
    lines = (folder / LIST).read_text().splitlines()
    fields = lines[1].split(",")
    (folder / LIST).write_text("\n".join([lines[0], ",".join([*fields[:-1], "9"]), *lines[2:]]) + "\n")
    assert check(folder, "abaw7", "mtl") == [f"{LIST}: line 2: AU26 is '9', expected 0 to 1"]


def test_long_reports_are_cut(tmp_path):
    folder = tmp_path / "out"
    write(
        pa.table({"trial": ["a"] * 500, "frame": np.arange(500), "valence": np.zeros(500), "arousal": np.zeros(500)}),
        folder,
        "abaw2",
        "va",
    )
    (folder / "a.txt").write_text((folder / "a.txt").read_text().replace("0.000000,", "7,"))
    problems = validate(folder, None, "abaw2", "va", frames={"a": 500})
    assert len(problems) == 21 and problems[-1] == "a.txt: and 480 more"
    (folder / "a.txt").write_text("x" * 100_000)
    assert max(map(len, validate(folder, None, "abaw2", "va", frames={"a": 500}))) < 200


def test_the_sample_names_the_task(tmp_path):
    folder = submission(tmp_path / "out", "abaw5", "expr")
    sample = tmp_path / "sample.txt"
    sample.write_text("\n".join(line.rpartition(",")[0] + "," for line in (folder / LIST).read_text().splitlines()[1:]))
    header = (folder / LIST).read_text().splitlines()[0]
    sample.write_text(f"{header}\n{sample.read_text()}")
    assert validate(folder, sample, "abaw5") == []
    with pytest.raises(InputError, match="no task of edition abaw7 has this header"):
        validate(folder, sample, "abaw7")
    with pytest.raises(InputError, match="the task must be named"):
        validate(folder, None, "abaw5")
    with pytest.raises(InputError, match="neither a sample nor frame counts"):
        validate(folder, None, "abaw5", "expr")
    with pytest.raises(InputError, match="cannot be read as a text file"):
        validate(folder, tmp_path / "none", "abaw5", "expr")


def rewrite(folder, change):
    header, *rows = (folder / LIST).read_text().splitlines()
    (folder / LIST).write_text("".join(f"{line}\n" for line in change(header, rows)))
    return check(folder, "abaw5")


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (lambda head, rows: [head, *rows[:-1]], ["6 rows, expected 7", "1 images missing, first 'b_left/00003.jpg'"]),
        (
            lambda head, rows: [head, *rows[4:]],
            [
                "3 rows, expected 7",
                "trial 'a' is missing, 4 rows",
                "4 images missing, first 'a/00001.jpg'",
                "line 2: image 'b_left/00001.jpg' where the sample has 'a/00001.jpg'",
            ],
        ),
        (
            lambda head, rows: [head, *rows[:2], rows[3], rows[2], *rows[4:]],
            ["line 4: image 'a/00004.jpg' where the sample has 'a/00003.jpg'"],
        ),
        (
            lambda head, rows: ["image_location,arousal,valence", *rows],
            ["line 1: header is 'image_location,arousal,valence', expected 'image_location,valence,arousal'"],
        ),
        (lambda head, rows: [head, "a/00001.jpg,1.5,0", *rows[1:]], ["line 2: valence is '1.5', outside [-1, 1]"]),
        (lambda head, rows: [head, "a/00001.jpg,0,NaN", *rows[1:]], ["line 2: arousal is 'NaN', not a number"]),
        (
            lambda head, rows: [head, "a/00001.jpg,2e-1,0", *rows[1:]],
            ["line 2: valence is '2e-1': written with an exponent, use plain decimals"],
        ),
        (lambda head, rows: [head, "a/00001.jpg,0", *rows[1:]], ["line 2: 1 values, expected 2"]),
    ],
)
def test_messages_are_exact_and_nothing_more_is_said(tmp_path, change, messages):
    folder = submission(tmp_path / "out", "abaw5", "va")
    assert rewrite(folder, change) == [f"{LIST}: {message}" for message in messages]


def test_pipes_and_folders_without_permission_are_problems(tmp_path, monkeypatch):
    folder = submission(tmp_path / "out", "abaw2", "va")
    (folder / "a.txt").unlink()
    os.mkfifo(folder / "a.txt")
    assert check(folder) == ["a.txt: cannot be read (not a file)"]

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert check(folder) == [f"{folder}: cannot be read (Permission denied)"]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["a", "b_left", "c"]), st.integers(0, 9), st.text(max_size=12)), max_size=12))
def test_any_rows_are_judged(tmp_path, rows):
    folder = submission(tmp_path / "out", "abaw5", "va")
    text = "image_location,valence,arousal\n" + "".join(
        f"{trial}/{number:05d}.jpg,{rest}\n" for trial, number, rest in rows
    )
    (folder / LIST).write_text(text, encoding="utf-8", newline="")
    problems = check(folder, "abaw5")
    assert problems and all(problem.startswith(f"{LIST}: ") and len(problem) < 250 for problem in problems)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_file_makes_the_validator_fail(tmp_path, data):
    edition, task, name = data.draw(
        st.sampled_from([("abaw2", "va", "a.txt"), ("abaw5", "expr", LIST), ("abaw7", "mtl", LIST)])
    )
    folder = submission(tmp_path / f"{edition}{task}", edition, task)
    original = (folder / name).read_bytes()
    start = data.draw(st.integers(0, len(original)))
    stop = data.draw(st.integers(start, min(len(original), start + 40)))
    damaged = original[:start] + data.draw(st.binary(max_size=40)) + original[stop:]
    (folder / name).write_bytes(damaged)
    problems = check(folder, edition, task)
    assert all(isinstance(problem, str) and problem for problem in problems)
    if not problems:
        # Nothing found: then it must be readable row by row and differ in digits only.
        assert damaged.count(b"\n") == original.count(b"\n")
        assert damaged.split(b"\n")[0] == original.split(b"\n")[0]
    (folder / name).write_bytes(data.draw(st.binary(max_size=200)))
    assert check(folder, edition, task)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([("abaw2", "va"), ("abaw5", "expr"), ("abaw7", "mtl")]),
    st.one_of(
        st.binary(max_size=120),
        st.text(st.sampled_from("ab/,.0123456789\n\r jpgtxt"), max_size=120).map(str.encode),
    ),
    st.booleans(),
)
def test_any_sample_is_used_or_refused_with_its_name(tmp_path, track, content, with_header):
    folder = submission(tmp_path / "-".join(track), *track)
    header = get_task(*track).format.header.encode() + b"\n" if with_header else b""
    sample = tmp_path / "sample.txt"
    sample.write_bytes(header + content)
    try:
        problems = validate(folder, sample, *track)
    except InputError as error:
        assert "sample.txt" in str(error)
    else:
        assert problems, "no such sample describes this submission"
