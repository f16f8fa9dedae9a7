"""Tables and crop files from the organisers' pictures."""

import pickle
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from skimage.data import astronaut

from support.faces import write_frames
from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile
from wildaffect.faces.cutting import resize_crops
from wildaffect.faces.detect import DETECTIONS_SCHEMA
from wildaffect.faces.official import pack_official, read_official
from wildaffect.faces.official_folders import image_folders
from wildaffect.faces.previews import contact_sheet
from wildaffect.faces.tables import read_trial
from wildaffect.faces.templates import (
    all_templates,
    check_official,
    cut_from_frames,
    get_template,
    official,
    resized,
    scenes,
)
from wildaffect.report.audit import face_findings
from wildaffect.tables import read_metadata, read_table

TEMPLATES = all_templates()
CUT, RESIZED, OFFICIAL = cut_from_frames(), resized(), official()


@pytest.fixture
def root(tmp_path):
    """Pictures 1, 2 and 5 of a video of six frames; number k is 10 k brighter, in both folders."""
    write_frames(tmp_path / "f.parquet", 6)
    for kind in ("cropped", "cropped_aligned"):
        pictures = tmp_path / kind / "v"
        pictures.mkdir(parents=True)
        for number in (1, 2, 5):
            face = np.clip(astronaut()[60:172, 170:282].astype(int) // 2 + 10 * number, 0, 255).astype(np.uint8)
            Image.fromarray(face).save(pictures / f"{number:05}.jpg", quality=95)
    return tmp_path


def tables(root):
    read_official(root, root / "f.parquet", {"v": "main"}, root / "p.parquet", root / "d.parquet")
    return root / "p.parquet", root / "d.parquet"


def test_every_template_is_cut_or_resized():
    assert set(CUT) | set(RESIZED) | set(scenes()) == set(TEMPLATES)
    assert not set(CUT) & set(RESIZED)
    assert set(RESIZED.values()) <= set(CUT)
    assert set(OFFICIAL) <= set(CUT)


@pytest.mark.parametrize("name", OFFICIAL)
def test_picture_k_is_frame_k_minus_1(root, name):
    output = root / "c.arrow"
    pack_official(root, root / "f.parquet", "v", {get_template(name): output})
    crops = CropFile(output)
    assert np.flatnonzero(crops.valid).tolist() == [0, 1, 4]
    pictures = crops.read(np.arange(6)).astype(float)
    kind, border = next(pair for pair in TEMPLATES[name].official if pair[0] != "face_256")
    inner = pictures[:, border : crops.size - border, border : crops.size - border]
    means = inner.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means[[1, 4]] - means[0], [10, 40], atol=1)
    assert means[[2, 3, 5]].tolist() == [0, 0, 0]
    expected = cv2.imread(str(root / kind / "v" / "00005.jpg"), cv2.IMREAD_COLOR_RGB)
    if name == "m3t256":
        expected = expected.repeat(2, axis=0).repeat(2, axis=1)
    elif name == "cnu224":
        expected = cv2.resize(expected, (224, 224))
    np.testing.assert_array_equal(inner[4], expected)


def test_several_templates_at_once(root):
    outputs = {name: root / f"{name}.arrow" for name in OFFICIAL}
    pack_official(root, root / "f.parquet", "v", {get_template(name): path for name, path in outputs.items()})
    assert {name: CropFile(path).size for name, path in outputs.items()} == {
        "arcface112": 112,
        "m3t256": 256,
        "cnu224": 224,
    }


def test_tables_say_where_pictures_are_and_nothing_more(root):
    persons, detections = tables(root)
    rows = read_trial(persons, "v")
    assert rows.source.tolist() == ["detected", "detected", "none", "none", "detected", "none"]
    assert rows.track.tolist() == [0, 0, -1, -1, 0, -1]
    assert np.isnan(rows.boxes).all() and np.isnan(rows.points5).all() and np.isnan(rows.points68).all()
    facts = read_metadata(persons)["trials"]["v"]
    assert facts["coverage"] == 0.5
    assert facts["pictures_beyond"] == 0
    assert len(read_table(detections, DETECTIONS_SCHEMA)) == 0
    assert read_metadata(detections)["frames_with_face"] == 3
    assert read_metadata(detections)["files"] == {}


def test_pictures_beyond_the_video_are_counted(root):
    source = root / "cropped_aligned" / "v"
    (source / "00008.jpg").write_bytes((source / "00005.jpg").read_bytes())
    persons, _ = tables(root)
    assert read_metadata(persons)["trials"]["v"]["pictures_beyond"] == 1
    pack_official(root, root / "f.parquet", "v", {get_template("arcface112"): root / "c.arrow"})
    assert np.flatnonzero(CropFile(root / "c.arrow").valid).tolist() == [0, 1, 4]


def test_contact_sheet_needs_no_boxes(root):
    persons, _ = tables(root)
    pack_official(root, root / "f.parquet", "v", {get_template("arcface112"): root / "c.arrow"})
    assert contact_sheet(root / "c.arrow", persons)[:2] == b"\xff\xd8"


def test_refusals(root):
    output = {get_template("arcface112"): root / "c.arrow"}
    with pytest.raises(InputError, match="tsav112"):
        check_official(["arcface112", "lfan48", "tsav112"], ["cropped_aligned"])
    with pytest.raises(InputError, match="tsav112"):
        pack_official(root, root / "f.parquet", "v", {get_template("tsav112"): root / "c.arrow"})
    with pytest.raises(InputError, match="no such folder"):
        pack_official(root, root / "f.parquet", "w", output)
    with pytest.raises(InputError, match="no such folder"):
        read_official(root, root / "f.parquet", {"w": "main"}, root / "p.parquet", root / "d.parquet")
    (root / "cropped_aligned" / "v" / "00002.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"00002\.jpg"):
        pack_official(root, root / "f.parquet", "v", output)
    assert not (root / "c.arrow").exists()


def valid_frames(root) -> list[int]:
    """Frames with a face by the table and, which must agree, by the crops."""
    persons, _ = tables(root)
    pack_official(root, root / "f.parquet", "v", {get_template("arcface112"): root / "c.arrow"})
    frames = np.flatnonzero(CropFile(root / "c.arrow").valid).tolist()
    assert np.flatnonzero(read_trial(persons, "v").source == "detected").tolist() == frames
    return frames


@pytest.mark.parametrize("top", ["cropped_aligned", "cropped_aligned_new_50_vids", "Cropped_Aligned"])
@pytest.mark.parametrize("batch", ["", "batch1", "batch2"])
def test_images_are_found_in_every_archive_of_the_release(root, top, batch):
    (root / "cropped_aligned").rename(root / "before")
    (root / top / batch).mkdir(parents=True)
    (root / "before" / "v").rename(root / top / batch / "v")
    (root / "cropped_aligned_old").mkdir()
    (root / "cropped_aligned_old" / "v").mkdir()
    assert valid_frames(root) == [0, 1, 4]


def test_several_archives_are_one_and_a_trial_in_two_is_refused(root):
    (root / "cropped_aligned_new_50_vids" / "w").mkdir(parents=True)
    assert set(image_folders(root, "cropped_aligned")) == {"v", "w"}
    assert set(image_folders(root, "cropped")) == {"v"}
    (root / "cropped_aligned_new_50_vids" / "v").symlink_to(root / "cropped_aligned" / "v")
    assert set(image_folders(root, "cropped_aligned")) == {"v", "w"}
    (root / "cropped_aligned" / "w").mkdir()
    with pytest.raises(InputError, match="both hold images of trial w"):
        image_folders(root, "cropped_aligned")


@pytest.mark.parametrize(
    "name", ["{:05}.JPG", "{:05}.jpeg", "{:05}.png", "{}.jpg", "frame_{:05}.jpg", "frame{}.jpg", "IMG-{:04}.Jpg"]
)
@pytest.mark.parametrize("first", [1, 0])
def test_names_and_first_numbers_that_people_use(root, name, first):
    folder = root / "cropped_aligned" / "v"
    for number in (1, 2, 5):
        with Image.open(folder / f"{number:05}.jpg") as image:
            image.save(root / name.format(number - 1 + first))
        (folder / f"{number:05}.jpg").unlink()
        (root / name.format(number - 1 + first)).rename(folder / name.format(number - 1 + first))
    (folder / "Thumbs.db").touch()
    assert valid_frames(root) == [0, 1, 4]


def test_numbering_from_0_holds_for_trials_without_a_first_image(root):
    """Trial v has no image of its first frame; w, beside it, shows that numbers start at 0."""
    (root / "cropped_aligned" / "v" / "00001.jpg").unlink()
    assert valid_frames(root) == [1, 4]
    other = root / "cropped_aligned" / "w"
    other.mkdir()
    for number in range(40):
        (other / f"{number:05}.jpg").touch()
    assert valid_frames(root) == [2, 5]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["first.jpg"], "does not tell which frame"),
        (["00001_a.jpg"], "does not tell which frame"),
        (["00002.png"], "two images of one frame"),
        (["2.jpg"], "two images of one frame"),
    ],
)
def test_images_of_no_or_of_one_frame_are_refused(root, names, message):
    for name in names:
        (root / "cropped_aligned" / "v" / name).touch()
    with pytest.raises(InputError, match=message):
        valid_frames(root)


def test_a_folder_of_other_things_is_refused_and_an_empty_one_is_a_trial_without_faces(root):
    folder = root / "cropped_aligned" / "v"
    for path in folder.iterdir():
        path.rename(path.with_suffix(".jp2"))
    with pytest.raises(InputError, match=r"00001\.jp2 but no image"):
        valid_frames(root)
    for path in folder.iterdir():
        path.unlink()
    assert valid_frames(root) == []


def test_the_organisers_bytes_are_kept_where_the_crop_is_theirs(root):
    pack_official(root, root / "f.parquet", "v", {get_template("arcface112"): root / "c.arrow"})
    stored = pa.ipc.open_file(str(root / "c.arrow")).read_all()["picture"].to_pylist()
    given = root / "cropped_aligned" / "v"
    assert stored == [
        (given / f"{number:05}.jpg").read_bytes() if number in (1, 2, 5) else None for number in range(1, 7)
    ]
    with Image.open(given / "00005.jpg") as image:
        crop = CropFile(root / "c.arrow").read(np.array([4]))[0]
        assert np.abs(crop.astype(int) - np.asarray(image)).max() <= 2  # two decoders of one JPEG


@pytest.mark.parametrize("kept", [100, 2000])
def test_a_torn_image_is_named(root, kept):
    path = root / "cropped_aligned" / "v" / "00002.jpg"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"00002\.jpg: not a readable image"):
        valid_frames(root)


def test_tracks_of_m3t_stand_for_its_own_crop_and_for_others(root):
    """Frames 1 and 3 have a track: 256 pixels of a slope with a bright middle; the organisers' folder is not needed."""
    shutil.rmtree(root / "cropped_aligned")
    shutil.rmtree(root / "cropped")
    folder = root / "face_256" / "v"
    folder.mkdir(parents=True)
    track = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 256, 0).repeat(3, 2)
    for number in (2, 4):
        Image.fromarray(track).save(folder / f"{number:05}.jpg", quality=98)
    outputs = {name: root / f"{name}.arrow" for name in ("m3t256", "arcface112")}
    pack_official(root, root / "f.parquet", "v", {get_template(name): path for name, path in outputs.items()})
    assert valid_frames(root) == [1, 3]
    own = CropFile(outputs["m3t256"]).read(np.array([1]))[0]
    assert np.abs(own.astype(int) - track).max() <= 4
    # The middle 224 pixels, halved: pixel k shows 16 + 2 k + 0.5.
    shown = CropFile(outputs["arcface112"]).read(np.array([1]))[0].mean(axis=(0, 2))
    np.testing.assert_allclose(shown[2:-2], (16.5 + 2 * np.arange(112))[2:-2], atol=1.5)
    check_official(["m3t256", "lfan48"], ["face_256"])
    with pytest.raises(InputError, match="cnu224"):
        check_official(["cnu224"], ["face_256"])


@pytest.mark.parametrize(("beyond", "severity"), [(1, "info"), (2, "info"), (3, "warning")])
def test_images_beyond_the_last_frame_are_in_the_audit(root, beyond, severity):
    for number in range(7, 7 + beyond):
        shutil.copy(root / "cropped_aligned/v/00005.jpg", root / f"cropped_aligned/v/{number:05}.jpg")
    (finding,) = (f for f in face_findings("v", read_metadata(tables(root)[0])) if f.finding == "images_beyond")
    assert (finding.severity, finding.detail) == (severity, f"{beyond} images of the face after the last of 6 frames")


def test_arrays_of_lfan_stand_for_its_own_crop_and_for_sheets(tmp_path):
    """Frame 1 of four has no label; the crop is the array pixel for pixel, whatever it was enlarged to for the sheet."""
    write_frames(tmp_path / "f.parquet", 4)
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3)).astype(np.int16)
    (tmp_path / "npy_data" / "v").mkdir(parents=True)
    np.save(tmp_path / "npy_data" / "v" / "frame.npy", images)
    (tmp_path / "labeled_frame_indices.pkl").write_bytes(pickle.dumps({"Train_Set": {"v": [1, 0, 1, 1]}}))
    read_official(tmp_path, tmp_path / "f.parquet", {"v": "main"}, tmp_path / "p.parquet", tmp_path / "d.parquet")
    assert read_trial(tmp_path / "p.parquet", "v").valid.tolist() == [True, False, True, True]
    pack_official(tmp_path, tmp_path / "f.parquet", "v", {TEMPLATES["arcface112"]: tmp_path / "a.arrow"})
    resize_crops(tmp_path / "a.arrow", TEMPLATES["lfan48"], tmp_path / "l.arrow")
    np.testing.assert_array_equal(CropFile(tmp_path / "l.arrow").read([0, 2, 3]), images)
    assert CropFile(tmp_path / "a.arrow").read([0, 1])[1].max() == 0
    check_official(["lfan48"], ["npy_data"])
    for name in ("arcface112", "cnu224", "m3t256", "tsav112"):
        with pytest.raises(InputError, match=f"{name} cannot be made from images in npy_data"):
            check_official([name], ["npy_data"])
    check_official(["arcface112"], ["npy_data", "cropped_aligned"])
