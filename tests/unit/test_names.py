"""Hostile names and cells: none becomes a path outside, a second line, a second field or a formula."""

import csv
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wildaffect.cli import main
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.table import new_table
from wildaffect.corpus.trials import TRIALS, Finding, Trial, trials_table
from wildaffect.errors import InputError
from wildaffect.names import check_name
from wildaffect.report.audit import verify_corpus, write_audit
from wildaffect.submission.export import export_csv
from wildaffect.submission.writer import write
from wildaffect.tables import write_table
from wildaffect.textfiles import plain_cell, safe_cell

TRACK = ["--task", "va", "--edition", "abaw1"]
LIST = ["--task", "va", "--edition", "abaw5"]

HOSTILE = {
    "parent": "../x",
    "up": "..",
    "here": ".",
    "absolute": "/x",
    "inside": "a/b",
    "backslash": "..\\x",
    "line": "a\nb",
    "return": "a\rb",
    "comma": "a,b",
    "null": "a\0b",
    "bell": "a\x07b",
    "delete": "a\x7f",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "surrogate": "a\ud800",
    "long": "é" * 126,
    "empty": "",
}
VALID = ["24-30-1920x1080_left", "video10_1", "a b", "=cmd", "-1", "...", ".a", "été", "映画", "é" * 125, "a" * 251]
# What a table of Arrow cannot hold or a reader takes for none.
IN_TABLES = {kind: name for kind, name in HOSTILE.items() if kind != "surrogate"}


@pytest.mark.parametrize("name", VALID)
def test_names_of_files_are_names_of_trials(tmp_path, name):
    assert check_name(name, "here") == name
    table = pa.table({"trial": [name], "frame": [0], "valence": [0.5], "arousal": [0.5]})
    write(table, tmp_path / "out", "abaw1", "va")
    assert [path.stem for path in (tmp_path / "out").iterdir()] == [name]


@pytest.mark.parametrize("kind", HOSTILE)
def test_other_names_are_refused(kind):
    with pytest.raises(InputError, match=r"^here: .* is no name of a trial: .* Rename it\.$"):
        check_name(HOSTILE[kind], "here")


@given(st.text(max_size=300))
@example("..")
def test_a_name_that_passes_is_one_path_component_one_line_and_one_field(tmp_path_factory, name):
    try:
        check_name(name, "here")
    except InputError:
        return
    folder = tmp_path_factory.getbasetemp() / "n"
    folder.mkdir(exist_ok=True)
    assert (folder / f"{name}.txt").resolve().parent == folder.resolve()
    (folder / f"{name}.txt").write_text("x")
    assert [path.stem for path in folder.iterdir()] == [name]
    (folder / f"{name}.txt").unlink()
    assert f"{name},1".splitlines() == [f"{name},1"] and f"{name},1".partition(",")[0] == name
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The command line in an empty folder of a folder; what it leaves outside is seen."""
    folder = tmp_path / "work" / "here"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)

    def call(*arguments):
        before = sorted(tmp_path.rglob("*"))
        status = main(list(arguments))
        assert status == 2, arguments
        assert sorted(tmp_path.rglob("*")) == before, "something was written"
        return capsys.readouterr().err

    return call


def table_of(name):
    return pa.table({"trial": [name], "frame": [0], "valence": [0.5], "arousal": [0.5]})


@pytest.mark.parametrize("kind", IN_TABLES)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("command", ["submit", "score", "labels", "label-files", "compare"])
def test_tables_with_such_names_are_refused(run, kind, suffix, command):
    if suffix == "csv":
        with open("p.csv", "w", newline="", encoding="utf-8") as handle:  # noqa: PTH123 - of the csv module
            csv.writer(handle).writerows([["trial", "frame", "valence", "arousal"], [IN_TABLES[kind], 0, 0.5, 0.5]])
    else:
        pq.write_table(table_of(IN_TABLES[kind]), "p.parquet")
    pq.write_table(table_of("a"), "good.parquet")
    pq.write_table(trials_table([Trial("a", "a", "a.mp4", partition_va="test")]), "trials.parquet")
    path = f"p.{suffix}"
    arguments = {
        "submit": ["submit", path, "out", *TRACK],
        "score": ["score", path, "good.parquet", *TRACK],
        "labels": ["score", "good.parquet", path, *TRACK],
        "compare": ["compare", "good.parquet", path, "good.parquet", *TRACK],
        "label-files": ["label-files", path, "trials.parquet", "out"],
    }[command]
    message = run(*arguments)
    if suffix == "csv" and command != "label-files" and kind not in ("line", "return", "null", "empty"):
        assert "is no name of a trial" in message


@pytest.mark.parametrize("kind", [kind for kind in IN_TABLES if kind not in ("comma", "empty", "line", "return")])
@pytest.mark.parametrize("option", ["--frames", "--sample"])
@pytest.mark.parametrize("track", [TRACK, LIST])
def test_lists_of_trials_with_such_names_are_refused(run, kind, option, track):
    pq.write_table(table_of("a"), "p.parquet")
    name = IN_TABLES[kind]
    rows = f"image_location,valence,arousal\n{name}/00001.jpg,\n"
    if option == "--frames" or track == TRACK:
        rows = f"a,1\n{name},1\n"
    with open("list.txt", "w", encoding="utf-8", newline="") as handle:  # noqa: PTH123 - keeps every line end
        handle.write(rows)
    run("submit", "p.parquet", "out", *track, option, "list.txt", "--allow-partial")


def test_a_trial_of_endless_length_is_refused(run):
    pq.write_table(table_of("a"), "p.parquet")
    with open("list.txt", "w") as handle:  # noqa: PTH123
        handle.write(f"a,{10**20}\n")
    assert "at most 10000000 are possible" in run("submit", "p.parquet", "out", *TRACK, "--frames", "list.txt")
    pq.write_table(table_of("a").set_column(1, "frame", pa.array([2**32 - 1])), "p.parquet")
    assert "at most 10000000 are possible" in run("submit", "p.parquet", "out", *TRACK)


def test_bytes_that_are_no_text(run):
    names = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"a\xff")]
    )
    pq.write_table(table_of("a").set_column(0, "trial", names), "p.parquet")
    run("submit", "p.parquet", "out", *TRACK)


@pytest.mark.parametrize("kind", [kind for kind in IN_TABLES if kind not in ("null",)])
def test_exports_are_refused_too(tmp_path, kind):
    table = (
        table_of(IN_TABLES[kind]).append_column("time_s", pa.array([0.0])).append_column("source", pa.array(["model"]))
    )
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(InputError, match="is no name of a trial"):
        export_csv(tmp_path / "work" / "out", [{"target": "va", "path": tmp_path / "p.parquet"}])
    assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]


@pytest.mark.parametrize("media", ["x/..", "a,b.mp4", "a\nb.mp4"])
def test_label_files_with_names_of_media(run, media):
    pq.write_table(table_of("a"), "p.parquet")
    pq.write_table(trials_table([Trial("a", "a", media, partition_va="validation")]), "trials.parquet")
    assert "is no name of a trial" in run("label-files", "p.parquet", "trials.parquet", "out", "--names", "original")


@pytest.mark.parametrize("name", ["a,b.mp4", "a\\b.mp4", "a\nb.mp4", f"{'é' * 124}a\x7f.mp4"])
def test_videos_with_such_names_are_called_otherwise(tmp_path, name):
    """From the scan on, not after hours."""
    (tmp_path / name).write_bytes(b"x")
    (trial,) = scan_corpus("folder", tmp_path, None, "abaw2").trials
    assert check_name(trial.trial, "here") == trial.video != name.removesuffix(".mp4") and trial.media == name


@pytest.mark.parametrize("name", ["a\\b", "..", "a\x07", "é" * 126, '"a,b"', '"a\nb"'])
def test_trials_with_such_names_in_the_table_of_a_corpus_are_refused(tmp_path, name):
    (tmp_path / "v.mp4").write_bytes(b"x")
    (tmp_path / "trials.csv").write_text(f"trial,media\n{name},v.mp4\n")
    with pytest.raises(InputError, match="is no name of a trial"):
        scan_corpus("table", tmp_path, None, "abaw2")


# Cells.

FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "＝1", "-1-1", "+", "-inf"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_become_texts(text):
    assert safe_cell(text) == f"'{text}" and plain_cell(f"'{text}") == text


@pytest.mark.parametrize("value", ["-1", "+0.5", "-1.5e-3", ".5", "a=b", "", "24", -1.5, 3, None, float("-inf")])
def test_numbers_and_other_texts_stay(value):
    assert safe_cell(value) is value


@given(st.text())
def test_every_cell_is_safe_and_comes_back(text):
    cell = safe_cell(text)
    assert plain_cell(cell) == text
    assert cell[:1] not in (*"=@\t\r\n＝＋－＠", "+", "-") or (cell == text and float(text) == float(text))


def test_the_audit_runs_no_formula_and_names_findings_as_they_are(tmp_path):
    finding = Finding("=cmd|' /C calc'!A0", "-v", "error", "missing_media", "@x", "'left out")
    write_table(tmp_path / "trials.parquet", trials_table([]), TRIALS, {"findings": [finding.__dict__], "corpus": {}})
    write_audit(tmp_path / "audit.csv", trials=tmp_path / "trials.parquet", frames={}, audio={}, persons={}, labels={})
    with (tmp_path / "audit.csv").open(newline="", encoding="utf-8") as handle:
        (row,) = list(csv.reader(handle))[1:]
    assert row == ["'=cmd|' /C calc'!A0", "'-v", "error", "missing_media", "'@x", "''left out"]
    with pytest.raises(InputError, match=r"  =cmd\|' /C calc'!A0: missing_media: @x \('left out\)"):
        verify_corpus(tmp_path / "audit.csv", tmp_path / "ok.txt", ())


def test_exported_cells_run_no_formula_and_numbers_stay_numbers(tmp_path):
    table = table_of("a").set_column(2, "valence", pa.array([-0.5]))
    table = table.append_column("time_s", pa.array([0.0])).append_column("source", pa.array(["=1+1"]))
    pq.write_table(table, tmp_path / "p.parquet")
    export_csv(tmp_path / "out", [{"target": "va", "path": tmp_path / "p.parquet"}])
    assert (tmp_path / "out" / "a.csv").read_text().splitlines()[1] == '0,0,-0.5,0.5,"\'=1+1"'


def test_a_new_table_of_a_corpus_runs_no_formula_and_finds_its_videos(tmp_path):
    (tmp_path / "=cmd.mp4").write_bytes(b"x")
    assert "'=cmd,'=cmd.mp4," in new_table(tmp_path).read_text()
    (trial,) = scan_corpus("table", tmp_path, None, "abaw2").trials
    assert (trial.trial, trial.media) == ("=cmd", "=cmd.mp4")
