"""M3T against numbers made with the published implementation."""

import numpy as np
import pytest
import torch

from support import fill
from support.fill import assert_layout, load_filled
from support.golden import read_golden
from support.m3t import trial_in_memory
from wildaffect import systems
from wildaffect.scoring import ccc
from wildaffect.scoring.smoothing import median, wiener
from wildaffect.systems.m3t.checkpoint import detect

VARIANTS = ("visual_mtl", "audio", "audio_va", "audiovisual_mtl", "audiovisual_attention_mtl")


def first_channels(output):
    return output[:, :8, ::4]


def squeezed(output):
    return output[..., 0, 0]


# Stored array: where it comes from, and how it was cut.
INSIDE = {
    "shared_first_channels": ("visual.shared", first_channels),
    "v_private": ("visual.v_private", squeezed),
    "a_private": ("visual.a_private", squeezed),
    "gru_v_head": ("visual.gru_v", lambda output: output),
    "gru_a_head": ("visual.gru_a", lambda output: output),
    "gru_states": ("audio.gru", lambda output: output[0]),
    "audio_states": ("audio", lambda output: output),
    "proj_v": ("proj_v", lambda output: output),
    "fused": ("att_fuse", lambda output: output),
}


@pytest.fixture(scope="module", params=VARIANTS)
def filled(request):
    """The reference description and arrays, the model with the reference weights, and the reference inputs."""
    return request.param, *load_filled("m3t", request.param, f"m3t_{request.param}")


def test_keys_order_and_sizes_are_the_originals(filled):
    variant, description, _, model, _ = filled
    assert_layout(model, description)
    found = detect(model.state_dict())
    assert (found.variant, found.options) == (variant, {})


def test_outputs_and_intermediate_values(filled):
    _, description, arrays, model, inputs = filled
    seen = {}
    hooks = [
        model.get_submodule(place).register_forward_hook(
            lambda _, __, output, name=name, cut=cut: seen.update({name: cut(output).numpy()})
        )
        for name, (place, cut) in INSIDE.items()
        if name in description["outputs"]
    ]
    with torch.inference_mode():
        seen["output"] = model(**inputs).numpy()
    for hook in hooks:
        hook.remove()
    assert set(seen) == set(description["outputs"])
    for name, got in seen.items():
        assert got.shape == arrays[name].shape
        assert np.abs(got - arrays[name]).max() <= 1e-5 * np.abs(arrays[name]).max(), name


def test_a_batch_of_one_is_the_first_of_two(filled):
    """The original loses the axis of such a batch and stops (bug 8)."""
    _, _, arrays, model, inputs = filled
    with torch.inference_mode():
        alone = model(**{name: values[:1] for name, values in inputs.items()}).numpy()
    np.testing.assert_allclose(alone, arrays["output"][:1], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def losses():
    return read_golden("losses.json")


def faithful(target, **settings):
    return systems.build_recipe("m3t", "visual_mtl", target, "faithful", settings)


def test_losses_of_single_series(losses):
    for name, case in losses["single_sequence"].items():
        y, p = np.array(case["y"]), np.array(case["p"])
        truth, raw = (torch.tensor(np.stack([values, values], axis=1))[None] for values in (y, p))
        for loss, key in (("ccc", "m3t_ccc_loss"), ("mse", "m3t_mse_loss")):
            got = float(faithful("va", loss=loss).loss(raw, {"va": truth}))
            assert got == pytest.approx(case[key], abs=1e-9), (name, key)
        assert ccc(y, p, variant="mixed") == pytest.approx(case["m3t_eval_ccc_torch"], abs=1e-9)
        assert ccc(y, p) == pytest.approx(case["m3t_eval_ccc_numpy"], abs=1e-9)


def test_multi_task_loss(losses):
    case = losses["m3t_multitask"]
    raw = torch.tensor(case["y_hat"], dtype=torch.float64)
    valid = torch.tensor(case["expr_valid"], dtype=torch.bool)
    classes = torch.where(valid, torch.tensor(case["class_expr"], dtype=torch.float64), float("nan"))
    affect = torch.stack([torch.tensor(case[name], dtype=torch.float64) for name in ("valence", "arousal")], dim=2)
    batch = {"va": affect, "expr": classes[..., None]}
    assert float(faithful("mtl").loss(raw, batch)) == pytest.approx(case["total"], abs=1e-9)
    assert float(faithful("mtl", loss="mse").loss(raw, batch)) == pytest.approx(
        case["total_mse_variant"] + 0.8 * case["loss_expr"], abs=1e-9
    )
    alone = float(faithful("va").loss(raw[..., 7:], batch))
    assert alone == pytest.approx(case["total_without_multitask_on_last_two_columns"], abs=1e-9)


def test_stitching():
    """Every stored length: starts, lengths and values; the mean over covers is what the original's halving comes to."""
    reference = read_golden("post/m3t.json")["stitch_window32"]["per_T"]
    u = np.round(fill.sample_input("post.m3t_stitch", (2, 200), -1, 1).astype(np.float64), 3)
    for length, case in reference.items():
        trial = trial_in_memory(int(length), tasks=())
        samples = faithful("va").samples([trial], {}, "predict")
        starts = [int(options[0, 1]) for options in samples._chosen]
        assert starts == case["starts"]
        outputs = np.zeros((len(starts), 32, 2))
        for output, start, count in zip(outputs, starts, case["lengths"], strict=True):
            output[:count] = (u[:, start : start + count] + [[0.01 * start], [-0.01 * start]]).T
            output[count:] = 99
        (got,) = samples.to_frames(outputs)
        np.testing.assert_allclose(got, np.stack([case["valence"], case["arousal"]], axis=1), rtol=0, atol=1e-6)


def test_smoothing():
    """The general smoothing stage reproduces the original's filters with ``edges: zero``."""
    reference = read_golden("post/m3t.json")
    values = np.array(reference["sequence"])
    for name, method, window in (("wiener_35", wiener, 35), ("wiener_13", wiener, 13), ("median_13", median, 13)):
        np.testing.assert_allclose(method(values, window, "zero"), reference[name], rtol=0, atol=1e-9)
