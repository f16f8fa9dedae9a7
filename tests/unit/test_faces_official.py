"""Tables and crop files from the organisers' pictures."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from support.faces import write_frames
from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile
from wildaffect.faces.detect import DETECTIONS_SCHEMA
from wildaffect.faces.official import pack_official, read_official
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
    border = TEMPLATES[name].official_border
    inner = pictures[:, border : crops.size - border, border : crops.size - border]
    means = inner.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means[[1, 4]] - means[0], [10, 40], atol=1)
    assert means[[2, 3, 5]].tolist() == [0, 0, 0]
    with Image.open(root / TEMPLATES[name].official / "v" / "00005.jpg") as original:
        side = crops.size - 2 * border
        expected = np.asarray(original.resize((side, side), Image.Resampling.BICUBIC)).astype(float)
    assert np.abs(inner[4] - expected).mean() < 2.5


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
        check_official(["arcface112", "lfan48", "tsav112"])
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
