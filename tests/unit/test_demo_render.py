"""The rendered files: one small corpus with every condition, decoded again with PyAV."""

import hashlib
from dataclasses import replace

import av
import numpy as np
import pytest

from wildaffect.corpus.label_spaces import EXPRESSIONS7
from wildaffect.corpus.labels import parse_annotation
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.trials import TASKS
from wildaffect.demo.affect import EXPRESSIONS, UNITS, affect, expressions, frame_times, units, within
from wildaffect.demo.corpus import annotation_path, demo_corpus
from wildaffect.demo.plan import SIZE, plan
from wildaffect.demo.render import TEST_LISTS, render_video, voice, write_annotations
from wildaffect.demo.subject import draw_subject

SEED = 3
HEADERS = {"va": "valence,arousal", "expr": ",".join(EXPRESSIONS), "au": ",".join(UNITS)}
PLAN = plan(10, 2.5, SEED)
BY_CONDITION = {video.condition: video for video in PLAN}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    write_annotations(PLAN, SEED, root)
    for video in BY_CONDITION.values():
        render_video(video, SEED, root / "videos" / video.media)
    return root


def decode(corpus, video):
    with av.open(str(corpus / "videos" / video.media)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def rows(corpus, person, task="va"):
    lines = (corpus / annotation_path(person, task)).read_text().splitlines()
    assert lines[0] == HEADERS[task]
    return np.array([line.split(",") for line in lines[1:]], float)


@pytest.mark.parametrize("video", BY_CONDITION.values(), ids=BY_CONDITION.keys())
def test_decoded_frames_keep_their_times_and_have_one_row_each(corpus, video):
    frames = decode(corpus, video)
    times = frame_times(video, SEED)
    np.testing.assert_allclose([time for time, _ in frames], times, atol=1e-6)
    assert frames[0][1].shape == (SIZE, SIZE * len(video.persons), 3)
    for person in video.persons:
        labels = rows(corpus, person)
        assert len(labels) == len(frames)
        np.testing.assert_array_equal((labels == -5).all(axis=1), within(times, video.unlabelled))
        assert (np.abs(labels[~within(times, video.unlabelled)]) <= 1).all()


@pytest.mark.parametrize("video", BY_CONDITION.values(), ids=BY_CONDITION.keys())
def test_decoded_sound_is_on_the_clock(corpus, video):
    with av.open(str(corpus / "videos" / video.media)) as container:
        if video.condition == "no_sound":
            assert not container.streams.audio
            return
        blocks = [(frame.time, frame.to_ndarray(), frame.format.name) for frame in container.decode(audio=0)]
    full_scale = 32768 if blocks[0][2].startswith("s16") else 1
    heard = np.concatenate([block for _, block, _ in blocks], axis=1) / full_scale
    rate, first = video.audio_rate, round(blocks[0][0] * video.audio_rate)
    assert heard.shape[0] == len(video.persons)
    for channel, person in zip(heard, video.persons, strict=True):
        said = voice(person.traits, video.seconds, rate, video.audio_start)
        begin, length = round(0.5 * rate), round(1.5 * rate)  # seconds 0.5 to 2 of the video
        said = said[begin - round(video.audio_start * rate) :][:length]
        shifts = range(-200, 201, 5)
        fit = [np.corrcoef(channel[begin - first + shift :][:length], said)[0, 1] for shift in shifts]
        assert shifts[int(np.argmax(fit))] == 0
        assert max(fit) > 0.95


def test_sound_that_starts_late_is_declared_late(corpus):
    with av.open(str(corpus / "videos" / BY_CONDITION["late_sound"].media)) as container:
        stream = container.streams.audio[0]
        # AAC needs one block of 1024 samples to get going, which the file may or may not skip.
        assert 0.3 - 1024 / stream.rate - 1e-3 <= float(stream.start_time * stream.time_base) <= 0.3 + 1e-3


def test_absent_subject_is_gone_exactly_in_its_span(corpus):
    video = BY_CONDITION["absent"]
    background = draw_subject(video.persons[0].traits).background.astype(float)
    empty = [np.abs(picture - background).mean() < 8 for _, picture in decode(corpus, video)]
    np.testing.assert_array_equal(empty, within(frame_times(video, SEED), video.absent))
    assert 0 < sum(empty) < len(empty)


@pytest.mark.parametrize("video", PLAN, ids=lambda video: video.condition)
def test_expressions_and_units_follow_the_rules_where_they_are_labelled(corpus, video):
    times = frame_times(video, SEED)
    labelled = ~within(times, video.unlabelled)
    for person in video.persons:
        curves = affect(person.traits, video.seconds, times)
        for task, wanted in (("expr", expressions(*curves)[:, None]), ("au", units(*curves))):
            if task == person.unannotated:
                assert not (corpus / annotation_path(person, task)).exists()
                continue
            found = rows(corpus, person, task)
            np.testing.assert_array_equal(found[labelled], wanted[labelled])
            assert (found[~labelled] == -1).all()
            read = parse_annotation(corpus / annotation_path(person, task), task, EXPRESSIONS7)
            assert read.columns == (UNITS if task == "au" else ("expression",))
            np.testing.assert_array_equal(np.isnan(read.values).all(axis=1), ~labelled)


@pytest.mark.parametrize("task", TASKS)
def test_test_trials_have_no_annotations_but_truth(corpus, task):
    people = [person for video in PLAN for person in video.persons if person.unannotated != task]
    tests = [person.trial for person in people if person.partition == "test"]
    folders = {
        tree: {path.stem for path in (corpus / tree).glob(f"{task.upper()}_*/*/*.txt")}
        for tree in ("annotations", "truth")
    }
    assert folders == {"annotations": {person.trial for person in people} - set(tests), "truth": set(tests)}
    assert (corpus / TEST_LISTS[task]).read_text().splitlines() == tests


@pytest.mark.parametrize("condition", ["plain", "avi", "variable_rate"])
def test_same_plan_same_bytes(corpus, tmp_path, condition):
    video = BY_CONDITION[condition]
    render_video(video, SEED, tmp_path / video.media)
    first, again = (
        hashlib.sha256((folder / video.media).read_bytes()).digest() for folder in (corpus / "videos", tmp_path)
    )
    assert first == again


def test_another_subject_gives_other_pictures(corpus, tmp_path):
    video = BY_CONDITION["plain"]
    other = replace(video, seconds=2.0, persons=(replace(video.persons[0], traits=1),))
    render_video(other, SEED, tmp_path / "videos" / other.media)
    pairs = zip(decode(corpus, video), decode(tmp_path, other), strict=False)
    assert np.mean([np.abs(a.astype(float) - b).mean() for (_, a), (_, b) in pairs]) > 10


def test_layout_is_read_back_as_planned(corpus, tmp_path):
    for video in PLAN:
        (tmp_path / video.media).touch()
    found = scan_corpus("affwild2", tmp_path, corpus, "abaw2")
    assert found.trials == demo_corpus(subjects=10, seconds=2.5, seed=SEED).trials
    assert {task: sum(trial.annotation(task) is not None for trial in found.trials) for task in TASKS} == {
        "va": 8,
        "expr": 7,
        "au": 7,
    }
    assert not found.findings
