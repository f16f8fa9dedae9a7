"""NTUA against numbers made with the published implementation."""

import numpy as np
import pytest
import torch

from support import fill
from support.golden import GOLDEN, read_golden
from support.ntua import trial_in_memory
from wildaffect import systems
from wildaffect.features.audio.ntua_mel import COLUMNS, first_columns
from wildaffect.scoring import ccc
from wildaffect.systems.ntua.data import chunks, padded
from wildaffect.systems.ntua.recipe import occurring_scores

SECOND = {"visual": ("output_expr7", 7, "expr7_parameters"), "aural": ("output_va2", 2, "va2_parameters")}
PARTS = {"face": "face_features_frames0_4", "body": "body_features_frames0_4", "context": "context_features_frames0_4",
         "audio": "trunk_features"}  # fmt: skip


@pytest.fixture(scope="module", params=SECOND)
def filled(request):
    """Variant, reference description and arrays, the loader of weights for a number of outputs, and the reference inputs."""
    base = GOLDEN / "models" / f"ntua_{request.param}"
    description = read_golden(f"models/{base.name}.json")
    state = fill.state_dict(base.with_suffix(".json"))

    def model(outputs=None):
        head = {} if outputs is None else {"fc.weight": (outputs, state["fc.weight"].shape[1]), "fc.bias": (outputs,)}
        values = {key: torch.from_numpy(fill.make_array(key, shape, head)).float() for key, shape in head.items()}
        options = {} if outputs is None else {"outputs": outputs}
        return fill.build_filled(lambda: systems.build_model("ntua", request.param, **options), state | values)

    inputs = {
        key.removeprefix("ntua."): torch.from_numpy(value) for key, value in fill.sample_inputs(description).items()
    }
    return request.param, description, np.load(base.with_suffix(".npz")), model, inputs


def assert_close(got, want, name):
    assert got.shape == want.shape, name
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max(), name


def test_keys_order_and_sizes_are_the_originals(filled):
    variant, description, _, model, _ = filled
    made = model()
    want = [(entry["key"], entry["shape"], entry["dtype"]) for entry in description["entries"]]
    assert [(k, list(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in made.state_dict().items()] == want
    assert len(want) == {"visual": 964, "aural": 130}[variant]
    _, outputs, count = SECOND[variant]
    sizes = [sum(parameter.numel() for parameter in part.parameters()) for part in (made, model(outputs))]
    assert sizes == [description["n_parameters"], description[count]]


def test_outputs_of_both_heads_and_intermediate_values(filled):
    """The trunks run once: both heads stand on the same recurrent states, as the reference's do."""
    variant, description, arrays, model, inputs = filled
    first, name = model(), SECOND[variant][0]
    seen = {}
    with torch.inference_mode():
        parts = {stream: first.encode(stream, pictures, None) for stream, pictures in inputs.items()}
        for stream, vectors in parts.items():
            assert_close(vectors[:, :4].numpy(), arrays[PARTS[stream]], stream)
        first.encode = lambda stream, pictures, valid: parts[stream]
        first.rnn.register_forward_hook(lambda _, __, output: seen.update(rnn=output[0].numpy()))
        assert_close(first(**inputs).numpy(), arrays["output"], "output")
        assert_close(seen["rnn"], arrays["rnn"], "rnn")
        assert_close(
            model(SECOND[variant][1]).fc(torch.from_numpy(seen["rnn"]).flatten(0, 1)).numpy(), arrays[name], name
        )
        if variant == "aural":
            layer = first.face_model[:5](inputs["audio"][:1].flatten(0, 1)[:2])
            assert_close(layer[:, :4, ::4, ::16].numpy(), arrays["layer1_first_channels"], "layer1")
    assert set(description["outputs"]) <= {"output", name, "rnn", "layer1_first_channels", *PARTS.values()}


def test_chunks():
    reference = read_golden("post/ntua_chunks.json")
    ranges = chunks(reference["T"], reference["duration"])
    got = [padded(start, stop, reference["duration"], "edge").tolist() for start, stop in ranges]
    assert got == [chunk["frames"] for chunk in reference["chunks"]]
    trial = trial_in_memory(reference["T"])
    recipe = systems.build_recipe("ntua", "face", "va", "corrected", {"duration": reference["duration"]})
    samples = recipe.samples([trial], {}, "validate")
    valid = [samples.read(index, None)["valid"].astype(int).tolist() for index in range(len(samples))]
    assert valid == [chunk["valid"] for chunk in reference["chunks"]]


def test_sound_windows():
    reference = read_golden("post/ntua_chunks.json")
    for rate, cases in reference["mel_window_start_and_length"].items():
        frames = np.array(list(map(int, cases)))
        starts = first_columns(frames / float(rate.removeprefix("fps")))
        assert [[start, COLUMNS] for start in starts.tolist()] == list(cases.values()), rate


@pytest.mark.parametrize("head", ["va", "expr"])
def test_losses_and_scores(head):
    cases = read_golden("losses.json")
    recipe = systems.build_recipe("ntua", "face", head, "faithful")
    if head == "va":
        case = cases["batched"]
        truth, prediction = (torch.tensor(case[key], dtype=torch.float64) for key in ("gold", "pred"))
        counts = torch.ones(truth.shape[:2], dtype=torch.bool)
        loss = recipe.loss(prediction, {"labels": truth, "counts": counts})
        assert float(loss) == pytest.approx(case["ntua_train_loss"], abs=1e-9)
        scores = [ccc(truth[..., k].flatten().numpy(), prediction[..., k].flatten().numpy()) for k in (0, 1)]
        assert scores == pytest.approx(case["ntua_eval_ccc_valence_arousal"], abs=1e-9)
    else:
        case, whole = cases["ntua_expression"], cases["m3t_multitask"]
        logits = torch.tensor(whole["y_hat"], dtype=torch.float64)[..., :7].reshape(1, -1, 7)
        labels = torch.tensor(whole["class_expr"], dtype=torch.float64).reshape(1, -1, 1)
        batch = {"labels": labels, "counts": torch.ones(labels.shape[:2], dtype=torch.bool)}
        assert float(recipe.loss(logits, batch)) == pytest.approx(case["train_loss"], abs=1e-9)
        got = occurring_scores(labels.flatten().numpy(), logits[0].numpy())
        want = {"expr_f1": case["macro_f1"], "expr_accuracy": case["accuracy"], "criterion": case["total"]}
        assert got == pytest.approx(want, abs=1e-9)
