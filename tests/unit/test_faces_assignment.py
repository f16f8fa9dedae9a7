"""Properties that the choice of persons keeps for any scene."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.faces import HEIGHT, IDENTITY_DISTANCE, WIDTH, face, scene
from wildaffect.faces.persons import PERSONS, assign_tracks
from wildaffect.faces.tables import Detections
from wildaffect.faces.tracking import track_faces

TRIALS = st.sets(st.sampled_from(PERSONS), min_size=1)


@st.composite
def scenes(draw):
    """Up to four people with stretches of absence, moving around a place of their own; some without identity."""
    people = []
    for number in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, 40))
        frames = np.arange(start, start + draw(st.integers(6, 60)))
        if draw(st.booleans()):
            gap = draw(st.integers(0, 30))
            frames = np.concatenate([frames[:3], frames[3:] + gap])
        # Fractions of their own, so that no two people are exactly in one place.
        x = draw(st.integers(50, WIDTH - 50)) + 0.31 * number + draw(st.floats(-1, 1)) * (frames - frames[0])
        vector = np.eye(4)[number] * 0.7 if draw(st.booleans()) else None
        people.append(face(frames, x, draw(st.integers(50, HEIGHT - 50)), draw(st.integers(20, 90)), vector, every=4))
    return scene(*people)[0]


def mirrored(detections: Detections) -> Detections:
    """The same scene seen in a mirror."""
    boxes = detections.boxes.copy()
    boxes[:, [0, 2]] = WIDTH - boxes[:, [2, 0]]
    points = [p * [-1, 1] + [WIDTH, 0] for p in (detections.points5, detections.points68)]
    return Detections(detections.frame, boxes, detections.scores, *points, detections.vectors, detections.vector)


@settings(max_examples=60, deadline=None)
@given(detections=scenes(), wanted=TRIALS)
def test_no_face_belongs_to_two_trials_and_no_trial_shows_two_faces(detections, wanted):
    tracks, _ = track_faces(detections, [], IDENTITY_DISTANCE, 15)
    chains = assign_tracks(detections, tracks, wanted, WIDTH, HEIGHT).chains
    assert set(chains) == wanted
    everyone = [track for chain in chains.values() for track in chain]
    assert len(everyone) == len(set(everyone))
    for chain in chains.values():
        frames = detections.frame[np.isin(tracks, list(chain))]
        assert len(frames) == len(set(frames.tolist()))


@settings(max_examples=60, deadline=None)
@given(detections=scenes(), wanted=TRIALS)
def test_someone_is_chosen_whenever_there_is_someone(detections, wanted):
    tracks, _ = track_faces(detections, [], IDENTITY_DISTANCE, 15)
    chains = assign_tracks(detections, tracks, wanted, WIDTH, HEIGHT).chains
    if wanted == {"main"}:
        assert chains["main"]
    if wanted >= {"left", "right"}:
        assert sum(bool(chains[side]) for side in ("left", "right")) == min(2, len(set(tracks.tolist())))


@settings(max_examples=60, deadline=None)
@given(detections=scenes())
def test_left_of_a_pair_is_left_where_both_are_seen(detections):
    tracks, _ = track_faces(detections, [], IDENTITY_DISTANCE, 15)
    found = assign_tracks(detections, tracks, {"left", "right"}, WIDTH, HEIGHT)
    if not found.together:
        return
    # The pair's order is that of its two most prominent tracks, which are in the chains.
    middles = {}
    for side in ("left", "right"):
        rows = np.isin(tracks, list(found.chains[side]))
        middles[side] = dict(
            zip(detections.frame[rows].tolist(), detections.boxes[rows][:, [0, 2]].mean(axis=1), strict=True)
        )
    both = set(middles["left"]) & set(middles["right"])
    assert len(both) >= found.together
    assert 0 <= found.reversed <= found.together


@settings(max_examples=60, deadline=None)
@given(detections=scenes())
def test_a_mirror_exchanges_left_and_right_and_leaves_main(detections):
    tracks, _ = track_faces(detections, [], IDENTITY_DISTANCE, 15)
    seen = assign_tracks(detections, tracks, {"left", "right"}, WIDTH, HEIGHT)
    other = assign_tracks(mirrored(detections), tracks, {"left", "right"}, WIDTH, HEIGHT)
    main = [
        assign_tracks(d, tracks, {"main"}, WIDTH, HEIGHT).chains["main"] for d in (detections, mirrored(detections))
    ]
    assert main[0] == main[1]
    if seen.together:  # otherwise equal positions are told apart by the picture's middle alone
        assert {frozenset(seen.chains["left"]), frozenset(seen.chains["right"])} == {
            frozenset(other.chains["left"]),
            frozenset(other.chains["right"]),
        }


@settings(max_examples=40, deadline=None)
@given(detections=scenes(), seed=st.integers(0, 99))
def test_the_order_of_faces_within_a_frame_does_not_matter(detections, seed):
    shuffled = np.lexsort([np.random.default_rng(seed).random(len(detections.frame)), detections.frame])
    fields = ("frame", "boxes", "scores", "points5", "points68", "vector")
    other = replace(detections, **{name: getattr(detections, name)[shuffled] for name in fields})
    first, second = (track_faces(d, [], IDENTITY_DISTANCE, 15)[0] for d in (detections, other))
    pairs = set(zip(first[shuffled].tolist(), second.tolist(), strict=True))
    assert len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


@pytest.mark.parametrize("exchanged", [False, True])
def test_of_two_who_appear_together_the_nearer_one_has_come_back(exchanged):
    gone = face(np.arange(6), np.full(6, 50.0), 50, 20)
    near, far = (face(np.arange(22, 28), np.full(6, x), 50, 20) for x in (50.31, 50.62))
    detections = scene(gone, *((far, near) if exchanged else (near, far)))[0]
    tracks = track_faces(detections, [], IDENTITY_DISTANCE, 15)[0]
    left = detections.boxes[:, 0]
    assert len(set(tracks[left < 40.5].tolist())) == 1 and len(set(tracks.tolist())) == 2
