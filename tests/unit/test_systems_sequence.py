"""Sequence: inputs of any kind, masked losses, networks that do not see padding."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.feature import hog

from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile, crop_writer
from wildaffect.features import face_shape
from wildaffect.features.embeddings import embed_crops, open_network, preparation
from wildaffect.scoring import ccc
from wildaffect.systems.sequence.model import build
from wildaffect.systems.toolbox import with_statistics
from wildaffect.systems.types import Labels, Purpose, TrialData
from wildaffect.training.loop import Checkpoint, Loop
from wildaffect.training.runtime import open_fabric

VARIANTS = ("gru", "tcn", "transformer")


def recipe(target="va", variant="gru", **values):
    return systems.build_recipe("sequence", variant, target, "corrected", {"window": 40, "hop": 20, **values})


def trial(name="a", frames=90, seed=0, **labels) -> TrialData:
    """Two inputs of 25 and 3 columns; ``labels`` by task, all rows usable."""
    rng = np.random.default_rng(seed)
    rows = {"egemaps25": rng.normal(3, 2, (frames, 25)), "import.x": rng.normal(0, 1, (frames, 3))}
    known = {task: Labels(np.asarray(v, np.float32), np.ones(frames, bool)) for task, v in labels.items()}
    return TrialData(name, np.arange(frames) / 25, {}, rows, known)


@pytest.mark.parametrize("window_statistics", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_changes_nothing(variant, window_statistics):
    torch.manual_seed(0)
    network = build(
        variant, widths=(4, 3), outputs=2, hidden=16, layers=2, heads=2, window_statistics=window_statistics
    ).eval()
    values, real = torch.randn(2, 30, 7), torch.ones(2, 30, dtype=torch.bool)
    real[1, 21:] = False
    spoilt = values.clone()
    spoilt[1, 21:] = 100
    with torch.inference_mode():
        first, second, alone = network(values, real), network(spoilt, real), network(values[1:, :21], real[1:, :21])
    torch.testing.assert_close(first[real], second[real])
    torch.testing.assert_close(first[1:, :21], alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(first[0, 0], network(values.flip(1), real)[0, 0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_network_learns_what_only_the_neighbours_show(variant):
    """The label of a frame is the input two frames earlier."""
    torch.manual_seed(0)
    network = build(variant, widths=(1,), outputs=1, hidden=16, layers=2, heads=2, dropout=0.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    for _ in range(120):
        values = torch.randn(8, 24, 1)
        guess = network(values, torch.ones(8, 24, dtype=torch.bool))
        loss = (guess[:, 2:] - values[:, :-2]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.5  # without the neighbours it is 1


def batch_of(plan, trials, rng=None, purpose=Purpose.TRAIN):
    statistics = plan.statistics(trials, plan.fit(trials))
    samples = plan.samples(trials, statistics, purpose)
    return torch.utils.data.default_collate([samples.read(k, rng) for k in range(len(samples))]), samples


def test_the_loss_is_one_minus_the_concordance_of_labelled_frames():
    truth = np.random.default_rng(1).uniform(-1, 1, (90, 2))
    truth[30:50] = np.nan
    plan = recipe()
    batch, _ = batch_of(plan, [trial(va=truth)])
    outputs = torch.randn(*batch["labels"].shape)
    known = ~batch["labels"].isnan()[..., 0]
    expected = np.mean(
        [1 - ccc(batch["labels"][known][:, k].numpy(), outputs[known][:, k].tanh().numpy()) for k in (0, 1)]
    )
    assert plan.loss(outputs, batch).item() == pytest.approx(expected, abs=1e-5)


def test_rare_classes_count_more_and_unlabelled_frames_nothing():
    classes = np.r_[np.zeros(64), np.full(16, 3), np.full(10, np.nan)][:, None]
    plan = recipe("expr", balance=0.5, label_smoothing=0.0)
    batch, _ = batch_of(plan, [trial(expr=classes)])
    weights = batch["weights"][~batch["labels"].isnan()]
    assert sorted(set(weights.tolist()))[1] / sorted(set(weights.tolist()))[0] == pytest.approx(2)  # (16 / 64) ** -0.5
    outputs = torch.randn(*batch["labels"].shape[:2], 7)
    known = ~batch["labels"].isnan()[..., 0]
    each = -outputs[known].log_softmax(-1).gather(1, batch["labels"][known].long())[:, 0]
    assert plan.loss(outputs, batch).item() == pytest.approx(((each * weights).sum() / weights.sum()).item(), rel=1e-5)


def test_units_of_their_own_and_easy_ones_less():
    units = np.zeros((90, 12))
    units[:9, 0], units[:, 1] = 1, np.nan
    plan = recipe("au", balance=1.0)
    batch, _ = batch_of(plan, [trial(au=units)])
    first = batch["weights"][..., 0][batch["labels"][..., 0] == 1].unique()
    assert first.tolist() == pytest.approx([90 / 9 / 2])  # active and inactive frames have the same sum
    outputs = torch.zeros(*batch["labels"].shape)
    assert plan.loss(outputs, batch).item() == pytest.approx(np.log(2), rel=1e-5)
    focused = recipe("au", balance=0.0, focus=2.0)
    active = (batch["labels"] == 1).sum() / (~batch["labels"].isnan()).sum()
    even, _ = batch_of(focused, [trial(au=units)])
    expected = np.log(2) * (active + (1 - active) / 4)
    assert focused.loss(outputs, even).item() == pytest.approx(expected.item(), rel=1e-4)


def test_several_tasks_are_the_sum_and_missing_ones_nothing():
    rng = np.random.default_rng(0)
    va, expr = rng.uniform(-1, 1, (90, 2)), rng.integers(0, 7, (90, 1))
    together, alone = recipe("mtl"), recipe("expr")
    batch, samples = batch_of(together, [trial(expr=expr)])
    single, _ = batch_of(alone, [trial(expr=expr)])
    outputs = torch.randn(*batch["labels"].shape[:2], 21)
    assert together.loss(outputs, batch).item() == pytest.approx(
        alone.loss(outputs[..., 2:9], single).item() + 1, rel=1e-5
    )
    frames = samples.to_frames(outputs.numpy())[0]
    np.testing.assert_allclose(frames[:, 2:9].sum(axis=1), 1, rtol=1e-5)
    assert (np.abs(frames[:, :2]) <= 1).all() and ((frames[:, 9:] > 0) & (frames[:, 9:] < 1)).all()
    scores = together.score(
        [np.concatenate([va, np.eye(7)[expr[:, 0]], np.zeros((90, 12))], axis=1)], [trial(va=va, expr=expr)]
    )
    assert scores["criterion"] == pytest.approx(1) and scores["ccc_arousal"] == pytest.approx(1)


@given(st.integers(2, 100), st.integers(0, 2**32 - 1), st.floats(0, 0.99))
@settings(max_examples=60, deadline=None)
def test_training_windows_stay_in_the_trial_and_keep_an_input(frames, seed, drop):
    plan = recipe(inputs=["egemaps25", "import.x"], drop_input=drop)
    one = trial(frames=frames, va=np.zeros((frames, 2)))
    samples = plan.samples([one], plan.fit([one]), Purpose.TRAIN)
    for index in range(len(samples)):
        sample = samples.read(index, np.random.default_rng(seed))
        assert sample["real"].sum() == min(frames, 40)
        assert sample["values"].shape == (40, 28) and np.isfinite(sample["values"]).all()
        assert any(np.abs(part).sum() > 0 for part in np.split(sample["values"], [25], axis=1))
        assert not sample["values"][~sample["real"]].any()


@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_columns_are_left_out_of_whole_training_windows(drop):
    plan = recipe(inputs=["egemaps25", "import.x"], drop_input=0.0, drop_columns=drop)
    one = trial(frames=4000, va=np.zeros((4000, 2)))
    samples = plan.samples([one], plan.fit([one]), Purpose.TRAIN)
    shown = np.stack([samples.read(index, np.random.default_rng(index))["values"] for index in range(len(samples))])
    absent = ~shown.any(axis=1)
    assert absent.mean() == pytest.approx(drop, abs=0.02) and (np.ptp(absent.mean(axis=0)) < 0.25)
    assert (shown[~np.broadcast_to(absent[:, None], shown.shape)] != 0).all()
    assert all(samples.read(index, None)["values"].any(axis=0).all() for index in range(len(samples)))


def test_inputs_are_scaled_by_the_training_trials():
    plan = recipe(inputs=["egemaps25", "import.x"])
    trials = [trial("a", 400, va=np.zeros((400, 2)))]
    batch, _ = batch_of(plan, trials, purpose=Purpose.PREDICT)
    shown = batch["values"].flatten(0, 1).numpy()
    np.testing.assert_allclose(shown.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(shown.std(axis=0), 1, atol=0.1)
    network = plan.network({"egemaps25": (25,), "import.x": (3,)})
    assert [layer.in_features for layer in network.inputs] == [25, 3]


def test_each_subject_is_scaled_by_itself():
    plan = recipe(inputs=["egemaps25"], normalise="subject", drop_input=0.0)
    rng = np.random.default_rng(3)

    def spoken(name, subject, loudness, spread):
        rows = loudness + spread * rng.normal(size=(80, 25))
        labels = {"va": Labels(np.zeros((80, 2), np.float32), np.ones(80, bool))}
        return TrialData(name, np.arange(80) / 25, {}, {"egemaps25": rows}, labels, subject=subject)

    train = [spoken("a1", "a", 5, 1), spoken("a2", "a", 7, 1), spoken("b1", "b", -5, 4)]
    fitted = plan.fit(train)
    held_out = [
        spoken("c1", "c", 90, 2),
        spoken("c2", "c", 100, 2),
        spoken("d", None, 0, 3),
        spoken("e", None, 1, 1e-3),
    ]
    for trials, statistics, purpose in (
        (train, fitted, Purpose.VALIDATE),
        (held_out, plan.statistics(held_out, fitted), Purpose.PREDICT),
    ):
        samples = plan.samples(trials, statistics, purpose)
        windows = [samples.read(index, None)["values"] for index in range(len(samples))]
        shown = np.array_split(np.stack(windows), len(trials))
        joined = {}
        for one, own in zip(trials, shown, strict=True):
            joined.setdefault(one.subject or one.name, []).append((own[::2].reshape(-1, 25), one.features["egemaps25"]))
        for name, parts in joined.items():
            found, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
            np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-3)
            if name == "e":  # hardly varies: scaled by a tenth of the deviation in training
                assert found.std() < 0.01
            else:
                np.testing.assert_allclose(found, (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1), atol=1e-4)


def test_whoever_reads_the_windows_training_ends_with_the_same_weights(tmp_path):
    """Windows are moved and inputs left out at random, and dropout draws from the generator of the process that computes."""
    plan = recipe(inputs=["egemaps25", "import.x"], hidden=8, batch=3, epochs=2)
    rng, found = np.random.default_rng(4), []
    trials = [trial(name, 120, seed, va=rng.uniform(-1, 1, (120, 2))) for seed, name in enumerate("ab")]
    statistics = plan.fit(trials[:1])
    samples = [
        plan.samples(trials[:1], statistics, Purpose.TRAIN),
        plan.samples(trials[1:], statistics, Purpose.VALIDATE),
    ]
    for workers in (0, 2):
        torch.manual_seed(0)
        model = plan.network({"egemaps25": (25,), "import.x": (3,)})
        start = {name: value.clone() for name, value in model.state_dict().items()}
        checkpoint = Checkpoint(tmp_path / str(workers))
        loop = Loop(
            plan, model, *samples, trials[1:], fabric=open_fabric("cpu"), checkpoint=checkpoint, seed=1, workers=workers
        )
        progress, _ = loop.run()
        rows = [(row["train_loss"], row["val_loss"]) for row in progress.history]
        found.append((rows, model.state_dict()))
        assert not torch.equal(model.state_dict()["inputs.0.weight"], start["inputs.0.weight"])
    assert found[0][0] == found[1][0]
    for name, value in found[0][1].items():
        assert torch.equal(found[1][1][name], value), name


def test_what_has_no_row_per_frame_is_refused():
    with pytest.raises(InputError, match="ntua_mel has a clock of its own"):
        recipe(inputs=["ntua_mel"])
    with pytest.raises(InputError, match="expression label 7"):
        one = trial(expr=np.full((90, 1), 7))
        recipe("expr").fit([one])
    assert recipe("expr8").fit([trial(expr=np.full((90, 1), 7))])["classes"][7] == 1


def test_hog_is_that_of_scikit_image_on_grey_64_pixels(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    with crop_writer(tmp_path / "c.arrow", "t", 64, "a") as append:
        for index, image in enumerate(images):
            append(index, None if index == 1 else _png(image))
    network, about = open_network("hog", None, tmp_path)
    embed_crops(network, preparation("hog")[0], CropFile(tmp_path / "c.arrow"), tmp_path / "e.npy")
    rows = np.load(tmp_path / "e.npy")
    for index in (0, 2):
        expected = hog(images[index] @ np.array([0.299, 0.587, 0.114]) / 255, 9, (8, 8), (2, 2))
        np.testing.assert_allclose(rows[index], expected, atol=1e-5)
    assert rows.shape == (3, face_shape.Hog.columns) and not rows[1].any()
    assert about["trained"] is False


def _png(image: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def test_the_statistics_of_a_window_are_of_its_real_rows():
    states = torch.tensor([[[1.0, 0.0], [3.0, 0.0], [99.0, 7.0]]])
    found = with_statistics(states, torch.tensor([[True, True, False]]))
    assert found.shape == (1, 3, 6)
    torch.testing.assert_close(found[0, 0], torch.tensor([1.0, 0.0, 2.0, 0.0, 1.0, 0.0]), atol=4e-3, rtol=0)
    torch.testing.assert_close(found[0, 0, 2:], found[0, 1, 2:])


def test_a_frame_is_told_of_all_others_in_its_window_only_with_statistics():
    for told in (False, True):
        torch.manual_seed(0)
        network = build("tcn", widths=(3,), outputs=2, hidden=16, layers=1, window_statistics=told).eval()
        values, real = torch.randn(1, 30, 3), torch.ones(1, 30, dtype=torch.bool)
        changed = values.clone()
        changed[0, 20] += 5
        with torch.inference_mode():
            assert torch.allclose(network(values, real)[0, 0], network(changed, real)[0, 0]) is not told


def test_the_preset_for_small_data_reads_statistics_of_windows():
    plan = recipe(preset="small_data")
    assert plan.settings.window_statistics and plan.settings.window == 40  # what the recipe says wins
    assert plan.network({"egemaps25": (25,)}).output.in_features == 3 * plan.settings.hidden
