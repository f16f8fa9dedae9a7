"""LFAN windows, axes, normalisation and augmentation (LFAN spec 4)."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support.runs import TINY_BACKBONE, curve, pictures, trial_in_memory
from wildaffect.errors import InputError
from wildaffect.features.statistics import column_statistics, scalar_statistics
from wildaffect.systems import build_recipe
from wildaffect.systems.lfan.model import normalised
from wildaffect.systems.toolbox import labelled_rows, windows
from wildaffect.systems.types import Labels

LABEL = curve(4, 30)
VALID = np.isin(np.arange(30), [3, 4, 5, 20], invert=True)


def recipe(mode, **settings):
    return build_recipe("lfan", "multimodal", "valence", mode, {"window": 16, "hop": 8} | settings)


def samples(mode, trials, purpose="train", **settings):
    plan = recipe(mode, **settings)
    return plan.samples(trials, plan.statistics(trials, plan.fit(trials)), purpose)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (300, [(0, 300)]),
        (301, [(0, 300), (1, 301)]),
        (500, [(0, 300), (200, 500)]),
        (501, [(0, 300), (200, 500), (201, 501)]),
        (700, [(0, 300), (200, 500), (400, 700)]),
        (250, [(0, 250)]),
        (0, []),
    ],
)
def test_windows_of_the_specification(length, expected):
    assert windows(length, 300, 200) == expected


@given(st.integers(1, 400), st.integers(2, 60), st.integers(1, 60))
def test_windows_cover_every_row_once_each(length, window, hop):
    ranges = windows(length, window, min(hop, window))
    covered = {row for start, stop in ranges for row in range(start, stop)}
    assert covered == set(range(length))
    assert len(set(ranges)) == len(ranges)
    assert all(stop - start == min(window, length) for start, stop in ranges)


def test_faithful_closes_gaps_and_corrected_keeps_time():
    trial = trial_in_memory(LABEL, VALID)
    faithful, corrected = samples("faithful", [trial]), samples("corrected", [trial])
    plan = recipe("faithful")
    scale = plan.fit([trial])["vggish128.indexed"]
    rows = faithful.read(0, None)["vggish128.indexed"][0, :, 0] * scale["std"] + scale["mean"]
    np.testing.assert_allclose(rows, np.flatnonzero(VALID)[:16], atol=1e-4)
    assert faithful.read(0, None)["counts"].all()
    sample = corrected.read(0, None)
    np.testing.assert_array_equal(sample["counts"], VALID[:16])
    assert np.isnan(sample["label"][~VALID[:16]]).all()
    rows = sample["vggish128"][0, :, 0]
    np.testing.assert_allclose(np.diff(rows), np.diff(rows)[0], atol=1e-5)


def test_padding_is_black_zero_audio_and_zero_label():
    trial = trial_in_memory(LABEL[:10])
    for mode, counts in (("faithful", True), ("corrected", False)):
        plan = recipe(mode)
        statistics = plan.fit([trial])
        sample = plan.samples([trial], statistics, "train").read(0, None)
        assert sample["frame"].shape == (16, 40, 40, 3)
        assert (sample["frame"][10:] == 0).all()
        assert (sample["label"][10:] == 0).all()
        assert (sample["counts"][10:] == counts).all()
        name = "mfcc39.indexed" if mode == "faithful" else "mfcc39"
        feature = statistics[name]
        padded = np.broadcast_to(-np.asarray(feature["mean"]) / np.asarray(feature["std"]), (6, 39))
        np.testing.assert_allclose(sample[name][0, 10:], padded, rtol=1e-5)


def test_evaluation_takes_the_centre_in_full_range():
    faces = pictures(LABEL, 0)
    frame = samples("corrected", [trial_in_memory(LABEL)], "validate").read(0, None)["frame"]
    sample = normalised(torch.from_numpy(frame[None]))[0].numpy()
    want = (faces[:16, 4:44, 4:44].transpose(0, 3, 1, 2) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(sample, want, atol=1e-6)


def test_frames_of_several_windows_have_one_number_and_padding_has_none():
    trials = [trial_in_memory(LABEL[:20], name="a"), trial_in_memory(LABEL[:10], name="b")]
    part = samples("corrected", trials, "predict")
    numbers = [part.read(index, None)["number"].tolist() for index in range(len(part))]
    assert numbers == [[*range(16)], [*range(4, 20)], [*range(20, 30)] + 6 * [-1]]


def test_augmentation_moves_a_window_as_a_whole():
    faces = pictures(LABEL, 0)
    part = samples("corrected", [trial_in_memory(LABEL)])
    seen = set()
    for seed in range(60):
        frame = part.read(0, np.random.default_rng(seed))["frame"].transpose(0, 3, 1, 2)
        for mirrored in (False, True):
            source = faces[:16, :, ::-1] if mirrored else faces[:16]
            for top, left in np.ndindex(9, 9):
                if (source[:, top : top + 40, left : left + 40].transpose(0, 3, 1, 2) == frame).all():
                    seen.add((top, 8 - left if mirrored else left, mirrored))
    assert len(seen) > 30
    assert {top for top, _, _ in seen} >= {0, 8}
    assert {mirrored for _, _, mirrored in seen} == {False, True}


def test_statistics_are_scalar_and_own_in_faithful_and_columns_of_training_in_corrected():
    first, second = trial_in_memory(LABEL, VALID, seed=1), trial_in_memory(LABEL[:20], seed=2)
    faithful, corrected = recipe("faithful"), recipe("corrected")
    fitted = faithful.fit([first])
    values = first.features["mfcc39"][VALID]
    assert fitted["mfcc39.indexed"]["mean"] == pytest.approx(values.mean())
    assert fitted["mfcc39.indexed"]["std"] == pytest.approx(values.std(ddof=1))
    assert faithful.statistics([second], fitted) == faithful.fit([second]) != fitted
    fitted = corrected.fit([first])
    np.testing.assert_allclose(fitted["mfcc39"]["std"], first.features["mfcc39"].std(axis=0, ddof=1))
    assert corrected.statistics([second], fitted) is fitted
    with pytest.raises(InputError, match=r"stats\.json"):
        corrected.statistics([second], None)


def test_constant_features_are_only_centred():
    silence = [np.full((50, 3), 7, np.float32), np.full((20, 3), 7, np.float32)]
    assert column_statistics(silence) == {"mean": [7, 7, 7], "std": [1, 1, 1]}
    assert scalar_statistics(silence) == {"mean": 7, "std": 1}


def test_windows_without_labels_are_not_trained_on_but_predicted():
    valid = np.arange(30) < 10
    trial = trial_in_memory(LABEL, valid)
    assert len(samples("corrected", [trial], "train")) == 2  # the third begins at row 14
    assert len(samples("corrected", [trial], "validate")) == 3


def test_unlabelled_trial_keeps_all_rows_in_both_modes():
    trial = trial_in_memory(LABEL)
    bare = type(trial)(trial.name, trial.times, trial.crops, trial.features)
    assert len(labelled_rows(bare, "va").rows) == 30
    (values,) = samples("faithful", [bare], "predict").to_frames(np.ones((3, 16, 1)))
    assert not np.isnan(values).any()


def test_combining_means_overlaps_and_leaves_gaps_open():
    trial = trial_in_memory(LABEL, VALID)
    part = samples("faithful", [trial], "predict")
    outputs = np.arange(len(part), dtype=np.float32)[:, None, None] * np.ones((1, 16, 1), np.float32)
    (values,) = part.to_frames(outputs)
    np.testing.assert_array_equal(np.isnan(values[:, 0]), ~VALID)
    # 26 rows: windows 0-16, 8-24, 10-26
    np.testing.assert_allclose(values[VALID, 0], [0] * 8 + [0.5] * 2 + [1] * 6 + [1.5] * 8 + [2] * 2)


def test_order_of_training():
    faithful, corrected = recipe("faithful"), recipe("corrected")
    assert np.array_equal(faithful.epoch_indices(50, 0, 0), faithful.epoch_indices(50, 9, 0))
    assert not np.array_equal(corrected.epoch_indices(50, 0, 0), corrected.epoch_indices(50, 1, 0))
    for plan in (faithful, corrected):
        assert sorted(plan.epoch_indices(50, 3, 1)) == list(range(50))


def both_emotions(mode, **settings):
    return build_recipe("lfan", "multimodal", "va", mode, {"window": 16, "hop": 8, **settings})


@pytest.mark.parametrize("mode", ["faithful", "corrected"])
def test_both_emotions_have_a_column_each_and_their_means_count(mode):
    """Two outputs; the loss and the selecting score are means of what each emotion has by itself."""
    valence, arousal = LABEL[:16], LABEL[:16][::-1] * 0.5
    values = np.stack([valence, arousal], axis=1).astype(np.float32)
    trial = replace(trial_in_memory(valence), labels={"va": Labels(values, np.ones(16, bool))})
    plan = both_emotions(mode, backbone=TINY_BACKBONE)
    sample = plan.samples([trial], plan.statistics([trial], plan.fit([trial])), "train").read(0, None)
    np.testing.assert_array_equal(sample["label"], values)
    batch = {name: torch.from_numpy(array[None].copy()) for name, array in sample.items()}
    assert plan.forward(plan.model(), batch).shape == (1, 16, 2)

    predicted = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    alone = build_recipe("lfan", "multimodal", "valence", mode, {"window": 16, "hop": 8})
    each = [
        alone.loss(torch.from_numpy(predicted[None, :, [i]]), batch | {"label": batch["label"][..., [i]]})
        for i in range(2)
    ]
    together = plan.loss(torch.from_numpy(predicted[None]), batch)
    assert together.item() == pytest.approx(np.mean([loss.item() for loss in each]), abs=1e-6)

    scores = plan.score([predicted], [trial])
    by_hand = [lin(values[:, i].astype(float), predicted[:, i].astype(float)) for i in range(2)]
    assert scores["ccc"] == pytest.approx(np.mean(by_hand))
    assert [scores["ccc_valence"], scores["ccc_arousal"]] == pytest.approx(by_hand)


def lin(x, y):
    return 2 * ((x - x.mean()) * (y - y.mean())).mean() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
