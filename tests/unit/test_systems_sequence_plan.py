"""Sequence by subject: which trials the jobs are told the subject of, and that it reaches training and prediction."""

import json
from typing import ClassVar

import numpy as np

from support.corpora import touch
from support.runs import Corpus, predictions, train
from wildaffect.workflow.plan import make_plan

ROWS = {
    "a.mp4": ("anna", "train"),
    "b.mp4": ("anna", "train"),
    "c.mp4": ("", "train"),
    "d.mp4": ("dora", "validation"),
    "e.mp4": ("emil", "test"),
}


def test_jobs_are_told_the_subjects_of_their_own_trials_where_they_ask(tmp_path):
    touch(*(tmp_path / media for media in ROWS))
    lines = ["media,subject,partition,valence,arousal"]
    for media, (subject, partition) in ROWS.items():
        lines.append(f"{media},{subject},{partition},{',' if partition == 'test' else '0.1,0.2'}")
    (tmp_path / "trials.csv").write_text("\n".join(lines) + "\n")
    variants = {"alike": {"base": "tcn"}, "own": {"base": "tcn", "normalise": "subject"}}
    plan = make_plan(
        {
            "corpus": {"layout": "table", "root": str(tmp_path)},
            "faces": {"backend": "dlib", "model": "hog"},
            "folds": {"scheme": "official"},
            "systems": {"sequence": {"variants": variants, "targets": ["va"]}},
        }
    )
    told = {
        i.variant: (plan.inputs.subjects(i, "train", "validation"), plan.inputs.subjects(i, "test"))
        for i in plan.runs.trainings()
    }
    assert told == {"alike": ({}, {}), "own": ({"a": "anna", "b": "anna", "d": "dora"}, {"e": "emil"})}


class Heard(Corpus):
    """Trials for sequence: one feature of the audio."""

    what: ClassVar[dict] = {
        "system": "sequence",
        "variant": "tcn",
        "target": "va",
        "mode": "corrected",
        "recipe": {
            "inputs": ["egemaps25"], "normalise": "subject", "epochs": 1, "hidden": 8, "window": 20, "hop": 10, "dropout": 0.0,
        },
    }  # fmt: skip
    widths: ClassVar[dict[str, int]] = {"egemaps25": 25}


def test_training_and_prediction_scale_by_subject(tmp_path):
    corpus = Heard(tmp_path)
    together = dict.fromkeys(corpus.trials, "one")
    for name, subjects in (("together", together), ("apart", {})):
        train(**corpus.train_arguments(name, subjects=subjects))
    scaled = {
        name: json.loads((tmp_path / name / "run/stats.json").read_text())["train"]["subjects"]
        for name in ("together", "apart")
    }
    assert set(scaled["together"]) == {"one"} and set(scaled["apart"]) == set(corpus.trials[:3])
    run = tmp_path / "together/run"
    told, not_told = (
        predictions(corpus, run, f"{len(subjects)}.parquet", subjects=subjects)["valence"].to_numpy()
        for subjects in (together, {})
    )
    assert np.isfinite(told).all() and np.abs(told - not_told).max() > 1e-4
