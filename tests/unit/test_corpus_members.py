"""Trials of several tasks at once: nothing that one of them holds out is trained on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect.corpus.folds import fold_trials

VIDEOS = {"a": "a", "b_left": "b", "b_right": "b", "c": "c", "d": "d", "e": "e"}
DIVISIONS = {
    "va": {"train": ("a", "b_left", "e"), "validation": ("c",), "test": ("d",)},
    "expr": {"train": ("c", "a"), "validation": ("b_right",), "test": ()},
    "au": {"train": ("d",), "validation": ("a",)},
}


def test_one_task_keeps_its_division():
    leaking = {"va": {"train": ("b_left",), "validation": ("b_right",)}}
    assert fold_trials(leaking, "train", VIDEOS) == {"va": ("b_left",)}
    assert fold_trials({"va": DIVISIONS["va"]}, "train", {}) == {"va": ("a", "b_left", "e")}


def test_what_one_task_holds_out_no_task_trains_on():
    assert fold_trials(DIVISIONS, "train", VIDEOS) == {"va": ("e",), "expr": (), "au": ()}
    two = {task: DIVISIONS[task] for task in ("va", "expr")}
    assert fold_trials(two, "train", VIDEOS) == {"va": ("a", "e"), "expr": ("a",)}


@pytest.mark.parametrize("partition", ["validation", "test"])
def test_held_out_partitions_stay_as_they_are(partition):
    got = fold_trials(DIVISIONS, partition, VIDEOS)
    assert got == {task: tuple(division.get(partition, ())) for task, division in DIVISIONS.items()}


@given(
    st.dictionaries(
        st.sampled_from(["va", "expr", "au"]),
        st.dictionaries(st.sampled_from(list(VIDEOS)), st.sampled_from(["train", "validation", "test"])),
        min_size=2,
    )
)
def test_no_video_is_on_both_sides(assigned):
    divisions = {
        task: {part: tuple(n for n, own in of_trial.items() if own == part) for part in ("train", "validation", "test")}
        for task, of_trial in assigned.items()
    }
    sides = {part: fold_trials(divisions, part, VIDEOS) for part in ("train", "validation", "test")}
    trained = {VIDEOS[name] for names in sides["train"].values() for name in names}
    held_out = {VIDEOS[name] for part in ("validation", "test") for names in sides[part].values() for name in names}
    assert not trained & held_out
    every = {VIDEOS[name] for of_trial in assigned.values() for name in of_trial}
    assert trained | held_out == every
