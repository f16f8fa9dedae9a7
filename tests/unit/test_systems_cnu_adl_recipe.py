"""CNU_ADL's heads, losses, scores, frozen layers, optimiser, initial weights; what the two modes decide."""

from dataclasses import replace

import audmetric
import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch.nn import functional as F

from support.cnu_adl import NETWORK, SMALL, TINY, small_checkpoint, trial_in_memory, write_keras
from support.runs import start_phase
from support.tsav import labels_of, valence_of
from wildaffect import systems
from wildaffect.corpus.label_spaces import EXPRESSIONS7 as EXPRESSIONS
from wildaffect.errors import InputError
from wildaffect.systems.base import batch_norms
from wildaffect.systems.cnu_adl.recipe import auxiliary_targets, expression_loss, published_concordance, scores
from wildaffect.systems.cnu_adl.spec import NETWORK_CLASSES

NAN = float("nan")
MODES = ("corrected", "faithful")


def recipe(variant="frames_stat", target="mtl", mode="corrected", **settings):
    return systems.build_recipe("cnu_adl", variant, target, mode, TINY | settings)


def batch_of(samples, count):
    read = [samples.read(index, None) for index in range(count)]
    return {name: torch.from_numpy(np.stack([sample[name] for sample in read])) for name in read[0]}


def test_needs_follow_the_recipe():
    needs = systems.spec("cnu_adl").needs
    plain = needs("image", "corrected", systems.resolve_settings("cnu_adl"))
    assert (plain.crops, plain.features) == (("cnu224",), ())
    chosen = {"crops": "cnu_aligned224", "face_features": "embed.cnu"}
    other = needs("frames_stat", "faithful", systems.resolve_settings("cnu_adl", chosen))
    assert (other.crops, other.features) == (("cnu_aligned224",), ("embed.cnu",))


def test_a_batch_of_chunks_is_computed_as_frames_one_by_one():
    """Shared pictures, chunks and blocks give what the published way gives: every frame by itself with its own T pictures."""
    torch.manual_seed(0)
    plan = recipe("stat_bilstm", network=NETWORK | {"dropout": 0.1})
    model = plan.model().eval()
    trial = replace(trial_in_memory(40, unseen=(2, 9)), labels={})
    samples = plan.samples([trial], {}, "predict")
    with torch.inference_mode():
        together = plan.forward(model, batch_of(samples, len(samples))).flatten(0, 1)
        blocks = samples._parts[0].blocks
        alone = [
            model(torch.arange(4)[None, None], torch.from_numpy(trial.crops["cnu224"].read(block))[None])[0, 0]
            for block in blocks
        ]
    torch.testing.assert_close(together[: len(blocks)], torch.stack(alone), rtol=1e-4, atol=1e-5)
    assert together[: len(blocks)].std(dim=0).min() > 1e-4


def test_the_image_variant_does_not_look_at_other_frames():
    plan = recipe("image")
    model = plan.model().eval()
    pictures = torch.randint(0, 256, (1, 3, 224, 224, 3), dtype=torch.uint8)
    with torch.inference_mode():
        blocks = [model(torch.tensor([[block]]), pictures) for block in ([0, 1, 2], [1, 0, 2], [2])]
    torch.testing.assert_close(blocks[0], blocks[1])
    torch.testing.assert_close(blocks[0], blocks[2])


def test_statistics_and_recurrence_use_the_whole_block():
    for variant, differs in (("frames_stat", False), ("stat_bilstm", True)):
        torch.manual_seed(0)
        model = recipe(variant).model().eval()
        vectors = torch.rand(1, 3, 71)
        with torch.inference_mode():
            one, other, repeated = (
                model(torch.tensor([[block]]), vectors=vectors) for block in ([0, 1, 2], [1, 0, 2], [1, 1, 2])
            )
        assert torch.allclose(one, other, atol=1e-7) != differs  # statistics do not know the order
        assert not torch.allclose(one, repeated, atol=1e-6)


@pytest.mark.parametrize(
    ("variant", "mode", "dropouts"),
    [
        ("frames_stat", "faithful", 3),
        ("frames_stat", "corrected", 2),
        ("image", "faithful", 3),
        ("image", "corrected", 3),
    ],
)
def test_the_class_head_of_the_frame_variants_drops_twice(variant, mode, dropouts):
    hidden = [16] if variant == "frames_stat" else [16, 16]
    model = recipe(variant, mode=mode, network=NETWORK | {"classification": hidden, "dropout": 0.5}).model()
    calls = []
    head = model.heads["class"]
    for layer in (head.dropout, head.repeated):
        layer.register_forward_hook(lambda layer, *_: calls.append(layer.p))
    head.train()(torch.ones(1, head.predictions.in_features if not len(head.hidden) else head.hidden[0].in_features))
    assert sum(rate > 0 for rate in calls) == dropouts


def test_dropout_of_the_lstms_is_constant_over_time():
    torch.manual_seed(0)
    temporal = recipe("stat_bilstm", network=NETWORK | {"dropout": 0.5}).model().temporal.train()
    kept = temporal._kept(torch.ones(6, 9, 7))
    assert kept.shape == (6, 1, 7) and set(kept.unique().tolist()) == {0, 2}


def test_the_expression_loss_knows_the_networks_order():
    scores_ = torch.randn(7, 7)
    truth = torch.arange(7.0)
    names = [NETWORK_CLASSES.index(name) for name in EXPRESSIONS]
    torch.testing.assert_close(expression_loss(scores_, truth), F.cross_entropy(scores_, torch.tensor(names)))
    truth[2:5] = NAN
    kept = [0, 1, 5, 6]
    torch.testing.assert_close(
        expression_loss(scores_, truth), F.cross_entropy(scores_[kept], torch.tensor([names[k] for k in kept]))
    )
    assert expression_loss(scores_, torch.full((7,), NAN)) == 0


def test_published_concordance_agrees_with_audmetric_and_has_a_gradient_everywhere():
    generator = torch.Generator().manual_seed(0)
    truth, prediction = torch.randn(2, 50, generator=generator).double()
    want = audmetric.concordance_cc(truth.numpy(), prediction.numpy())
    assert float(published_concordance(prediction, truth)) == pytest.approx(want, abs=1e-7)
    constant = torch.full((50,), 0.3, requires_grad=True)
    value = published_concordance(constant, truth.float())
    value.backward()
    assert value == 0 and torch.isfinite(constant.grad).all()


def test_auxiliary_targets():
    arousal, valence = torch.tensor([0.5, -0.2]), torch.tensor([-0.1, 0.6])
    got = auxiliary_targets(arousal, valence)
    torch.testing.assert_close(got, torch.tensor([[0.5, -0.1, 0.2, 0.3, 0.3], [-0.2, 0.6, 0.2, 0.4, 0.4]]))


@pytest.mark.parametrize("mode", MODES)
def test_the_loss_is_the_weighted_sum_over_the_labels_there_are(mode):
    torch.manual_seed(0)
    raw = torch.cat([torch.randn(2, 6, 7), torch.rand(2, 6, 7) - 0.5], dim=2)
    labels = {
        name: torch.from_numpy(values[:12]).reshape(2, 6, -1) for name, values in labels_of(valence_of(20, 0)).items()
    }
    names = ("expression", "arousal", "valence", "auxiliary")
    parts = {
        name: float(recipe(mode=mode, loss_weights={other: float(other == name) for other in names}).loss(raw, labels))
        for name in names
    }
    known = ~labels["va"].isnan().any(dim=2)
    valence, arousal = labels["va"][known].T.numpy()
    assert parts["arousal"] == pytest.approx(1 - audmetric.concordance_cc(arousal, raw[known][:, 7].numpy()), abs=1e-5)
    assert parts["valence"] == pytest.approx(1 - audmetric.concordance_cc(valence, raw[known][:, 8].numpy()), abs=1e-5)
    assert float(recipe(mode=mode).loss(raw, labels)) == pytest.approx(sum(parts.values()), rel=1e-5)
    assert float(recipe(mode=mode, target="va").loss(raw, labels)) == pytest.approx(
        sum(parts.values()) - parts["expression"], rel=1e-5
    )
    assert float(recipe(mode=mode, target="expr").loss(raw, labels)) == pytest.approx(parts["expression"], rel=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("missing", ["expr", "va"])
def test_missing_labels_give_no_gradient(mode, missing):
    raw = (torch.rand(1, 6, 14) - 0.5).requires_grad_()
    labels = {name: torch.from_numpy(values[5:11])[None] for name, values in labels_of(valence_of(20, 0)).items()}
    labels[missing] = torch.full_like(labels[missing], NAN)
    if missing == "expr":
        labels["va"] = labels["va"].clone()
        labels["va"][0, 3] = NAN
    loss = recipe(mode=mode).loss(raw, labels)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(raw.grad).all()
    assert bool(raw.grad[..., :7].any()) == (missing != "expr")
    assert bool(raw.grad[..., 7:].any()) == (missing != "va")
    if missing == "expr":
        assert not raw.grad[0, 3].any()
    nothing = {name: torch.full_like(values, NAN) for name, values in labels.items()}
    empty = recipe(mode=mode).loss(raw, nothing)
    assert empty == 0 and empty.requires_grad


def given_weights(tmp_path):
    write_keras(tmp_path / "w.h5", small_checkpoint("frames_stat"))
    network = NETWORK | {key: SMALL[key] for key in ("width", "units")} | {"units": [1, 2, 1, 1]}
    return {"face_weights": str(tmp_path / "w.h5"), "network": network}


@pytest.mark.parametrize("mode", MODES)
def test_frozen_layers_learn_nothing_and_normalise_as_the_mode_says(tmp_path, mode):
    plan = recipe(mode=mode, face_training="upper", **given_weights(tmp_path))
    model = plan.model()
    (record,) = plan.initialise(model)
    assert record["part"] == "face" and len(record["sha256"]) == 64
    start_phase(plan, model)
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert {name.split(".")[1][:5] for name in frozen} == {"conv1", "conv2", "conv3"}
    assert all(
        value.requires_grad for name, value in model.named_parameters() if name.startswith(("heads", "face.conv4"))
    )
    assert model.face.conv1.norm.training == (mode == "faithful") and model.face.conv4_1.reduce.norm.training
    before = {name: value.clone() for name, value in model.state_dict().items()}
    samples = plan.samples([trial_in_memory(20)], {}, "train")
    optimizer = plan.configure_optimizer(model)
    plan.loss(plan.forward(model, batch := batch_of(samples, 4)), batch).backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not {
        name for name in changed if "batches" not in name and name.split(".")[1][:5] in ("conv1", "conv2", "conv3")
    }
    assert {
        "face.conv4_1.reduce.norm.running_mean",
        "face.conv4_1.reduce.conv.weight",
        "heads.aro.hidden.0.weight",
    } <= changed

    training = plan.forward(model, batch)
    model.train()
    model.face.eval()
    assert not torch.allclose(training, plan.forward(model, batch))


@pytest.mark.parametrize("synchronised", [False, True])
def test_frozen_batch_norms_learn_nothing_on_several_gpus_either(tmp_path, synchronised):
    plan = recipe(mode="faithful", face_training="upper", **given_weights(tmp_path))
    model = plan.model()
    if synchronised:
        model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    start_phase(plan, model)
    norms = [layer for part in plan.frozen(model, 0) for layer in batch_norms([part])]
    assert len(norms) == 12 and {layer.momentum for layer in norms} == {0.0}
    assert all(isinstance(layer, torch.nn.SyncBatchNorm) == synchronised for layer in norms)


def test_keeping_layers_at_random_is_refused():
    for training in ("upper", "none"):
        plan = recipe(face_training=training)
        with pytest.raises(InputError, match=f"face_training: {training} keeps layers of the face network"):
            plan.initialise(plan.model())
    assert recipe().initialise(recipe().model()) == []


def test_a_frozen_face_network_is_not_trained(tmp_path):
    plan = recipe(face_training="none", **given_weights(tmp_path))
    model = plan.model()
    plan.initialise(model)
    start_phase(plan, model)
    assert not any(value.requires_grad for value in model.face.parameters())
    assert all(value.requires_grad for value in model.heads.parameters())


def test_rates_and_penalty_of_the_groups():
    plan = recipe(learning_rate=1e-3, face_learning_rate=1e-5, kernel_penalty=1e-4)
    model = plan.model()
    start_phase(plan, model)
    groups = plan.configure_optimizer(model).param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(1e-3, 0), (1e-5, 0), (1e-5, 2e-4)]
    kernels = {
        value for name, value in model.face.named_parameters() if name.endswith(("conv.weight", "predictions.weight"))
    }
    assert set(groups[2]["params"]) == kernels
    assert set(groups[0]["params"]) == set(model.heads.parameters())
    assert {group["lr"] for group in recipe_groups(learning_rate=1e-3)} == {1e-3}


def recipe_groups(**settings):
    plan = recipe(**settings)
    model = plan.model()
    start_phase(plan, model)
    return plan.configure_optimizer(model).param_groups


def test_both_metrics_stand_side_by_side():
    generator = np.random.default_rng(0)
    truth = {
        "expr": generator.integers(0, 4, (60, 1)).astype(np.float32),
        "va": generator.uniform(-1, 1, (60, 2)).astype(np.float32),
    }
    truth["expr"][:10], truth["va"][50:] = np.nan, np.nan
    prediction = {"expr": generator.random((60, 7)), "va": generator.uniform(-1, 1, (60, 2))}
    got = scores(truth, prediction)

    def expression(rows):
        labels, guess = truth["expr"][rows, 0].astype(int), prediction["expr"][rows].argmax(axis=1)
        correct = (labels == guess).mean()
        macro, weighted = (
            f1_score(labels, guess, labels=range(7), average=kind, zero_division=0) for kind in ("macro", "weighted")
        )
        return 0.67 * macro + 0.33 * correct, 0.66 * weighted + 0.33 * correct

    def concordance(rows):
        return np.mean([audmetric.concordance_cc(truth["va"][rows, k], prediction["va"][rows, k]) for k in (0, 1)])

    assert (got["expr_score"], got["expr_legacy"]) == pytest.approx(expression(slice(10, 60)))
    assert (got["expr_score_both"], got["expr_legacy_both"]) == pytest.approx(expression(slice(10, 50)))
    assert got["va_score"] == pytest.approx(concordance(slice(0, 50)), abs=1e-6)
    assert got["va_score_both"] == pytest.approx(concordance(slice(10, 50)), abs=1e-6)
    assert got["criterion"] == pytest.approx((got["expr_score"] + got["va_score"]) / 2)
    prediction["va"][0] = np.nan
    assert scores(truth, prediction)["va_score"] == pytest.approx(concordance(slice(1, 50)), abs=1e-6)


def test_tasks_without_labels_do_not_count():
    truth = {"expr": np.full((4, 1), np.nan), "va": np.array([[0.1, 0.2]] * 2 + [[0.3, 0.5]] * 2)}
    got = scores(truth, {"expr": np.ones((4, 7)), "va": truth["va"]})
    assert got["criterion"] == pytest.approx(1) and "expr_f1" not in got
    nothing = scores({"va": np.full((2, 2), np.nan)}, {"va": np.zeros((2, 2))})
    assert np.isnan(nothing["criterion"])


def test_batches_and_epochs_are_counted_in_frames():
    for variant, samples, epoch in (("image", 64, 100), ("frames_stat", 16, 25)):
        plan = recipe(variant, batch=64, chunk=4, frames_per_epoch=100)
        assert plan.schedule.batch == samples
        order = plan.epoch_indices(1000, 0, 3)
        assert len(order) == len(set(order.tolist())) == epoch
        assert (order == plan.epoch_indices(1000, 0, 3)).all() and (order != plan.epoch_indices(1000, 1, 3)).any()
    assert len(recipe(frames_per_epoch=None).epoch_indices(50, 0, 3)) == 50
