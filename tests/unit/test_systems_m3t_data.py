"""M3T's windows, pictures, sound, labels and sampling in both modes; numbers are those of the bug list (M3T spec 7.2)."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from support.m3t import TINY, trial_in_memory
from support.runs import ArrayImages
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.systems.m3t.data import choices, cover, good_starts, shown_rows
from wildaffect.systems.types import Labels, TrialData

MODES = ("faithful", "corrected")


def recipe(mode="corrected", variant="audiovisual_mtl", target="mtl", **changes):
    return systems.build_recipe("m3t", variant, target, mode, TINY | changes)


def samples_of(trials, purpose, mode="corrected", variant="audiovisual_mtl", target="mtl", **changes):
    plan = recipe(mode, variant, target, **changes)
    return plan.samples(trials, plan.statistics(trials, plan.fit(trials)), purpose)


def starts_of(samples, number=0):
    return [int(start) for options in samples._chosen for trial, start in options if trial == number]


def drawn(samples, seed=0):
    """Rows of every training window, by the values of the face vectors (row i is i everywhere)."""
    return [samples.read(i, np.random.default_rng([seed, i]))["se_features"][0] for i in range(len(samples))]


# Windows and their average (10, 19)


def test_faithful_windows_run_over_the_end_and_are_padded():
    trial = trial_in_memory(21)
    samples = samples_of([trial], "predict", "faithful")
    assert starts_of(samples) == [0, 8, 16]
    last = samples.read(2, None)
    np.testing.assert_array_equal(last["se_features"][0], [16, 17, 18, 19, 20] + [20] * 11)
    np.testing.assert_array_equal(last["audio"][:, 7], [16, 17, 18, 19, 20] + [20] * 11)
    assert (last["video"][:, 4:] == last["video"][:, 4:5]).all()
    assert np.isnan(last["va"][5:]).all() and np.isfinite(last["va"][:5]).all()


def test_corrected_windows_end_with_the_trial():
    samples = samples_of([trial_in_memory(21)], "predict")
    assert starts_of(samples) == [0, 5]
    assert samples.read(1, None)["se_features"][0, -1] == 20
    short = samples_of([trial_in_memory(5)], "predict")
    assert starts_of(short) == [0]
    np.testing.assert_array_equal(short.read(0, None)["se_features"][0], [0, 1, 2, 3] + [4] * 12)


@pytest.mark.parametrize("mode", MODES)
@given(length=st.integers(0, 70), window=st.integers(2, 20), stride=st.integers(1, 20))
@settings(deadline=None, max_examples=60)
def test_every_frame_is_the_mean_of_its_windows(mode, length, window, stride):
    stride = min(stride, window)
    trial = TrialData("t", np.arange(length) / 25, {}, {"m3t_mel": np.ones((length, 200), np.float32),
                      "m3t_mel.indexed": np.ones((length, 200), np.float32)})  # fmt: skip
    samples = samples_of(
        [trial], "predict", mode, "audio", "va", window=window, stride=stride, validation_stride=stride
    )
    starts = starts_of(samples)
    outputs = np.random.default_rng(length).normal(size=(len(starts), window, 2))
    (got,) = samples.to_frames(outputs)
    assert got.shape == (length, 2)
    for frame in range(length):
        covers = [
            output[frame - start] for start, output in zip(starts, outputs, strict=True) if 0 <= frame - start < window
        ]
        np.testing.assert_allclose(got[frame], np.mean(covers, axis=0))


def test_halving_is_the_mean_where_two_windows_cover():
    """The published rule, sums halved from the second window's start on, for every length up to 200."""
    for length in range(1, 201):
        trial = TrialData("t", np.arange(length) / 25, {}, {"m3t_mel.indexed": np.zeros((length, 200), np.float32)})
        samples = samples_of([trial], "predict", "faithful", "audio", "va", window=32, stride=16, validation_stride=32)
        outputs = np.random.default_rng(length).normal(size=(len(samples), 32, 2))
        sums = np.zeros((length, 2))
        for start, output in zip(starts_of(samples), outputs, strict=True):
            sums[start : start + 32] += output[: length - start]
        sums[16:] /= 2
        np.testing.assert_allclose(samples.to_frames(outputs)[0], sums)


def test_strides_leave_no_frame_out():
    with pytest.raises(InputError, match="may not be larger than window"):
        recipe(stride=17)


# Pictures (18)


def test_pictures_are_cut_halved_and_blue_comes_first():
    trial = trial_in_memory(20)
    video = samples_of([trial], "predict").read(0, None)["video"]
    assert video.shape == (3, 16, 112, 112) and video.dtype == np.float32
    want = cv2.resize(trial.crops["m3t256"].read(np.array([3]))[0, 16:240, 16:240], (112, 112))
    np.testing.assert_array_equal(video[:, 3].transpose(1, 2, 0), want[..., ::-1])
    assert video[0, 3, :, 70:].mean() < 0.7 * video[2, 3, :, 70:].mean()  # the faces lack blue on the right


def test_training_windows_vary_as_a_whole():
    trial = trial_in_memory(40)
    varied, plain = (samples_of([trial], "train", augment=augment) for augment in (True, False))
    fixed = plain.read(0, np.random.default_rng(0))
    offsets, mirrored = set(), set()
    for seed in range(30):
        draw = np.random.default_rng(seed)
        sample = varied.read(0, draw)
        number = int(sample["se_features"][0, 0])
        faces = trial.crops["m3t256"].read(np.arange(number, number + 16))
        again = np.random.default_rng(seed)
        again.integers(len(varied._chosen[0]))
        left, top = again.integers(0, 33, size=2)
        flip = again.random() < 0.5
        cut = np.stack([cv2.resize(face[top : top + 224, left : left + 224], (112, 112)) for face in faces])
        want = cut[:, :, ::-1] if flip else cut
        np.testing.assert_array_equal(sample["video"], want[..., ::-1].transpose(3, 0, 1, 2))
        offsets.add((int(left), int(top)))
        mirrored.add(bool(flip))
    assert len(offsets) > 20 and mirrored == {True, False}
    assert max(max(pair) for pair in offsets) <= 32
    again = plain.read(0, np.random.default_rng(0))
    np.testing.assert_array_equal(fixed["video"], again["video"])


def test_cutout_covers_the_same_square_in_all_frames():
    shares = []
    for seed in range(200):
        video = np.zeros((3, 2, 112, 112), np.float32)
        cover(video, np.random.default_rng(seed))
        assert set(np.unique(video)) == {0, 127.5}
        assert (video == video[:1, :1]).all()
        shares.append((video[0, 0] > 0).mean())
    assert min(shares) >= 0.25 and max(shares) > 0.9
    trial = trial_in_memory(30)
    assert (samples_of([trial], "train", cutout=True).read(0, np.random.default_rng(0))["video"] == 127.5).any()
    assert not (samples_of([trial], "validate", cutout=True).read(0, None)["video"] == 127.5).any()


def test_missing_faces():
    valid = np.array([0, 0, 1, 0, 0, 1, 0], bool)
    faithful = shown_rows(valid, np.arange(1, 7), nearest=False)
    np.testing.assert_array_equal(faithful, [-1, 2, 2, 2, 5, 5])
    np.testing.assert_array_equal(shown_rows(valid, np.array([3, 4, 5]), nearest=False), [-1, -1, 5])
    np.testing.assert_array_equal(shown_rows(valid, np.arange(7), nearest=True), [2, 2, 2, 2, 2, 5, 5])
    np.testing.assert_array_equal(shown_rows(np.zeros(3, bool), np.arange(3), nearest=True), [-1] * 3)


@pytest.mark.parametrize("mode", MODES)
def test_windows_show_missing_faces_as_the_mode_says(mode):
    trial = trial_in_memory(20, seen=~np.isin(np.arange(20), [0, 1, 8]))
    video = samples_of([trial], "predict", mode).read(0, None)["video"]
    np.testing.assert_array_equal(video[:, 8], video[:, 7])
    assert video[:, :2].any() == (mode == "corrected")
    if mode == "corrected":
        np.testing.assert_array_equal(video[:, 0], video[:, 2])


# Sound (1, 2, 3, 24) and vectors (5)


def test_sound_is_the_modes_own():
    trial = trial_in_memory(30)
    trial.features["m3t_mel"] = np.random.default_rng(0).normal(-40, 9, (30, 200)).astype(np.float32)
    faithful = samples_of([trial], "predict", "faithful", "audio", "va").read(1, None)["audio"]
    np.testing.assert_array_equal(faithful, trial.features["m3t_mel.indexed"][8:24])
    corrected = samples_of([trial], "predict", "corrected", "audio", "va").read(0, None)["audio"]
    mel = trial.features["m3t_mel"]
    np.testing.assert_allclose(corrected, ((mel - mel.mean(0)) / mel.std(0, ddof=1))[:16], atol=1e-4)


def test_sound_is_masked_in_training_alone():
    trial = trial_in_memory(40)
    trial.features["m3t_mel"] = np.random.default_rng(0).normal(-40, 9, (40, 200)).astype(np.float32)
    plain = samples_of([trial], "train", variant="audio", target="va")
    changes = {"frames": set(), "bands": set()}
    for what, changed in changes.items():
        samples = samples_of([trial], "train", variant="audio", target="va", **{f"mask_{what}": 3})
        for seed in range(30):
            rows, bare = (part.read(0, np.random.default_rng(seed))["audio"] for part in (samples, plain))
            differ = (rows != bare).reshape(16, 5, 40)
            lengths = differ.any(axis=(1, 2) if what == "frames" else (0, 1)).nonzero()[0]
            assert (np.diff(lengths) == 1).all()  # one run, in all five rows of a band
            assert len(np.unique(rows.reshape(16, 5, 40)[differ])) <= 1
            changed.add(len(lengths))
    assert changes == {"frames": {0, 1, 2, 3}, "bands": {0, 1, 2, 3}}
    still = samples_of([trial], "validate", variant="audio", target="va", mask_frames=9, mask_bands=9)
    bare = samples_of([trial], "validate", variant="audio", target="va")
    np.testing.assert_array_equal(still.read(0, None)["audio"], bare.read(0, None)["audio"])


def test_columns_are_dropped_from_whole_training_windows():
    """Each of 40 bands with a chance of a half, in all frames and rows; 0.5 +- 0.06 of 3,000 bands is seven deviations."""
    trial = trial_in_memory(40)
    trial.features["m3t_mel"] = np.random.default_rng(0).normal(-40, 9, (40, 200)).astype(np.float32)
    plain = samples_of([trial], "train", variant="audio", target="va")
    samples = samples_of([trial], "train", variant="audio", target="va", drop_columns=0.5)
    dropped = []
    for seed in range(75):
        rows, bare = (part.read(0, np.random.default_rng(seed))["audio"] for part in (samples, plain))
        differ = (rows != bare).reshape(80, 40)
        assert (differ.all(axis=0) == differ.any(axis=0)).all() and len(np.unique(rows[rows != bare])) == 1
        dropped.append(differ[0].mean())
    assert np.mean(dropped) == pytest.approx(0.5, abs=0.06) and len(set(dropped)) > 5
    still = samples_of([trial], "validate", variant="audio", target="va", drop_columns=0.5)
    bare = samples_of([trial], "validate", variant="audio", target="va")
    np.testing.assert_array_equal(still.read(0, np.random.default_rng(0))["audio"], bare.read(0, None)["audio"])


@pytest.mark.parametrize("mode", MODES)
def test_other_features_of_the_audio(mode):
    trial = trial_in_memory(30)
    trial.features["egemaps25"] = np.random.default_rng(0).normal(0, 1, (30, 25)).astype(np.float32)
    plan = recipe(mode, "audio", audio_feature="egemaps25")
    samples = plan.samples([trial], plan.fit([trial]), "predict")
    sample = samples.read(0, None)
    assert sample["audio"].shape == (16, 25)
    batch = {name: torch.from_numpy(values[None]) for name, values in sample.items()}
    assert plan.forward(plan.model(), batch).shape == (1, 16, 9)


def test_clips_that_are_all_shorter_than_a_window_are_said():
    with pytest.raises(InputError, match="has the 16 frames of a window, the longest has 9"):
        samples_of([trial_in_memory(9), trial_in_memory(7)], "train")


def test_corrected_sound_needs_the_statistics_of_training():
    with pytest.raises(InputError, match=r"stats\.json.*mode: faithful"):
        recipe().statistics([], None)
    assert recipe("faithful").statistics([], None) == {}
    assert recipe(variant="visual_mtl").statistics([], None) == {}


def test_videos_of_few_frames_per_second_do_not_train_the_sound_alone():
    slow, fast = trial_in_memory(40, fps=12), trial_in_memory(40, fps=25)
    for mode, count in (("faithful", 1), ("corrected", 2)):
        trained = samples_of([slow, fast], "train", mode, "audio")
        assert len(trained) == count * TINY["windows_per_epoch"]
        assert {len(trained.read(index, np.random.default_rng(0))["audio"]) for index in range(len(trained))} == {16}
        assert len(samples_of([slow, fast], "train", mode)) == 2 * TINY["windows_per_epoch"]
        assert bool(starts_of(samples_of([slow, fast], "validate", mode, "audio"))) == (mode == "corrected")
        predicted = samples_of([slow, fast], "predict", mode, "audio")
        assert starts_of(predicted) and starts_of(predicted, 1)
    plan = recipe("faithful", "audio", "va")
    unscored = np.full((40, 2), np.nan)
    assert plan.score([unscored, fast.labels["va"].values], [slow, fast])["ccc"] == pytest.approx(1)


def test_vectors_that_are_declared_empty_are_zeros():
    sample = samples_of([trial_in_memory(20)], "predict", face_vectors="zeros").read(0, None)
    assert sample["se_features"].shape == (6, 16) and not sample["se_features"].any()
    assert "au_features" not in sample


def test_arousal_may_have_vectors_of_its_own():
    sample = samples_of([trial_in_memory(20)], "predict", arousal_vectors="import.tcae", arousal_columns=3).read(
        0, None
    )
    assert sample["au_features"].shape == (3, 16)
    np.testing.assert_array_equal(sample["au_features"][0], np.arange(16))


def test_too_few_columns_are_named():
    samples = samples_of([trial_in_memory(20)], "predict", face_columns=7)
    with pytest.raises(
        InputError, match=r"t0: import\.senet has 6 columns, but M3T should read 7\. Set recipe\.face_columns"
    ):
        samples.read(0, None)


# Training windows (6, 21)


@pytest.mark.parametrize("mode", MODES)
def test_training_windows_lie_in_runs_of_good_frames(mode):
    frames = np.arange(60)
    trial = trial_in_memory(60, labelled=frames != 20, seen=frames != 40)
    rows = drawn(samples_of([trial], "train", mode, windows_per_epoch=64))
    assert {int(window[0]) for window in rows} == {*range(5), 21, 22, 23, 24, *range(41, 45)}
    assert all((np.diff(window) == 1).all() for window in rows)
    heard = samples_of([trial], "train", mode, "audio", windows_per_epoch=64)
    assert set(starts_of(heard)) == {*range(5), *range(21, 45)}


def test_epochs_weigh_trials_or_frames_equally():
    short, long = trial_in_memory(17, seed=0), trial_in_memory(113, seed=1)  # 2 and 98 windows
    faithful = samples_of([short, long], "train", "faithful", windows_per_epoch=50)
    assert len(faithful) == 100 and len({len(options) for options in faithful._chosen}) == 2
    assert [int(options[0, 0]) for options in faithful._chosen] == [0] * 50 + [1] * 50
    corrected = samples_of([short, long], "train", "corrected", windows_per_epoch=50)
    assert [(int(o[0, 0]), int(o[0, 1])) for o in corrected._chosen] == [(0, 0), (0, 1), *((1, k) for k in range(98))]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 30), st.booleans())
def test_choices_offer_every_window(counts, per_trial, equal_trials):
    starts = [np.arange(count) for count in counts]
    chosen = choices(starts, per_trial, equal_trials)
    assert len(chosen) == per_trial * sum(count > 0 for count in counts)
    assert all(len(options) for options in chosen)
    offered = {tuple(window) for options in chosen for window in options.tolist()}
    assert offered == {(number, start) for number, count in enumerate(counts) for start in range(count)}


def test_no_window_at_all():
    trial = trial_in_memory(20, labelled=np.zeros(20, bool))
    assert len(samples_of([trial, trial_in_memory(9)], "train")) == 0
    assert len(samples_of([], "train", "faithful")) == len(samples_of([], "predict", "faithful")) == 0
    assert samples_of([], "predict", "faithful").to_frames(np.empty((0, 9))) == []


@pytest.mark.parametrize("mode", MODES)
def test_resampling_tolerates_a_quarter_and_doubles_negative_windows(mode):
    frames = np.arange(40)
    labelled, seen = frames % 4 != 0, ~np.isin(frames, [10, 11])
    trial = trial_in_memory(40, labelled=labelled, seen=seen)
    valence = np.where(labelled, trial.labels["va"].values[:, 0], 0)
    samples = samples_of([trial], "train", mode, resample=True, windows_per_epoch=1)
    want = sorted([*range(25), *(start for start in range(25) if valence[start : start + 16].sum() < 0)])
    assert sorted(starts_of(samples)) == want and len(want) > 25
    sample = samples.read(0, np.random.default_rng(0))
    missing = sample["va"][~labelled[sample["se_features"][0].astype(int)]]
    assert len(missing) == 4
    assert (missing == -5).all() if mode == "faithful" else np.isnan(missing).all()
    assert len(samples_of([trial], "train", mode)) == 0
    checked = samples_of([trial], "validate", mode, resample=True).read(0, None)["va"]
    assert np.isnan(checked[~labelled[:16]]).all()


def test_good_starts_count_labels_and_faces_apart():
    labelled, seen = np.arange(8) >= 1, np.arange(8) < 7
    np.testing.assert_array_equal(good_starts(labelled, seen, 4), [1, 2, 3])
    np.testing.assert_array_equal(good_starts(labelled, seen, 4, 0.25), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(good_starts(labelled, seen, 8, 0.25), [0])
    assert good_starts(labelled, seen, 9).size == 0


def test_expressions_of_later_editions_are_named():
    trial = trial_in_memory(20)
    trial.labels["expr"].values[3] = 7
    with pytest.raises(InputError, match=r"t0: expression label 7; M3T knows the 7 classes.*target va"):
        samples_of([trial], "train")
    assert len(samples_of([trial], "train", target="va"))


def test_labels_of_one_task_only():
    trial = trial_in_memory(20, tasks=("va",))
    sample = samples_of([trial], "train").read(0, np.random.default_rng(0))
    assert np.isnan(sample["expr"]).all() and np.isfinite(sample["va"]).all()
    trial = trial_in_memory(20, tasks=("expr",))
    assert len(samples_of([trial], "train")) == 0 and len(samples_of([trial], "validate")) == 2


def test_partly_missing_labels_count_as_missing():
    affect = np.tile(np.float32([0.5, np.nan]), (20, 1))
    crops = {"m3t256": ArrayImages(np.zeros((20, 256, 256, 3), np.uint8))}
    trial = TrialData("t", np.arange(20) / 25, crops, {}, {"va": Labels(affect, np.zeros(20, bool))})
    samples = samples_of([trial], "validate", variant="visual_mtl", target="va", face_vectors="zeros")
    assert np.isnan(samples.read(0, None)["va"]).all()
