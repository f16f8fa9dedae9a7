"""Crop files and contact sheets."""

import pickle

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from support.faces import face, scene, write_detections, write_frames, write_video
from wildaffect.errors import InputError
from wildaffect.faces.alignment import crop_transform, warp
from wildaffect.faces.crops import CHUNK, CropFile
from wildaffect.faces.cutting import cut_crops, resize_crops
from wildaffect.faces.options import TrackingOptions
from wildaffect.faces.persons import assign_persons
from wildaffect.faces.previews import contact_sheet, write_contact_sheet
from wildaffect.faces.tables import read_trial
from wildaffect.faces.templates import all_templates, cut_from_frames, get_template, resized
from wildaffect.report.audit import face_findings
from wildaffect.tables import read_metadata

FRAMES = CHUNK + 40
TEMPLATES, CUT, RESIZED = all_templates(), cut_from_frames(), resized()
MISSING = [*range(30, 60), CHUNK + 5]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A video whose pictures say their number, one trial with a stretch without face, all its crops."""
    folder = tmp_path_factory.mktemp("crops")
    portrait = astronaut()[20:200, 120:360]
    pictures = [np.clip(portrait.astype(int) + frame % 50 - 25, 0, 255).astype(np.uint8) for frame in range(FRAMES)]
    write_video(folder / "v.mkv", pictures)
    seen = np.setdiff1d(np.arange(FRAMES), MISSING)
    detections, _ = scene(face(seen, 105 + 0.02 * seen, 105, 90))
    write_detections(folder / "d.parquet", detections, FRAMES)
    write_frames(folder / "f.parquet", FRAMES)
    persons = folder / "p.parquet"
    assign_persons(
        folder / "d.parquet", folder / "f.parquet", {"v": "main"}, persons, options=TrackingOptions(interpolate=0)
    )
    crops = {name: folder / f"{name}.arrow" for name in (*CUT, *RESIZED)}
    cut_crops(folder / "v.mkv", persons, "v", {TEMPLATES[name]: path for name, path in crops.items()})
    return folder, pictures, persons, crops


@pytest.mark.parametrize("name", CUT)
def test_crops_come_back_in_any_order(made, name):
    _, pictures, persons, crops = made
    file = CropFile(crops[name])
    template, rows = TEMPLATES[name], read_trial(persons, "v")
    assert len(file) == FRAMES
    assert file.size == template.size
    wanted = np.array([CHUNK + 20, 3, CHUNK - 1, CHUNK, 3, 29])
    found = file.read(wanted)
    assert found.shape == (6, template.size, template.size, 3)
    for crop, frame in zip(found, wanted, strict=True):
        expected = warp(pictures[frame], template, crop_transform(template, rows.points5[frame], rows.boxes[frame]))
        difference = crop.astype(int) - expected.astype(int)
        assert np.abs(difference).mean() < 2.5  # JPEG at quality 95
        assert abs(difference.mean()) < 0.5  # neighbouring frames differ by 1


def test_frames_without_face_are_black_and_said_invalid(made):
    _, _, _, crops = made
    file = CropFile(crops["lfan48"])
    np.testing.assert_array_equal(np.flatnonzero(~file.valid), MISSING)
    assert file.read(np.array(MISSING)).max() == 0
    assert file.read(np.array([29, 60])).min(axis=0).max() > 0
    assert file.read(np.array([], int)).shape == (0, 48, 48, 3)


def test_rows_outside_are_an_error(made):
    file = CropFile(made[3]["lfan48"])
    for row in (-1, FRAMES):
        with pytest.raises(IndexError):
            file.read(np.array([row]))


def test_crop_file_travels_to_worker_processes(made):
    file = CropFile(made[3]["tsav112"])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(file)).read(np.arange(5)), file.read(np.arange(5)))


def test_same_input_same_bytes(made, tmp_path):
    folder, _, persons, crops = made
    cut_crops(folder / "v.mkv", persons, "v", {get_template("arcface112"): tmp_path / "again.arrow"})
    assert (tmp_path / "again.arrow").read_bytes() == crops["arcface112"].read_bytes()


def test_another_video_than_the_tables_is_refused(made, tmp_path):
    _, pictures, persons, _ = made
    write_video(tmp_path / "short.mkv", pictures[:20])
    with pytest.raises(InputError, match="20 frames decoded"):
        cut_crops(tmp_path / "short.mkv", persons, "v", {get_template("arcface112"): tmp_path / "c.arrow"})
    assert not list(tmp_path.glob("*.arrow"))
    assert not list(tmp_path.glob(".*partial*"))


def test_a_file_that_is_no_crop_file_is_named(tmp_path):
    (tmp_path / "x.arrow").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"x\.arrow"):
        CropFile(tmp_path / "x.arrow")


def test_zero_frames_make_an_empty_file_and_a_blank_sheet(tmp_path):
    detections, _ = scene(face([], 0))
    write_detections(tmp_path / "d.parquet", detections, 0)
    write_frames(tmp_path / "f.parquet", 0)
    assign_persons(
        tmp_path / "d.parquet", tmp_path / "f.parquet", {"v": "main"}, tmp_path / "p.parquet", options=TrackingOptions()
    )
    cut_crops(tmp_path / "no.mp4", tmp_path / "p.parquet", "v", {get_template("arcface112"): tmp_path / "c.arrow"})
    assert len(CropFile(tmp_path / "c.arrow")) == 0
    assert contact_sheet(tmp_path / "c.arrow", tmp_path / "p.parquet")[:2] == b"\xff\xd8"


def test_contact_sheet_marks_sources(made):
    _, _, persons, crops = made
    sheet = cv2.imdecode(np.frombuffer(contact_sheet(crops["lfan48"], persons), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert sheet.shape == (2 * 110, 12 * 96, 3)
    borders = sheet[40, 3::96].astype(int)  # left border of each tile of the first row
    frames = np.linspace(0, FRAMES - 1, 24).round().astype(int)[:12]
    grey = np.abs(borders - 150).max(axis=1) < 20
    np.testing.assert_array_equal(grey, np.isin(frames, MISSING))
    assert (borders[~grey][:, 1] > borders[~grey][:, 0] + 50).all()


def test_contact_sheet_shows_everybody_once_and_names_doubtful_crops(tmp_path):
    """Two people; the followed one's landmarks coincide from frame 5 on."""
    write_video(tmp_path / "v.mkv", [np.full((360, 640, 3), 60, np.uint8)] * 10)
    write_frames(tmp_path / "f.parquet", 10)
    detections, owner = scene(face(range(10), 320, 180, 100), face(range(10), 100, 180, 60))
    detections.points5[(owner == 0) & (detections.frame >= 5)] = [300, 200]
    write_detections(tmp_path / "d.parquet", detections, 10)
    persons = tmp_path / "p.parquet"
    assign_persons(tmp_path / "d.parquet", tmp_path / "f.parquet", {"v": "main"}, persons, options=TrackingOptions())
    cut_crops(tmp_path / "v.mkv", persons, "v", {get_template("arcface112"): tmp_path / "c.arrow"})
    write_contact_sheet(tmp_path / "v.mkv", tmp_path / "c.arrow", persons, tmp_path / "s.jpg")
    sheet = cv2.imread(str(tmp_path / "s.jpg"), cv2.IMREAD_COLOR_RGB).astype(int)
    assert sheet.shape == (110 + 360, 10 * 96, 3)
    red = (sheet[96:110, :, 0] > 150) & (sheet[96:110, :, 1] < 140)
    assert [bool(red[:, 96 * k : 96 * k + 96].any()) for k in range(10)] == [False] * 5 + [True] * 5
    frame = sheet[110:]
    followed, other = frame[180, 270], frame[180, 70]  # left edges of the two boxes
    assert followed[1] > followed[0] + 50 and other[0] > other[1] + 30 > other[2] + 60
    assert read_metadata(persons)["trials"]["v"]["misaligned"] == 5
    assert "misaligned_faces" in [finding.finding for finding in face_findings("v", read_metadata(persons))]


@pytest.mark.parametrize("name", RESIZED)
def test_resized_crops_are_the_stored_ones_at_another_size(made, tmp_path, name):
    """No second look at the video: what the 112-pixel pictures show, at every frame, and nothing where they show nothing.

    Resized as the originals do, and exactly so: the images go through no second JPEG.
    """
    source = CropFile(made[3][RESIZED[name]])
    resize_crops(source.path, TEMPLATES[name], tmp_path / "r.arrow")
    file = CropFile(tmp_path / "r.arrow")
    assert file.about["template"] == name
    assert file.size == TEMPLATES[name].size
    np.testing.assert_array_equal(file.valid, source.valid)
    frames = np.array([0, 29, CHUNK + 20])
    resizing = {
        "lfan48": lambda picture: Image.fromarray(picture).resize((48, 48), Image.Resampling.BICUBIC),
        "cnu_aligned224": lambda picture: cv2.resize(picture, (224, 224)),
    }
    for crop, picture in zip(file.read(frames), source.read(frames), strict=True):
        np.testing.assert_array_equal(crop, np.asarray(resizing[name](picture)))
    rows, template = read_trial(made[2], "v"), TEMPLATES[name]
    for crop, frame in zip(file.read(frames), frames, strict=True):
        direct = warp(made[1][frame], template, crop_transform(template, rows.points5[frame], rows.boxes[frame]))
        assert np.abs(crop.astype(int) - direct).mean() < 4


@pytest.mark.parametrize("name", RESIZED)
def test_resized_in_the_pass_that_cuts_or_afterwards_the_bytes_are_the_same(made, tmp_path, name):
    resize_crops(made[3][RESIZED[name]], TEMPLATES[name], tmp_path / "r.arrow")
    assert made[3][name].read_bytes() == (tmp_path / "r.arrow").read_bytes()


def test_a_resized_template_is_not_made_without_its_source(made, tmp_path):
    with pytest.raises(InputError, match="lfan48 is made from arcface112, which is not among m3t256, lfan48"):
        wanted = {get_template("lfan48"): tmp_path / "l.arrow", get_template("m3t256"): tmp_path / "m.arrow"}
        cut_crops(made[0] / "v.mkv", made[2], "v", wanted)
    assert not list(tmp_path.iterdir())


def test_only_what_is_a_resized_copy_is_resized(made, tmp_path):
    with pytest.raises(InputError, match="tsav112 is not made from"):
        resize_crops(made[3]["arcface112"], get_template("tsav112"), tmp_path / "r.arrow")
    with pytest.raises(InputError, match="lfan48 is not made from m3t256"):
        resize_crops(made[3]["m3t256"], get_template("lfan48"), tmp_path / "r.arrow")
