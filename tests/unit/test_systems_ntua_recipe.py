"""NTUA's network options, initial weights, losses, selection, and that every option does what it says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.models import resnet18, resnet50

from support.ntua import TINY, trial_in_memory
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.systems.ntua.model import normalised
from wildaffect.systems.ntua.recipe import occurring_scores
from wildaffect.systems.ntua.spec import SPEC, STREAMS
from wildaffect.systems.toolbox import concordance
from wildaffect.systems.weights import load_weights

MODES = ("corrected", "faithful")
NAN = float("nan")
NARROW = {
    "width": 0.0625,
    "hidden": 8,
    "face": "resnet18",
    "scene": "resnet18",
    "image_pooling": 4,
    "mel_pooling": 16,
}


def recipe(variant="visual", target="va", mode="corrected", **settings):
    return systems.build_recipe("ntua", variant, target, mode, TINY | settings)


def batch_of(samples, *indices):
    read = [samples.read(index, None) for index in indices]
    return {name: torch.from_numpy(np.stack([sample[name] for sample in read])) for name in read[0]}


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "options", "seven", "two"),
    [
        ("face", {}, 28_758_599, 28_756_034),
        ("visual", {"face": "resnet18"}, 79_179_463, 79_174_338),
        ("visual", {"streams": ("face", "body")}, 65_905_799, 65_900_674),
        ("visual", {"streams": ("face",)}, 34_009_159, 34_004_034),
    ],
)
def test_the_other_networks_in_evidence(variant, options, seven, two):
    """Parameters of the first release and of what options make of the newest code (NTUA spec 3.1)."""
    assert parameters(systems.build_model("ntua", variant, outputs=7, **options)) == seven
    assert parameters(systems.build_model("ntua", variant, outputs=2, **options)) == two


def test_the_first_release_has_names_of_its_own():
    keys = list(systems.build_model("ntua", "face").state_dict())
    assert keys[0] == "features.0.weight" and "features.7.2.bn3.num_batches_tracked" in keys
    assert keys[-6:] == [f"rnn.{kind}_l0" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")] + [
        "fc.weight",
        "fc.bias",
    ]
    assert len(keys) == 318 + 6


@pytest.mark.parametrize("variant", STREAMS)
@pytest.mark.parametrize(
    "options", [{"cell": "gru"}, {"cell": "rnn"}, {"layers": 2, "dropout": 0.5}, {"scene": "resnet50"}]
)
def test_every_option_makes_a_network_that_runs(variant, options):
    model = systems.build_model("ntua", variant, **NARROW | options).eval()
    size = (64, 96) if variant == "aural" else (112, 112)
    pictures = {name: torch.rand(2, 3, 3, *size) for name in STREAMS[variant]}
    assert model(**pictures).shape == (6, model.fc.out_features)
    model.train()(**pictures).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("streams", [("body",), ("context",), ("context", "face"), ("body", "context", "face")])
def test_any_streams_in_the_published_order(streams):
    """Body or context alone, which the published network cannot run."""
    model = systems.build_model("ntua", "visual", streams=streams, **NARROW).eval()
    assert model.streams == tuple(name for name in ("face", "body", "context") if name in streams)
    pictures = {name: torch.rand(1, 4, 3, 112, 112) for name in streams}
    joined = torch.cat([model.encode(name, pictures[name]) for name in model.streams], dim=2)
    torch.testing.assert_close(model(**pictures), model.fc(model.rnn(joined)[0]).flatten(0, 1))
    plan = recipe(streams=list(streams))
    plan.forward(plan.model().eval(), batch_of(plan.samples([trial_in_memory(9)], {}, "train"), 0))


def test_narrow_networks_keep_the_names():
    full, narrow = (
        systems.build_model("ntua", "aural", width=width, face="resnet50").state_dict() for width in (1, 0.125)
    )
    assert list(full) == list(narrow)
    assert full["face_model.7.2.conv3.weight"].shape[0] == 8 * narrow["face_model.7.2.conv3.weight"].shape[0]


@pytest.mark.parametrize("variant", STREAMS)
def test_padding_reaches_no_layer(variant):
    """Outputs, gradients and batch statistics of a padded chunk are those of the frames that are there, whatever fills it."""
    torch.manual_seed(0)
    size = (64, 96) if variant == "aural" else (112, 112)
    model = systems.build_model("ntua", variant, **NARROW).train()
    whole = systems.build_model("ntua", variant, **NARROW).train()
    whole.load_state_dict(model.state_dict())
    pictures = {name: torch.rand(1, 5, 3, *size) for name in STREAMS[variant]}
    filled = {name: torch.cat([values, 50 * torch.rand(1, 3, 3, *size)], dim=1) for name, values in pictures.items()}
    valid = (torch.arange(8) < 5)[None]
    got, want = model(valid=valid, **filled)[:5], whole(**pictures)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    got.square().sum().backward()
    want.square().sum().backward()
    for (name, left), right in zip(model.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(left.grad, right.grad, rtol=1e-3, atol=1e-4, msg=name)
    for (name, left), right in zip(model.named_buffers(), whole.buffers(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_only_corrected_hides_padding(mode):
    plan = recipe(mode=mode)
    samples = plan.samples([trial_in_memory(19)], {}, "train")
    batch = batch_of(samples, 1, 2)
    model = plan.model().eval()
    changed = {name: values.clone() for name, values in batch.items()}
    for name in ("face", "body", "context"):
        changed[name][1, 3:] = 255 - changed[name][1, 3:]
    with torch.inference_mode():
        before, after = plan.forward(model, batch), plan.forward(model, changed)
    assert before.shape == (2, 8, 2)
    torch.testing.assert_close(before[0], after[0])
    same = torch.allclose(before[1, :3], after[1, :3], atol=1e-6)
    assert same == (mode == "corrected")  # the published backward pass reads the padding


def test_pictures_are_normalised_as_imagenet_wants_it():
    pictures = torch.randint(0, 256, (1, 2, 4, 5, 3), dtype=torch.uint8)
    got = normalised(pictures)
    assert got.shape == (1, 2, 3, 4, 5)
    red = (pictures[0, 1, 2, 3, 0].item() / 255 - 0.485) / 0.229
    assert got[0, 1, 0, 2, 3].item() == pytest.approx(red, abs=1e-5)


def test_sound_windows_of_one_channel_are_repeated():
    model, window = systems.build_model("ntua", "aural", **NARROW).eval(), torch.rand(1, 2, 1, 128, 861)
    torch.testing.assert_close(model(audio=window), model(audio=window.repeat(1, 1, 3, 1, 1)))


@pytest.mark.parametrize("mode", MODES)
def test_losses_take_the_counting_frames_of_the_batch_together(mode):
    torch.manual_seed(0)
    outputs, truth = torch.randn(3, 4, 2, requires_grad=True), torch.rand(3, 4, 2)
    counts = torch.tensor([[True] * 4, [True, False, True, True], [False] * 4])
    truth[~counts] = NAN
    loss = recipe(mode=mode).loss(outputs, {"labels": truth, "counts": counts})
    form = {"mixed": mode == "faithful", "epsilon": 0 if mode == "faithful" else 1e-8}
    torch.testing.assert_close(loss, 1 - concordance(outputs[counts][None], truth[counts][None], **form).mean())
    loss.backward()
    assert outputs.grad[~counts].abs().max() == 0 and outputs.grad[counts].abs().min() > 0
    logits, classes = torch.randn(3, 4, 7), torch.where(counts, torch.randint(0, 7, (3, 4)), NAN)[..., None]
    loss = recipe(target="expr", mode=mode).loss(logits, {"labels": classes, "counts": counts})
    torch.testing.assert_close(loss, F.cross_entropy(logits[counts], classes[counts][:, 0].long()))


def test_dropout_of_features_and_smoothed_labels():
    torch.manual_seed(0)
    logits, classes = torch.randn(1, 4, 7), torch.tensor([[[0.0], [3.0], [6.0], [2.0]]])
    soft = 0.8 * F.one_hot(classes[0, :, 0].long(), 7) + 0.2 / 7
    batch = {"labels": classes, "counts": torch.ones(1, 4, dtype=torch.bool)}
    loss = recipe(target="expr", label_smoothing=0.2).loss(logits, batch)
    torch.testing.assert_close(loss, -(soft * logits[0].log_softmax(dim=1)).sum(dim=1).mean())

    plain, dropping = (systems.build_model("ntua", "face", **NARROW, **more) for more in ({}, {"feature_dropout": 0.5}))
    assert list(plain.state_dict()) == list(dropping.state_dict())
    dropping.load_state_dict(plain.state_dict())
    faces = torch.rand(2, 3, 3, 112, 112)
    with torch.inference_mode():
        torch.testing.assert_close(dropping.eval()(face=faces), plain.eval()(face=faces), rtol=0, atol=0)
        dropping.dropout.train()
        assert (dropping(face=faces) != dropping(face=faces)).any()


@pytest.mark.parametrize("target", ["va", "expr"])
def test_a_batch_without_labels_has_no_loss(target):
    columns = len(SPEC.targets[target].columns)
    outputs = torch.randn(2, 4, columns, requires_grad=True)
    labels = torch.full((2, 4, 2 if target == "va" else 1), NAN)
    loss = recipe(target=target).loss(outputs, {"labels": labels, "counts": torch.zeros(2, 4, dtype=torch.bool)})
    loss.backward()
    assert loss.item() == 0 and not outputs.grad.any()


@pytest.mark.parametrize("mode", MODES)
def test_a_perfect_prediction_costs_a_share_of_one_frame_in_the_published_form(mode):
    truth = torch.rand(16, 16, 2, dtype=torch.float64)
    batch = {"labels": truth, "counts": torch.ones(16, 16, dtype=torch.bool)}
    want = 1 / 256 if mode == "faithful" else 0
    assert float(recipe(mode=mode).loss(truth, batch)) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_scores_are_those_of_the_challenge(mode):
    trial = trial_in_memory(40)
    rows = trial.labels["va"].valid
    perfect = np.where(rows[:, None], trial.labels["va"].values, NAN if mode == "faithful" else 0)
    scores = recipe(mode=mode).score([perfect], [trial])
    assert scores["criterion"] == pytest.approx(1)
    classes = np.nan_to_num(trial.labels["expr"].values[:, 0]).astype(int)
    scores = recipe(target="expr", mode=mode).score([np.eye(7)[classes]], [trial])
    assert scores["expr_accuracy"] == 1
    f1 = 1 if mode == "faithful" else 2 / 7  # five classes never occur
    assert scores["expr_f1"] == pytest.approx(f1)
    assert scores["criterion"] == pytest.approx(0.67 * f1 + 0.33)


def test_classes_that_are_only_predicted_count_in_the_published_mean():
    truth = np.array([0, 0, 1, 1, NAN])
    scores = occurring_scores(truth, np.eye(7)[[0, 0, 1, 6, 5]])
    assert scores["expr_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert np.isnan(occurring_scores(np.array([NAN]), np.eye(7)[:1])["criterion"])


def test_published_optimiser_and_schedule():
    plan = systems.build_recipe("ntua", "face", "va", "faithful")
    optimizer = plan.configure_optimizer(torch.nn.Linear(1, 1))
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (1e-3, 0.9, 5e-4, False)
    scheduler = plan.configure_scheduler(optimizer, 1)
    rates = []
    for _ in range(14):
        scheduler.step(0.5)
        rates.append(group["lr"])
    # The first epoch is the best; after six more without improvement the rate falls, and after another six again.
    assert rates == pytest.approx([1e-3] * 6 + [1e-4] * 6 + [1e-5] * 2)
    assert (plan.schedule.patience, plan.schedule.epochs, plan.schedule.batch) == (11, 300, 16)
    assert recipe(patience=None).schedule.patience is None
    assert isinstance(recipe(optimizer="adam").configure_optimizer(torch.nn.Linear(1, 1)), torch.optim.Adam)


def test_one_cycle_rises_to_the_learning_rate_and_falls_to_nearly_nothing():
    plan = recipe(scheduler="one_cycle", epochs=3, learning_rate=0.01)
    assert (plan.schedule.scheduler_per_step, recipe().schedule.scheduler_per_step) == (True, False)
    optimizer = plan.configure_optimizer(torch.nn.Linear(1, 1))
    scheduler, found = plan.configure_scheduler(optimizer, 10), []
    for _ in range(29):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert int(np.argmax(found)) == 8 and max(found) == pytest.approx(0.01)
    assert found[0] < 0.001 and optimizer.param_groups[0]["lr"] < 1e-5


def test_epochs_see_all_chunks_or_as_many_as_asked_for():
    whole, part = recipe(), recipe(chunks_per_epoch=5)
    orders = [whole.epoch_indices(20, epoch, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(20)) for order in orders) and orders[0].tolist() != orders[1].tolist()
    assert (
        len(set(part.epoch_indices(20, 0, 1))) == 5 and part.epoch_indices(20, 0, 1).tolist() == orders[0][:5].tolist()
    )


@pytest.mark.parametrize("container", ["plain", "affectnet", "places"])
def test_initial_weights_of_trunks(tmp_path, container):
    """torchvision's own file; one under model_state_dict; one of several GPUs without counters and with 365 classes."""
    torch.manual_seed(0)
    source = resnet18(num_classes=365 if container == "places" else 7)
    state = source.state_dict()
    if container == "places":
        state = {f"module.{key}": value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    content = {"plain": state, "affectnet": {"epoch": 3, "model_state_dict": state}, "places": {"state_dict": state}}
    torch.save(content[container], tmp_path / "w.pth")
    network = {"face": "resnet18", "scene": "resnet18"}
    plan = recipe(streams=["face", "context"], network=network, weights={"context": str(tmp_path / "w.pth")})
    model = plan.model()
    before = model.face_model[0].weight.clone()
    (record,) = plan.initialise(model)
    assert record["part"] == "context_model" and len(record["sha256"]) == 64
    assert torch.equal(model.face_model[0].weight, before)
    pictures = torch.rand(2, 3, 64, 64)
    source.fc = torch.nn.Identity()
    torch.testing.assert_close(model.context_model.eval()(pictures).flatten(1), source.eval()(pictures))
    with pytest.raises(InputError, match=r"w\.pth: does not fit"):
        narrow = recipe(weights={"body": str(tmp_path / "w.pth")})
        narrow.initialise(narrow.model())


def test_weights_of_streams_that_are_not_there_are_not_read(tmp_path):
    plan = recipe(streams=["face"], weights={"body": str(tmp_path / "none.pth")})
    assert plan.initialise(plan.model()) == []
    plan = recipe(weights={"body": str(tmp_path / "none.pth")})
    with pytest.raises(InputError, match=r"none\.pth: weight file not found"):
        plan.initialise(plan.model())


def test_weights_of_resnet50_fit_the_published_trunk(tmp_path):
    torch.save(resnet50(weights=None).state_dict(), tmp_path / "r.pth")
    plan = systems.build_recipe("ntua", "face", "va", "faithful", {"weights": {"face": str(tmp_path / "r.pth")}})
    assert plan.initialise(plan.model())[0]["part"] == "features"


def test_a_stored_network_comes_back(tmp_path):
    model = systems.build_model("ntua", "aural", **NARROW)
    torch.save({"state_dict": model.state_dict(), "monitor_best": 0.4}, tmp_path / "m.pth")
    other = systems.build_model("ntua", "aural", **NARROW)
    assert not load_weights(other, tmp_path / "m.pth").missing
    assert torch.equal(other.fc.weight, model.fc.weight)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"streams": []}, "streams"),
        ({"streams": ["audio"]}, "'audio' is not possible"),
        ({"network": {"cell": "transformer"}}, "'transformer' is not possible"),
        ({"optimizer": "adamw"}, "did you mean 'adam'"),
        ({"pretrained_affectnet": "no"}, "unknown key 'pretrained_affectnet'"),
    ],
)
def test_what_does_not_exist_is_refused(settings, named):
    with pytest.raises(InputError, match=named):
        systems.resolve_settings("ntua", settings)


@pytest.mark.parametrize("mode", MODES)
def test_trials_without_labels_can_be_predicted(mode):
    for variant in STREAMS:
        plan = recipe(variant, mode=mode)
        samples = plan.samples([replace(trial_in_memory(11), labels={})], plan.statistics([], None), "predict")
        with torch.inference_mode():
            outputs = plan.forward(plan.model().eval(), batch_of(samples, *range(len(samples))))
        (values,) = samples.to_frames(outputs.numpy())
        assert values.shape == (11, 2) and np.isfinite(values).all()
