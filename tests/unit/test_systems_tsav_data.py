"""TSAV samples: clips, landmark drawings, mel images, augmentation, interpolation; each piece of work is done once."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from support.tsav import TINY, trial_in_memory
from wildaffect.corpus.label_spaces import AU8 as UNITS
from wildaffect.corpus.label_spaces import EXPRESSIONS7 as EXPRESSIONS
from wildaffect.errors import InputError
from wildaffect.features.audio import tsav_mel
from wildaffect.features.audio.tsav_mel import centred_images, faithful_images
from wildaffect.systems import build_recipe
from wildaffect.systems.tsav import data as known
from wildaffect.systems.tsav.colour import recoloured
from wildaffect.systems.tsav.data import clip_rows, fill, grid, mirrored
from wildaffect.systems.tsav.model import normalised
from wildaffect.systems.tsav.spec import SPEC
from wildaffect.systems.types import Labels

MODES = ("corrected", "faithful")


def samples_of(trials, mode="corrected", purpose="predict", target="mtl", **settings):
    recipe = build_recipe("tsav", "two_stream", target, mode, TINY | settings)
    return recipe.samples(trials, recipe.fit(trials), purpose)


def test_clips_end_at_their_frame():
    assert clip_rows(100).tolist() == [58, 64, 70, 76, 82, 88, 94, 100]
    assert clip_rows(2, 1).tolist() == [-5, -4, -3, -2, -1, 0, 1, 2]


@pytest.mark.parametrize("mode", MODES)
def test_a_sample_is_clip_image_and_labels_of_its_frame(mode):
    trial = trial_in_memory(60)
    samples = samples_of([trial], mode, "train", dilation=6, filter_contradictions=False)
    assert len(samples) == 60
    sample = samples.read(45, None)
    rows = [3, 9, 15, 21, 27, 33, 39, 45]
    np.testing.assert_array_equal(sample["clip"][..., :3], trial.crops["tsav112"].read(rows))
    np.testing.assert_array_equal(sample["clip"][..., 3], trial.masks["tsav112"].read(rows))
    images, feature = {"faithful": (faithful_images, "tsav_wave"), "corrected": (centred_images, "tsav_mel")}[mode]
    want = images(trial.features[feature], trial.times[[45]])[0]
    np.testing.assert_allclose(sample["audio_features"], want, rtol=0, atol=1e-5)
    for task in ("expr", "va", "au"):
        np.testing.assert_array_equal(sample[task], trial.labels[task].values[45])


def test_pictures_before_the_start_and_without_face_are_black():
    clip = samples_of([trial_in_memory(60)]).read(4, None)["clip"]
    assert not clip[:3].any()  # rows -3, -2, -1
    assert not clip[5].any()  # row 2 has no face
    assert clip[3].any() and clip[4].any() and clip[6].any()


class Counted:
    """Pictures that remember which rows were read."""

    def __init__(self, pictures):
        self.valid, self._pictures, self.rows = pictures.valid, pictures, []

    def read(self, rows):
        self.rows += rows.tolist()
        return self._pictures.read(rows)


def counted(trial):
    crops, masks = Counted(trial.crops["tsav112"]), Counted(trial.masks["tsav112"])
    return replace(trial, crops={"tsav112": crops}, masks={"tsav112": masks}), crops, masks


def test_in_order_every_picture_is_read_once():
    trial, crops, masks = counted(trial_in_memory(130))
    samples = samples_of([trial, trial_in_memory(20, seed=1)], dilation=6)
    for index in range(len(samples)):
        samples.read(index, None)
    assert crops.rows == masks.rows == list(range(130))


def test_memory_of_pictures_is_bounded():
    samples = samples_of([trial_in_memory(300)], dilation=6)
    for index in range(300):
        samples.read(index, None)
        assert len(samples._planes._kept) <= 64
        assert len(samples._images) <= 256
    assert len(samples._images) == 300 - 256


@pytest.mark.parametrize(("mode", "made_by"), [("faithful", "_block"), ("corrected", "_padded")])
def test_mel_images_are_made_once_where_there_is_room(monkeypatch, mode, made_by):
    trial = trial_in_memory(120)
    recipe = build_recipe("tsav", "two_stream", "mtl", mode, TINY)
    want = samples_of([trial], mode, "train")
    needed = recipe.kept_bytes(trial)
    assert 0 < needed <= 120 * 112 * 112 * 2
    kept = samples_of([trial_in_memory(30, seed=1), replace(trial, room=needed)], mode, "train")
    images = [want.read(index, None)["audio_features"] for index in (0, 17, 60)]
    monkeypatch.setattr(tsav_mel, made_by, None)
    for index, image in zip((0, 17, 60), images, strict=True):
        np.testing.assert_array_equal(kept.read(len(kept) - len(want) + index, None)["audio_features"], image)
    with pytest.raises(TypeError, match="not callable"):
        kept.read(0, None)


def test_images_that_share_nothing_are_not_kept():
    trial = trial_in_memory(300)
    recipe = build_recipe("tsav", "two_stream", "mtl", "faithful", TINY)
    assert recipe.kept_bytes(trial)
    assert recipe.kept_bytes(replace(trial, times=np.arange(300) * 1001 / 30000)) == 0
    video = build_recipe("tsav", "two_stream", "mtl", "faithful", TINY | {"streams": ["video"]})
    assert video.kept_bytes(trial) == 0


@pytest.mark.parametrize("mode", MODES)
def test_the_order_of_reading_does_not_matter(mode):
    trials = [trial_in_memory(40), trial_in_memory(35, seed=1)]
    ordered, random = samples_of(trials, mode), samples_of(trials, mode)
    want = [ordered.read(index, None) for index in range(75)]
    for index in np.random.default_rng(0).permutation(75)[:12].tolist():
        got = random.read(index, None)
        np.testing.assert_array_equal(got["clip"], want[index]["clip"])
        np.testing.assert_allclose(got["audio_features"], want[index]["audio_features"], rtol=0, atol=1e-5)


def test_mirroring_exchanges_left_and_right_in_the_drawing():
    clip = np.zeros((8, 4, 4, 4), np.uint8)
    clip[..., 0, :3] = 7
    clip[:, :, 0, 3] = [[255, 223, 159, 63]]
    turned = mirrored(clip, exchange_sides=True)
    assert (turned[..., 3, :3] == 7).all() and not turned[..., 0, :3].any()
    assert turned[0, :, 3, 3].tolist() == [255, 191, 127, 63]
    assert mirrored(clip, exchange_sides=False)[0, :, 3, 3].tolist() == [255, 223, 159, 63]
    for exchange in (True, False):
        np.testing.assert_array_equal(mirrored(mirrored(clip, exchange), exchange), clip)


def by_opencv(images, shifts):
    """The published way: hue, saturation and value of 8 bits, hue a circle of 180, the others within [0, 255]."""
    moved = cv2.cvtColor(images.reshape(-1, images.shape[-2], 3), cv2.COLOR_RGB2HSV).astype(int) + shifts
    moved = np.stack([moved[..., 0] % 180, *np.moveaxis(moved[..., 1:].clip(0, 255), -1, 0)], axis=-1)
    return cv2.cvtColor(moved.astype(np.uint8), cv2.COLOR_HSV2RGB).reshape(images.shape)


def test_colours_are_within_one_level_of_opencv_and_the_drawing_stays():
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, len(levels), 3)
    drawing = np.random.default_rng(0).integers(0, 256, (*colours.shape[:3], 1), np.uint8)
    clips = np.tile(np.concatenate([colours, drawing], axis=-1), (4, 2, 1, 1, 1))
    shifts = np.array([[0, 0, 0], [-10, 25, 20], [9, -25, -20], [3, -7, 15]], np.int16)
    shown = np.array([[True, True], [True, False], [False, True], [True, True]])
    got = recoloured(*map(torch.from_numpy, (clips, shifts, shown))).numpy()
    np.testing.assert_array_equal(got[..., 3], clips[..., 3])
    assert not got[~shown][..., :3].any()
    for clip, shift, seen, changed in zip(clips, shifts, shown, got, strict=True):
        assert np.abs(changed[seen][..., :3] - by_opencv(clip[seen][..., :3], shift)).max() <= 1
    red = np.zeros((1, 1, 1, 1, 3), np.uint8)
    red[..., 0] = 255
    turned = recoloured(torch.from_numpy(red), torch.tensor([[-60, 0, 0]]), torch.ones(1, 1, dtype=torch.bool))
    assert turned.flatten().tolist() == [0, 0, 255]  # hues are a circle


def test_augmentation_follows_the_draw_and_leaves_black_alone():
    samples = samples_of([trial_in_memory(60)], purpose="train", augment=True)
    drawn = [samples.read(5, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for name in ("clip", "shifts", "shown"):
        np.testing.assert_array_equal(drawn[0][name], drawn[1][name])
    assert (drawn[0]["shifts"] != drawn[2]["shifts"]).any()
    assert (
        drawn[0]["shown"].tolist() == [False] * 2 + [True] * 2 + [False] + [True] * 3
    )  # before the start; row 2 has no face
    assert {*samples_of([trial_in_memory(60)], augment=True).read(5, None)} == {"clip", "audio_features"}


def test_the_network_is_given_the_shifted_colours():
    class Asked(torch.nn.Module):
        def forward(self, clip, audio_features):
            self.clip = clip.clone()
            return torch.zeros(len(clip), 17)

    samples = samples_of([trial_in_memory(60)], purpose="train", augment=True)
    sample = {
        name: torch.from_numpy(np.array(values))[None]
        for name, values in samples.read(20, np.random.default_rng(3)).items()
    }
    recipe, asked = build_recipe("tsav", "two_stream", "va", "corrected"), Asked()
    recipe.forward(asked, sample)
    want = sample["clip"].numpy().copy()
    want[0, ..., :3] = by_opencv(want[0, ..., :3], sample["shifts"][0].numpy())
    want[~sample["shown"].numpy(), ..., :3] = 0
    assert (asked.clip - normalised(torch.from_numpy(want))).abs().max() < 1.1 / 255 / 0.216989  # a level of blue
    assert (asked.clip - normalised(sample["clip"])).abs().max() > 0.02


def test_sound_is_dropped_from_as_many_samples_as_asked_for():
    trial = trial_in_memory(60)
    silent = centred_images(np.zeros((0, 64), np.float32), np.zeros(1))[0]
    for share in (0, 0.4, 1):
        samples = samples_of([trial], purpose="train", augment=True, drop_audio=share)
        whole = samples.read(20, None)["audio_features"]
        assert (whole != silent).any()
        images = [samples.read(20, np.random.default_rng(seed))["audio_features"] for seed in range(100)]
        dropped = [np.array_equal(image, silent) for image in images]
        assert abs(np.mean(dropped) - share) < 0.15
        assert all(np.array_equal(image, whole) for image, gone in zip(images, dropped, strict=True) if not gone)


def test_runs_of_columns_and_bands_are_as_quiet_as_the_image_gets():
    """A mask of a training image: at most so many neighbouring columns and bands; all the rest stays."""
    samples = samples_of([trial_in_memory(60)], purpose="train", augment=False, mask_columns=40, mask_bands=6)
    whole = samples.read(20, None)["audio_features"][0]
    longest = [0, 0]
    for seed in range(60):
        image = samples.read(20, np.random.default_rng(seed))["audio_features"][0]
        changed = image != whole
        assert (image[changed] == whole.min()).all()
        quiet = [(image == whole.min()).all(axis=axis) & ~(whole == whole.min()).all(axis=axis) for axis in (0, 1)]
        for axis, rows in enumerate(quiet):
            places = np.flatnonzero(rows)
            assert not len(places) or places[-1] - places[0] == len(places) - 1
            longest[axis] = max(longest[axis], len(places))
        assert not changed[~quiet[1]][:, ~quiet[0]].any()
    assert 30 <= longest[0] < 40 and 4 <= longest[1] < 6


def test_a_stream_that_is_left_out_is_not_read():
    trial = trial_in_memory(60)
    heard = replace(trial, crops={}, masks={})
    alone = samples_of([heard], purpose="train", streams=["audio"], augment=True, drop_audio=1.0)
    sample = alone.read(20, np.random.default_rng(0))
    assert "clip" not in sample
    both = samples_of([trial], purpose="train", augment=False).read(20, None)
    np.testing.assert_array_equal(sample["audio_features"], both["audio_features"])  # nothing to drop it for
    seen = samples_of([replace(trial, features={})], purpose="train", streams=["video"], augment=False).read(20, None)
    assert "audio_features" not in seen
    np.testing.assert_array_equal(seen["clip"], both["clip"])


def test_without_augmentation_draws_change_nothing():
    samples = samples_of([trial_in_memory(30)], purpose="train", augment=False)
    drawn = samples.read(9, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn["clip"], samples.read(9, None)["clip"])


def test_frames_between_predicted_ones_are_interpolated():
    assert grid(11, 5).tolist() == [0, 5, 10]
    assert grid(12, 5).tolist() == [0, 5, 10, 11]
    assert grid(0, 5).tolist() == [] and grid(1, 5).tolist() == [0]
    got = fill(np.array([[0.0, 4], [5, 4], [6, 8]]), np.array([0, 5, 6]), 7)
    assert got.tolist() == [[0, 4], [1, 4], [2, 4], [3, 4], [4, 4], [5, 4], [6, 8]]


def test_every_frame_gets_a_row_whatever_the_stride():
    trials = [trial_in_memory(23), trial_in_memory(0, seed=1), trial_in_memory(1, seed=2)]
    for stride in (1, 4):
        samples = samples_of(trials, target="va", prediction_stride=stride)
        outputs = np.random.default_rng(0).random((len(samples), 2)).astype(np.float32)
        values = samples.to_frames(outputs)
        assert [part.shape for part in values] == [(23, 2), (0, 2), (1, 2)]
        assert np.isfinite(np.concatenate(values)).all()
        np.testing.assert_allclose(values[0][::stride], outputs[: len(grid(23, stride))][: len(values[0][::stride])])
    assert [part.shape for part in samples_of([trials[1]], target="va").to_frames(np.empty((0, 2)))] == [(0, 2)]


def test_missing_labels_are_nan_and_frames_without_any_are_left_out():
    trial = trial_in_memory(30, tasks=("expr", "va"))
    found = known.known_labels(trial, SPEC.targets["mtl"])
    assert np.isnan(found["au"]).all() and np.isnan(found["expr"][3]) and np.isnan(found["va"][4]).all()
    alone = samples_of([replace(trial, labels={"expr": trial.labels["expr"]})], purpose="train")
    assert len(alone) == 29
    assert len(samples_of([trial], purpose="train", target="au")) == 0


def test_a_class_of_a_later_edition_is_an_error():
    other = Labels(np.full((5, 1), 7, np.float32), np.ones(5, bool))
    with pytest.raises(InputError, match=r"expression label 7; TSAV knows the 7 classes"):
        known.known_labels(replace(trial_in_memory(5), labels={"expr": other}), SPEC.targets["expr"])


def test_contradictions():
    cases = [("Happiness", -0.1, 0, True), ("Happiness", 0.1, 0, False), ("Sadness", 0.1, 0, True), ("Sadness", -0.1, 0, False),
             ("Neutral", 0.4, 0.4, True), ("Neutral", 0.3, 0.3, False), ("Fear", 0.9, 0.9, False)]  # fmt: skip
    labels = {
        "expr": np.array([[EXPRESSIONS.index(name)] for name, *_ in cases], np.float32),
        "va": np.array([case[1:3] for case in cases], np.float32),
        "au": np.ones((len(cases), len(UNITS)), np.float32),
    }
    labels["va"] = np.append(labels["va"], [[np.nan, np.nan]], axis=0)
    labels["expr"] = np.append(labels["expr"], [[4]], axis=0)
    kept = known.without_contradictions(labels)
    dropped = [*(case[3] for case in cases), False]
    assert np.isnan(kept["expr"][:, 0]).tolist() == dropped
    assert np.isnan(kept["va"][:-1, 0]).tolist() == dropped[:-1]
    assert (kept["au"] == 1).all()
    assert set(known.without_contradictions({"va": labels["va"]})) == {"va"}


def test_balanced_classes_weigh_the_same_together():
    expression = np.array([0] * 8 + [4] * 2 + [np.nan], np.float32)[:, None]
    units = np.tile(np.array([1] * 2 + [0] * 8 + [np.nan], np.float32)[:, None], (1, len(UNITS)))
    labels = {"expr": expression, "au": units}
    counts = known.count_labels([labels])
    assert counts["expressions"] == [8, 0, 0, 0, 2, 0, 0]
    assert (counts["active"][0], counts["inactive"][0]) == (2, 8)
    full = known.label_weights(labels, counts, 1)
    assert full["expr_weight"][:8].sum() == pytest.approx(full["expr_weight"][8:10].sum())
    assert full["au_weight"][:2].sum() == pytest.approx(full["au_weight"][2:10].sum())
    assert not full["expr_weight"][10].any() and not full["au_weight"][10].any()
    even = known.label_weights(labels, counts, 0)
    assert (even["expr_weight"][:10] == 1).all() and (even["au_weight"][:10] == 1).all()
