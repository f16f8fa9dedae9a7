"""Predictions of single trials are kept: what is predicted again, and what is not."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from support import ntua
from support.runs import TINY, Corpus, predict, train
from wildaffect import systems
from wildaffect.integrity import sealed
from wildaffect.training import predict as prediction

FAITHFUL = {"mode": "faithful"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A corpus and the run folder of a short training."""
    corpus = Corpus(tmp_path_factory.mktemp("corpus"))
    train(**corpus.train_arguments("run", recipe=TINY | {"epochs": 1}))
    return corpus, corpus.folder / "run" / "run"


@pytest.fixture
def job(trained, tmp_path, monkeypatch):
    """Predicts trials with a folder of kept predictions; returns the table and the trials for which the network ran."""
    corpus, run = trained
    ran = []
    original = prediction.predict_trials

    def recorded(recipe, model, trials, *others):
        for trial, values in original(recipe, model, trials, *others):
            ran.append(trial.name)
            yield trial, values

    monkeypatch.setattr(prediction, "predict_trials", recorded)

    def run_job(trials, weights=run / "model.safetensors", **changes):
        ran.clear()
        arguments = {**corpus.what, "recipe": {}, **corpus.inputs(), "state": tmp_path / "state"} | changes
        predict(weights, trials, output=tmp_path / "table.parquet", **arguments)
        return (tmp_path / "table.parquet").read_bytes(), list(ran)

    run_job.corpus, run_job.run, run_job.state = corpus, run, tmp_path / "state"
    return run_job


def test_one_more_trial_is_predicted_alone(job):
    first, ran = job(["t0", "t1", "t2"])
    assert ran == ["t0", "t1", "t2"]
    assert job(["t0", "t1", "t2"]) == (first, [])
    _, ran = job(["t0", "t3", "t1", "t2"])
    assert ran == ["t3"]
    table = pd.read_parquet(job.state.parent / "table.parquet")
    assert list(table["trial"].unique()) == ["t0", "t3", "t1", "t2"]
    assert table.groupby("trial").size().to_dict() == {
        name: job.corpus.lengths[name] for name in table["trial"].unique()
    }


def test_the_table_is_the_same_with_and_without_kept_predictions(job):
    kept, _ = job(["t0", "t4"])
    plain, ran = job(["t0", "t4"], state=None)
    assert plain == kept and ran == ["t0", "t4"]


def test_what_no_longer_belongs_is_removed(job):
    job(["t0", "t1"])
    job(["t1"])
    (left,) = job.state.iterdir()
    assert left.name.startswith("t1.")
    assert job(["t0", "t1"])[1] == ["t0"]


def test_a_killed_prediction_continues(job, monkeypatch):
    write, written = prediction.TrialTables.write, []

    def dying(self, trial, table):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(trial)
        write(self, trial, table)

    monkeypatch.setattr(prediction.TrialTables, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        job(["t0", "t1", "t2", "t3"])
    monkeypatch.setattr(prediction.TrialTables, "write", write)
    assert job(["t0", "t1", "t2", "t3"])[1] == ["t2", "t3"]


def test_changed_files_models_settings_and_code_count(job, tmp_path):
    trials = ["t0", "t1"]
    job(trials)
    frames = job.corpus.frames["t1"]
    os.utime(frames, ns=(1, 1))
    assert job(trials)[1] == ["t1"]
    assert job(trials, code="edited")[1] == trials
    assert job(trials, recipe={"hop": 10})[1] == trials
    other = shutil.copytree(job.run, tmp_path / "other")
    assert job(trials, weights=other / "model.safetensors", recipe={"hop": 10})[1] == []
    statistics = json.loads((other / "stats.json").read_text())
    statistics["train"]["mfcc39"]["mean"][0] += 1
    with sealed(other / "stats.json") as partial:
        partial.write_text(json.dumps(statistics))
    assert job(trials, weights=other / "model.safetensors", recipe={"hop": 10})[1] == trials


def test_trials_that_normalise_each_other_are_predicted_together(trained, job, tmp_path):
    """Faithful LFAN takes the statistics of the partition that it predicts."""
    corpus = job.corpus
    train(**corpus.train_arguments("faithful", recipe=TINY | {"epochs": 1}, **FAITHFUL))
    weights = corpus.folder / "faithful" / "run" / "model.safetensors"
    assert job(["t0", "t1"], weights=weights, **FAITHFUL)[1] == ["t0", "t1"]
    assert job(["t0", "t1", "t2"], weights=weights, **FAITHFUL)[1] == ["t0", "t1", "t2"]
    assert job(["t0", "t1", "t2"], weights=weights, **FAITHFUL)[1] == []


def test_batches_run_on_from_trial_to_trial(job, monkeypatch):
    """As many calls of the network as full batches need, not one or more for every trial."""
    calls = []
    lfan = type(systems.build_recipe("lfan", "multimodal", "valence", "corrected"))
    forward = lfan.forward
    monkeypatch.setattr(lfan, "forward", lambda self, model, batch: calls.append(1) or forward(self, model, batch))
    job(["t0", "t1", "t2"])  # 3 windows each, of 40 rows every 20 of 70 to 76
    assert len(calls) == -(-9 // TINY["batch"])
    calls.clear()
    job(["t0", "t1", "t2", "t3"])
    assert len(calls) == 1


def test_rows_that_a_recipe_leaves_out_are_filled_by_a_second_pass(tmp_path):
    """Faithful NTUA reads labelled rows only; frames 20 and 21 have none."""
    corpus = ntua.Corpus(tmp_path)
    arguments = corpus.train_arguments("run", mode="faithful", variant="face", recipe=ntua.TINY | {"epochs": 1})
    train(**arguments)
    weights = arguments["output"] / "model.safetensors"
    options = {name: arguments[name] for name in ("system", "variant", "target", "mode")} | {"recipe": {}}
    options |= corpus.inputs() | {
        "labels": corpus.labels,
        "output": tmp_path / "t.parquet",
        "state": tmp_path / "state",
    }
    predict(weights, ["c", "a"], **options)
    table = pd.read_parquet(tmp_path / "t.parquet")
    assert np.isfinite(table[["valence", "arousal"]]).all().all()
    assert table.groupby("trial", sort=False).size().to_dict() == {"c": 57, "a": 60}
