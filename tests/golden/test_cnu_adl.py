"""CNU_ADL against numbers of the published implementation, and against numbers of Keras itself.

The networks' numbers were made with Keras 2.21 (tf_keras) on TensorFlow 2.21: small models of the published structure, built from the
layers of that library, their variables filled by :func:`support.cnu_adl.numbers`.
"""

import numpy as np
import pytest
import torch

from support import fill
from support.cnu_adl import SMALL, small_checkpoint, write_keras
from support.golden import read_golden
from support.published import CNU_ADL_FUSED
from wildaffect import systems
from wildaffect.features.vggface import prepared
from wildaffect.systems.cnu_adl.data import closed_blocks, held_blocks
from wildaffect.systems.cnu_adl.keras_files import load_keras
from wildaffect.systems.cnu_adl.recipe import published_concordance, scores

# Outputs of the four heads: softmax of seven, then tanh. t45 on two blocks of three pictures, t8 on two pictures.
KERAS = {
    "stat_bilstm": [
        [0.1431078, 0.1428661, 0.1778386, 0.1283454, 0.1417539, 0.1300799, 0.1360081,
         -0.0398747, -0.091102, -0.0487486, -0.0162601, -0.0154737, -0.0475982, 0.1112844],
        [0.1432948, 0.1435305, 0.1766054, 0.1288048, 0.1416406, 0.1300507, 0.1360732,
         -0.0311629, -0.0952914, -0.0377082, -0.0175384, -0.0002442, -0.0543125, 0.1015365],
    ],
    "image": [
        [0.1389444, 0.1502462, 0.1281728, 0.1393049, 0.1599579, 0.13706, 0.1463137,
         -0.0815436, 0.0825832, -0.0807782, -0.1172687, -0.0919831, -0.0058604, -0.1300242],
        [0.1387714, 0.1505013, 0.1280256, 0.1393258, 0.1600148, 0.1370507, 0.1463104,
         -0.0965182, 0.082528, -0.0785961, -0.1143239, -0.0921429, 0.0023201, -0.1265811],
    ],
}  # fmt: skip
BLOCKS = {"stat_bilstm": [[[0, 1, 2], [1, 2, 3]]], "image": [[[0], [1]]]}
# Both channels of the pooled first layer in its four corners, which show where the padding is.
POOLED_CORNERS = [
    [0.5453755855560303, 1.233026385307312], [0.0, 0.5560649633407593], [0.031205609440803528, 0.8227729797363281],
    [1.6855289936065674, 0.2988004982471466],
]  # fmt: skip
FIRST_FEATURES = [0.38311, 0.0, 0.0, 0.107913, 0.0, 0.052943, 0.005019, 0.198911, 0.355472, 0.227514]
PROBABILITIES = [0.165484845, 0.156282157, 0.114836216, 0.123025842, 0.136273041, 0.122364998, 0.181732863]


def keras_pictures():
    """Four pictures of coloured squares and noise."""
    squares = np.random.Generator(np.random.PCG64(5)).integers(0, 256, (4, 7, 7, 3)).repeat(32, 1).repeat(32, 2)
    noise = np.random.Generator(np.random.PCG64(6)).integers(-40, 41, (4, 224, 224, 3))
    return torch.from_numpy(np.clip(squares + noise, 0, 255).astype(np.uint8))


def small_model(variant, tmp_path, **layout):
    hidden = (8, 6) if variant == "image" else (8,)
    model = systems.build_model("cnu_adl", variant, classification=hidden, **SMALL).eval()
    write_keras(tmp_path / "small.h5", small_checkpoint(variant), **layout)
    load_keras(model, variant, tmp_path / "small.h5")
    return model


@pytest.mark.parametrize("variant", sorted(KERAS))
def test_outputs_are_those_of_keras(variant, tmp_path):
    model = small_model(variant, tmp_path)
    with torch.inference_mode():
        raw = model(block=torch.tensor(BLOCKS[variant]), images=keras_pictures()[None])[0]
    got = torch.cat([raw[:, :7].softmax(dim=1), raw[:, 7:]], dim=1).numpy()
    np.testing.assert_allclose(got, KERAS[variant], rtol=0, atol=1e-6)


def test_padding_pooling_and_features_are_those_of_keras(tmp_path):
    face = small_model("frames_stat", tmp_path).face
    seen = {}
    face.conv2_1.register_forward_pre_hook(lambda _, inputs: seen.update(pooled=inputs[0]))
    with torch.inference_mode():
        vector = face(prepared(keras_pictures()[:1]))[0].numpy()
    assert seen["pooled"].shape == (1, 2, 55, 55)
    corners = seen["pooled"][0][:, [0, 0, -1, -1], [0, -1, 0, -1]].T
    np.testing.assert_allclose(corners, POOLED_CORNERS, rtol=0, atol=2e-6)
    np.testing.assert_allclose(vector[:10], FIRST_FEATURES, rtol=0, atol=2e-6)
    np.testing.assert_allclose(vector[-7:], PROBABILITIES, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("variant", "options", "total"),
    [
        ("image", {}, 40_362_958),  # t8, t15
        ("image", {"classification": [2048], "regression": [2048]}, 44_571_598),  # t12
        ("frames_stat", {}, 39_442_382),  # t31
        ("stat_bilstm", {}, 81_459_150),  # t45
    ],
)
def test_sizes_are_the_published_ones(variant, options, total):
    """Keras counts the moving statistics of its batch norms, and has one bias in an LSTM where PyTorch has two."""
    with torch.device("meta"):
        model = systems.build_model("cnu_adl", variant, **options)
    moving = sum(value.numel() for name, value in model.named_buffers() if "running_" in name)
    second = sum(value.numel() for name, value in model.named_parameters() if "bias_hh" in name)
    assert moving == 53_120
    assert sum(value.numel() for value in model.parameters()) + moving - second == total
    frozen = sum(value.numel() for part in model.face.lower() for value in part.parameters())
    assert frozen + moving == 1_498_048


def test_maps_have_the_published_sizes():
    with torch.device("meta"):
        face = systems.build_model("cnu_adl", "frames_stat").face.eval()
    sides = []
    for name in ("conv1", "conv2_1", "conv2_3", "conv3_4", "conv4_6", "conv5_3"):
        face.get_submodule(name).register_forward_hook(lambda _, __, output: sides.append(output.shape[-1]))
    assert face(torch.zeros(1, 3, 224, 224, device="meta")).shape == (1, 2048 + 7)
    assert sides == [112, 55, 55, 28, 14, 7]


@pytest.fixture(scope="module")
def reference():
    return read_golden("post/cnu_adl_stat.json")


def test_blocks_are_the_published_ones(reference):
    blocks = closed_blocks(np.arange(20), reference["T"])
    assert {str(row): block.tolist() for row, block in enumerate(blocks)} == reference["blocks_per_target"]


def test_statistics_are_the_published_ones(reference):
    """Through the model: heads that pass the 21 statistics on, on vectors whose last seven numbers are the reference's probabilities."""
    logits = fill.sample_input("cnu.logits", (20, 7), -3, 3).round(3)
    given = np.array(reference["softmax"])
    np.testing.assert_allclose(torch.from_numpy(logits.astype(float)).softmax(dim=1), given, rtol=0, atol=1e-6)
    model = systems.build_model("cnu_adl", "frames_stat", width=1 / 2048, with_face=False).eval()
    joint = {}
    model.heads["class"].register_forward_pre_hook(lambda _, inputs: joint.update(values=inputs[0]))
    vectors = torch.from_numpy(np.concatenate([np.full((20, 1), 9), given], axis=1)[None].astype(np.float32))
    corrected = held_blocks(np.arange(20), np.ones(20, bool), reference["T"])
    with torch.inference_mode():
        model(block=torch.from_numpy(closed_blocks(np.arange(20), reference["T"]))[None], vectors=vectors)
        statistics = joint["values"][0].numpy()
        model(block=torch.from_numpy(corrected)[None], vectors=vectors)
    np.testing.assert_allclose(statistics[:, :21], reference["stat_max7_min7_mean7"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(statistics[:, 21], 9)
    np.testing.assert_allclose(statistics[:, 22:], given, rtol=0, atol=1e-6)
    whole = joint["values"][0].numpy()
    np.testing.assert_allclose(whole[:19, :21], reference["stat_max7_min7_mean7"][:19], rtol=0, atol=1e-6)
    np.testing.assert_allclose(whole[19, :21], reference["last_frame_without_the_tail_bug"], rtol=0, atol=1e-6)


def test_the_loss_of_valence_and_arousal():
    cases = read_golden("losses.json")["single_sequence"]
    for name, case in cases.items():
        truth, prediction = (torch.tensor(case[key], dtype=torch.float64) for key in "yp")
        got = float(1 - published_concordance(prediction, truth))
        assert got == pytest.approx(case["cnu_adl_loss_ccc_batch_column"], abs=1e-9), name


def test_both_expression_scores_of_the_published_fusion():
    """From one row per frame, as after an epoch; the authors published the second."""
    truth, guess = (places.ravel().repeat(CNU_ADL_FUSED.ravel()) for places in np.indices((7, 7)))
    got = scores({"expr": truth[:, None].astype(np.float32)}, {"expr": np.eye(7)[guess]})
    assert len(truth) == 255_683
    assert got["expr_score"] == got["criterion"] == pytest.approx(0.4066, abs=5e-5)
    assert got["expr_legacy"] == pytest.approx(0.5431, abs=5e-5)
