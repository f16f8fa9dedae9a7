"""TSAV's network options, initial weights, losses, scores and the two modes' outputs."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.models import resnet18
from torchvision.models.video import r2plus1d_18

from support.tsav import TINY, labels_of, trial_in_memory, valence_of
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.systems.toolbox import task_scores
from wildaffect.systems.tsav.recipe import expression_loss, unit_loss, valence_arousal_loss
from wildaffect.systems.tsav.spec import COLUMNS, OUTPUTS, SPEC

NAN = float("nan")


def recipe(target="mtl", mode="corrected", **settings):
    return systems.build_recipe("tsav", "two_stream", target, mode, TINY | settings)


def batch_of(samples, count):
    read = [samples.read(index, None) for index in range(count)]
    return {name: torch.from_numpy(np.stack([sample[name] for sample in read])) for name in read[0]}


def test_targets_name_the_outputs_in_the_original_order():
    assert SPEC.targets["mtl"].columns == OUTPUTS
    assert (OUTPUTS[6], OUTPUTS[7], OUTPUTS[8], OUTPUTS[9], OUTPUTS[16]) == (
        "Surprise",
        "valence",
        "arousal",
        "AU1",
        "AU25",
    )
    assert {name: target.columns for name, target in SPEC.targets.items() if name != "mtl"} == COLUMNS


@pytest.mark.parametrize("target", ["va", "expr", "au", "mtl"])
def test_every_target_reads_its_own_outputs(target):
    plan = recipe(target)
    samples = plan.samples([trial_in_memory(9)], plan.fit([trial_in_memory(9)]), "validate")
    model = plan.model().eval()
    with torch.no_grad():
        model.fc[1].weight.zero_()
        model.fc[1].bias.copy_(torch.arange(17))
    outputs = plan.forward(model, batch_of(samples, 2))
    assert [OUTPUTS[int(value)] for value in outputs[0]] == list(plan.target.columns)


def test_narrow_networks_keep_the_names():
    full = systems.build_model("tsav", "two_stream").state_dict()
    narrow = systems.build_model("tsav", "two_stream", width=0.25, image_pooling=2, mel_pooling=4)
    assert list(narrow.state_dict()) == list(full)
    assert sum(value.numel() for value in narrow.state_dict().values()) < 0.07 * sum(v.numel() for v in full.values())
    assert narrow(torch.zeros(1, 4, 8, 112, 112), torch.zeros(1, 1, 64, 1001)).shape == (1, 17)


@pytest.mark.parametrize("stream", ["audio", "video"])
def test_a_network_of_one_stream_keeps_its_names(stream):
    full = set(recipe().model().state_dict())
    plan = recipe(streams=[stream])
    model = plan.model().eval()
    assert set(model.state_dict()) == {key for key in full if key.startswith((f"{stream}_model.", "fc."))}
    needs = SPEC.needs("two_stream", "corrected", plan.settings)
    assert (needs.features, needs.crops, needs.masks) == {
        "audio": (("tsav_mel",), (), ()),
        "video": ((), ("tsav112",), ("tsav112",)),
    }[stream]
    trial = trial_in_memory(9)
    samples = plan.samples([trial], plan.fit([trial]), "validate")
    assert plan.forward(model, batch_of(samples, 2)).shape == (2, len(OUTPUTS))


def test_weights_of_a_stream_that_is_left_out_are_refused():
    with pytest.raises(InputError, match="video_weights is for a stream that is not in streams"):
        recipe(streams=["audio"], video_weights="kinetics.pth")


def test_smoothed_expressions_spread_a_part_over_all_classes():
    raw, truth = torch.randn(3, 7), torch.tensor([[2.0], [0.0], [6.0]])
    logs = raw.log_softmax(dim=1)
    target = 0.8 * F.one_hot(truth[:, 0].long(), 7) + 0.2 / 7
    weight = torch.tensor([[1.0], [3.0], [0.5]])
    expected = (-(target * logs).sum(dim=1) * weight[:, 0]).sum() / weight.sum()
    torch.testing.assert_close(expression_loss(raw, truth, weight, 0.2), expected)


def test_dropout_before_the_last_layer_is_a_setting():
    network = TINY["network"]
    probabilities = [recipe().model().fc[0].p, recipe(network=network | {"dropout": 0.3}).model().fc[0].p]
    assert probabilities == [0.0, 0.3]


def test_the_small_data_preset_makes_one_cycle_of_a_small_network():
    plan = systems.build_recipe("tsav", "two_stream", "expr", "corrected", {"preset": "small_data"})
    assert (plan.one_cycle, plan.schedule.patience, plan.schedule.minimum_rate) == (True, None, 0)
    published = systems.build_recipe("tsav", "two_stream", "expr", "corrected")
    assert (published.one_cycle, published.settings.label_smoothing) == (False, 0)
    assert sum(part.numel() for part in plan.model().parameters()) < 1_000_000


def test_pooling_averages_before_the_first_layer():
    clip, image = torch.rand(1, 4, 8, 112, 112), torch.rand(1, 1, 64, 1001)
    pooled = systems.build_model("tsav", "two_stream", width=0.1, image_pooling=2, mel_pooling=4).eval()
    plain = systems.build_model("tsav", "two_stream", width=0.1).eval()
    plain.load_state_dict(pooled.state_dict())
    small = clip.unflatten(3, (56, 2)).unflatten(5, (56, 2)).mean(dim=(4, 6))
    with torch.inference_mode():
        torch.testing.assert_close(
            pooled(clip, image),
            plain(small, image[..., :1000].unflatten(3, (250, 4)).mean(dim=4)),
            rtol=1e-4,
            atol=1e-5,
        )


def test_torchvision_files_become_initial_weights(tmp_path):
    torch.manual_seed(0)
    video, audio = r2plus1d_18(weights=None).state_dict(), resnet18(weights=None).state_dict()
    torch.save(video, tmp_path / "video.pth")
    torch.save(audio, tmp_path / "audio.pth")
    plan = recipe(network={}, video_weights=str(tmp_path / "video.pth"), audio_weights=str(tmp_path / "audio.pth"))
    model = plan.model()
    fourth = model.video_model.r2plus1d.stem[0].weight[:, 3:].detach().clone()
    record = plan.initialise(model)
    assert [entry["part"] for entry in record] == ["video_model", "audio_model"]
    assert all(len(entry["sha256"]) == 64 for entry in record)
    stem = model.video_model.r2plus1d.stem[0].weight.detach()
    assert torch.equal(stem[:, :3], video["stem.0.weight"]) and torch.equal(stem[:, 3:], fourth)
    assert torch.equal(model.video_model.r2plus1d.layer4[1].conv2[0][3].weight, video["layer4.1.conv2.0.3.weight"])
    resnet = model.audio_model.resnet
    torch.testing.assert_close(resnet.conv1.weight[:, 0], audio["conv1.weight"].mean(dim=1))
    assert torch.equal(resnet.layer4[1].conv2.weight, audio["layer4.1.conv2.weight"])

    narrow = recipe(video_weights=str(tmp_path / "video.pth"))
    with pytest.raises(InputError, match=r"video\.pth: does not fit.*width 1 only"):
        narrow.initialise(narrow.model())
    named = tmp_path / "resnet18-f37072fd.pth"
    (tmp_path / "audio.pth").rename(named)
    wrong = recipe(network={}, audio_weights=str(named))
    with pytest.raises(InputError, match="not what its name says"):
        wrong.initialise(wrong.model())


def test_a_missing_weight_file_says_where_it_comes_from(tmp_path):
    plan = recipe(video_weights=str(tmp_path / "none.pth"))
    with pytest.raises(InputError, match=r"none\.pth: .*https://download\.pytorch\.org/models/r2plus1d_18-\w+\.pth"):
        plan.initialise(plan.model())
    assert recipe().initialise(recipe().model()) == []


def test_losses_are_those_of_the_labelled_rows_alone():
    torch.manual_seed(0)
    raw = torch.randn(6, 8, requires_grad=True)
    known = torch.tensor([True, False, True, True, False, True])
    affect = torch.where(known[:, None], torch.rand(6, 2), NAN)
    got = valence_arousal_loss(raw[:, :2], affect)
    torch.testing.assert_close(got, valence_arousal_loss(raw[known, :2], affect[known]))
    classes = torch.where(known[:, None], torch.randint(0, 7, (6, 1)).float(), NAN)
    weight = torch.rand(6, 1) * known[:, None]
    want = F.cross_entropy(raw[known, :7], classes[known, 0].long(), reduction="none")
    torch.testing.assert_close(
        expression_loss(raw[:, :7], classes, weight), (want * weight[known, 0]).sum() / weight.sum()
    )
    units = torch.where(torch.rand(6, 8) < 0.5, torch.randint(0, 2, (6, 8)).float(), NAN)
    weight = torch.where(units.isnan(), 0.0, 2.0)
    there = ~units.isnan()
    torch.testing.assert_close(
        unit_loss(raw, units, weight), F.binary_cross_entropy_with_logits(raw[there], units[there])
    )


@pytest.mark.parametrize("missing", ["expr", "va", "au"])
def test_missing_labels_give_no_gradient(missing):
    plan = recipe()
    places = {task: [OUTPUTS.index(column) for column in columns] for task, columns in COLUMNS.items()}
    outputs = torch.randn(5, 17, requires_grad=True)
    labels = {name: torch.from_numpy(values[5:10]) for name, values in labels_of(valence_of(20, 0)).items()}
    weights = {"expr_weight": torch.ones(5, 1), "au_weight": (~labels["au"].isnan()).float()}
    labels[missing] = torch.full_like(labels[missing], NAN)
    if missing != "va":
        weights[f"{missing}_weight"] = torch.zeros_like(weights[f"{missing}_weight"])
    loss = plan.loss(outputs, labels | weights)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(outputs.grad).all()
    for task, columns in places.items():
        assert bool(outputs.grad[:, columns].any()) == (task != missing)
    unit = places["au"][list(COLUMNS["au"]).index("AU4")]
    assert not outputs.grad[:, unit].any()  # never annotated


def test_a_batch_without_any_label_has_no_loss():
    outputs = torch.randn(3, 17, requires_grad=True)
    batch = {"expr": torch.full((3, 1), NAN), "va": torch.full((3, 2), NAN), "au": torch.full((3, 8), NAN),
             "expr_weight": torch.zeros(3, 1), "au_weight": torch.zeros(3, 8)}  # fmt: skip
    loss = recipe().loss(outputs, batch)
    loss.backward()
    assert loss.item() == 0 and not outputs.grad.any()
    alone = recipe("va").loss(outputs[:, 7:9], batch)
    alone.backward()
    assert alone.item() == 0 and not outputs.grad.any()


def test_loss_weights_choose_the_tasks():
    outputs = torch.randn(4, 17)
    labels = {name: torch.from_numpy(values[5:9]) for name, values in labels_of(valence_of(20, 0)).items()}
    batch = labels | {"expr_weight": torch.ones(4, 1), "au_weight": (~labels["au"].isnan()).float()}
    parts = [
        float(recipe(loss_weights={name: float(name == task) for name in COLUMNS}).loss(outputs, batch))
        for task in COLUMNS
    ]
    assert min(parts) > 0
    assert float(recipe().loss(outputs, batch)) == pytest.approx(sum(parts), rel=1e-5)


def test_predictions_are_raw_or_probabilities():
    raw = np.random.default_rng(0).normal(0, 3, (4, 17)).astype(np.float32)
    trial = trial_in_memory(4)
    (faithful,) = recipe(mode="faithful").samples([trial], {}, "predict").to_frames(raw)
    np.testing.assert_array_equal(faithful, raw)
    (corrected,) = recipe().samples([trial], {}, "predict").to_frames(raw)
    np.testing.assert_allclose(corrected[:, :7].sum(axis=1), 1)
    assert (corrected[:, :7].argmax(axis=1) == raw[:, :7].argmax(axis=1)).all()
    np.testing.assert_array_equal(corrected[:, 7:9], raw[:, 7:9])
    np.testing.assert_allclose(corrected[:, 9:], 1 / (1 + np.exp(-raw[:, 9:].astype(float))))


@pytest.mark.parametrize(("mode", "even"), [("faithful", 0.5), ("corrected", 0.0)])
def test_training_puts_even_odds_where_the_decision_is(mode, even):
    """Half of the frames active: the loss has its minimum where the mode's predictions cross one half."""
    plan = recipe("au", mode)
    batch = {"au": torch.tensor([[1.0] * 8, [0.0] * 8]), "au_weight": torch.ones(2, 8)}
    losses = {value: float(plan.loss(torch.full((2, 8), value), batch)) for value in (even - 0.1, even, even + 0.1)}
    assert min(losses, key=losses.get) == even
    (decided,) = plan.samples([trial_in_memory(1)], {}, "predict").to_frames(np.full((1, 8), even))
    np.testing.assert_allclose(decided, 0.5)


def test_perfect_predictions_score_one():
    trial = trial_in_memory(40)
    truth = labels_of(valence_of(40, 0))
    classes = np.nan_to_num(truth["expr"][:, 0]).astype(int)
    perfect = np.concatenate([np.eye(7)[classes], truth["va"], np.nan_to_num(truth["au"])], axis=1)
    scores = recipe().score([perfect], [trial])
    assert scores["ccc_valence"] == scores["ccc_arousal"] == pytest.approx(1)
    assert scores["expr_accuracy"] == scores["au_accuracy"] == 1
    assert scores["expr_f1"] == pytest.approx(3 / 7)  # four classes never occur
    assert scores["au_f1"] == pytest.approx(7 / 8)  # one unit is never annotated
    assert scores["criterion"] == pytest.approx(np.mean([1, 0.67 * 3 / 7 + 0.33, 0.5 * 7 / 8 + 0.5]))


def test_tasks_without_labels_do_not_count():
    truth = np.full((4, 2), np.nan)
    assert np.isnan(task_scores("va", truth, np.zeros((4, 2)))["criterion"])
    trial = trial_in_memory(20, tasks=("va",))
    prediction = np.zeros((20, 17))
    prediction[:, 7:9] = np.nan_to_num(trial.labels["va"].values)
    scores = recipe().score([prediction], [trial])
    assert scores["criterion"] == pytest.approx(1) and "expr_f1" not in scores
