"""Crop templates: the transform, the geometry of each template, the warp."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insightface.utils.face_align import norm_crop
from skimage.data import astronaut
from skimage.transform import SimilarityTransform

from support.faces import write_frames, write_video
from wildaffect.errors import InputError
from wildaffect.faces import templates
from wildaffect.faces.alignment import ARCFACE, Template, crop_transform, map_points, misaligned, similarity, warp
from wildaffect.faces.crops import CropFile
from wildaffect.faces.landmarks import SIDE
from wildaffect.faces.tables import PERSONS_SCHEMA, TrialFaces, rows_table
from wildaffect.faces.templates import all_templates, get_template, value
from wildaffect.tables import write_table

# Eye centres, nose tip and mouth corners of scikit-image's portrait, in its 512-pixel picture.
ASTRONAUT = np.array([[203.0, 101.5], [246.0, 103.0], [223.0, 127.0], [202.0, 140.0], [246.0, 140.0]])
TEMPLATES = all_templates()
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
    targets = np.array(template.points)
    points = targets @ turn.T + [x, y]
    transform = crop_transform(template, points, np.zeros(4))
    np.testing.assert_allclose(map_points(transform, points), targets, atol=1e-6)


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
    ours = warp(picture, TEMPLATES["arcface112"], crop_transform(TEMPLATES["arcface112"], ASTRONAUT, np.zeros(4)))
    theirs = norm_crop(picture, ASTRONAUT.astype(np.float32))
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_centre_of_the_m3t_crop_is_the_arcface_crop():
    """M3T shrinks the central 224 of 256 pixels to 112: the landmarks must then sit on the ArcFace points."""
    np.testing.assert_allclose((np.array(TEMPLATES["m3t256"].points) - 16) / 2, ARCFACE)


def test_box_crop_of_the_whole_picture_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    template = TEMPLATES["cnu224"]
    np.testing.assert_array_equal(
        warp(picture, template, crop_transform(template, None, np.array([0, 0, 224, 224]))), picture
    )


def test_box_crop_is_stretched_to_a_square():
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[50:150, 100:300] = 255
    template = TEMPLATES["cnu224"]
    crop = warp(picture, template, crop_transform(template, None, np.array([100.0, 50, 300, 150])))
    assert crop.min() >= 127  # only the bilinear rim may be mixed with the black outside
    assert (crop[2:-2, 2:-2] == 255).all()


def test_outside_the_picture_is_black():
    picture = np.full((60, 60, 3), 255, np.uint8)
    crop = warp(picture, TEMPLATES["tsav112"], crop_transform(TEMPLATES["tsav112"], ARCFACE - 40, np.zeros(4)))
    assert crop[:35, :35].max() == 0
    assert crop[50:90, 50:90].min() == 255


def test_small_crop_is_antialiased():
    """One-pixel stripes of the 112-pixel crop must average out at 48 pixels, not alias."""
    picture = np.zeros((112, 112, 3), np.uint8)
    picture[:, ::2] = 255
    crop = warp(picture, TEMPLATES["lfan48"], crop_transform(TEMPLATES["lfan48"], ARCFACE, np.zeros(4)))
    assert crop.shape == (48, 48, 3)
    assert np.abs(crop[4:-4, 4:-4].astype(int) - 127).max() < 25


def test_unknown_template_lists_the_known_ones():
    with pytest.raises(InputError, match="arcface112"):
        get_template("openface")


NEW = """
about: The aligned face in 64 pixels, turned upside down by its targets.
source: Made up for this test.
size: 64
points: [[48, 40], [16, 40], [32, 30], [44, 16], [20, 16]]
"""
CUT_NEW = """
import sys
from pathlib import Path
from wildaffect.faces import templates
from wildaffect.faces.alignment import Template
from wildaffect.faces.cutting import cut_crops

folder, value = Path(sys.argv[1]), templates.value("upside64")
assert Path(templates.__file__).is_relative_to(folder), templates.__file__
assert "upside64" in templates.names() and "upside64" in templates.cut_from_frames()
cut_crops(folder / "v.mkv", folder / "p.parquet", "v", {Template(**value): folder / "new.arrow"})
"""


def test_a_template_is_one_more_file_and_nothing_else(root, tmp_path):
    """In a copy of the scripts: one file more, and the template is there, is cut, and shows what its file says."""
    shutil.copytree(root / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts/wildaffect/faces/templates/upside64.yaml").write_text(NEW)
    picture = astronaut()
    write_video(tmp_path / "v.mkv", [picture] * 2)
    write_frames(tmp_path / "f.parquet", 2)
    shown = TrialFaces(
        np.array(["detected", "none"], "<U12"),
        np.array([0, -1]),
        np.array([[180.0, 60, 270, 160], [np.nan] * 4]),
        np.array([0.9, np.nan]),
        np.stack([ASTRONAUT, np.full((5, 2), np.nan)]),
        np.full((2, 68, 2), np.nan),
    )
    write_table(tmp_path / "p.parquet", rows_table("v", shown), PERSONS_SCHEMA, {"trials": {"v": {}}})
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "scripts")}
    subprocess.run([sys.executable, "-c", CUT_NEW, str(tmp_path)], check=True, env=environment)
    crops = CropFile(tmp_path / "new.arrow")
    assert (crops.size, crops.about["template"], crops.valid.tolist()) == (64, "upside64", [True, False])
    # A colour on the portrait's cheek, looked up by hand in both images: a half turn about the nose and the scale of the eyes.
    transform = similarity(ASTRONAUT, np.array([[48, 40], [16, 40], [32, 30], [44, 16], [20, 16]], float))
    for point in ([203.0, 115.0], [240.0, 128.0], [222.0, 100.0]):
        x, y = map_points(transform, np.array(point)).round().astype(int)
        here, there = picture[int(point[1]), int(point[0])], crops.read(np.array([0]))[0][y, x]
        assert np.abs(here.astype(int) - there).max() < 40, point
    assert transform[0, 0] < 0 and transform[1, 1] < 0


def test_values_of_jobs_are_the_template_and_hold_no_texts():
    for name, template in TEMPLATES.items():
        given = value(name)
        assert Template(**given) == template and hash(Template(**given)) == hash(template)
        assert json.loads(json.dumps(given))["points"] == (template.points and [list(p) for p in template.points])
        assert not {"about", "source"} & set(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size: 64\npionts: 3", "unknown key pionts"),
        ("- 64", "no mapping"),
        ("view: face", "needs a size"),
        ("size: 64\nview: feet", "view one of face, frame, body, context"),
        ("size: 64\npoints: [[1, 2]]", "five pairs"),
        ("size: 64\npoints: {arkface: {scale: 1}}", "five pairs"),
        ("size: 64\nresized_from: lfan48", "resized_from 'lfan48' is no template that is cut"),
    ],
)
def test_a_file_that_is_no_template_is_named(tmp_path, monkeypatch, text, message):
    for file in templates.FOLDER.glob("*.yaml"):
        shutil.copy(file, tmp_path)
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setattr(templates, "FOLDER", tmp_path)
    with pytest.raises(InputError, match=rf"mine\.yaml: .*{message}"):
        all_templates.__wrapped__()


def test_tsav_draws_its_masks_on_its_own_crops():
    """Landmark masks are drawn on the ArcFace alignment of 112 pixels; the crops beside them must be that."""
    np.testing.assert_array_equal(TEMPLATES["tsav112"].points, ARCFACE)
    assert TEMPLATES["tsav112"].size == TEMPLATES["tsav112"].warp_size == SIDE


# Boxes as SCRFD and dlib draw them around the ArcFace points.
BOXES = np.array([[15.0, 10, 97, 117], [16, 28, 98, 108]])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1),
    st.floats(0.2, 20),
    st.floats(-np.pi, np.pi),
    st.floats(-500, 500),
    st.floats(0, 3),
    st.integers(0, 99),
)
def test_an_ordinary_face_is_aligned_by_its_landmarks_at_any_size_and_angle(which, scale, angle, shift, noise, seed):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (ARCFACE + np.random.default_rng(seed).normal(0, noise, (5, 2))) @ turn.T + shift
    middle = (BOXES[which, :2] + BOXES[which, 2:]) / 2 @ turn.T + shift
    half = scale * (BOXES[which, 2:] - BOXES[which, :2]) / 2
    box = np.concatenate([middle - half, middle + half])
    assert not misaligned(points[None], box[None])[0]
    for name in ("arcface112", "m3t256"):
        ours = crop_transform(TEMPLATES[name], points, box)
        np.testing.assert_array_equal(ours, similarity(points, TEMPLATES[name].points))


@pytest.mark.parametrize("name", ["arcface112", "tsav112", "m3t256"])
@pytest.mark.parametrize("box", [[300, 200, 380, 320], [300, 200, 420, 260], [-10, -10, 90, 100]])
@pytest.mark.parametrize(
    "useless",
    [
        lambda box: np.tile(box[:2], (5, 1)),  # all in one point
        lambda box: box[2:] + ARCFACE * [0.02, 0.1],  # a profile's: nearly in one point, at the edge
        lambda box: box[:2] + ARCFACE * 0.3,  # too close together
        lambda box: box[:2] + ARCFACE * 4,  # all over the image
        lambda box: box[2:] + 30 + ARCFACE,  # beside the face
        lambda box: np.full((5, 2), np.nan),
    ],
)
def test_useless_landmarks_leave_the_whole_box_in_the_crop(name, box, useless):
    box = np.array(box, float)
    points = useless(box)
    assert misaligned(points[None], box[None])[0]
    transform = crop_transform(TEMPLATES[name], points, box)
    corners = map_points(transform, box[[[0, 1], [2, 1], [0, 3], [2, 3]]])
    size = TEMPLATES[name].warp_size
    assert corners.min() > 0 and corners.max() < size
    assert abs(transform[0, 1]) < 1e-9 and transform[0, 0] > 0  # upright
    assert np.ptp(corners, axis=0).max() > 0.75 * size  # and not lost in it


def test_quality_is_a_column_of_the_table(tmp_path):
    boxes = np.array([[100.0, 100, 182, 207], [100, 100, 182, 207], [100, 100, 125, 130], [np.nan] * 4])
    points = np.stack(
        [ARCFACE + 88, np.full((5, 2), 140.0), (ARCFACE - 56) * 0.3 + [112, 112], np.full((5, 2), np.nan)]
    )
    rows = TrialFaces(
        np.array(["detected", "detected", "interpolated", "none"]), np.array([0, 0, 0, -1]), boxes,
        np.array([0.9, 0.9, np.nan, np.nan]), points, np.full((4, 68, 2), np.nan),
    )  # fmt: skip
    assert rows_table("v", rows)["quality"].to_pylist() == ["good", "misaligned", "small", None]
