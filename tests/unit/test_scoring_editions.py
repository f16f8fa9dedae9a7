"""Editions as files: one more is there at once, and jobs are given no more of them than what scores depend on."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from wildaffect.errors import InputError
from wildaffect.scoring import editions
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
assert editions.names()[-2:] == ["abaw8", "abaw10"]
keys = {"trial": ["a"] * 3, "frame": [0, 1, 2]}
labels = pa.table({**keys, "valence": [-0.5, 0.0, 0.5], "arousal": [0.2, 0.4, 0.6]})
guess = pa.table({**keys, "valence": [-0.5, 0.0, 0.5], "arousal": [0.6, 0.4, 0.2]})
rows = score(guess, labels, "abaw10").to_pylist()
assert rows[0]["metric"] == "va_score" and abs(rows[0]["value"] + 0.5) < 1e-12, rows[0]
moods = score(pa.table({**keys, "mood": [0, 1, 1]}), pa.table({**keys, "mood": [0, 1, 0]}), "abaw10", "mood").to_pylist()
assert moods[0]["metric"] == "mood_score" and abs(moods[0]["value"] - 2 / 3) < 1e-12, moods[0]
sys.exit(main(["editions"]))
"""


def test_an_edition_is_one_more_file_and_nothing_else(root, tmp_path):
    """In a copy of the scripts. CCC 1 and -1 with weights 0.25 and 0.75 make -0.5; two classes of F1 2/3 each make 2/3."""
    shutil.copytree(root / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts/wildaffect/scoring/editions/abaw10.yaml").write_text(NEW)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "scripts")}
    command = [sys.executable, "-c", SCORE_NEW, str(tmp_path)]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert "| abaw10 | va | valence arousal | 0.25 ccc_valence + 0.75 ccc_arousal | a file per trial |" in done.stdout
    assert "| abaw10 | mood | Bad Good | mood_f1 | not known |" in done.stdout


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
    (tmp_path / "abaw9.yaml").write_text(text)
    monkeypatch.setattr(editions, "FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"abaw9\.yaml: not an edition"):
        editions.editions.__wrapped__()
