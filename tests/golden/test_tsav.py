"""TSAV against numbers made with the published implementation."""

import numpy as np
import pytest
import torch

from support.fill import assert_layout, load_filled
from support.golden import read_golden
from support.runs import ArrayImages
from wildaffect.systems.tsav.data import Planes, clip_rows
from wildaffect.systems.tsav.model import normalised
from wildaffect.systems.types import TrialData


@pytest.fixture(scope="module")
def filled():
    """The reference description and arrays, the model with the reference weights, and the reference inputs."""
    return load_filled("tsav", "two_stream", "tsav")


def test_keys_order_and_sizes_are_the_originals(filled):
    description, _, model, _ = filled
    assert_layout(model, description)
    assert len(model.state_dict()) == 344


def test_outputs_and_intermediate_values(filled):
    description, arrays, model, inputs = filled
    cuts = {
        "audio_model": ("audio_features", ...),
        "video_model": ("video_features", ...),
        "audio_model.resnet.layer1": ("audio_layer1_first_channels", np.s_[:, :4, :, ::16]),
        "video_model.r2plus1d.stem": ("video_stem_first_channels", np.s_[:, :4, ::4, ::8, ::8]),
        "video_model.r2plus1d.layer1": ("video_layer1_first_channels", np.s_[:, :4, ::4, ::8, ::8]),
    }
    seen = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: seen.update({cuts[name][0]: output.numpy()[cuts[name][1]]})
        )
        for name in cuts
    ]
    with torch.inference_mode():
        seen["output"] = model(**inputs).numpy()
    for hook in hooks:
        hook.remove()
    assert set(seen) == set(description["outputs"])
    for name, got in seen.items():
        assert got.shape == arrays[name].shape
        assert np.abs(got - arrays[name]).max() <= 1e-5 * np.abs(arrays[name]).max(), name


def grey_trial(first, count):
    """The reference's entry: picture k of the list is k + 1 everywhere, in all four channels."""
    greys = np.arange(first + 1, first + count + 1, dtype=np.uint8)
    faces = np.broadcast_to(greys[:, None, None, None], (count, 2, 2, 3))
    return TrialData(
        "t",
        np.arange(count) / 25,
        {"tsav112": ArrayImages(faces)},
        {},
        masks={"tsav112": ArrayImages(faces[..., 0])},
    )


def test_clips():
    """Rows and normalised values of every reference clip; the second entry begins at list position 150."""
    reference = read_golden("post/tsav_clips.json")
    starts = np.cumsum([0, *reference["entry_lengths"]])
    planes = Planes([grey_trial(*pair) for pair in zip(starts, reference["entry_lengths"], strict=False)])
    for position, case in reference["clips"].items():
        number = int(np.searchsorted(starts, int(position), side="right")) - 1
        rows = clip_rows(int(position) - starts[number], reference["dilation"])
        assert [None if row < 0 else row + starts[number] for row in rows] == case["frames"]
        clip = normalised(torch.from_numpy(planes.read(number, rows)[None]))[0]
        want = np.array(case["normalised_value_channel_by_clip_position"])
        np.testing.assert_allclose(clip.numpy(), np.broadcast_to(want[..., None, None], clip.shape), rtol=0, atol=1e-6)
