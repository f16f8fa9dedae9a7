"""Crop files from the organisers' aligned pictures."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from support.faces import write_frames
from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile
from wildaffect.faces.official import BORDERS, pack_official


@pytest.fixture
def folder(tmp_path):
    """Pictures 1, 2 and 5 of a video of six frames; number k is k times 10 brighter."""
    write_frames(tmp_path / "f.parquet", 6)
    pictures = tmp_path / "cropped"
    pictures.mkdir()
    for number in (1, 2, 5):
        face = np.clip(astronaut()[60:172, 170:282].astype(int) // 2 + 10 * number, 0, 255).astype(np.uint8)
        Image.fromarray(face).save(pictures / f"{number:05}.jpg", quality=95)
    return tmp_path


@pytest.mark.parametrize("name", BORDERS)
def test_picture_k_is_frame_k_minus_1(folder, name):
    output = folder / "c.arrow"
    pack_official(folder / "cropped", folder / "f.parquet", "v", {name: output})
    crops = CropFile(output)
    assert np.flatnonzero(crops.valid).tolist() == [0, 1, 4]
    pictures = crops.read(np.arange(6)).astype(float)
    border = BORDERS[name]
    inner = pictures[:, border : crops.size - border, border : crops.size - border]
    means = inner.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means[[1, 4]] - means[0], [10, 40], atol=1)
    assert means[[2, 3, 5]].tolist() == [0, 0, 0]
    with Image.open(folder / "cropped" / "00005.jpg") as original:
        side = crops.size - 2 * border
        expected = np.asarray(original.resize((side, side), Image.Resampling.BICUBIC)).astype(float)
    assert np.abs(inner[4] - expected).mean() < 2.5


def test_several_templates_at_once(folder):
    outputs = {name: folder / f"{name}.arrow" for name in BORDERS}
    pack_official(folder / "cropped", folder / "f.parquet", "v", outputs)
    assert {name: CropFile(path).size for name, path in outputs.items()} == {
        "arcface112": 112,
        "lfan48": 48,
        "m3t256": 256,
        "cnu_aligned224": 224,
    }


def test_refusals(folder):
    output = {"lfan48": folder / "c.arrow"}
    with pytest.raises(InputError, match="tsav112"):
        pack_official(folder / "cropped", folder / "f.parquet", "v", {"tsav112": folder / "c.arrow"})
    with pytest.raises(InputError, match="no folder"):
        pack_official(folder / "none", folder / "f.parquet", "v", output)
    (folder / "cropped" / "00002.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"00002\.jpg"):
        pack_official(folder / "cropped", folder / "f.parquet", "v", output)
    (folder / "cropped" / "00007.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="6 frames"):
        pack_official(folder / "cropped", folder / "f.parquet", "v", output)
    assert not (folder / "c.arrow").exists()
