"""M3T's losses, optimiser, schedule, scores and outputs in both modes."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from support.m3t import TINY, trial_in_memory
from support.runs import start_phase
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.systems.m3t.spec import OUTPUTS, SPEC

NAN = float("nan")
MODES = ("faithful", "corrected")


def recipe(mode="corrected", variant="audiovisual_mtl", target="mtl", **changes):
    return systems.build_recipe("m3t", variant, target, mode, TINY | changes)


def batch_of(count=3, time=5):
    torch.manual_seed(0)
    return {"va": torch.rand(count, time, 2) * 2 - 1, "expr": torch.randint(0, 7, (count, time, 1)).float()}


def test_defaults_are_the_published_code():
    settings = systems.resolve_settings("m3t")
    published = {"window": 32, "stride": 16, "validation_stride": 32, "windows_per_epoch": 200, "batch": 96, "epochs": 30,
                 "learning_rate": 5e-5, "weight_decay": 1e-4, "gradient_norm": 1.0, "plateau_patience": 3, "plateau_factor": 0.5,
                 "valence_weight": 0.5, "expression_weight": 0.8, "patience": None, "face_columns": 512}  # fmt: skip
    assert {key: getattr(settings, key) for key in published} == published
    assert SPEC.targets["mtl"].columns == OUTPUTS and OUTPUTS[7:] == ("valence", "arousal")


@pytest.mark.parametrize(
    ("variant", "target", "network", "places"),
    [
        ("visual_mtl", "mtl", {}, range(9)),
        ("visual_mtl", "va", {}, [7, 8]),
        ("visual_mtl", "va", {"outputs": 2}, [0, 1]),
        ("audio_va", "va", {}, [0, 1]),
        ("audio", "va", {}, [7, 8]),
        ("audiovisual_attention_mtl", "mtl", {"fc_layers": 1}, range(9)),
    ],
)
def test_outputs_of_a_target(variant, target, network, places):
    plan = recipe("corrected", variant, target, network=TINY["network"] | network)
    trial = trial_in_memory(20)
    samples = plan.samples([trial], plan.fit([trial]), "validate")
    model = plan.model().eval()
    batch = {name: torch.from_numpy(values[None]) for name, values in samples.read(0, None).items()}
    whole = model(**{name: batch[name] for name in plan._inputs})
    torch.testing.assert_close(plan.forward(model, batch), whole[..., list(places)])


def test_what_cannot_go_together():
    with pytest.raises(InputError, match="2 outputs has no expressions"):
        recipe(network={"outputs": 2})
    with pytest.raises(InputError, match="audio_va has no target 'mtl'; its targets are va"):
        recipe(variant="audio_va")
    with pytest.raises(InputError, match="freeze_encoders leaves nothing to train in visual_mtl"):
        recipe(variant="visual_mtl", freeze_encoders=True)
    with pytest.raises(InputError, match="tcn_simple is for visual_mtl with split_layer below 5, not audiovisual_mtl"):
        recipe(variant="audiovisual_mtl", network={"backend": "tcn_simple"})
    with pytest.raises(InputError, match="tcn_simple is for visual_mtl"):
        recipe(variant="visual_mtl", network={"backend": "tcn_simple", "split_layer": 5})


def moments(y, p, mixed):
    """CCC by hand, over one series."""
    covariance = ((y - y.mean()) * (p - p.mean())).mean()
    variances = y.var(unbiased=mixed) + p.var(unbiased=mixed)
    return 2 * covariance / (variances + (y.mean() - p.mean()) ** 2)


@pytest.mark.parametrize("mode", MODES)
def test_loss_of_valence_and_arousal(mode):
    """One series per batch, weighted by the shares; the moments are the mode's (14)."""
    batch, raw = batch_of(), torch.randn(3, 5, 2)
    parts = [1 - moments(batch["va"][..., k].flatten(), raw[..., k].flatten(), mode == "faithful") for k in (0, 1)]
    got = recipe(mode, target="va", valence_weight=0.3).loss(raw, batch)
    torch.testing.assert_close(got, 0.3 * parts[0] + 0.7 * parts[1])


@pytest.mark.parametrize("mode", MODES)
def test_loss_of_the_expression_is_divided_by_all_or_by_labelled_frames(mode):
    batch, raw = batch_of(), torch.randn(3, 5, 9)
    batch["expr"][0] = NAN
    each = F.cross_entropy(raw[1:, :, :7].flatten(0, 1), batch["expr"][1:].flatten().long(), reduction="sum")
    plan = recipe(mode, expression_weight=2.0)
    got = plan.loss(raw, batch) - recipe(mode, target="va").loss(raw[..., 7:], batch)
    torch.testing.assert_close(got, 2 * each / (15 if mode == "faithful" else 10))


@pytest.mark.parametrize("mode", MODES)
def test_missing_labels_give_no_gradient(mode):
    batch, raw = batch_of(), torch.randn(3, 5, 9, requires_grad=True)
    batch["va"][1, 2:] = NAN
    batch["expr"][0] = NAN
    for settings in ({}, {"loss": "mse"}):
        raw.grad = None
        recipe(mode, **settings).loss(raw, batch).backward()
        assert torch.isfinite(raw.grad).all()
        assert not raw.grad[1, 2:, 7:].any() and raw.grad[1, :2, 7:].all()
        assert not raw.grad[0, :, :7].any() and raw.grad[1, :, :7].all()
    raw.grad = None
    nothing = {"va": torch.full((3, 5, 2), NAN), "expr": torch.full((3, 5, 1), NAN)}
    recipe(mode).loss(raw, nothing).backward()
    assert not raw.grad.any()


def test_labels_of_minus_five_are_learnt_in_faithful_mode_alone():
    """The leak (6): the loss rewards predicting -5 where labels were missing."""
    labelled = np.arange(40) % 4 != 0
    trial = trial_in_memory(40, labelled=labelled)
    gains = {}
    for mode in MODES:
        plan = recipe(mode, target="va", resample=True)
        sample = plan.samples([trial], plan.fit([trial]), "train").read(0, np.random.default_rng(0))
        batch = {"va": torch.from_numpy(sample["va"][None])}
        right = torch.from_numpy(np.nan_to_num(sample["va"], nan=-5)[None])
        wrong = torch.where(right == -5, 0.0, right)
        gains[mode] = float(plan.loss(wrong, batch) - plan.loss(right, batch))
    assert gains["faithful"] > 0.3 and gains["corrected"] == 0


def test_gradients_are_limited():
    assert recipe().schedule.gradient_norm == 1
    assert recipe(gradient_norm=None).schedule.gradient_norm is None


def test_optimisers():
    model = torch.nn.Linear(2, 1)
    model.bias.requires_grad_(requires_grad=False)
    (adam,) = recipe(learning_rate=1e-3, weight_decay=1e-4).configure_optimizer(model).param_groups
    assert adam["params"] == [model.weight] and (adam["lr"], adam["weight_decay"]) == (1e-3, 1e-4)
    optimizer = recipe(optimizer="sgd", learning_rate=1e-2, weight_decay=5e-4).configure_optimizer(model)
    assert type(recipe().configure_optimizer(model)) is torch.optim.Adam and type(optimizer) is torch.optim.SGD
    (sgd,) = optimizer.param_groups
    assert (sgd["lr"], sgd["weight_decay"], sgd["momentum"]) == (1e-2, 5e-4, 0.9)


def rates(plan, scores):
    optimizer = plan.configure_optimizer(torch.nn.Linear(1, 1))
    scheduler, found = plan.configure_scheduler(optimizer, 1), []
    for score in scores:
        optimizer.step()
        plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
        scheduler.step(plan.watched(score)) if plateau else scheduler.step()
        found.append(optimizer.param_groups[0]["lr"] / TINY["learning_rate"])
    return found


def test_rate_falls_at_the_fourth_epoch_without_progress():
    assert rates(recipe(), [0.3] + [0.2] * 9) == pytest.approx([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25])
    # 1 - score must fall by 1e-4 of itself; near 1 that is less than 1e-4 of the score.
    assert rates(recipe(plateau_patience=0), [0.9, 0.90005]) == pytest.approx([1, 1])
    assert rates(recipe(plateau_patience=0), [0.1, 0.10005]) == pytest.approx([1, 0.5])
    assert rates(recipe(plateau_patience=0, lowest_rate=4e-3), [0.3, 0.2, 0.1])[-1] == pytest.approx(0.8)
    assert rates(recipe(scheduler="exponential"), [0, 0, 0]) == pytest.approx([0.5, 0.25, 0.125])


def test_one_cycle_follows_the_steps():
    plan = recipe(scheduler="one_cycle", epochs=10)
    assert (plan.schedule.scheduler_per_step, recipe().schedule.scheduler_per_step) == (True, False)
    assert plan.schedule.gradient_norm == recipe().schedule.gradient_norm
    found = rates(plan, [0] * 9)  # an epoch of one step
    assert found.index(max(found)) == 1 and max(found) == pytest.approx(1) and found[-1] < 1e-4


@pytest.mark.parametrize("mode", MODES)
def test_frozen_encoders(mode):
    """Only what joins is trained; batch statistics of frozen layers drift in faithful mode (25)."""
    plan = recipe(mode, variant="audiovisual_attention_mtl", freeze_encoders=True)
    model = plan.model()
    start_phase(plan, model)
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"proj_v", "att_fuse", "fusion"}
    before = model.visual.shared[1].running_mean.clone()
    model(torch.rand(1, 3, 2, 112, 112) * 255, torch.rand(1, 6, 2), torch.rand(1, 2, 200))
    assert torch.equal(before, model.visual.shared[1].running_mean) == (mode == "corrected")
    free = recipe(mode)
    start_phase(free, model)
    assert all(parameter.requires_grad for parameter in model.parameters()) and model.visual.training


@pytest.mark.parametrize("mode", MODES)
def test_predictions_are_raw_or_probabilities(mode):
    raw = np.random.default_rng(0).normal(0, 3, (1, 16, 9)).astype(np.float32)
    trial = trial_in_memory(16)
    plan = recipe(mode, stride=16)
    (got,) = plan.samples([trial], plan.fit([trial]), "predict").to_frames(raw)
    np.testing.assert_allclose(got[:, 7:], raw[0, :, 7:], rtol=1e-6)
    if mode == "faithful":
        np.testing.assert_allclose(got, raw[0])
    else:
        np.testing.assert_allclose(got[:, :7].sum(axis=1), 1)
        assert (got[:, :7].argmax(axis=1) == raw[0, :, :7].argmax(axis=1)).all()


@pytest.mark.parametrize("mode", MODES)
def test_scores_and_selection(mode):
    plan = recipe(mode)
    trials = [trial_in_memory(30, labelled=np.arange(30) != 5), trial_in_memory(20, tasks=("va",), seed=1)]
    classes = np.nan_to_num(trials[0].labels["expr"].values[:, 0]).astype(int)
    first = np.concatenate([np.eye(7)[classes], np.nan_to_num(trials[0].labels["va"].values, nan=9)], axis=1)
    second = np.concatenate([np.zeros((20, 7)), trials[1].labels["va"].values], axis=1)
    scores = plan.score([first, second], trials)
    assert scores["ccc_valence"] == scores["ccc_arousal"] == scores["ccc"] == pytest.approx(1)
    assert scores["ccc_mixed"] == pytest.approx(48 / 49)
    assert scores["mse_valence"] == 0 and scores["expr_accuracy"] == 1
    assert plan.metric == {"faithful": "ccc_mixed", "corrected": "ccc"}[mode]
    assert np.isnan(plan.score([np.zeros((20, 9))], [trial_in_memory(20, tasks=("expr",))])[plan.metric])


def test_every_epoch_has_an_order_of_its_own():
    orders = [recipe().epoch_indices(20, epoch, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(20)) for order in orders) and (orders[0] != orders[1]).any()
