"""Following faces between scans: what is found, when the whole picture is searched, how exact flow is."""

from itertools import groupby

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from wildaffect.faces.detectors.following import TRUST, FlowSegment, Follower, FollowOptions
from wildaffect.faces.detectors.scrfd import Candidates, Scanner

WIDTH, HEIGHT = 640, 384


class ColourNetwork:
    """Finds every square of one colour as a face: exact in any window that shows it whole, blind where it is cut."""

    multiple, fixed, batch = 32, None, 1

    def __init__(self):
        self.areas = []

    def __call__(self, pictures):
        found = []
        for picture in pictures:
            self.areas.append(picture.shape[0] * picture.shape[1])
            boxes = []
            for colour in np.unique(picture[picture > 0]):
                rows, columns = np.nonzero(picture[:, :, 0] == colour)
                boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            boxes = np.array(boxes, np.float32).reshape(-1, 4)
            points = np.stack(
                [boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2]) * share for share in np.linspace(0.2, 0.8, 5)], 1
            )
            found.append(Candidates(boxes, np.full(len(boxes), 0.9, np.float32), points.astype(np.float32)))
        return found


def draw(*squares):
    """A picture with squares (x, y, side), each of a colour of its own."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for number, (x, y, side) in enumerate(squares):
        if side:
            picture[y : y + side, x : x + side] = 40 * (number + 1)
    return picture


def follow(pictures, cuts=(), **options):
    """What is found in each picture, and in which the whole picture was searched."""
    network = ColourNetwork()
    follower = Follower(Scanner(network, (WIDTH,), 0.4), FollowOptions(**options))
    found, scans = [], []
    for frame, picture in enumerate(pictures):
        network.areas.clear()
        found.append(follower(picture, frame in cuts))
        if max(network.areas, default=0) >= WIDTH * HEIGHT:
            scans.append(frame)
    return found, scans


def boxes_of(*squares):
    return sorted((x, y, x + side, y + side) for x, y, side in squares if side)


def test_moving_faces_are_found_where_they_are_and_rarely_by_a_scan():
    scenes = [((100 + 4 * t, 60 + t, 50), (500 - 3 * t, 200, 70)) for t in range(40)]
    found, scans = follow([draw(*scene) for scene in scenes], every=10)
    for faces, scene in zip(found, scenes, strict=True):
        assert sorted(map(tuple, faces.boxes.tolist())) == boxes_of(*scene)
    assert scans == [0, 10, 20, 30]


def test_a_new_face_is_found_at_the_next_scan():
    scenes = [((100, 100, 50), (400, 100, 50 if t >= 13 else 0)) for t in range(30)]
    found, _ = follow([draw(*scene) for scene in scenes], every=10)
    assert [len(faces.boxes) for faces in found] == [1] * 20 + [2] * 10


def test_a_lost_face_is_searched_in_the_whole_picture_once_and_found_again_at_its_place():
    there = [t < 8 or t >= 12 for t in range(20)]
    scenes = [((100, 100, 50), (400, 100, 50 * now)) for t, now in enumerate(there)]
    found, scans = follow([draw(*scene) for scene in scenes], every=100)
    assert [len(faces.boxes) for faces in found] == [1 + now for now in there]
    assert scans == [0, 8]


def test_a_face_that_jumps_is_found_by_the_scan_of_that_frame():
    scenes = [((100, 100, 50) if t < 5 else (500, 250, 50),) for t in range(10)]
    found, scans = follow([draw(*scene) for scene in scenes], every=100)
    assert [tuple(map(tuple, faces.boxes.tolist())) for faces in found] == [tuple(boxes_of(*scene)) for scene in scenes]
    assert scans == [0, 5]


def test_cuts_and_empty_pictures_are_scanned():
    scenes = [((100, 100, 50 if t < 6 else 0),) for t in range(10)]
    found, scans = follow([draw(*scene) for scene in scenes], cuts=[3], every=100)
    assert [len(faces.boxes) for faces in found] == [1] * 6 + [0] * 4
    assert scans == [0, 3, 6, 7, 8, 9]


def test_where_nobody_is_for_long_fewer_pictures_are_scanned_but_soon_a_face_is_found():
    scenes = [((100, 100, 50 if t >= 40 else 0),) for t in range(50)]
    found, scans = follow([draw(*scene) for scene in scenes], cuts=[30], every=12)
    assert scans[:18] == [*range(16), 18, 21]
    assert {30, 31, 32, 33} <= set(scans)
    first = [len(faces.boxes) for faces in found].index(1)
    assert 40 <= first <= 42
    assert all(len(faces.boxes) == 1 for faces in found[first:])


def test_a_face_that_flow_misses_is_searched_for_longer_each_time():
    """Nothing moves in the picture, but every other search says that the face is five pixels further on."""
    still = cv2.resize(astronaut()[:128, 80:208], (220, 220), interpolation=cv2.INTER_NEAREST)[:, :, :1].repeat(
        3, axis=2
    )
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[80:300, 200:420] = still

    class Wavering(ColourNetwork):
        """Finds one face, to and fro by five pixels until the hundredth call."""

        def __call__(self, pictures):
            self.areas.append(pictures[0].shape)
            corner = 5 * (len(self.areas) % 2 if len(self.areas) < 100 else 0)
            box = np.float32([[200 + corner, 80, 420 + corner, 300]])
            points = np.stack([box[:, :2] + (box[:, 2:] - box[:, :2]) * share for share in np.linspace(0.2, 0.8, 5)], 1)
            return [Candidates(box, np.float32([0.9]), points.astype(np.float32))]

    network = Wavering()
    follower = Follower(Scanner(network, (WIDTH,), 0.4), FollowOptions(every=1000, margin=9))
    by_flow = []
    for _ in range(200):
        before = len(network.areas)
        follower(picture, new_shot=False)
        by_flow.append(len(network.areas) == before)
    # Three pictures by flow, the search that disagrees, and so many more until flow is tried again.
    lengths = [(flow, len(list(run))) for flow, run in groupby(by_flow[1:])]
    assert lengths[:8] == [
        (True, 3),
        (False, 1 + 3),
        (True, 3),
        (False, 1 + 6),
        (True, 3),
        (False, 1 + 12),
        (True, 3),
        (False, 13),
    ]
    assert set(lengths[-7:-1]) == {(True, 3), (False, 1)}


def test_two_faces_in_one_window_stay_two():
    scenes = [((100 + 3 * t, 100, 60), (240 - 3 * t, 110, 60)) for t in range(12)]
    found, _ = follow([draw(*scene) for scene in scenes], every=100)
    for faces, scene in zip(found, scenes, strict=True):
        assert sorted(map(tuple, faces.boxes.tolist())) == boxes_of(*scene)


MARKS = np.array([[203, 101.5], [246, 103], [223, 127], [202, 140], [246, 140], [165, 55], [285, 185]])


def motion(t):
    """The portrait's place at time t: shift, turn and scale."""
    angle, scale = 0.03 * np.sin(0.6 * t), 1 + 0.02 * np.sin(0.4 * t)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([225, 120])
    return np.column_stack([turn, middle - turn @ middle + [3 * t, 1.5 * t]])


def portrait(t):
    return cv2.warpAffine(astronaut(), motion(t), (512, 512), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def truth(t):
    return MARKS @ motion(t)[:, :2].T + motion(t)[:, 2]


def never(picture, marks):
    raise AssertionError("searched although both ways agree")


def test_flow_knows_where_the_face_went():
    """Between two searches four frames apart, within half a percent of the distance between the eyes."""
    segment = FlowSegment(0, portrait(0), truth(0))
    for t in range(1, 4):
        assert segment.advance(t, 10 + t, portrait(t)) is not None
    final = segment.close(4, portrait(4), truth(4), never)
    assert sorted(final) == [11, 12, 13]
    for row, marks in final.items():
        error = np.linalg.norm(marks - truth(row - 10), axis=1)[:5].mean()
        assert error < 0.005 * 43


def test_flow_takes_half_of_what_both_searches_say():
    """If the searches disagree by d about a still face, the frame in the middle gets the mean."""
    picture = portrait(0)
    segment = FlowSegment(0, picture, truth(0))
    for t in (1, 2, 3):
        segment.advance(t, t, picture)
    shift = np.array([0.8 * TRUST * 43, 0])
    final = segment.close(4, picture, truth(0) + shift, never)
    np.testing.assert_allclose(final[2] - truth(0), np.tile(shift / 2, (7, 1)), atol=0.01)
    np.testing.assert_allclose(final[1] - truth(0), np.tile(shift / 4, (7, 1)), atol=0.01)


def test_flow_sees_a_corner_of_the_mouth_move_by_itself():
    """The picture is bent around one corner of the mouth, by 4 pixels there: a third at least is seen, and nothing elsewhere."""
    corner, pull = MARKS[3], np.array([-4, 2.0])
    places = np.stack(np.meshgrid(np.arange(512), np.arange(512)), axis=-1).astype(np.float32)
    share = np.exp(-np.sum((places - corner) ** 2, axis=-1, keepdims=True) / (2 * 11.5**2))
    bent = cv2.remap(portrait(0), (places - share * pull).astype(np.float32), None, cv2.INTER_LINEAR)
    segment = FlowSegment(0, portrait(0), truth(0))
    moved = segment.advance(1, 1, bent) - truth(0)
    assert moved[3] @ pull / (pull @ pull) > 0.35
    assert np.linalg.norm(moved[:2], axis=1).max() < 0.25
    np.testing.assert_allclose(moved[5:], 0, atol=0.25)


@pytest.mark.parametrize("known", [True, False])
def test_frames_that_flow_does_not_explain_are_searched(known):
    """The mouth opens from frame 2 on and nothing else moves: flow cannot tell, the search of the frame in the middle does."""
    picture, opened, asked = portrait(0), truth(0), []
    opened[3:5, 1] += 8
    searches = {1: truth(0), 2: opened, 3: opened}
    pictures = {t: picture + np.uint8(0) for t in range(5)}

    def search(seen, marks):
        asked.append(next(t for t, picture in pictures.items() if picture is seen))
        return searches[asked[-1]] if known else None

    segment = FlowSegment(0, pictures[0], truth(0))
    for t in (1, 2, 3):
        segment.advance(t, t, pictures[t])
    final = segment.close(4, pictures[4], opened, search)
    if known:
        assert sorted(asked) == [1, 2]
        for t in (1, 2, 3):
            np.testing.assert_allclose(final[t], searches[t], atol=0.01)
    else:
        assert asked == [2]
        np.testing.assert_allclose(final[2], (truth(0) + opened) / 2, atol=0.01)


@pytest.mark.parametrize("other", [np.zeros((512, 512, 3), np.uint8), astronaut()[::-1].copy()])
def test_flow_says_when_the_face_is_gone(other):
    segment = FlowSegment(0, portrait(0), truth(0))
    assert segment.advance(1, 1, other) is None
    assert segment.motion == 0


def test_flow_says_how_far_the_face_moved():
    segment = FlowSegment(0, portrait(0), truth(0))
    segment.advance(1, 1, portrait(1))
    expected = np.linalg.norm(truth(1) - truth(0), axis=1)[:5].mean() / np.linalg.norm(MARKS[0] - MARKS[1])
    assert segment.motion == pytest.approx(expected, rel=0.1)
