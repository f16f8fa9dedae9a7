"""LFAN against numbers made with the published implementation."""

import numpy as np
import pytest
import torch

from support.fill import load_filled
from support.golden import read_golden
from support.runs import trial_in_memory
from wildaffect.scoring import ccc
from wildaffect.systems.lfan.data import WindowSamples
from wildaffect.systems.toolbox import all_rows, concordance, windows

VARIANTS = ("unimodal", "multimodal")
# Relative to the largest value; the reference states 3e-5 for the face vectors, whose own spread between kernels is 1e-5.
TOLERANCE = {"spatial_b2": 3e-5}


@pytest.fixture(scope="module", params=VARIANTS)
def filled(request):
    """Variant, its reference description and arrays, the model with the reference weights, and the reference inputs."""
    return request.param, *load_filled("lfan", request.param, f"lfan_{request.param}")


def assert_close(name, got, want):
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= TOLERANCE.get(name, 1e-5) * np.abs(want).max(), name


def run(model, inputs, case):
    """Outputs of the model and of the modules inside it, named as in the reference."""
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output.numpy()}))
        for name, module in model.named_modules()
        if name in ("spatial", "temporal", "temporal1", "temporal2", "ln", "spatial.body.2")
    ]
    with torch.inference_mode():
        given = {key.split(".")[0]: value for key, value in inputs.items() if key.endswith(case)}
        seen["output"] = model(*(given[name] for name in ("frame", "vggish", "mfcc") if name in given)).numpy()
    for hook in hooks:
        hook.remove()
    return seen


def test_keys_order_and_sizes_are_the_originals(filled):
    variant, description, _, model, _ = filled
    state = model.state_dict()
    assert list(state) == [entry["key"] for entry in description["entries"]]
    assert [list(value.shape) for value in state.values()] == [entry["shape"] for entry in description["entries"]]
    assert len(state) == {"unimodal": 401, "multimodal": 525}[variant]
    assert sum(parameter.numel() for parameter in model.parameters()) == description["n_parameters"]


def test_outputs_and_intermediates(filled):
    variant, _, want, model, inputs = filled
    got = run(model, inputs, "b2")
    assert_close("output_b2", got["output"], want["output_b2"])
    if variant == "unimodal":
        assert_close("spatial_b2", got["spatial"].reshape(want["spatial_b2"].shape), want["spatial_b2"])
        assert_close("tcn_b2", got["temporal"], want["tcn_b2"])
    else:
        assert_close("tcn_visual_b2", got["temporal"], want["tcn_visual_b2"])
        assert_close("tcn_vggish_b2", got["temporal1"], want["tcn_vggish_b2"])
        assert_close("tcn_mfcc_b2", got["temporal2"], want["tcn_mfcc_b2"])
        assert_close("attention_b2", got["ln"], want["attention_b2"])


@pytest.mark.slow
def test_outputs_of_one_long_series(filled):
    _, _, want, model, inputs = filled
    assert_close("output_b1", run(model, inputs, "b1")["output"], want["output_b1"])


def test_training_loss_and_selection_score():
    cases = read_golden("losses.json")
    for name, case in cases["single_sequence"].items():
        truth, prediction = (torch.tensor(case[key], dtype=torch.float64)[None, :, None] for key in ("y", "p"))
        loss = 1 - concordance(prediction, truth, mixed=True).mean()
        assert float(loss) == pytest.approx(case["lfan_train_loss"], abs=1e-9), name
        mixed = ccc(np.array(case["y"]), np.array(case["p"]), variant="mixed")
        assert mixed == pytest.approx(case["lfan_eval_ccc"], abs=1e-9), name
        population = float(concordance(prediction, truth, mixed=False, epsilon=0).mean())
        assert population == pytest.approx(case["plain_ccc"]["population"], abs=1e-9), name


def test_batched_training_loss():
    case = read_golden("losses.json")["batched"]
    truth, prediction = (torch.tensor(case[key], dtype=torch.float64) for key in ("gold", "pred"))
    losses = 1 - concordance(prediction, truth, mixed=True)
    assert float(losses.mean()) == pytest.approx(case["lfan_train_loss_two_outputs"], abs=1e-9)
    assert float(losses[:, 0].mean()) == pytest.approx(case["lfan_train_loss_valence_only"], abs=1e-9)
    assert float(losses[:, 1].mean()) == pytest.approx(case["lfan_train_loss_arousal_only"], abs=1e-9)


def test_windows():
    reference = read_golden("post/lfan.json")
    for length, case in reference["windows"].items():
        got = windows(int(length), reference["window"], reference["hop"])
        assert [list(pair) for pair in got] == case["windows_start_stop"]
        assert reference["window"] - (got[-1][1] - got[-1][0]) == case["padding_at_end_of_the_single_window"]


def test_overlap_average():
    case = read_golden("post/lfan.json")["overlap_average"]
    axis = all_rows(trial_in_memory(np.zeros(case["T"], np.float32)), "va")
    samples = WindowSamples(
        [axis],
        {},
        template="lfan48",
        features=(),
        window=300,
        hop=200,
        augment=True,
        pad_counts=True,
        only_counting=False,
    )
    outputs = np.stack(
        [0.001 * np.arange(start, start + 300) + 0.001 * start for start, _ in windows(case["T"], 300, 200)]
    )
    (got,) = samples.to_frames(outputs[:, :, None])
    np.testing.assert_allclose(got[:, 0], case["result"], rtol=0, atol=1e-12)
