"""Descriptions of a face by its landmarks, on the portrait of the demo."""

import cv2
import numpy as np
import pytest
import torch

from wildaffect.demo.subject import portrait
from wildaffect.errors import InputError
from wildaffect.faces.detectors import dlib as dlib_detector
from wildaffect.faces.detectors import open_detector
from wildaffect.faces.options import DlibOptions
from wildaffect.features import face_shape
from wildaffect.features.embeddings import open_network, preparation

SIZE = 224


@pytest.fixture(scope="module")
def face():
    """The portrait, and the box of its face."""
    image = portrait().texture
    (box,) = open_detector("dlib", "hog", DlibOptions(identity=False), "cpu", 1).find([image])[0].boxes
    return image, box


def crop(face, turn: float = 0.0, scale: float = 1.0, shift=(0.0, 0.0)) -> np.ndarray:
    """A crop of the face, turned by degrees, scaled and moved by parts of its side."""
    image, box = face
    middle, side = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() * 1.15
    transform = cv2.getRotationMatrix2D(middle.tolist(), turn, scale * SIZE / side)
    transform[:, 2] += SIZE / 2 - middle + np.multiply(shift, SIZE)
    return cv2.warpAffine(image, transform, (SIZE, SIZE), flags=cv2.INTER_AREA)


def rows(name: str, *crops: np.ndarray) -> np.ndarray:
    network, _ = open_network(name, None, "models")
    return network(preparation(name)[0](torch.from_numpy(np.stack(crops)))).numpy()


def similar(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def test_a_face_that_is_turned_scaled_and_moved_is_described_alike(face):
    straight, moved = crop(face), crop(face, turn=12, scale=0.9, shift=(0.04, -0.03))
    aligned, plain = rows("aligned_hog", straight, moved), rows("hog", straight, moved)
    assert aligned.shape == (2, 1764) and aligned.dtype == np.float32
    assert similar(*aligned) > 0.9 > similar(*plain) + 0.2
    points = rows("landmarks", straight, moved).reshape(2, 68, 2)
    assert np.abs(points[0] - points[1]).max() < 0.05


def test_landmarks_are_where_eyes_and_mouth_belong(face):
    (points,) = rows("landmarks", crop(face, turn=-8)).reshape(1, 68, 2)
    middles = np.stack([points[first:last].mean(axis=0) for first, last in ((36, 42), (42, 48), (48, 60))])
    # Three points meet their targets but for the proportions of this face.
    assert np.abs(middles - np.array([[28, 30], [68, 30], [48, 72]]) / 96).max() < 0.08
    assert points[8, 1] > points[57, 1] > points[33, 1] > points[27, 1]  # chin, lower lip, nose, its root


def test_the_description_is_that_of_scikit_image_on_the_aligned_face(face):
    from skimage.feature import hog

    image = cv2.cvtColor(crop(face), cv2.COLOR_RGB2GRAY)
    network = face_shape.aligned_hog()
    points = network.landmarks(image)
    small = face_shape.aligned(image, points)
    assert small.shape == (64, 64) and 0 <= small.min() < small.max() <= 1
    expected = hog(small, 9, (8, 8), (2, 2))
    np.testing.assert_allclose(network._describe(image, points), expected, atol=1e-12)


def test_a_black_image_has_a_finite_description():
    for name in ("aligned_hog", "landmarks"):
        assert np.isfinite(rows(name, np.zeros((SIZE, SIZE, 3), np.uint8))).all()


def test_the_record_has_the_file_of_the_landmarks():
    _, about = open_network("landmarks", None, "models")
    assert about["name"] == "shape_predictor_68_face_landmarks.dat" and about["trained"]
    assert len(about["sha256"]) == 64 and "no commercial use" in about["licence"]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(dlib_detector.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="face_recognition_models"):
        open_network("landmarks", None, "models")
