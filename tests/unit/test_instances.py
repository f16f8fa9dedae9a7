"""The trials that each instance learns from, is selected on and tested with: those of its own fold."""

import pytest

from wildaffect.corpus.trials import Corpus, Trial
from wildaffect.workflow.instances import Folds, Instance

TRIALS = [
    Trial(name, name.partition("_")[0], f"{name.partition('_')[0]}.mp4")
    for name in ("a", "b_left", "b_right", "c", "d", "x")
]
DIVISIONS = {
    ("va", 0): {"train": ("a", "b_left"), "validation": ("c",), "test": ("x",)},
    ("va", 1): {"train": ("c",), "validation": ("a", "b_left"), "test": ("x",)},
    ("expr", 0): {"train": ("a", "d"), "validation": ("b_right",)},
    ("expr", 1): {"train": ("b_right", "d"), "validation": ("a",)},
}
# Trials of TSAV's multi-task training: what one task holds out, none trains on, whichever person of the video it is.
EXPECTED = {
    ("valence", 0): {"train": ["a", "b_left"], "validation": ["c"], "test": ["x"]},
    ("valence", 1): {"train": ["c"], "validation": ["a", "b_left"], "test": ["x"]},
    ("mtl", 0): {"train": ["a", "d"], "validation": ["b_right", "c"], "test": ["x"]},
    ("mtl", 1): {"train": ["c", "d"], "validation": ["a", "b_left"], "test": ["x"]},
}


FOLDS = Folds(Corpus(tuple(TRIALS)), DIVISIONS, "grouped")


@pytest.mark.parametrize(("target", "fold"), EXPECTED)
def test_an_instance_has_the_trials_of_its_own_fold(target, fold):
    instance = {
        "valence": Instance("lfan", "unimodal", "valence", fold),
        "mtl": Instance("tsav", "two_stream", "mtl", fold),
    }[target]
    for partition, trials in EXPECTED[target, fold].items():
        assert sorted(FOLDS.trials_of(instance, partition)) == trials, partition


def test_the_tables_of_a_training_are_those_of_its_fold():
    for fold in (0, 1):
        rows = [
            {"task": "va", "fold": fold, "trial": trial, "partition": partition, "scheme": "grouped"}
            for partition in ("train", "validation")
            for trial in DIVISIONS["va", fold][partition]
        ]
        assert FOLDS.fold_rows(["va"], fold) == rows
    assert [row["trial"] for row in FOLDS.trial_rows(["expr"], 0)] == ["a", "b_right", "d"]
    assert [row["trial"] for row in FOLDS.trial_rows(["expr"], 1)] == ["a", "b_right", "d"]
    divided = Folds(FOLDS.corpus, DIVISIONS | {("expr", 1): {"train": ("c",), "validation": ("d",)}}, "grouped")
    assert [row["trial"] for row in divided.trial_rows(["expr"], 1)] == ["c", "d"]
