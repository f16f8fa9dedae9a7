"""NTUA samples: chunks over labelled or all frames, padding, masks in sound, what counts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.ntua import TINY, labels_of, trial_in_memory, valence_of
from wildaffect.corpus.label_spaces import EXPRESSIONS7 as EXPRESSIONS
from wildaffect.errors import InputError
from wildaffect.features.audio.ntua_mel import COLUMNS, first_columns, silence, windows
from wildaffect.systems import build_recipe, resolve_settings
from wildaffect.systems.ntua.data import chunks, masked, moved, nominal_times, padded
from wildaffect.systems.ntua.spec import SPEC
from wildaffect.systems.types import Labels, Needs

MODES = ("corrected", "faithful")
LABELLED = np.delete(np.arange(40), [20, 21])


def samples_of(trials, variant="visual", mode="corrected", purpose="train", target="va", **settings):
    return build_recipe("ntua", variant, target, mode, TINY | settings).samples(trials, {}, purpose)


@given(st.integers(0, 200), st.integers(1, 40))
def test_chunks_cover_every_row_once(length, duration):
    ranges = chunks(length, duration)
    assert [row for start, stop in ranges for row in range(start, stop)] == list(range(length))
    assert all(stop - start == duration for start, stop in ranges[:-1])


def test_twenty_frames_in_chunks_of_sixteen():
    assert chunks(20, 16) == [(0, 16), (16, 20)]
    assert padded(16, 20, 16, "edge").tolist() == [16, 17, 18, 19] + [19] * 12
    assert padded(16, 20, 16, "wrap").tolist() == [16, 17, 18, 19] * 4


def test_what_a_variant_reads():
    usual = resolve_settings("ntua")
    assert SPEC.needs("visual", "faithful", usual).crops == ("arcface112", "ntua_frame112", "ntua_context112")
    assert SPEC.needs("visual", "corrected", usual).crops == ("arcface112", "ntua_body112", "ntua_context112")
    assert SPEC.needs("face", "corrected", usual).crops == ("arcface112",)
    assert SPEC.needs("aural", "faithful", usual) == Needs(crops=(), features=("ntua_mel",))
    fewer = resolve_settings("ntua", {"streams": ["context", "face"]})
    assert SPEC.needs("visual", "faithful", fewer).crops == ("arcface112", "ntua_context112")
    assert SPEC.needs("face", "faithful", resolve_settings("ntua", {"streams": ["body"]})).crops == ("arcface112",)


def test_corrected_chunks_run_over_all_frames_and_count_the_labelled():
    trial = trial_in_memory(43)
    samples = samples_of([trial])
    assert len(samples) == 6
    sample = samples.read(2, None)
    np.testing.assert_array_equal(sample["body"], trial.crops["ntua_body112"].read(np.arange(16, 24)))
    assert sample["counts"].tolist() == [True] * 4 + [False, False, True, True]
    assert sample["valid"].all()
    last = samples.read(5, None)
    assert last["valid"].tolist() == last["counts"].tolist() == [True] * 3 + [False] * 5
    np.testing.assert_array_equal(last["labels"][:3], trial.labels["va"].values[40:])


def test_faithful_chunks_join_what_is_not_adjacent_and_padding_counts():
    trial = trial_in_memory(40)
    samples = samples_of([trial], mode="faithful")
    assert len(samples) == 5
    sample = samples.read(2, None)
    rows = LABELLED[16:24]
    assert rows[4] - rows[3] == 3  # the gap, unmarked
    np.testing.assert_array_equal(sample["body"], trial.crops["ntua_frame112"].read(rows))
    np.testing.assert_array_equal(sample["labels"], trial.labels["va"].values[rows])
    last = samples.read(4, None)
    np.testing.assert_array_equal(last["face"], trial.crops["arcface112"].read(LABELLED[[*range(32, 38), 37, 37]]))
    assert last["counts"].all() and last["valid"].tolist() == [True] * 6 + [False] * 2


@pytest.mark.parametrize(
    ("variant", "known", "want"), [("visual", True, 41), ("visual", False, 39), ("face", True, 41)]
)
def test_faithful_filling_as_each_release_did(variant, known, want):
    """The last frame again; from the first one of the chunk again where there are no labels, and in the first release."""
    trial = trial_in_memory(42 if known else 40)
    rows = np.delete(np.arange(42), [20, 21]) if known else np.arange(40)
    trial = trial if known else replace(trial, labels={})
    assert len(rows) == 40
    got = samples_of([trial], variant, "faithful", "predict", duration=32).read(1, None)["face"]
    again = rows[32:] if variant == "face" or not known else rows[-1:].repeat(8)
    assert rows[-1] == want
    np.testing.assert_array_equal(got[8:16], trial.crops["arcface112"].read(again))


def test_chunks_without_two_counting_frames_are_not_trained_on_but_predicted():
    trial = trial_in_memory(40)
    labels = trial.labels["va"]
    valid = labels.valid & (np.arange(40) > 14)
    trial = replace(trial, labels={"va": Labels(np.where(valid[:, None], labels.values, np.nan), valid)})
    assert len(samples_of([trial])) == 3
    assert len(samples_of([trial], purpose="validate")) == 5
    assert len(samples_of([trial], mode="faithful")) == 3  # 23 labelled frames


@pytest.mark.parametrize("mode", MODES)
def test_frames_without_a_face_are_black_and_count_unless_told_otherwise(mode):
    trial = trial_in_memory(40)
    sample = samples_of([trial], mode=mode).read(0, None)
    assert not sample["face"][2].any() and sample["context"][2].any()
    assert sample["counts"].all()
    told = samples_of([trial], mode=mode, learn_without_face=False)
    assert told.read(0, None)["counts"].tolist() == [True, True, False] + [True] * 5
    without = samples_of([trial], "aural", mode, learn_without_face=False)
    assert without.read(0, None)["counts"].all()


@pytest.mark.parametrize("mode", MODES)
def test_every_frame_is_predicted_once(mode):
    trials = [trial_in_memory(19, seed=0), trial_in_memory(0, seed=1), replace(trial_in_memory(8, seed=2), labels={})]
    samples = samples_of(trials, mode=mode, purpose="predict")
    outputs = np.arange(len(samples) * 8 * 2, dtype=np.float32).reshape(-1, 8, 2)
    values = samples.to_frames(outputs)
    assert [len(part) for part in values] == [19, 0, 8]
    np.testing.assert_array_equal(values[0], outputs[:3].reshape(-1, 2)[:19])
    np.testing.assert_array_equal(values[2], outputs[3])


def test_faithful_leaves_unlabelled_rows_to_a_second_pass():
    samples = samples_of([trial_in_memory(40)], mode="faithful", purpose="predict")
    (values,) = samples.to_frames(np.ones((5, 8, 2), np.float32))
    assert np.flatnonzero(np.isnan(values).any(axis=1)).tolist() == [20, 21]


def test_expressions_become_probabilities_in_both_modes():
    raw = np.random.default_rng(0).normal(0, 3, (1, 8, 7)).astype(np.float32)
    for mode in MODES:
        (values,) = samples_of([trial_in_memory(8, ())], mode=mode, purpose="predict", target="expr").to_frames(raw)
        np.testing.assert_allclose(values.sum(axis=1), 1)
        np.testing.assert_array_equal(values.argmax(axis=1), raw[0].argmax(axis=1))


def test_classes_of_later_editions_are_refused():
    trial = trial_in_memory(10)
    values = np.full((10, 1), len(EXPRESSIONS), np.float32)
    trial = replace(trial, labels={"expr": Labels(values, np.ones(10, bool))})
    with pytest.raises(InputError, match="expression label 7; NTUA knows the 7 classes"):
        samples_of([trial], target="expr")


def test_nominal_times_are_those_of_a_constant_rate():
    times = np.array([0.0, 0.03, 0.1, 0.12, 0.2])
    np.testing.assert_allclose(nominal_times(times), np.arange(5) * 0.05)
    np.testing.assert_allclose(nominal_times(np.arange(50) / 29.97), np.arange(50) / 29.97)
    assert nominal_times(times[:1]).tolist() == [0] and nominal_times(times[:0]).tolist() == []
    assert nominal_times(times, 29.97).tolist() == [frame / 29.97 for frame in range(5)]


def test_sound_of_each_mode():
    """Nominal times and 0 dB behind the end, or true times and silence."""
    trial = trial_in_memory(40)
    times = trial.times.copy()
    times[20:] += 7
    trial = replace(trial, times=times)
    db = trial.features["ntua_mel"]
    faithful, corrected = (
        samples_of([trial], "aural", mode).read(3, None)["audio"] for mode in ("faithful", "corrected")
    )
    np.testing.assert_array_equal(corrected, windows(db, times[24:32], silence(db)))
    np.testing.assert_array_equal(faithful, windows(db, nominal_times(times)[LABELLED[24:32]]))
    stated = replace(trial, nominal_rate=7.5)
    np.testing.assert_array_equal(
        samples_of([stated], "aural", "faithful").read(3, None)["audio"], windows(db, LABELLED[24:32] / 7.5)
    )
    np.testing.assert_array_equal(samples_of([stated], "aural", "corrected").read(3, None)["audio"], corrected)
    assert faithful.shape == corrected.shape == (8, 128, COLUMNS)
    assert faithful[0, :, -1].max() == 0 and corrected[0, :, -1].max() == silence(db) < -70


def test_centred_windows_have_silence_before_the_start():
    db = trial_in_memory(40).features["ntua_mel"]
    times = np.array([0.0, 1.0, 7.0])
    level = silence(db)
    centred = windows(db, times, level, centred=True)
    lead = -first_columns(times, centred=True)
    assert lead.tolist() == [431, 345, -172]
    assert (centred[0, :, :431] == level).all() and (centred[0, :, 431] == db[0]).all()
    assert (centred[1, :, 345] == db[0]).all() and (centred[1, :, 344] == level).all()
    np.testing.assert_array_equal(centred[2], windows(db, times[2:], level)[0])
    shared = windows(db, times, level)
    np.testing.assert_array_equal(shared[0], shared[1])


def test_windows_of_another_length():
    """Two seconds are int(2 * 44100 / 512) = 172 columns; that of 3 s begins a second before it, in row floor(2 / (512 / 44100)) = 172."""
    trial = trial_in_memory(80)
    db = trial.features["ntua_mel"]
    sample = samples_of([trial], "aural", window_seconds=2).read(9, None)
    assert trial.times[75] == pytest.approx(3) and sample["audio"].shape == (8, 128, 172)
    np.testing.assert_array_equal(sample["audio"][3, :, :100], db[172:272].T)
    centred = samples_of([trial], "aural", window_seconds=2, centre_windows=True).read(0, None)["audio"]
    assert (centred[0, :, :86] == silence(db)).all()
    np.testing.assert_array_equal(centred[0, :, 87:], db[:85].T)


def test_moving_by_bands_leaves_the_outermost_row_behind():
    image = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(moved(image, 1), [[0, 1], [0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(moved(image, -2), [[4, 5], [6, 7], [6, 7], [6, 7]])
    np.testing.assert_array_equal(moved(image, 0), image)


@pytest.mark.parametrize("mode", MODES)
def test_windows_are_moved_by_bands_in_training_alone(mode):
    trial = trial_in_memory(40)
    plain = samples_of([trial], "aural", mode).read(1, None)["audio"]
    got = samples_of([trial], "aural", mode, move_bands=3).read(1, np.random.default_rng(0))["audio"]
    steps = [
        [step for step in range(-3, 4) if np.array_equal(image, moved(whole, step))]
        for image, whole in zip(got, plain, strict=True)
    ]
    assert all(steps) and len({step for own in steps for step in own}) > 2
    validated = samples_of([trial], "aural", mode, "validate", move_bands=3)
    np.testing.assert_array_equal(validated.read(1, np.random.default_rng(0))["audio"], plain)


@pytest.mark.parametrize("mode", MODES)
def test_standardised_windows_are_in_units_of_the_training_audio(mode):
    trials = [trial_in_memory(40, seed=0), trial_in_memory(57, seed=1)]
    joined = np.concatenate([trial.features["ntua_mel"] for trial in trials]).astype(np.float64)
    plan = build_recipe("ntua", "aural", "va", mode, TINY | {"standardise": True})
    fitted = plan.fit(trials)
    got = plan.samples(trials, plan.statistics(trials, fitted), "train").read(1, None)["audio"]
    plain = samples_of(trials, "aural", mode).read(1, None)["audio"]
    np.testing.assert_allclose(got, (plain - joined.mean()) / joined.std(ddof=1), rtol=1e-4, atol=1e-4)
    assert got.dtype == np.float32
    with pytest.raises(InputError, match="need the statistics of their training data"):
        plan.statistics(trials, None)
    assert build_recipe("ntua", "visual", "va", mode, TINY | {"standardise": True}).fit(trials) == {}


def test_silence_is_the_lowest_level_there_can_be():
    assert silence(np.full((5, 128), -100, np.float32)) == -100
    assert silence(np.array([[-3.0, -60.0]], np.float32)) == -83
    assert silence(np.empty((0, 128), np.float32)) == -100


def test_masks_are_runs_drawn_for_each_image():
    images = np.ones((50, 128, 200), np.float32)
    got = masked(images, np.random.default_rng(0), 100, 10, -80)
    assert images.min() == 1
    columns, bands = (got == -80).all(axis=1), (got == -80).all(axis=2)
    assert columns.sum(axis=1).max() <= 100 and bands.sum(axis=1).max() <= 10
    assert len(set(columns.sum(axis=1).tolist())) > 20 and len(set(bands.sum(axis=1).tolist())) > 5
    for hidden in (*columns, *bands):
        where = np.flatnonzero(hidden)
        assert len(where) == 0 or where[-1] - where[0] + 1 == len(where)
    np.testing.assert_array_equal((got == -80), columns[:, None, :] | bands[:, :, None])
    np.testing.assert_array_equal(masked(images, np.random.default_rng(0), 0, 0, -80), images)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", ["va", "expr"])
def test_where_masks_are_drawn(mode, target):
    """In training for valence and arousal; the original masks in validation too, and nothing for expressions."""
    trial = trial_in_memory(40)
    settings = {"mask_columns": 100, "mask_bands": 10}
    plain = samples_of([trial], "aural", mode, "predict", target, **settings).read(1, None)["audio"]
    trained = samples_of([trial], "aural", mode, "train", target, **settings).read(1, np.random.default_rng(0))["audio"]
    validated = samples_of([trial], "aural", mode, "validate", target, **settings)
    assert (plain.tobytes() != trained.tobytes()) == (target == "va")
    assert (plain.tobytes() != validated.read(1, None)["audio"].tobytes()) == (target == "va" and mode == "faithful")
    np.testing.assert_array_equal(validated.read(1, None)["audio"], validated.read(1, None)["audio"])


def test_expressions_are_masked_where_asked():
    trial, settings = trial_in_memory(40), {"mask_columns": 100, "mask_bands": 10, "mask_expressions": True}
    plain = samples_of([trial], "aural", target="expr").read(1, None)["audio"]
    samples = samples_of([trial], "aural", target="expr", **settings)
    assert (samples.read(1, np.random.default_rng(0))["audio"] != plain).any()
    np.testing.assert_array_equal(samples.read(1, None)["audio"], plain)


def test_labels_follow_the_frames():
    trial = trial_in_memory(40)
    want = labels_of(valence_of(40, 0))["expr"]
    samples = samples_of([trial], target="expr")
    for index in range(5):
        np.testing.assert_array_equal(samples.read(index, None)["labels"], want[index * 8 : index * 8 + 8])
