"""Folds: LFAN's published sizes, and the properties that every scheme must have."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.golden import read_golden
from wildaffect.corpus.folds import fold_trials, make_folds, shared_groups
from wildaffect.corpus.trials import TASKS, Trial, groups_of, split_person
from wildaffect.errors import InputError


def trials_of(train, validation=(), test=()):
    """VA trials by name and partition."""
    parts = {"train": train, "validation": validation, "test": test}
    return [
        Trial(name, split_person(name)[0], f"{name}.mp4", split_person(name)[1], partition_va=part)
        for part, names in parts.items()
        for name in names
    ]


def folds_of(table, task="va"):
    """``{fold: {partition: [trials]}}`` of ``task``."""
    found = {}
    for row in table.to_pylist():
        if row["task"] == task:
            found.setdefault(row["fold"], {}).setdefault(row["partition"], []).append(row["trial"])
    return found


def test_lfan_six_folds_of_the_published_lists():
    train = [f"t{i:03}" for i in range(351)]
    validation = [f"v{i:03}" for i in range(71)]
    folds = folds_of(make_folds(trials_of(train, validation, ["x"]), "lfan", 6, 0))
    assert [len(folds[k]["validation"]) for k in range(6)] == [71, 71, 70, 70, 70, 70]
    assert [len(folds[k]["train"]) for k in range(6)] == [351, 351, 352, 352, 352, 352]
    assert folds[0]["validation"] == validation
    assert folds[1]["validation"] == train[280:]
    assert folds[5]["validation"] == train[:70]
    # Fold 1 trains on parts 5, 0, 1, 2, 3 in this order.
    assert folds[1]["train"] == validation + train[:280]
    assert all(folds[k]["test"] == ["x"] for k in folds)


def test_lfan_folds_equal_the_reference():
    reference = read_golden("post/lfan.json")["folds"]["per_fold"]
    lists = {"train": [f"t{i:03}" for i in range(351)], "validation": [f"v{i:03}" for i in range(71)]}
    folds = folds_of(make_folds(trials_of(lists["train"], lists["validation"]), "lfan", 6, 0))
    assert len(folds) == len(reference)
    for fold, entry in reference.items():
        for ours, theirs in (("train", "train_order"), ("validation", "validation")):
            expected = [name for part in entry[theirs] for name in lists[part["list"]][part["start"] : part["stop"]]]
            assert folds[int(fold)][ours] == expected


@st.composite
def corpora(draw):
    """Trial names with some left/right pairs."""
    videos = draw(st.integers(6, 40))
    names = []
    for index in range(videos):
        pair = draw(st.booleans())
        names += [f"v{index:02}_left", f"v{index:02}_right"] if pair else [f"v{index:02}"]
    held_out = draw(st.integers(0, 5))
    return names, [f"w{index}" for index in range(held_out)]


@settings(max_examples=60, deadline=None)
@given(corpora(), st.sampled_from(["lfan", "grouped"]), st.integers(2, 5), st.integers(0, 3))
def test_every_trial_is_held_out_once_and_videos_stay_together(corpus, scheme, count, seed):
    train, validation = corpus
    folds = folds_of(make_folds(trials_of(train, validation), scheme, count, seed))
    held_out = Counter(name for parts in folds.values() for name in parts["validation"])
    assert held_out == Counter(train + validation)
    for parts in folds.values():
        assert not set(parts["train"]) & set(parts["validation"])
        assert sorted(parts["train"] + parts["validation"]) == sorted(train + validation)
        videos = {part: {split_person(name)[0] for name in parts[part]} for part in ("train", "validation")}
        assert not videos["train"] & videos["validation"]
    if validation:
        assert sorted(folds[0]["validation"]) == sorted(validation)
    assert len(folds) == (6 if scheme == "lfan" else count)


@settings(max_examples=60, deadline=None)
@given(corpora(), st.data(), st.integers(2, 5), st.integers(0, 3))
def test_grouped_folds_of_several_tasks_agree(corpus, data, count, seed):
    """No task is labelled for every trial; a model of all tasks still trains on every video that its fold does not hold out."""
    train, validation = corpus
    lacking = {name: data.draw(st.sampled_from([None, "expr", "au"]), label=name) for name in train[len(train) // 2 :]}
    trials = [
        replace(
            trial, **{f"partition_{t}": trial.partition_va for t in ("expr", "au") if t != lacking.get(trial.trial)}
        )
        for trial in trials_of(train, validation)
    ]
    try:
        table = make_folds(trials, "grouped", count, seed)
    except InputError as error:
        assert "do not fill" in str(error)
        return
    videos = {trial.trial: trial.video for trial in trials}
    assert folds_of(table) == folds_of(make_folds(trials_of(train, validation), "grouped", count, seed))
    for fold in range(count):
        divisions = {task: folds_of(table, task)[fold] for task in TASKS}
        assert fold_trials(divisions, "train", videos) == {
            task: tuple(division["train"]) for task, division in divisions.items()
        }
        for task, division in divisions.items():
            labelled = {name for name in train if lacking.get(name) != task} | set(validation)
            assert set(division["train"]) == set(divisions["va"]["train"]) & labelled
            assert set(division["validation"]) == set(divisions["va"]["validation"]) & labelled


def test_a_task_without_videos_in_a_part_is_named():
    trials = [
        replace(trial, partition_expr="train" if trial.trial == "a" else None) for trial in trials_of("abcd", "v")
    ]
    with pytest.raises(InputError, match=r"1 training videos of task expr do not fill 3 parts.*folds\.count"):
        make_folds([*trials[:-1], replace(trials[-1], partition_expr="validation")], "grouped", 4, 0)


def test_grouped_depends_on_the_seed_alone():
    trials = trials_of([f"t{i}" for i in range(20)], ["v"])
    assert make_folds(trials, "grouped", 4, 1).equals(make_folds(trials, "grouped", 4, 1))
    assert not make_folds(trials, "grouped", 4, 1).equals(make_folds(trials, "grouped", 4, 2))


def test_official_is_one_fold_and_unlabelled_corpora_have_only_test_trials():
    assert set(folds_of(make_folds(trials_of(["a", "b"], ["c"]), "official", 6, 0))) == {0}
    assert folds_of(make_folds(trials_of([], [], ["x", "y"]), "lfan", 6, 0)) == {0: {"test": ["x", "y"]}}


@settings(max_examples=60, deadline=None)
@given(corpora(), st.data(), st.sampled_from(["lfan", "grouped"]), st.integers(2, 5), st.integers(0, 3))
def test_subjects_and_groups_are_never_divided(corpus, data, scheme, count, seed):
    """Neither directly nor through a video that shows two subjects."""
    names = corpus[0]
    known = st.sampled_from([None, "1", "2", "3", "4", "5", "6", "7", "8"])
    trials = [
        replace(trial, subject=data.draw(known), group=data.draw(st.sampled_from([None] * 9 + ["night"])))
        for trial in trials_of(names)
    ]
    try:
        folds = folds_of(make_folds(trials, scheme, count, seed))
    except InputError as error:
        assert "do not fill" in str(error)
        return
    of = {trial.trial: trial for trial in trials}
    assert Counter(name for parts in folds.values() for name in parts["validation"]) == Counter(names)
    for parts in folds.values():
        for kind in ("video", "subject", "group"):
            sides = [{getattr(of[name], kind) for name in parts[part]} - {None} for part in ("train", "validation")]
            assert not sides[0] & sides[1]


@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from(["official", "lfan", "grouped"]), st.integers(2, 4), st.integers(0, 3))
def test_cross_validation_over_all_partitions_keeps_subjects_apart(data, scheme, count, seed):
    """Each subject has one partition for all tasks; several videos show it, each labelled for some tasks."""
    partitions = {str(n): data.draw(st.sampled_from(["train", "train", "validation", "test"])) for n in range(14)}
    trials = []
    for index in range(24):
        subject = data.draw(st.sampled_from(sorted(partitions)))
        tasks = data.draw(st.sets(st.sampled_from(["va", "expr"]), min_size=1))
        own = {f"partition_{task}": partitions[subject] for task in tasks}
        trials.append(Trial(f"v{index}", f"v{index}", f"v{index}.mp4", subject=subject, **own))
    try:
        table = make_folds(trials, scheme, count, seed)
    except InputError as error:
        assert "do not fill" in str(error)
        return
    subject_of = {trial.trial: trial.subject for trial in trials}
    divisions = {task: folds_of(table, task) for task in ("va", "expr")}
    for task, folds in divisions.items():
        for fold, division in folds.items():
            assert shared_groups(division, groups_of(trials)) == []
            held_out = {subject_of[name] for part in ("validation", "test") for name in division.get(part, ())}
            assert not held_out & {subject_of[name] for name in division.get("train", ())}, (task, fold)
    for fold in divisions["va"].keys() & divisions["expr"].keys():
        both = {task: divisions[task][fold] for task in divisions}
        train = {name for names in fold_trials(both, "train", groups_of(trials)).values() for name in names}
        held_out = {name for part in both.values() for side in ("validation", "test") for name in part.get(side, ())}
        assert not {subject_of[name] for name in train} & {subject_of[name] for name in held_out}


def test_a_subject_binds_the_other_person_of_its_video():
    trials = [
        Trial("a", "a", "a.mp4", subject="anna"),
        Trial("b_left", "b", "b.mp4", subject="anna"),
        Trial("b_right", "b", "b.mp4", subject="bert"),
        Trial("c", "c", "c.mp4", subject="bert"),
        Trial("d", "d", "d.mp4", subject="carl"),
    ]
    assert groups_of(trials) == {"a": "a", "b_left": "a", "b_right": "a", "c": "a", "d": "d"}


def test_too_few_subjects_are_refused():
    trials = [replace(trial, subject="anna") for trial in trials_of("abcd")]
    with pytest.raises(InputError, match="4 training videos of task va of 1 subjects or groups do not fill 2 parts"):
        make_folds(trials, "grouped", 2, 0)


def test_too_few_videos_are_refused():
    with pytest.raises(InputError, match=r"2 training videos.*folds\.count"):
        make_folds(trials_of(["a_left", "a_right", "b"], ["c"]), "grouped", 5, 0)
