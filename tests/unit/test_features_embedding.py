"""Vectors of a frozen network over the crops of a trial."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile, crop_writer
from wildaffect.faces.templates import get_template
from wildaffect.features.embeddings import embed_crops
from wildaffect.features.store import read_valid


class Means(nn.Module):
    """Mean colour and a constant, so that a row tells its picture; counts the pictures seen."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.seen = []

    def forward(self, pictures):
        self.seen.append(len(pictures))
        return torch.cat([self.dropout(pictures.mean((2, 3))), torch.full((len(pictures), 1), 7.0)], 1)


def prepare(pictures):
    return pictures.permute(0, 3, 1, 2).float() / 255


def crops(path, levels):
    """A crop file with one grey picture per level, none for None."""
    template = get_template("lfan48")
    with crop_writer(path, "lfan48", template.size, "t") as append:
        for frame, level in enumerate(levels):
            picture = np.full((template.size, template.size, 3), level or 0, np.uint8)
            append(frame, None if level is None else cv2.imencode(".png", picture)[1].tobytes())
    return CropFile(path)


def embed(tmp_path, levels, network=None, **options):
    embed_crops(network or Means(), prepare, crops(tmp_path / "c.arrow", levels), tmp_path / "out.npy", **options)
    return np.load(tmp_path / "out.npy")


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_a_row_per_frame_in_order_whatever_the_batch(tmp_path, batch):
    values = embed(tmp_path, [10, None, 250, 0, None, None, None, 90], batch=batch)
    assert values.shape == (8, 4)
    assert read_valid(tmp_path / "out.npy").tolist() == [True, False, True, True, False, False, False, True]
    assert values.dtype == np.float32
    assert np.allclose(values[:, 0] * 255, [10, 0, 250, 0, 0, 0, 0, 90], atol=1e-3)
    assert (values[:, 3] == 7).all()


def test_frames_without_a_face_have_the_vector_of_a_black_picture_made_once(tmp_path):
    network = Means()
    values = embed(tmp_path, [None, 0, None, None, None], network, batch=2)
    assert (values == values[1]).all()
    assert network.seen == [1, 1]
    assert not network.training


def test_empty_trials(tmp_path):
    assert embed(tmp_path, []).shape == (0, 4)
    assert embed(tmp_path, [None]).shape == (1, 4)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda pictures: pictures, r"gave \(1, 3, 48, 48\) for 1 images"),
        (lambda pictures: torch.zeros(2, 5), r"gave \(2, 5\) for 1"),
        (lambda pictures: torch.full((len(pictures), 2), torch.nan), "not finite"),
    ],
)
def test_wrong_answers_leave_no_file(tmp_path, answer, message):
    network = nn.Identity()
    network.forward = answer
    with pytest.raises(InputError, match=message):
        embed(tmp_path, [1, 2], network)
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no CUDA device"):
        embed(tmp_path, [1], device="cuda")
