"""Crop templates: the transform, the geometry of each template, the warp."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insightface.utils.face_align import norm_crop
from skimage.data import astronaut
from skimage.transform import SimilarityTransform

from wildaffect.errors import InputError
from wildaffect.faces.templates import (
    ARCFACE,
    TEMPLATES,
    crop_transform,
    cut,
    get_template,
    map_points,
    similarity,
)

# Eye centres, nose tip and mouth corners of scikit-image's portrait, in its 512-pixel picture.
ASTRONAUT = np.array([[203.0, 101.5], [246.0, 103.0], [223.0, 127.0], [202.0, 140.0], [246.0, 140.0]])
ALIGNED = [name for name, template in TEMPLATES.items() if template.points is not None]


@settings(max_examples=60, deadline=None)
@given(
    scale=st.floats(0.05, 20),
    angle=st.floats(-np.pi, np.pi),
    x=st.floats(-2000, 2000),
    y=st.floats(-2000, 2000),
    name=st.sampled_from(ALIGNED),
)
def test_a_turned_scaled_shifted_face_lands_on_the_template(scale, angle, x, y, name):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    template = TEMPLATES[name]
    points = template.points @ turn.T + [x, y]
    transform = crop_transform(template, points, np.zeros(4))
    np.testing.assert_allclose(map_points(transform, points), template.points, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(noise=st.lists(st.floats(-30, 30), min_size=10, max_size=10))
def test_transform_is_the_least_squares_similarity(noise):
    points = 3 * ARCFACE + 40 + np.reshape(noise, (5, 2))
    expected = SimilarityTransform.from_estimate(points, ARCFACE)
    np.testing.assert_allclose(similarity(points, ARCFACE), expected.params[:2], atol=1e-8)


def test_mirrored_points_are_not_reflected():
    mirrored = ARCFACE * [-1, 1] + [112, 0]
    linear = similarity(mirrored, ARCFACE)[:, :2]
    assert np.linalg.det(linear) > 0


def test_coinciding_points_have_no_transform():
    assert np.isnan(similarity(np.ones((5, 2)), ARCFACE)).all()


@pytest.mark.filterwarnings("ignore:.*estimate.*:FutureWarning")
def test_aligned_crop_equals_insightface():
    picture = astronaut()
    ours = cut(picture, TEMPLATES["arcface112"], crop_transform(TEMPLATES["arcface112"], ASTRONAUT, np.zeros(4)))
    theirs = norm_crop(picture, ASTRONAUT.astype(np.float32))
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_centre_of_the_m3t_crop_is_the_arcface_crop():
    """M3T shrinks the central 224 of 256 pixels to 112: the landmarks must then sit on the ArcFace points."""
    np.testing.assert_allclose((TEMPLATES["m3t256"].points - 16) / 2, ARCFACE)


def test_box_crop_of_the_whole_picture_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    template = TEMPLATES["cnu224"]
    np.testing.assert_array_equal(
        cut(picture, template, crop_transform(template, None, np.array([0, 0, 224, 224]))), picture
    )


def test_box_crop_is_stretched_to_a_square():
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[50:150, 100:300] = 255
    template = TEMPLATES["cnu224"]
    crop = cut(picture, template, crop_transform(template, None, np.array([100.0, 50, 300, 150])))
    assert crop.min() >= 127  # only the bilinear rim may be mixed with the black outside
    assert (crop[2:-2, 2:-2] == 255).all()


def test_outside_the_picture_is_black():
    picture = np.full((60, 60, 3), 255, np.uint8)
    crop = cut(picture, TEMPLATES["tsav112"], crop_transform(TEMPLATES["tsav112"], ARCFACE - 40, np.zeros(4)))
    assert crop[:35, :35].max() == 0
    assert crop[50:90, 50:90].min() == 255


def test_small_crop_is_antialiased():
    """One-pixel stripes of the 112-pixel crop must average out at 48 pixels, not alias."""
    picture = np.zeros((112, 112, 3), np.uint8)
    picture[:, ::2] = 255
    crop = cut(picture, TEMPLATES["lfan48"], crop_transform(TEMPLATES["lfan48"], ARCFACE, np.zeros(4)))
    assert crop.shape == (48, 48, 3)
    assert np.abs(crop[4:-4, 4:-4].astype(int) - 127).max() < 25


def test_unknown_template_lists_the_known_ones():
    with pytest.raises(InputError, match="arcface112"):
        get_template("openface")
