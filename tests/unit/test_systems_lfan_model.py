"""LFAN networks: sizes, causality, attention, gradual release (LFAN spec 3 and 5.3)."""

from copy import deepcopy

import pytest
import torch

from support.runs import TINY_BACKBONE, start_phase
from wildaffect.systems import build_model, build_recipe
from wildaffect.systems.lfan.model import TemporalNetwork


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def full():
    """Both variants at full size without memory behind them."""
    with torch.device("meta"):
        return {variant: build_model("lfan", variant) for variant in ("unimodal", "multimodal")}


def windows(mode):
    """Two windows of six frames as samples have them."""
    face, vggish, mfcc = inputs(6, batch=2)
    frame = ((face + 1) * 127.5).round().to(torch.uint8).movedim(2, -1)
    suffix = ".indexed" if mode == "faithful" else ""
    number = torch.arange(12).unflatten(0, (2, 6))
    return {"frame": frame, f"vggish128{suffix}": vggish, f"mfcc39{suffix}": mfcc, "number": number}


def inputs(frames, batch=1, seed=0, widths=(128, 39)):
    """Faces, and a feature of each of the ``widths``."""
    torch.manual_seed(seed)
    faces = torch.rand(batch, frames, 3, 40, 40) * 2 - 1
    return faces, *(torch.randn(batch, 1, frames, width) for width in widths)


def test_parameter_counts(full):
    assert count(full["unimodal"].spatial) == 37_283_520
    assert count(full["unimodal"]) == 38_252_481
    assert count(full["multimodal"]) == 38_376_449
    assert [count(getattr(full["multimodal"], name)) for name in ("temporal", "temporal1", "temporal2")] == [
        968_832,
        60_960,
        43_872,
    ]
    assert len(list(full["unimodal"].spatial.parameters())) == 187
    assert len(list(full["unimodal"].parameters())) == 215
    assert len(list(full["multimodal"].parameters())) == 291
    assert len(full["unimodal"].spatial.state_dict()) + 2 == 351  # the expression classifier's file has two more


@pytest.mark.parametrize(("variant", "trainable"), [("unimodal", [34, 58, 79]), ("multimodal", [110, 134, 155])])
def test_released_positions_and_tensor_counts(full, variant, trainable):
    model = full[variant]
    recipe = build_recipe("lfan", variant, "valence", "faithful")
    positions = [set(range(4, 10)), set(range(163, 187)), set(range(142, 163))]
    released = set()
    for phase in range(3):
        start_phase(recipe, model, phase)
        released |= positions[phase]
        backbone = list(model.spatial.parameters())
        assert {index for index, parameter in enumerate(backbone) if parameter.requires_grad} == released
        assert sum(parameter.requires_grad for parameter in model.parameters()) == trainable[phase]
    assert recipe.schedule.phases == 3
    sizes = [sum(backbone[index].numel() for index in group) for group in positions]
    assert sizes == [6_556_160, 13_115_392, 3_542_784]


@pytest.mark.parametrize(("training", "expected"), [("all", True), ("frozen", False)])
def test_backbone_training_without_release(training, expected):
    recipe = build_recipe(
        "lfan", "unimodal", "valence", "corrected", {"backbone_training": training, "backbone": TINY_BACKBONE}
    )
    model = recipe.model()
    start_phase(recipe, model)
    assert {parameter.requires_grad for parameter in model.spatial.parameters()} == {expected}
    assert all(parameter.requires_grad for parameter in model.temporal.parameters())
    assert recipe.schedule.phases == 1


def test_temporal_network_sees_exactly_120_frames_back():
    torch.manual_seed(0)
    network = TemporalNetwork(3, 8).eval().double()
    series = torch.randn(1, 3, 260, dtype=torch.double, requires_grad=True)
    network(series)[0, :, 200].sum().backward()
    used = torch.nonzero(series.grad.abs().sum(dim=(0, 1))).flatten()
    assert (used.min(), used.max()) == (80, 200)


@pytest.mark.parametrize(("causal", "moved"), [(True, range(100, 221)), (False, range(40, 161))])
def test_a_frame_reaches_outputs_after_it_or_on_both_sides(causal, moved):
    recipe = build_recipe(
        "lfan",
        "multimodal",
        "valence",
        "corrected",
        {"causal": causal, "features": ["egemaps25"], "backbone": TINY_BACKBONE},
    )
    torch.manual_seed(0)
    model = recipe.model().eval().double()
    faces, heard = (values.double() for values in inputs(260, widths=[25]))
    changed = heard.clone()
    changed[:, :, 100] += 1
    with torch.inference_mode():
        difference = (model(faces, heard) - model(faces, changed)).abs()[0, :, 0]
    assert torch.nonzero(difference).flatten().tolist() == [*moved]


def test_dropout_of_the_temporal_networks_is_a_setting():
    def probabilities(**settings):
        model = build_recipe(
            "lfan", "multimodal", "valence", "corrected", {"backbone": TINY_BACKBONE, **settings}
        ).model()
        networks = (model.temporal, model.temporal1, model.temporal2)
        return {part.p for network in networks for part in network.modules() if isinstance(part, torch.nn.Dropout1d)}

    assert (probabilities(), probabilities(dropout=0.3)) == ({0.1}, {0.3})


@pytest.mark.parametrize("features", [["egemaps25"], ["vggish128", "mfcc39", "import.words"]])
def test_any_number_of_features(features):
    """Each has a temporal network, a token in the attention, and its part of the output."""
    widths = {"egemaps25": 25, "vggish128": 128, "mfcc39": 39, "import.words": 7}
    recipe = build_recipe("lfan", "multimodal", "va", "corrected", {"features": features, "backbone": TINY_BACKBONE})
    model = recipe.network({name: (widths[name],) for name in features}).eval()
    given = inputs(12, batch=2, widths=[widths[name] for name in features])
    assert model(*given).shape == (2, 12, 2)
    assert model.ln.normalized_shape == (1 + len(features), 32)
    for place in range(1, 1 + len(features)):
        changed = [value + 1 if position == place else value for position, value in enumerate(given)]
        assert (model(*changed) - model(*given)).abs().max() > 1e-6


def test_faces_of_other_frames_do_not_mix_in_evaluation():
    model = build_model("lfan", "multimodal", **TINY_BACKBONE).eval()
    faces, *heard = inputs(12)
    changed = faces.clone()
    changed[:, 7] = -1
    with torch.inference_mode():
        difference = (model(faces, *heard) - model(changed, *heard)).abs()[0, :, 0]
    assert difference[:7].max() == 0
    assert difference[7] > 0


def test_audio_queries_and_values_come_from_the_keys():
    """Acceptance 12: without its key, an audio token's query and value are their biases."""
    torch.manual_seed(1)
    model = build_model("lfan", "multimodal", **TINY_BACKBONE).eval()
    torch.nn.init.zeros_(model.encoder2.weight)
    torch.nn.init.zeros_(model.encoder2.bias)
    visual, mfcc = torch.randn(2, 5, 128), torch.randn(2, 5, 32)
    first = model.attend(visual, torch.randn(2, 5, 32), mfcc)
    assert torch.equal(first, model.attend(visual, torch.randn(2, 5, 32), mfcc))

    keys = torch.stack([model.encoder1(visual), torch.zeros(2, 5, 32), model.encoder3(mfcc)], dim=-2)
    queries = torch.stack(
        [model.encoderQ1(visual), model.encoderQ2.bias.expand(2, 5, -1), model.encoderQ3(model.encoder3(mfcc))], dim=-2
    )
    values = torch.stack(
        [model.encoderV1(visual), model.encoderV2.bias.expand(2, 5, -1), model.encoderV3(model.encoder3(mfcc))], dim=-2
    )
    want = torch.empty_like(values)
    for key in range(3):
        weights = torch.softmax((keys[..., key, None, :] * queries).sum(-1) / 32**0.5, dim=-1)
        want[..., key, :] = (weights[..., None] * values).sum(-2) + values[..., key, :]
    torch.testing.assert_close(first, model.ln(want))


def test_face_vectors_have_unit_length():
    model = build_model("lfan", "unimodal", **TINY_BACKBONE).eval()
    with torch.inference_mode():
        lengths = model.spatial(inputs(4)[0][0]).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(4))


@pytest.mark.parametrize("pooling", [1, 2, 4])
def test_smaller_backbones_fit_together(pooling):
    options = {"units": [2, 1, 1, 2], "channels": [4, 8, 8, 16, 24], "embedding": 20, "pooling": pooling}
    model = build_model("lfan", "multimodal", **options)
    assert model(*inputs(3, batch=2)).shape == (2, 3, 1)
    assert [len(group) for group in model.spatial.release_groups()] == [1, 2, 1]


def test_frozen_layers_drift_in_faithful_and_rest_in_corrected():
    settings = {"backbone": TINY_BACKBONE, "backbone_training": "gradual"}
    drifted = {}
    for mode in ("faithful", "corrected"):
        torch.manual_seed(0)
        recipe = build_recipe("lfan", "multimodal", "valence", mode, settings)
        model = recipe.model()
        start_phase(recipe, model)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        recipe.forward(model, windows(mode))
        drifted[mode] = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
        assert model.temporal.training
    assert any(key.startswith("spatial.input_layer") for key in drifted["faithful"])
    assert drifted["corrected"]
    assert all(key.startswith("spatial.output_layer") for key in drifted["corrected"])


def states_of_parts(model, phase, mode="corrected"):
    """Whether each part of the face network ran in inference mode during a training step, whose gradients stay."""
    recipe = build_recipe("lfan", "multimodal", "valence", mode, {"backbone": TINY_BACKBONE | {"dropout": 0}})
    start_phase(recipe, model, phase)
    seen = []
    hooks = [
        part.register_forward_hook(lambda *step: seen.append(step[2].is_inference())) for part in model.spatial.parts()
    ]
    recipe.forward(model, windows(mode)).square().sum().backward()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(("phase", "frozen"), [(0, 5), (1, 4), (2, 3)])
def test_frozen_layers_run_in_inference_mode_and_change_no_gradient(phase, frozen):
    torch.manual_seed(2)
    model = build_model("lfan", "multimodal", **TINY_BACKBONE, dropout=0)
    plain = deepcopy(model)
    assert states_of_parts(model, phase) == [True] * frozen + [False] * (6 - frozen)

    recipe = build_recipe("lfan", "multimodal", "valence", "corrected", {"backbone": TINY_BACKBONE | {"dropout": 0}})
    start_phase(recipe, plain, phase)
    for part in plain.spatial.parts()[:frozen]:
        part.requires_grad_()  # then nothing rests, and everything is recorded
    recipe.forward(plain, windows("corrected")).square().sum().backward()
    for (name, got), want in zip(model.named_parameters(), plain.parameters(), strict=True):
        if got.requires_grad and want.grad is not None:
            assert torch.equal(got.grad, want.grad), name
        else:
            assert got.grad is None, name


def test_nothing_rests_in_faithful_where_batch_statistics_move():
    assert not any(states_of_parts(build_model("lfan", "multimodal", **TINY_BACKBONE, dropout=0), 0, "faithful"))


def test_published_backbone_file_loads(tmp_path):
    """The original starts from an expression classifier: the face network under ``backbone.``, eight logits beside it."""
    torch.manual_seed(5)
    source = build_model("lfan", "unimodal", **TINY_BACKBONE).spatial.state_dict()
    content = {f"backbone.{key}": value for key, value in source.items()}
    torch.save(content | {"logits.weight": torch.zeros(8, 32), "logits.bias": torch.zeros(8)}, tmp_path / "faces.pth")
    backbone = TINY_BACKBONE | {"weights": str(tmp_path / "faces.pth")}
    recipe = build_recipe("lfan", "unimodal", "valence", "faithful", {"backbone": backbone})
    model = recipe.model()
    (record,) = recipe.initialise(model)
    assert record["part"] == "spatial"
    assert all(torch.equal(value, source[key]) for key, value in model.spatial.state_dict().items())


@pytest.mark.parametrize("variant", ["unimodal", "multimodal"])
def test_evaluation_shows_the_face_network_each_frame_of_overlapping_windows_once(variant):
    """Three windows of 20 frames, 8 apart, the last 6 frames padding; training and a call without numbers see all 60."""
    torch.manual_seed(0)
    model = build_model("lfan", variant, **TINY_BACKBONE).eval()
    frames = torch.rand(36, 3, 40, 40) * 2 - 1
    frames = torch.cat([frames[:30], torch.full_like(frames[:6], -1)])
    number = torch.arange(36).where(torch.arange(36) < 30, -1)
    cut = lambda values: torch.stack([values[start : start + 20] for start in (0, 8, 16)])  # noqa: E731
    audio = [torch.randn(3, 1, 20, 128), torch.randn(3, 1, 20, 39)] if variant == "multimodal" else []
    seen = []
    model.spatial.register_forward_hook(lambda module, given, vectors: seen.append(len(vectors)))
    with torch.inference_mode():
        apart = model(cut(frames), *audio)
        once = model(cut(frames), *audio, number=cut(number))
    model.train()(cut(frames), *audio, number=cut(number))
    assert seen == [60, 31, 60]
    torch.testing.assert_close(once, apart, rtol=1e-5, atol=1e-6)
