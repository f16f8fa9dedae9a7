"""The plan of the demo corpus."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect.demo.plan import plan
from wildaffect.errors import InputError

CONDITIONS = {"absent", "late_sound", "no_sound", "avi", "two_persons", "variable_rate", "plain"}


def persons(videos, *partitions):
    return [person for video in videos for person in video.persons if person.partition in partitions]


def test_default_corpus_has_every_difficulty_and_enough_labelled_trials():
    videos = plan()
    assert len(videos) == 10
    assert sum(len(video.persons) for video in videos) == 11
    assert {video.condition for video in videos} == CONDITIONS
    assert len(persons(videos, "train", "validation")) == 9
    assert len(persons(videos, "test")) == 2
    assert 180 <= sum(video.seconds for video in videos) <= 240


def test_condition_shows_in_the_fields():
    by_condition = {video.condition: video for video in plan()}
    assert by_condition["no_sound"].audio_codec is None
    assert by_condition["late_sound"].audio_start == 0.3
    assert by_condition["variable_rate"].variable_rate
    assert by_condition["avi"].media.endswith(".avi")
    assert sum(end - start for start, end in by_condition["absent"].absent) == pytest.approx(2.0)
    assert by_condition["absent"].unlabelled == by_condition["absent"].absent
    assert by_condition["plain"].absent == by_condition["plain"].unlabelled == ()


def test_not_every_training_trial_is_annotated_for_every_task():
    learnt = persons(plan(), "train")
    assert [person.unannotated for person in learnt] == [None, None, None, None, "expr", "au"]
    assert {person.unannotated for person in persons(plan(), "validation", "test")} == {None}
    assert {person.unannotated for video in plan(6) for person in video.persons} == {None}, "too few to leave any out"


@given(subjects=st.integers(4, 40), seconds=st.floats(2, 60), seed=st.integers(0, 10_000))
def test_properties(subjects, seconds, seed):
    videos = plan(subjects, seconds, seed)
    assert videos == plan(subjects, seconds, seed)
    everyone = [person for video in videos for person in video.persons]
    assert len(everyone) == subjects
    assert len({person.trial for person in everyone}) == len({person.traits for person in everyone}) == subjects
    assert len({video.name for video in videos}) == len(videos)
    assert {person.partition for person in everyone} == {"train", "validation", "test"}
    if subjects >= 10:
        assert {video.condition for video in videos} == CONDITIONS
    for video in videos:
        assert len({person.partition for person in video.persons}) == 1
        assert all(0 <= start < end <= seconds for start, end in video.unlabelled)
        assert set(video.absent) <= set(video.unlabelled)
        if len(video.persons) == 2:
            assert [person.trial for person in video.persons] == [f"{video.name}_left", f"{video.name}_right"]
        else:
            assert (video.persons[0].trial, video.persons[0].side) == (video.name, "main")
        assert not video.name.endswith(("_left", "_right"))


def test_three_grouped_folds_are_possible():
    sizes = Counter(video.name for video in plan() for p in video.persons if p.partition != "test")
    assert len(sizes) >= 6, "two videos per fold at least"


def test_seed_changes_names_and_subjects():
    first, second = plan(seed=0), plan(seed=1)
    assert {v.name for v in first} != {v.name for v in second}
    assert {p.traits for v in first for p in v.persons} != {p.traits for v in second for p in v.persons}


@pytest.mark.parametrize(("subjects", "seconds"), [(3, 20), (11, 1.0)])
def test_too_small_a_corpus_is_refused(subjects, seconds):
    with pytest.raises(InputError, match="at least 4 subjects"):
        plan(subjects, seconds)


def test_planning_imports_nothing_heavy(root):
    code = "import sys, wildaffect.demo.plan; print({'numpy', 'cv2', 'skimage', 'dlib', 'av'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=root / "scripts", capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
