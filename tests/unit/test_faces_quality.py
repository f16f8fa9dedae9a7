"""Head pose from projected faces of known rotation, measures of crops with known values, and which frames are not trusted."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect.config import parse
from wildaffect.faces import quality
from wildaffect.faces.quality import OF_68, POINTS5, POINTS68, camera, distrust, head_pose, look, rotation
from wildaffect.workflow.settings import Trust

SIZE = (640, 480)
NONE68 = np.full((68, 2), np.nan)


def project(model, angles, place=(0.0, 0.0, 600.0), size=SIZE):
    """Image points of the mean face, turned and put somewhere in front of the assumed camera, all in mm."""
    y, p, r = np.radians(angles)
    # Written out anew: about the vertical axis, then the horizontal one, then the line of sight.
    turn = cv2.Rodrigues(np.array([0, -y, 0]))[0] @ cv2.Rodrigues(np.array([-p, 0, 0]))[0]
    turn = turn @ cv2.Rodrigues(np.array([0, 0, r]))[0]
    seen = (model @ turn.T + np.asarray(place)) @ camera(size).T
    return seen[:, :2] / seen[:, 2:]


def in_68(points):
    found = np.zeros((68, 2))
    found[list(OF_68)] = points
    return found


@given(
    st.floats(-70, 70), st.floats(-50, 50), st.floats(-80, 80),
    st.tuples(st.floats(-150, 150), st.floats(-100, 100), st.floats(400, 3000)),
)  # fmt: skip
def test_known_rotations_come_back(yaw, pitch, roll, place):
    angles = (yaw, pitch, roll)
    assert head_pose(project(POINTS5, angles, place), NONE68, SIZE) == pytest.approx(angles, abs=0.05)
    five = np.full((5, 2), np.nan)  # not used where there are 68
    assert head_pose(five, in_68(project(POINTS68, angles, place)), SIZE) == pytest.approx(angles, abs=0.05)


def test_signs_by_what_is_seen():
    """Plain pictures: eyes, nose, mouth of a face of 100 pixels in the middle; then the nose is moved, or the head leans."""
    face = project(POINTS5, (0, 0, 0))
    assert head_pose(face, NONE68, SIZE) == pytest.approx([0, 0, 0], abs=0.01)
    right, up = face.copy(), face.copy()
    right[2] += (8, 0)
    up[2] -= (0, 8)
    assert head_pose(right, NONE68, SIZE)[0] > 5 and head_pose(up, NONE68, SIZE)[1] > 5
    middle = face.mean(axis=0)
    clockwise = (face - middle) @ np.array(
        [[0, 1], [-1, 0]]
    ) + middle  # the eyes are now on the right, one above the other
    assert clockwise[:2, 0].min() > clockwise[3:, 0].max()
    assert head_pose(clockwise, NONE68, SIZE)[2] == pytest.approx(90, abs=5)


def test_without_landmarks_there_is_no_pose():
    assert np.isnan(head_pose(np.full((5, 2), np.nan), NONE68, SIZE)).all()
    assert head_pose(np.full((5, 2), 7.0), NONE68, SIZE).shape == (3,)


def test_rotations_are_rotations():
    turned = rotation(30, -20, 10)
    assert np.allclose(turned @ turned.T, np.eye(3)) and np.linalg.det(turned) == pytest.approx(1)
    # Where the nose of a head points that is turned by 90 degrees to the right of the image: to the right.
    assert np.allclose(rotation(90, 0, 0) @ [0, 0, -1], [1, 0, 0], atol=1e-12)
    assert np.allclose(rotation(0, 90, 0) @ [0, 0, -1], [0, -1, 0], atol=1e-12)


def test_measures_of_known_crops():
    plain = np.full((112, 112, 3), 90, np.uint8)
    assert look(plain) == (0.0, 90.0)
    # Columns of 80 and 100 in turn: the Laplacian is the sum of the two neighbours minus twice the pixel, so +40 and -40.
    stripes = plain.copy()
    stripes[:, ::2], stripes[:, 1::2] = 80, 100
    assert look(stripes) == pytest.approx((40**2, 90), abs=1e-6)
    sharp = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    assert look(cv2.GaussianBlur(sharp, (9, 9), 2))[0] < look(sharp)[0] / 100


RULE = parse(Trust, {}, "tables.trust").plain()


def test_the_first_reason_counts():
    good = {"yaw": 0, "pitch": 0, "roll": 0, "face_px": 100, "sharpness": 300, "brightness": 120}
    nothing = dict.fromkeys(good, np.nan)
    rows = [
        ("detected", "good", good, ""),
        ("interpolated", "good", good, ""),
        ("none", "", nothing, "no_face"),
        ("held", "good", good, "held"),
        ("detected", "misaligned", good | {"yaw": 80}, "misaligned"),
        ("detected", "small", good | {"face_px": 31, "yaw": 80}, "small"),
        ("detected", "good", good | {"yaw": -46}, "turned"),
        ("detected", "good", good | {"pitch": 36}, "turned"),
        ("detected", "good", good | {"yaw": 45, "pitch": -35, "roll": 90}, ""),
        ("detected", "good", good | {"sharpness": 29}, "blurred"),
        ("detected", "good", good | {"brightness": 39}, "dark"),
        ("detected", "good", good | {"brightness": 221}, "bright"),
        # The organisers' images have no landmarks and no box.
        ("detected", "", nothing, ""),
    ]
    source, seen, measures, expected = zip(*rows, strict=True)
    arrays = {name: np.array([row[name] for row in measures], float) for name in good}
    assert distrust(np.array(source), np.array(seen), arrays, RULE).tolist() == list(expected)


def test_the_table_of_a_trial(tmp_path, monkeypatch):
    """Frames without a face have no measures; the others those of their own points, box and crop."""
    from wildaffect.tables import read_table

    five = np.stack([project(POINTS5, (20, 0, 0)), np.full((5, 2), np.nan), project(POINTS5, (0, -10, 0))])
    faces = SimpleNamespace(
        source=np.array(["detected", "none", "held"]),
        valid=np.array([True, False, True]),
        points5=five,
        points68=np.full((3, 68, 2), np.nan),
        boxes=np.array([[10, 10, 50, 90], [np.nan] * 4, [0, 0, 30, 30]], float),
    )
    crops = SimpleNamespace(
        valid=faces.valid, read=lambda rows: np.stack([np.full((112, 112, 3), 50 + r, np.uint8) for r in rows])
    )
    crops = type("Crops", (), {"__len__": lambda self: 3, "valid": faces.valid, "read": staticmethod(crops.read)})()
    monkeypatch.setattr(quality, "read_trial", lambda path, trial: faces)
    monkeypatch.setattr(quality, "read_metadata", lambda path: {"width": SIZE[0], "height": SIZE[1]})
    monkeypatch.setattr(quality, "CropFile", lambda path: crops)
    quality.measure_quality("persons", "crops", "frames", "a", tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", quality.SCHEMA).to_pydict()
    assert table["yaw"] == [pytest.approx(20, abs=0.1), None, pytest.approx(0, abs=0.1)]
    assert table["pitch"][2] == pytest.approx(-10, abs=0.1)
    assert table["face_px"] == [pytest.approx(np.sqrt(40 * 80)), None, 30]
    assert table["brightness"] == [50, None, 52] and table["sharpness"] == [0, None, 0]
