"""The landmark drawing: grey values, order of strokes, open and closed lines."""

import numpy as np

from support.faces import face, scene, write_detections, write_frames
from wildaffect.faces.alignment import ARCFACE, similarity
from wildaffect.faces.landmarks import LandmarkMasks, draw_landmarks
from wildaffect.faces.options import TrackingOptions
from wildaffect.faces.persons import assign_persons

# Part of the 68-point scheme -> grey value (TSAV spec 2.4); parts that are not drawn are 0.
GREYS = {
    range(48, 60): 255,
    range(17, 22): 223,
    range(22, 27): 191,
    range(36, 42): 159,
    range(42, 48): 127,
    range(28, 31): 63,
    range(6, 11): 31,
    range(0, 6): 0,
    range(11, 17): 0,
    range(27, 28): 0,
    range(31, 36): 0,
    range(60, 68): 0,
}


def apart() -> np.ndarray:
    """68 points so far from each other that no stroke meets another part's points."""
    points = np.zeros((68, 2))
    for row, part in enumerate(sorted(GREYS, key=lambda part: part.start)):
        for column, index in enumerate(part):
            points[index] = 3 + 8 * column, 3 + 9 * row
    return points


def test_grey_of_every_landmark():
    mask = draw_landmarks(apart())
    x, y = apart().astype(int).T
    expected = np.zeros(68, int)
    for part, grey in GREYS.items():
        expected[list(part)] = grey
    np.testing.assert_array_equal(mask[y, x], expected)
    assert set(np.unique(mask)) == {0, 31, 63, 127, 159, 191, 223, 255}
    assert mask.dtype == np.uint8
    assert mask.shape == (112, 112)


def test_closed_and_open_parts():
    points = np.full((68, 2), -50.0)
    points[[36, 37, 38, 39, 40, 41]] = [[10, 10], [20, 10], [30, 10], [30, 20], [20, 20], [10, 20]]
    points[[17, 18, 19, 20, 21]] = [[60, 10], [70, 10], [80, 10], [80, 30], [60, 30]]
    mask = draw_landmarks(points)
    assert mask[15, 10] == 159  # the eye's last point joins its first
    assert mask[20, 60] == 0  # the brow's does not
    assert (mask[10, 10:31] == 159).all()
    assert (mask[11, 11:30] == 0).all()  # one pixel wide, nothing filled


def test_later_strokes_cover_earlier_ones():
    mask = draw_landmarks(np.tile([50.0, 50.0], (68, 1)))
    assert mask[50, 50] == 31  # the chin comes last
    points = np.tile([50.0, 50.0], (68, 1))
    points[6:11] = 90
    assert draw_landmarks(points)[50, 50] == 63  # then the nose


def test_halves_round_to_even():
    points = np.full((68, 2), -50.0)
    points[6:11] = [[10.5, 40.5]] * 5
    assert np.argwhere(draw_landmarks(points)).tolist() == [[40, 10]]
    points[6:11] = [[11.5, 41.5]] * 5
    assert np.argwhere(draw_landmarks(points)).tolist() == [[42, 12]]


def test_no_landmarks_no_drawing():
    assert draw_landmarks(np.full((68, 2), np.nan)).max() == 0


def test_masks_follow_the_crop(tmp_path):
    detections, _ = scene(face(range(3), 200), face(range(6, 8), 210))
    write_detections(tmp_path / "d.parquet", detections, 8)
    write_frames(tmp_path / "f.parquet", 8)
    assign_persons(
        tmp_path / "d.parquet",
        tmp_path / "f.parquet",
        {"a": "main"},
        tmp_path / "p.parquet",
        options=TrackingOptions(interpolate=0),
    )
    masks = LandmarkMasks(tmp_path / "p.parquet", "a")
    assert masks.valid.tolist() == [True] * 3 + [False] * 3 + [True] * 2
    drawn = masks.read(np.array([7, 4, 0]))
    transform = similarity(detections.points5[0], ARCFACE)
    expected = detections.points68[0] @ transform[:, :2].T + transform[:, 2]
    np.testing.assert_array_equal(drawn[2], draw_landmarks(expected))
    assert drawn[1].max() == 0
    assert drawn[0].max() == 255
