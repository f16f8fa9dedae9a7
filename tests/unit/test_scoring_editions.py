"""Editions as files: one more is there at once, and jobs are given no more of them than what scores depend on."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import f1_score

from wildaffect.errors import InputError
from wildaffect.scoring import editions, score
from wildaffect.scoring.read import read_rows
from wildaffect.scoring.tasks import task_of, task_value, tracks_of

NEW = """
event: made up
source: this test
tasks:
  va:
    parts: {va: va}
    score: {ccc_valence: 0.25, ccc_arousal: 0.75}
    format: {layout: folder, first: null, source: this test}
  mood:
    parts: {mood: {kind: classes, column: mood, names: [Bad, Good], source: this test}}
    score: {mood_f1: 1.0}
    format: null
"""
SCORE_NEW = """
import sys
import pyarrow as pa
from wildaffect.cli import main
from wildaffect.scoring import editions, score

assert editions.__file__.startswith(sys.argv[1]), editions.__file__
assert editions.names()[-2:] == ["abaw11", "abaw12"]
keys = {"trial": ["a"] * 3, "frame": [0, 1, 2]}
labels = pa.table({**keys, "valence": [-0.5, 0.0, 0.5], "arousal": [0.2, 0.4, 0.6]})
guess = pa.table({**keys, "valence": [-0.5, 0.0, 0.5], "arousal": [0.6, 0.4, 0.2]})
rows = score(guess, labels, "abaw12").to_pylist()
assert rows[0]["metric"] == "va_score" and abs(rows[0]["value"] + 0.5) < 1e-12, rows[0]
moods = score(pa.table({**keys, "mood": [0, 1, 1]}), pa.table({**keys, "mood": [0, 1, 0]}), "abaw12", "mood").to_pylist()
assert moods[0]["metric"] == "mood_score" and abs(moods[0]["value"] - 2 / 3) < 1e-12, moods[0]
sys.exit(main(["editions"]))
"""


def test_an_edition_is_one_more_file_and_nothing_else(root, tmp_path):
    """In a copy of the scripts. CCC 1 and -1 with weights 0.25 and 0.75 make -0.5; two classes of F1 2/3 each make 2/3."""
    shutil.copytree(root / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts/wildaffect/scoring/editions/abaw12.yaml").write_text(NEW)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "scripts")}
    command = [sys.executable, "-c", SCORE_NEW, str(tmp_path)]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert (
        "| abaw12 | va | valence arousal | 0.25 ccc_valence + 0.75 ccc_arousal | frame | a file per trial |"
        in done.stdout
    )
    assert "| abaw12 | mood | Bad Good | mood_f1 | frame | not known |" in done.stdout


def test_what_jobs_are_given_is_the_edition_without_its_sources():
    known, given = editions.editions(), json.loads(json.dumps(editions.values(editions.names())))
    assert tracks_of(given) == known
    assert '"source"' not in json.dumps(given) and "arXiv" not in json.dumps(given)
    task = known["abaw1"]["expr"]
    assert task_of(task_value(task)).columns == ("expression",)
    assert task.formula == "0.67 expr_f1 + 0.33 expr_accuracy"


@pytest.mark.parametrize(
    "text", ["- 1", "source: x", "source: x\ntasks: {va: {parts: {va: vaa}, score: {}, format: null}}", "tasks: {}"]
)
def test_a_file_that_is_no_edition_is_named(tmp_path, monkeypatch, text):
    (tmp_path / "abaw13.yaml").write_text(text)
    monkeypatch.setattr(editions, "FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"abaw13\.yaml: not an edition"):
        editions.editions.__wrapped__()


@pytest.mark.parametrize("task", ["va", "expr", "au"])
def test_the_9th_and_10th_are_scored_and_submitted_as_the_8th(task):
    eighth = editions.get_task("abaw8", task)
    for edition in ("abaw9", "abaw10"):
        found = editions.get_task(edition, task)
        assert (found.parts, found.score, found.format) == (eighth.parts, eighth.score, eighth.format)


def intensities(rows: int, seed: int) -> dict[str, np.ndarray]:
    names = editions.get_task("abaw10", "emi").columns
    return dict(zip(names, np.random.default_rng(seed).random((len(names), rows)), strict=True))


def test_mimicry_is_the_mean_correlation_over_videos():
    keys, truth, guess = {"trial": [f"v{i}" for i in range(9)], "frame": [0] * 9}, intensities(9, 0), intensities(9, 1)
    rows = {
        row["metric"]: row
        for row in score(pa.table({**keys, **guess}), pa.table({**keys, **truth}), "abaw10", resamples=20).to_pylist()
    }
    each = {name: pearsonr(truth[name], guess[name]).statistic for name in truth}
    assert rows["emi_score"]["value"] == pytest.approx(np.mean([*each.values()]))
    assert rows["emi_pearson_Joy"]["value"] == pytest.approx(each["Joy"])
    assert rows["emi_score_low"]["value"] <= rows["emi_score"]["value"] <= rows["emi_score_high"]["value"]
    assert not any("per_video" in metric for metric in rows)


def test_a_correlation_with_a_constant_is_undefined_and_says_so():
    keys = {"trial": ["a", "b", "c"], "frame": [0] * 3}
    guess = intensities(3, 1) | {"Joy": np.full(3, 0.1)}
    rows = score(pa.table({**keys, **guess}), pa.table({**keys, **intensities(3, 0)}), "abaw10", "emi").to_pylist()
    assert np.isnan(rows[0]["value"]) and np.isnan(rows[1]["value"])
    assert rows[1]["note"] == "undefined: Joy of truth or prediction is constant"


@pytest.mark.parametrize("edition", ["abaw10", "abaw11"])
def test_ambivalence_is_two_classes_per_video_or_per_frame(edition, tmp_path):
    truth, guess = [0, 1, 1, 0, 1], [0, 1, 0, 0, 0]
    (tmp_path / "p.csv").write_text(
        "trial,ambivalence_hesitancy\n" + "".join(f"v{i},{c}\n" for i, c in enumerate(guess))
    )
    predicted = read_rows(tmp_path / "p.csv", editions.get_task(edition, "ah"))
    labels = pa.table({"trial": [f"v{i}" for i in range(5)], "frame": [0] * 5, "ambivalence_hesitancy": truth})
    expected = f1_score(truth, guess, average="macro")
    row = score(predicted, labels, edition, "ah").to_pylist()[0]
    assert row["value"] == pytest.approx(expected)
    assert ("unconfirmed" in row["note"]) == (edition == "abaw11")
    one = {"trial": ["v"] * 5, "frame": [*range(5)]}
    frames = [pa.table({**one, "ambivalence_hesitancy": values}) for values in (guess, truth)]
    assert score(*frames, edition, "ah_frames").to_pylist()[0]["value"] == pytest.approx(expected)
    with pytest.raises(InputError, match="predictions: 5 rows of 'v'; this task has one row per video"):
        score(*frames, edition, "ah")


def test_what_is_not_confirmed_is_said(capsys):
    text = editions.editions_table()
    (mtl,) = (line for line in text.splitlines() if line.startswith("| abaw11 | mtl |"))
    assert "0.5 ccc_valence + 0.5 ccc_arousal + expr_f1 + au_f1" in mtl and "official text was not seen" in mtl
    keys = {"trial": ["a"] * 3, "frame": [0, 1, 2]}
    names = {name: 0 for part in editions.get_task("abaw11", "mtl").parts for name in part.columns}
    table = pa.table({**keys, **{name: [0.0, 1.0, 1.0] for name in names}})
    top = score(table, table, "abaw11", "mtl").to_pylist()[0]
    assert top["note"].endswith("unconfirmed: formula as in the 7th edition, the official text was not seen")
