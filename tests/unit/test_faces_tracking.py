"""Tracks over a whole video, from synthetic people whose true paths are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.faces import IDENTITY_DISTANCE, face, scene
from wildaffect.faces.detect import IdentitySchedule
from wildaffect.faces.tables import pairwise_iou
from wildaffect.faces.tracking import link_tracklets, split_swapped, track_faces

ANNA, BERT, CARL = np.eye(4)[:3] * 0.7  # any two are 0.99 apart, one with itself 0


def tracks_of(detections, cuts=(), identity_distance=IDENTITY_DISTANCE, max_gap=15):
    return track_faces(detections, list(cuts), identity_distance, max_gap)[0]


def same_partition(first, second) -> bool:
    """Whether two labelings group the detections alike."""
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    return len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


def crossing(identity_every, touch=True):
    """Two people swap sides between frames 20 and 80; in the middle one hides the other."""
    frames = np.arange(101)
    right_going = np.interp(frames, [0, 20, 80, 100], [120, 120, 520, 520])
    left_going = np.interp(frames, [0, 20, 80, 100], [520, 520, 120, 120])
    hidden = np.abs(right_going - left_going) < 50 if touch else np.zeros(101, bool)
    anna = face(frames, right_going, identity=ANNA, every=identity_every)
    bert = face(frames[~hidden], left_going[~hidden], identity=BERT, every=identity_every)
    return scene(anna, bert)


@pytest.mark.parametrize("every", [1, 6])
def test_people_who_cross_keep_their_identity(every):
    detections, owner = crossing(every)
    assert same_partition(tracks_of(detections), owner)


def test_people_who_turn_back_at_their_meeting_keep_their_identity():
    """Both stop when they all but touch, and return."""
    frames = np.arange(101)
    anna_x = np.interp(frames, [0, 48, 52, 100], [150, 300, 300, 150])
    bert_x = np.interp(frames, [0, 48, 52, 100], [490, 340, 340, 490])
    anna = face(frames, anna_x, identity=ANNA, every=9)
    bert = face(frames, bert_x, identity=BERT, every=9)
    detections, owner = scene(anna, bert)
    assert same_partition(tracks_of(detections), owner)


def test_a_swap_that_only_identity_reveals_is_undone():
    """While hidden, two people on collision course bounce off each other; motion says they passed."""
    frames = np.arange(101)
    anna_x = np.where(frames <= 50, 150 + 3.0 * frames, 150 + 3.0 * (100 - frames))
    bert_x = np.where(frames <= 50, 460 - 3.0 * frames, 460 - 3.0 * (100 - frames))
    seen = np.abs(frames - 50) > 3
    sampled = (frames % 10 == 0)[seen]
    anna, bert = face(frames[seen], anna_x[seen]), face(frames[seen], bert_x[seen])
    anna[2][sampled], bert[2][sampled] = ANNA, BERT
    detections, owner = scene(anna, bert)
    by_motion = link_tracklets(detections, [], None, 15)
    assert not same_partition(by_motion, owner)
    tracks, swaps = track_faces(detections, [], IDENTITY_DISTANCE, 15)
    assert same_partition(tracks, owner)
    assert swaps == 2


def test_without_identity_motion_carries_people_past_each_other():
    frames = np.arange(60)
    detections, owner = scene(face(frames, 100 + 6.0 * frames, y=150), face(frames, 460 - 6.0 * frames, y=200))
    assert same_partition(tracks_of(detections, identity_distance=None), owner)


def test_a_cut_ends_every_track_without_identity():
    detections, _ = scene(face(range(0, 30), 300), face(range(30, 60), 300))
    assert len(set(tracks_of(detections, identity_distance=None).tolist())) == 1
    tracks = tracks_of(detections, cuts=[30], identity_distance=None)
    assert set(tracks[:30]) == {0}
    assert set(tracks[30:]) == {1}


def test_a_face_that_goes_on_elsewhere_is_the_same_track():
    """Another face where it was before is another one."""
    detections, owner = scene(face([*range(0, 20)], 100), face(range(20, 60), 500, y=300), face(range(30, 60), 100))
    assert same_partition(track_faces(detections, [], None, 15, [20])[0], owner == 2)
    assert same_partition(track_faces(detections, [], None, 15)[0], owner == 1)


def test_a_cut_does_not_merge_people_and_identity_finds_them_again():
    """Shot, countershot, shot: two people in the same place of the picture, one identified only now and then."""
    detections, owner = scene(
        face([*range(0, 30), *range(60, 90)], 300, identity=ANNA, every=10),
        face(range(30, 60), 300, identity=BERT, every=10),
    )
    assert same_partition(tracks_of(detections, cuts=[30, 60]), owner)


def test_two_people_in_one_frame_are_never_joined():
    """Even identical vectors (twins) do not make one track of two simultaneous faces."""
    detections, owner = scene(face(range(40), 150, identity=ANNA), face(range(40), 450, identity=ANNA))
    assert same_partition(tracks_of(detections), owner)


@pytest.mark.parametrize("odd", [[50], [50, 60, 70, 80, 90]])
def test_odd_vectors_of_a_lone_face_split_nothing(odd):
    """A turned head may look like somebody else to the network; nobody was near who could have taken the place."""
    lone = face(range(100), 300, identity=ANNA, every=10)
    lone[2][odd] = CARL
    detections, _ = scene(lone)
    tracks, swaps = track_faces(detections, [], IDENTITY_DISTANCE, 15)
    assert set(tracks) == {0}
    assert swaps == 0


def test_three_people_return_after_a_long_absence():
    first = [face(range(0, 50), x, identity=who, every=7) for x, who in ((120, ANNA), (320, BERT), (520, CARL))]
    later = [face(range(400, 450), x, identity=who, every=7) for x, who in ((120, CARL), (320, ANNA), (520, BERT))]
    detections, owner = scene(*first, *later)
    people = np.array([0, 1, 2, 2, 0, 1])[owner]
    assert same_partition(tracks_of(detections), people)


@pytest.mark.parametrize(("distance", "tracks"), [(0.49, 1), (0.53, 2)])
def test_mean_vectors_must_be_nearer_than_single_ones_to_be_one_person(distance, tracks):
    """The limit for averages is 0.85 of that for single vectors: 0.51 of 0.6."""
    other = ANNA + distance * np.eye(4)[3]
    detections, _ = scene(face(range(30), 150, identity=ANNA), face(range(60, 90), 450, identity=other))
    assert len(set(tracks_of(detections, cuts=[60]).tolist())) == tracks


def test_without_identity_a_face_back_in_its_place_is_the_same():
    detections, _ = scene(face(range(0, 50), 300), face(range(100, 150), 310), face(range(100, 150), 560))
    tracks = tracks_of(detections, identity_distance=None)
    assert tracks[0] == 0
    assert len(set(tracks.tolist())) == 2


def test_tracks_are_numbered_by_first_appearance():
    detections, owner = scene(face(range(10, 50), 150), face(range(0, 50), 450), face(range(30, 50), 300))
    tracks = tracks_of(detections, identity_distance=None)
    assert [int(tracks[owner == person][0]) for person in (1, 0, 2)] == [0, 1, 2]


def test_no_detections_no_tracks():
    detections, _ = scene(face([], 0))
    tracks, swaps = track_faces(detections, [5], IDENTITY_DISTANCE, 15)
    assert len(tracks) == 0
    assert swaps == 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), people=st.integers(1, 4))
def test_jitter_and_dropped_frames_do_not_break_tracks(seed, people):
    """People in rows of their own, moving slowly, 20 % of detections lost: one track each, with or without identity."""
    rng = np.random.default_rng(seed)
    faces = []
    for person in range(people):
        frames = np.sort(rng.choice(120, 96, replace=False))
        x = 320 + 150 * np.sin(frames / 40 + person) + rng.normal(0, 2, len(frames))
        y = 45 + 90 * person + rng.normal(0, 2, len(frames))
        vector = np.eye(4)[person] * 0.7
        faces.append(face(frames, x, y, 70 + rng.normal(0, 2, len(frames)), identity=vector, every=5))
    detections, owner = scene(*faces)
    assert same_partition(tracks_of(detections), owner)
    assert same_partition(tracks_of(detections, identity_distance=None), owner)


def test_identity_is_asked_for_new_faces_then_rarely():
    schedule = IdentitySchedule(every=10)
    still = np.array([[0.0, 0, 50, 50]])
    asked = [bool(schedule.due(still)[0]) for _ in range(25)]
    assert [frame for frame, due in enumerate(asked) if due] == [0, 10, 20]
    newcomer = np.array([[0.0, 0, 50, 50], [200, 0, 250, 50]])
    assert schedule.due(newcomer).tolist() == [False, True]
    schedule.forget()
    assert schedule.due(newcomer).tolist() == [True, True]
    touching = np.array([[0.0, 0, 50, 50], [40, 0, 90, 50]])
    schedule.due(touching)
    asked = np.array([schedule.due(touching) for _ in range(8)])
    assert asked.sum(axis=0).tolist() == [4, 4]  # every second frame instead of every tenth
    assert len(schedule.due(np.zeros((0, 4)))) == 0


def test_the_schedule_compares_with_the_vector_known_before_at_the_position():
    schedule = IdentitySchedule(every=10)
    two = np.array([[0.0, 0, 50, 50], [200, 0, 250, 50]])
    assert schedule.due(two).all()
    assert schedule.learn([ANNA, BERT]) == 0
    assert not schedule.due(two).any()
    assert schedule.learn([None, None]) == 0
    assert schedule.due(two, anew=True).all()
    assert schedule.learn([CARL, BERT]) == 0  # one of them stayed
    schedule.due(two[::-1], anew=True)
    assert schedule.learn([CARL, ANNA]) == pytest.approx(0.7 * 2**0.5)
    schedule.forget()
    schedule.due(two)
    assert schedule.learn([BERT, BERT]) == 0


def swap_by_means(detections, rows, touches, limit):
    """The rule as it reads: of all splits with a contact the one whose two means are furthest apart, the first of equals."""
    samples = [i for i, row in enumerate(rows) if detections.identified[row]]
    vectors = [detections.identity(rows[[i]])[0] for i in samples]
    best, position = limit, None
    for split in range(1, len(vectors)):
        distance = np.linalg.norm(np.mean(vectors[:split], axis=0) - np.mean(vectors[split:], axis=0))
        inside = range(samples[split - 1], samples[split] + 1)
        contact = [
            1.0 if i > inside[0] and detections.frame[rows[i]] - detections.frame[rows[i - 1]] > 1 else touches[rows[i]]
            for i in inside
        ]
        if distance > best and max(contact) > 0:
            best, position = distance, samples[split - 1] + max(1, int(np.argmax(contact)))
    return position


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 60),
    st.integers(1, 4),
    st.floats(0, 1.5),
    st.sampled_from([0.2, 0.6, 1.18]),
    st.integers(0, 2**32 - 1),
)
def test_a_swap_is_where_the_means_are_furthest_apart(count, every, apart, limit, seed):
    """Two people side by side who touch now and then, of noisy identities that change somewhere."""
    rng = np.random.default_rng(seed)
    frames = np.sort(rng.choice(2 * count, count, replace=False))
    vectors = np.full((count, 8), np.nan)
    mine = rng.normal(0, 0.1, (count, 8)) + apart * (np.arange(count) >= rng.integers(0, count))[:, None] * np.eye(8)[0]
    vectors[::every] = mine[::every].astype(np.float32)
    whose, boxes, _ = face(frames, 100, side=80)
    beside = face(frames, np.where(rng.random(count) < 0.3, 150, 400))
    detections, owner = scene((whose, boxes, vectors), (beside[0], beside[1], np.full((count, 8), np.nan)))
    touches = np.zeros(len(owner))
    for frame in frames:
        here = np.flatnonzero(detections.frame == frame)
        touches[here] = pairwise_iou(detections.boxes[here[:1]], detections.boxes[here[1:]])[0, 0]
    expected, pending, parts = owner.copy(), [np.flatnonzero(owner == 0), np.flatnonzero(owner == 1)], 2
    while pending:
        rows = pending.pop()
        at = swap_by_means(detections, rows, touches, limit)
        if at is not None:
            expected[rows[at:]] = parts
            parts += 1
            pending += [rows[:at], rows[at:]]
    np.testing.assert_array_equal(split_swapped(detections, owner, limit), expected)
