"""Following faces between scans: what is found, when the whole picture is searched, and that it is what scans find."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from wildaffect.faces.detectors.following import Follower, FollowOptions
from wildaffect.faces.detectors.scrfd import Candidates, DetectorNetwork, Scanner

WIDTH, HEIGHT = 640, 384
# A scan sees one stride more below.
SCANNED = HEIGHT + 32


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


def test_two_faces_in_one_window_stay_two():
    scenes = [((100 + 3 * t, 100, 60), (240 - 3 * t, 110, 60)) for t in range(12)]
    found, _ = follow([draw(*scene) for scene in scenes], every=100)
    for faces, scene in zip(found, scenes, strict=True):
        assert sorted(map(tuple, faces.boxes.tolist())) == boxes_of(*scene)


def test_where_windows_save_nothing_each_picture_is_scanned_once():
    network = ColourNetwork()
    follower = Follower(Scanner(network, (WIDTH,), 0.4), FollowOptions(every=100))
    for t in range(6):
        follower(draw((40 + t, 10, 360), (440 - t, 10, 180)), new_shot=False)
    assert network.areas == [WIDTH * SCANNED] * 6


def test_a_face_that_moved_near_the_edge_of_its_window_is_scanned():
    """By 40 pixels a frame, of the 64 to 95 that a window shows; by 8 it is not."""
    for step, expected in ((40, list(range(8))), (8, [0])):
        found, scans = follow([draw((100 + step * t, 150, 60)) for t in range(8)], every=100)
        assert scans == expected
        assert [len(faces.boxes) for faces in found] == [1] * 8


@pytest.mark.parametrize(
    ("lead", "shift", "scanned"),
    [(0.005, 5, True), (0.005, 0.1, False), (0.05, 5, False)],
    ids=["tie", "same", "surer"],
)
def test_a_face_that_two_candidates_see_alike_surely_but_elsewhere_is_scanned(lead, shift, scanned):
    class Rivals(ColourNetwork):
        def __call__(self, pictures):
            (one,) = super().__call__(pictures)
            boxes, points = (np.concatenate([values, values]) for values in (one.boxes, one.points))
            points[1] += shift
            return [Candidates(boxes, np.float32([0.9, 0.9 - lead]), points)]

    network = Rivals()
    follower = Follower(Scanner(network, (WIDTH,), 0.4), FollowOptions(every=100))
    picture = draw((100, 100, 60))
    follower(picture, new_shot=False)
    network.areas.clear()
    follower(picture, new_shot=False)
    assert (WIDTH * SCANNED in network.areas) == scanned


def test_windows_in_vain_rest_for_longer_each_time_and_end_with_the_doubt():
    class Doubtful(ColourNetwork):
        doubt = True

        def __call__(self, pictures):
            (one,) = super().__call__(pictures)
            boxes, points = (np.concatenate([values, values]) for values in (one.boxes, one.points))
            points[1] += 5 * self.doubt
            return [Candidates(boxes, np.float32([0.9, 0.9]), points)]

    network = Doubtful()
    follower = Follower(Scanner(network, (WIDTH,), 0.4), FollowOptions(every=100))
    picture, windows = draw((100, 100, 60)), []
    for frame in range(45):
        network.doubt = frame < 30
        network.areas.clear()
        assert len(follower(picture, new_shot=False).boxes) == 1
        windows += [frame] * (min(network.areas) < WIDTH * SCANNED)
    doubtful = [frame for frame in windows if frame < 30]
    assert doubtful == [1, 2, 4, 7, 11, 16, 22, 29]
    assert windows[len(doubtful) :] == list(range(37, 45))


def test_windows_are_cut_at_whole_strides_of_the_network():
    corners = []

    class Places(ColourNetwork):
        """Finds one moving face; the picture's colours say which place a window shows."""

        def __call__(self, pictures):
            x, y = 4 * pictures[0][0, 0, :2].astype(int)
            corners.append((x, y, *pictures[0].shape[1::-1]))
            box = np.float32([[200, 120, 260, 180]]) + 3 * len(corners) - np.float32([x, y, x, y])
            points = np.stack([box[:, :2] + 60 * share for share in np.linspace(0.2, 0.8, 5)], 1)
            return [Candidates(box, np.float32([0.9]), points.astype(np.float32))]

    picture = np.stack([*np.meshgrid(np.arange(WIDTH) // 4, np.arange(HEIGHT) // 4), np.zeros((HEIGHT, WIDTH))], -1)
    follower = Follower(Scanner(Places(), (WIDTH,), 0.4), FollowOptions(every=100))
    for _ in range(12):
        follower(picture.astype(np.uint8), new_shot=False)
    assert corners[0] == (0, 0, WIDTH, SCANNED)
    assert all(number % 32 == 0 for corner in corners for number in corner)
    assert len(set(corners[1:])) > 1
    assert max(wide * high for *_, wide, high in corners[1:]) < WIDTH * HEIGHT / 2


@pytest.mark.shared
@pytest.mark.parametrize("side", [90, 130, 200, 300])
def test_a_moving_portrait_is_seen_as_scans_see_it(shared, side):
    """A face of 90 to 300 pixels that moves, turns and grows: landmarks within 2 % of the distance between the eyes, from fewer pixels."""

    class Counted(DetectorNetwork):
        pixels = 0

        def __call__(self, pictures):
            self.pixels += pictures[..., 0].size
            return super().__call__(pictures)

    network = Counted(Path(shared / "models" / "det_500m.onnx"), "cpu", 1, 0.5, 1)
    scanner = Scanner(network, (WIDTH,), 0.4)
    follower = Follower(scanner, FollowOptions())
    pictures = []
    for t in range(30):
        turn = cv2.getRotationMatrix2D((225, 120), 8 * np.sin(t / 4), side / 130 * (1 + 0.03 * np.sin(t / 5)))
        turn[:, 2] += [95 + 2 * t, 80 + t]
        pictures.append(cv2.warpAffine(astronaut(), turn, (WIDTH, HEIGHT)))
    followed = [follower(picture, new_shot=False) for picture in pictures]
    used, network.pixels = network.pixels, 0
    for seen, picture in zip(followed, pictures, strict=True):
        (full,) = scanner.scan([picture])
        assert len(seen.boxes) == len(full.boxes) == 1
        eyes = np.linalg.norm(full.points[0, 0] - full.points[0, 1])
        assert np.linalg.norm(seen.points[0] - full.points[0], axis=1).mean() < 0.02 * eyes
    assert used < network.pixels
