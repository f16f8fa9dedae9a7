"""CNU_ADL samples: blocks in both modes, shared pictures, balance, augmentation, rows of the predictions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cnu_adl import TINY, trial_in_memory
from wildaffect.corpus.label_spaces import EXPRESSIONS7 as EXPRESSIONS
from wildaffect.errors import InputError
from wildaffect.systems import build_recipe
from wildaffect.systems.cnu_adl.data import closed_blocks, held_blocks, hold, in_turn, interpolate, known_labels, moved
from wildaffect.systems.cnu_adl.spec import NETWORK_CLASSES, SPEC
from wildaffect.systems.types import Labels

MODES = ("corrected", "faithful")


def samples_of(trials, mode="corrected", purpose="predict", target="mtl", variant="frames_stat", **settings):
    recipe = build_recipe("cnu_adl", variant, target, mode, TINY | settings)
    return recipe.samples(trials, {}, purpose)


def shown(trial, sample):
    """Rows (chunk, T) of the pictures in a sample; every frame of a trial has a picture of its own."""
    everything = trial.crops["cnu224"].read(np.arange(len(trial.times)))
    rows = [int(np.flatnonzero((everything == picture).all(axis=(1, 2, 3)))[0]) for picture in sample["images"]]
    return np.array(rows)[sample["block"]]


def test_gaps_are_skipped_or_held():
    """Frames 2 and 3 have no face; blocks of four."""
    rows, seen = np.array([0, 1, 4, 5, 6]), np.array([1, 1, 0, 0, 1, 1, 1], bool)
    assert closed_blocks(rows, 4).tolist() == [[0] * 4, [0, 0, 0, 1], [0, 0, 1, 4], [0, 1, 4, 5], [6] * 4]
    assert held_blocks(rows, seen, 4).tolist() == [[0] * 4, [0, 0, 0, 1], [1, 1, 1, 4], [1, 1, 4, 5], [1, 4, 5, 6]]
    late = held_blocks(np.array([2, 3]), np.array([0, 0, 1, 1], bool), 4)
    assert late.tolist() == [[2] * 4, [2, 2, 2, 3]]


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 20))
def test_a_block_ends_at_its_frame_and_never_looks_ahead(seen, length):
    seen = np.array(seen)
    rows = np.flatnonzero(seen)
    closed, held = closed_blocks(rows, length), held_blocks(rows, seen, length)
    assert closed.shape == held.shape == (len(rows), length)
    for blocks in (closed, held):
        assert (blocks[:, -1] == rows).all() and seen[blocks].all()
        assert (np.diff(blocks, axis=1) >= 0).all()
    if len(rows):
        oldest = np.maximum(rows - length + 1, 0)
        assert ((held[:, 0] <= oldest) | (held[:, 0] == rows[0])).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_sample_shows_the_blocks_of_its_frames(mode):
    """Frames 2 and 9 have no face, frame 3 no expression, frame 4 neither valence nor arousal."""
    trial = trial_in_memory(24, unseen=(2, 9))
    samples = samples_of([trial], mode, "train", chunk=1, balance=False)
    found = {}
    for index in range(len(samples)):
        sample = samples.read(index, None)
        (block,) = shown(trial, sample)
        found[int(block[-1])] = block.tolist()
        np.testing.assert_array_equal(sample["expr"][0], trial.labels["expr"].values[block[-1]])
        np.testing.assert_array_equal(sample["va"][0], trial.labels["va"].values[block[-1]])
    if mode == "faithful":
        assert set(found) == set(range(24)) - {2, 3, 4, 9}
        assert found[11] == [7, 8, 10, 11] and found[5] == [0, 0, 1, 5] and found[23] == [23] * 4
    else:
        assert set(found) == set(range(24)) - {2, 9}
        assert found[11] == [8, 8, 10, 11] and found[5] == [1, 3, 4, 5] and found[23] == [20, 21, 22, 23]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk", [1, 4, 7])
def test_chunks_show_the_same_blocks_however_long_they_are(mode, chunk):
    trial = trial_in_memory(24, unseen=(2, 9))
    samples = samples_of([trial], mode, "train", chunk=chunk, balance=False)
    blocks = np.concatenate([shown(trial, samples.read(index, None)) for index in range(len(samples))])
    single = samples_of([trial], mode, "train", chunk=1, balance=False)
    want = {tuple(shown(trial, single.read(index, None))[0]) for index in range(len(single))}
    assert {tuple(block) for block in blocks} == want
    assert samples.read(0, None)["images"].shape[0] <= chunk + TINY["block"] - 1


def test_every_picture_is_read_once_per_chunk():
    trial = trial_in_memory(64, unseen=())
    samples = samples_of([trial], block=16)
    assert len(samples) == 2  # of 32 frames
    assert samples.read(1, None)["images"].shape == (47, 224, 224, 3)
    assert "expr" not in samples.read(0, None)


def test_past_the_end_of_a_trial_nothing_is_learnt():
    trial = trial_in_memory(10, unseen=())
    samples = samples_of([trial], purpose="train", chunk=7, balance=False)
    last = samples.read(1, None)
    assert last["block"].shape == (7, 4) and (last["block"][3:] == last["block"][2]).all()
    assert not np.isnan(last["va"][:3]).any() and np.isnan(last["va"][3:]).all() and np.isnan(last["expr"][3:]).all()


def test_the_image_variant_sees_its_frame_alone():
    trial = trial_in_memory(8)
    samples = samples_of([trial], variant="image")
    assert len(samples) == 7
    sample = samples.read(3, None)
    assert shown(trial, sample).tolist() == [[4]]


@pytest.mark.parametrize(("mode", "stride"), [("corrected", 1), ("corrected", 3), ("faithful", 1)])
def test_every_frame_gets_a_row(mode, stride):
    """Also without any face, without labels, or without any frame."""
    trials = [trial_in_memory(11, unseen=(0, 5, 10)), trial_in_memory(5, unseen=range(5), seed=1), trial_in_memory(0)]
    trials = [replace(trial, labels={}) for trial in trials]
    samples = samples_of(trials, mode, "validate" if stride > 1 else "predict", validation_stride=stride)
    outputs = np.random.default_rng(0).normal(0, 1, (len(samples), 32, 14)).astype(np.float32)
    values = samples.to_frames(outputs)
    assert [part.shape for part in values] == [(11, 9), (5, 9), (0, 9)]
    assert np.isfinite(np.concatenate(values)).all()
    np.testing.assert_allclose(values[0][:, :7].sum(axis=1), 1)
    assert samples_of(trials[2:], mode).to_frames(np.empty((0, 9)))[0].shape == (0, 9)


def test_gaps_hold_the_expression_and_interpolate_the_rest():
    values, rows = np.array([[0.0, 4], [5, 4], [6, 8]]), np.array([1, 6, 7])
    assert hold(values, rows, 9)[:, 0].tolist() == [0, 0, 0, 0, 0, 0, 5, 6, 6]
    assert interpolate(values, rows, np.arange(9))[:, 0].tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 6]
    times = np.array([0, 1, 2, 3, 4, 5, 11, 12, 13.0])
    assert interpolate(values, rows, times)[2, 0] == 0.5


def test_gaps_are_measured_in_time_or_in_frames():
    trial = replace(trial_in_memory(4, unseen=(2,)), labels={}, times=np.array([0, 1, 2, 9.0]))
    outputs = np.zeros((1, 32, 14), np.float32)
    outputs[0, :3, 8] = [0, 0, 0.8]  # valence of frames 0, 1 and 3
    (faithful,), (corrected,) = (samples_of([trial], mode).to_frames(outputs) for mode in ("faithful", "corrected"))
    assert faithful[2, 7] == pytest.approx(0.4) and corrected[2, 7] == pytest.approx(0.1)


def test_outputs_come_in_the_challenges_order():
    trial = replace(trial_in_memory(7, unseen=()), labels={})
    outputs = np.zeros((1, 32, 14), np.float32)
    outputs[0, np.arange(7), np.arange(7)] = 9
    outputs[0, :, 7], outputs[0, :, 8] = 0.25, -0.5
    (values,) = samples_of([trial]).to_frames(outputs)
    assert [EXPRESSIONS[k] for k in values[:, :7].argmax(axis=1)] == list(NETWORK_CLASSES)
    assert (values[:, 7] == -0.5).all() and (values[:, 8] == 0.25).all()
    assert SPEC.targets["mtl"].columns == (*EXPRESSIONS, "valence", "arousal")


def test_faithful_predicts_annotated_rows_as_a_series_of_their_own():
    trial = trial_in_memory(24, unseen=(2, 9))
    samples = samples_of([trial], "faithful")
    (values,) = samples.to_frames(np.zeros((len(samples), 32, 14), np.float32))
    assert np.flatnonzero(np.isnan(values).any(axis=1)).tolist() == [2, 3, 4, 9]
    (whole,) = samples_of([trial]).to_frames(np.zeros((1, 32, 14), np.float32))
    assert np.isfinite(whole).all()


@given(st.lists(st.integers(0, 7), max_size=40))
def test_classes_take_turns(classes):
    classes = np.array(classes, int)
    served = in_turn(np.arange(len(classes)), classes)
    present, counts = np.unique(classes, return_counts=True)
    assert len(served) == len(present) * counts.max(initial=0)
    assert set(served) == set(range(len(classes)))
    assert (classes[served].reshape(-1, max(len(present), 1)) == present).all()


def test_balanced_training_draws_all_expressions_alike():
    trial = trial_in_memory(40)
    balanced, plain = (
        [samples.read(index, None)["expr"][0, 0] for index in range(len(samples))]
        for samples in (samples_of([trial], purpose="train", chunk=1, balance=flag) for flag in (True, False))
    )
    counts = np.unique(np.nan_to_num(balanced, nan=-1), return_counts=True)[1]
    assert len(counts) == 4 and len(set(counts)) == 1  # three expressions, and the frame without
    assert len(plain) == 39 and len(set(np.unique(plain, return_counts=True)[1])) > 1


def test_augmentation_moves_a_block_together_or_each_picture_on_its_own():
    trial = trial_in_memory(20, unseen=())
    same = replace(trial, crops={"cnu224": Still(trial.crops["cnu224"])})
    for mode, together in (("corrected", True), ("faithful", False)):
        samples = samples_of([same], mode, "train", augment=True, balance=False)
        draws = [samples.read(2, np.random.default_rng(seed))["images"] for seed in (3, 3, 4)]
        np.testing.assert_array_equal(draws[0], draws[1])
        assert (draws[0] != draws[2]).any()
        moved_alike = [(pictures == pictures[0]).all() for pictures in draws]
        assert all(moved_alike) == together
        np.testing.assert_array_equal(samples.read(2, None)["images"][0], same.crops["cnu224"].read(np.array([0]))[0])


class Still:
    """The first picture over and over, so that what moves is the augmentation."""

    def __init__(self, pictures):
        self.valid, self._pictures = pictures.valid, pictures

    def read(self, rows):
        return self._pictures.read(np.zeros(len(rows), int))


class Drawn:
    """A generator whose numbers are known."""

    def __init__(self, *numbers):
        self._numbers = list(numbers)

    def random(self):
        return self._numbers.pop(0)

    def uniform(self, low, high, size=None):
        value = self._numbers.pop(0)
        assert low <= np.min(value) and np.max(value) <= high
        return np.array(value, float) if size else value


def test_how_pictures_are_moved():
    rows, columns = np.mgrid[:224, :224]
    picture = np.stack([rows, columns, (rows + columns) // 2], axis=2).astype(np.uint8)
    np.testing.assert_array_equal(moved(picture, Drawn(0.9, 0.9), enlarge=False), picture)
    np.testing.assert_array_equal(moved(picture, Drawn(0.9, 0.1), enlarge=False), picture[:, ::-1])
    shifted = moved(picture, Drawn(0.1, 0, 0, (0.0625, 0), 0.9), enlarge=False)
    np.testing.assert_array_equal(shifted[:, 14:], picture[:, :-14])
    np.testing.assert_array_equal(shifted[:, :14], picture[:, 14:0:-1])  # reflected
    larger = moved(picture, Drawn(0.9, 0.9), enlarge=True).astype(int)
    middle = slice(112 - 26, 112 + 26)
    want = 111.5 + (columns - 111.5) * 224 / 260
    assert np.abs(larger[middle, middle, 1] - want[middle, middle]).max() <= 1
    assert larger.min() >= 111.5 - 112 * 224 / 260 - 1


def test_the_limits_of_augmentation_are_settings():
    trial = trial_in_memory(24)
    few = {"turn": 0, "scale": 0, "shift": 0}
    still = samples_of([trial], purpose="train", augment=True, augmentation=few)
    chunk = still.read(0, None)["images"]
    for seed in range(6):
        varied = still.read(0, np.random.default_rng(seed))["images"]
        assert (varied == chunk).all() or (varied == chunk[:, :, ::-1]).all()  # mirrored at most
    turned = samples_of([trial], purpose="train", augment=True, augmentation=few | {"turn": 10})
    rows = np.mgrid[:224, :224][0].astype(np.uint8)
    picture = np.stack([rows] * 3, axis=2)
    with pytest.raises(AssertionError):  # the generator is asked for no turn beyond the limit
        moved(
            picture,
            Drawn(0.1, 11.0, 0, (0, 0), 0.9),
            enlarge=False,
            augmentation=turned._augment.keywords["augmentation"],
        )
    assert (moved(picture, Drawn(0.1, 9.0, 0, (0, 0), 0.9), enlarge=False) != picture).any()


def test_a_class_of_a_later_edition_is_an_error():
    other = Labels(np.full((5, 1), 7, np.float32), np.ones(5, bool))
    with pytest.raises(InputError, match="expression label 7; CNU_ADL knows the 7 classes"):
        known_labels(replace(trial_in_memory(5), labels={"expr": other}), SPEC.targets["expr"])


def test_stored_vectors_take_the_place_of_pictures():
    trial = trial_in_memory(12)
    vectors = np.arange(12 * 71, dtype=np.float32).reshape(12, 71)
    given = replace(trial, features={"embed.cnu": vectors})
    sample = samples_of([given], face_features="embed.cnu").read(0, None)
    assert "images" not in sample
    rows = sample["vectors"][sample["block"]][..., 0] / 71
    np.testing.assert_array_equal(rows[5], [3, 4, 5, 6])
    np.testing.assert_array_equal(rows[2], [0, 1, 1, 3])  # frame 2 has no face
    wrong = replace(trial, features={"embed.cnu": vectors[:, :70]})
    with pytest.raises(InputError, match=r"embed\.cnu: 70 columns, but cnu_adl reads 71"):
        samples_of([wrong], face_features="embed.cnu")
