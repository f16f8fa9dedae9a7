"""The command line: exit statuses, messages, files."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wildaffect.cli import COMMANDS, main
from wildaffect.errors import InputError
from wildaffect.faces.options import PACKS, pack_files
from wildaffect.models import read_manifest


@pytest.fixture
def corpus(tmp_path):
    """An annotation folder with invalid rows, and predictions of every frame."""
    rng, rows = np.random.default_rng(0), []
    (tmp_path / "labels").mkdir()
    for trial, length in (("24", 50), ("a_left", 30)):
        truth = rng.uniform(-1, 1, (length, 2)).round(3)
        lines = ["valence,arousal", *(f"{v:.3f},{a:.3f}" for v, a in truth)]
        lines[4] = "-5,-5"
        (tmp_path / "labels" / f"{trial}.txt").write_text("\n".join(lines) + "\n")
        rows += [{"trial": trial, "frame": i, "valence": v / 2, "arousal": a} for i, (v, a) in enumerate(truth)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    (tmp_path / "counts.csv").write_text("trial,frames\n24,50\na_left,30\n")
    return tmp_path


def run(*arguments):
    return main([str(argument) for argument in arguments])


TRACK = ("--task", "va", "--edition", "abaw2")


def test_score_submit_validate(corpus, capsys):
    assert run("score", corpus / "p.parquet", corpus / "labels", *TRACK, "--json") == 0
    direct = {row["metric"]: row for row in json.loads(capsys.readouterr().out)}
    assert direct["ccc_arousal"]["value"] == pytest.approx(1.0)
    assert direct["ccc_valence"]["value"] == pytest.approx(0.8, abs=0.01)
    assert direct["va_score"]["frames"] == 78 and direct["va_score"]["trials"] == 2

    assert run("submit", corpus / "p.parquet", corpus / "out", *TRACK, "--frames", corpus / "counts.csv") == 0
    assert "80 rows of 2 trials (80 predicted)" in capsys.readouterr().out
    assert run("validate-submission", corpus / "out", *TRACK, "--frames", corpus / "counts.csv") == 0
    assert capsys.readouterr().out.endswith("out: valid\n")
    assert run("validate-submission", corpus / "out", *TRACK, "--sample", corpus / "labels") == 0
    capsys.readouterr()
    assert run("score", corpus / "out", corpus / "labels", *TRACK, "--json") == 0
    again = {row["metric"]: row["value"] for row in json.loads(capsys.readouterr().out)}
    assert again["va_score"] == pytest.approx(direct["va_score"]["value"], abs=1e-5)

    assert run("score", corpus / "out", corpus / "labels", *TRACK, "--bootstrap", "20") == 0
    out = capsys.readouterr().out
    assert "va_score_low" in out and out.splitlines()[0].startswith("va_score ")

    (corpus / "out" / "24.txt").unlink()
    assert run("validate-submission", corpus / "out", *TRACK, "--frames", corpus / "counts.csv") == 1
    out = capsys.readouterr().out
    assert "24.txt: file is missing" in out and out.endswith("out: 1 problems\n")


def test_compare(corpus, capsys):
    table = pq.read_table(corpus / "p.parquet")
    worse = table.set_column(3, "arousal", pa.array(-table["arousal"].to_numpy()))
    pq.write_table(worse, corpus / "worse.parquet")
    files = (corpus / "p.parquet", corpus / "worse.parquet", corpus / "labels")
    assert run("compare", *files, *TRACK, "--resamples", "20", "--json") == 0
    rows = {row["metric"]: row for row in json.loads(capsys.readouterr().out)}
    assert next(iter(rows)) == "va_score" and rows["ccc_valence"]["difference"] == 0
    assert rows["ccc_arousal"]["difference"] == pytest.approx(2, abs=0.05) and rows["va_score"]["first_better"] == 1
    assert rows["va_score"]["frames"] == 78 and rows["va_score"]["videos"] == 2
    assert run("compare", *files, *TRACK, "--resamples", "20") == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[1].startswith("va_score ")
        and "100.0%" in lines[1]
        and lines[-1] == "78 frames; 20 resamples of 2 videos, seed 0"
    )
    pq.write_table(table.slice(1), corpus / "short.parquet")
    assert run("compare", files[0], corpus / "short.parquet", corpus / "labels", *TRACK) == 2
    assert "second run: predictions: 1 labelled frames of 1 trials have no row" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("compare", *files, *TRACK, "--resamples", "0")


def test_editions_are_printed(capsys):
    assert run("editions") == 0
    out = capsys.readouterr().out
    assert "| abaw2 | expr |" in out and "0.67 expr_f1 + 0.33 expr_accuracy" in out


def test_undefined_values_are_null_in_json(corpus, capsys):
    still = pa.table({"trial": ["24"] * 3, "frame": [0, 1, 2], "valence": [0.5] * 3, "arousal": [0.1, 0.2, 0.3]})
    pq.write_table(still, corpus / "still.parquet")
    assert run("score", corpus / "still.parquet", corpus / "still.parquet", *TRACK, "--json") == 0
    rows = {row["metric"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ccc_valence"]["value"] is None and "undefined" in rows["ccc_valence"]["note"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "none.parquet", "labels", *TRACK), "no such file or folder"),
        (("score", "p.parquet", "labels", "--task", "va", "--edition", "abaw0"), "unknown edition 'abaw0'"),
        (("score", "p.parquet", "labels", "--task", "lsd", "--edition", "abaw2"), "has no task 'lsd'"),
        (("submit", "p.parquet", "out", "--task", "expr", "--edition", "abaw2"), "column Neutral"),
        (("submit", "p.parquet", "out", *TRACK, "--frames", "names.txt"), "trial '24' has no frame count"),
        (("validate-submission", "labels", *TRACK), "neither a sample nor frame counts"),
    ],
)
def test_bad_input_has_a_message_and_status_2(corpus, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(corpus)
    (corpus / "names.txt").write_text("24\na_left\n")
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"wildaffect {arguments[0]}: ") and message in captured.err
    assert captured.out == ""


def test_missing_rows_need_permission(corpus, capsys):
    pq.write_table(pq.read_table(corpus / "p.parquet").slice(2), corpus / "p.parquet")
    assert run("score", corpus / "p.parquet", corpus / "labels", *TRACK) == 2
    assert "2 labelled frames of 1 trials have no row" in capsys.readouterr().err
    assert run("score", corpus / "p.parquet", corpus / "labels", *TRACK, "--allow-missing") == 0
    assert "2 labelled frames without prediction left out" in capsys.readouterr().out


def test_help_names_every_command_and_needs_nothing_heavy():
    code = "import sys; from wildaffect.cli import main\ntry: main(['--help'])\nexcept SystemExit: sys.exit('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.returncode == 0, done.stderr
    for add in COMMANDS:
        assert add.__name__.removeprefix("add_").replace("_", "-") in done.stdout
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2


def test_models_are_looked_for_where_a_run_looks_for_them(tmp_path, capsys):
    """A pack is complete when `pack_files` takes it, and until then all that it lacks is named, by both."""
    folder = tmp_path / "buffalo_s"
    folder.mkdir()
    (folder / "1k3d68.onnx").touch()
    assert main(["models", "--models-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    lacking = [str(folder / name) for name in ("det_500m.onnx", "w600k_mbf.onnx")]
    assert f"faces.model: buffalo_s: lacks {', '.join(lacking)}\n" in out
    assert f"{folder / '1k3d68.onnx'}: present, not verifiable" in out
    with pytest.raises(InputError) as caught:
        pack_files("buffalo_s", tmp_path)
    assert all(name in str(caught.value) for name in lacking) and "1k3d68" not in str(caught.value)
    (folder / "det_500m.onnx").write_bytes(b"another")
    assert main(["models", "--models-dir", str(tmp_path)]) == 1
    assert "WRONG FILE" in capsys.readouterr().out
    assert {file for files in PACKS.values() for file in files} <= {model.file for model in read_manifest().values()}


@pytest.mark.parametrize("number", ["-1", "1_0", "1.5", "٣", "1e3", "9" * 40])
@pytest.mark.parametrize("option", ["--bootstrap", "--seed"])
def test_only_whole_numbers_are_taken(corpus, capsys, option, number):
    with pytest.raises(SystemExit) as stop:
        run("score", corpus / "p.parquet", corpus / "labels", *TRACK, f"{option}={number}")
    assert stop.value.code == 2 and "expected a whole number from 0" in capsys.readouterr().err
