"""The made-up rules behind the demo's expressions and action units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wildaffect.demo.affect import (
    EXPRESSIONS,
    MOVES,
    NEUTRAL_RADIUS,
    SECTORS,
    UNITS,
    affect,
    expressions,
    frame_times,
    units,
    within,
)
from wildaffect.demo.plan import plan
from wildaffect.demo.subject import Physique, landmarks, portrait

PLANE = arrays(np.float64, st.tuples(st.just(2), st.integers(1, 40)), elements=st.floats(-1, 1))
AVERAGE = Physique(width=1, length=1, nose=1, mouth=1, brows=0, smile=0, vividness=1)


def named(valence, arousal):
    return [EXPRESSIONS[number] for number in expressions(np.atleast_1d(valence), np.atleast_1d(arousal))]


def active(valence, arousal):
    (row,) = units(np.array([valence]), np.array([arousal]))
    return {name for name, on in zip(UNITS, row, strict=True) if on}


def test_the_classes_and_units_are_those_of_the_edition():
    assert EXPRESSIONS == ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
    assert len(UNITS) == 12 and set(MOVES) == set(UNITS)
    assert {name for _, name in SECTORS} | {"Neutral"} == set(EXPRESSIONS)


@pytest.mark.parametrize(
    ("valence", "arousal", "expression"),
    [
        (0.0, 0.0, "Neutral"),
        (0.8, 0.1, "Happiness"),
        (0.2, 0.9, "Surprise"),
        (-0.4, 0.8, "Fear"),
        (-0.8, 0.5, "Anger"),
        (-0.9, 0.0, "Disgust"),
        (-0.5, -0.7, "Sadness"),
    ],
)
def test_typical_faces(valence, arousal, expression):
    assert named(valence, arousal) == [expression]


def test_each_expression_begins_where_the_table_says():
    before = [SECTORS[-1][1], *(name for _, name in SECTORS)]
    for (start, name), last in zip(SECTORS, before, strict=False):
        for turn, expected in ((-0.01, last), (0.01, name)):
            angle = np.radians(start + turn)
            assert named(0.8 * np.cos(angle), 0.8 * np.sin(angle)) == [expected]


def test_neutral_ends_at_its_radius():
    angles = np.linspace(0, 2 * np.pi, 50)
    for factor, neutral in ((0.999, True), (1.001, False)):
        found = named(factor * NEUTRAL_RADIUS * np.cos(angles), factor * NEUTRAL_RADIUS * np.sin(angles))
        assert all((name == "Neutral") == neutral for name in found)


@given(PLANE)
def test_every_frame_by_itself_has_one_class_and_all_units(plane):
    valence, arousal = plane
    classes, on = expressions(valence, arousal), units(valence, arousal)
    assert classes.shape == valence.shape and on.shape == (len(valence), 12)
    assert set(classes.tolist()) <= set(range(7)) and set(on.ravel().tolist()) <= {0, 1}
    np.testing.assert_array_equal(classes[::-1], expressions(valence[::-1], arousal[::-1]))
    np.testing.assert_array_equal(on[-1:], units(valence[-1:], arousal[-1:]))


@given(PLANE)
def test_labels_do_not_contradict_each_other(plane):
    """By TSAV's rules, which would leave such frames out of training; and no corner of the mouth is up and down."""
    valence, arousal = plane
    names = np.array(named(valence, arousal))
    assert (valence[names == "Happiness"] > -1e-9).all()
    assert (valence[names == "Sadness"] < 1e-9).all()
    assert (np.hypot(valence, arousal)[names == "Neutral"] < 0.5).all()
    for one, other in (("AU12", "AU15"), ("AU24", "AU25"), ("AU2", "AU24")):
        together = units(valence, arousal)[:, [UNITS.index(one), UNITS.index(other)]].all(axis=1)
        assert not together.any()


def measures(points):
    """What each unit moves, pixels, more where it is more active."""
    x, y = points.T
    return {
        "AU1": -y[[21, 22]].mean(),
        "AU2": -y[[17, 26]].mean(),
        "AU4": x[21] - x[22],
        "AU6": -y[[40, 41, 46, 47]].mean(),
        "AU7": y[[37, 38, 43, 44]].mean() - y[[40, 41, 46, 47]].mean(),
        "AU10": -y[[51, 62]].mean(),
        "AU12": -y[[48, 54]].mean(),
        "AU15": y[[48, 54]].mean(),
        "AU23": x[48] - x[54] + y[62] - y[66],
        "AU24": y[62] - y[66],
        "AU25": y[66] - y[62],
        "AU26": y[8],
    }


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_follows_what_the_drawing_moves(unit):
    rest = portrait().landmarks
    middle = measures(landmarks(rest, AVERAGE, 0, 0))[unit]
    by_valence, by_arousal, least = MOVES[unit]
    for valence in (-0.9, -0.3, 0.4, 0.8):
        for arousal in (-0.8, -0.2, 0.3, 0.9):
            moved = measures(landmarks(rest, AVERAGE, valence, arousal))[unit] - middle
            assert moved == pytest.approx(by_valence * valence + by_arousal * arousal, abs=0.5)
            if abs(moved - least) > 0.5:
                assert (unit in active(valence, arousal)) == (moved > least)


def test_the_default_corpus_shows_everything_in_training_and_validation():
    for partition in ("train", "validation", "test"):
        classes, on = [], []
        for video in plan():
            times = frame_times(video, 0)
            labelled = ~within(times, video.unlabelled)
            for person in video.persons:
                if person.partition == partition:
                    curves = affect(person.traits, video.seconds, times)
                    classes += expressions(*curves)[labelled].tolist() if person.unannotated != "expr" else []
                    on += units(*curves)[labelled].tolist() if person.unannotated != "au" else []
        counts = np.bincount(classes, minlength=7)
        assert counts.min() > 0.03 * counts.sum() and counts.max() < 0.5 * counts.sum(), (partition, counts)
        shares = np.mean(on, axis=0)
        assert shares.min() > 0.15 and shares.max() < 0.7, (partition, shares)
