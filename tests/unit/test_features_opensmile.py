"""MFCC and eGeMAPS: order of columns, row counts, and inputs at the edge."""

import warnings

import numpy as np
import opensmile
import pytest

from wildaffect.features import opensmile_stream
from wildaffect.features.audio import compare65, egemaps23, egemaps25, egemaps88, mfcc39
from wildaffect.features.frames import Clock
from wildaffect.features.registry import FEATURES

MODULES = [(mfcc39, 39), (egemaps23, 23), (egemaps25, 25), (compare65, 65)]


def noise(samples, level=3000.0, seed=0):
    return np.clip(np.random.default_rng(seed).normal(0, level, samples), -32768, 32767).astype(np.int16)


def recipe(speech):
    """The statics by the book (HTK), c1 ... c12, c0: an implementation apart from openSMILE."""
    frames = np.lib.stride_tricks.sliding_window_view(speech.astype(float), 400)[::160].copy()
    frames[:, 1:] -= 0.97 * frames[:, :-1].copy()
    frames[:, 0] *= 0.03
    power = np.abs(np.fft.rfft(frames * np.hamming(400), 512)) ** 2
    mel = 1127 * np.log(1 + np.arange(257) * 16000 / 512 / 700)
    edges = np.linspace(0, 1127 * np.log(1 + 8000 / 700), 28)
    rise = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0, np.minimum(rise, fall))
    bank[0] = 0
    logs = np.log(np.maximum(power @ bank, 1))
    k = np.r_[1:13, 0]
    basis = np.sqrt(2 / 26) * np.cos(np.pi * k[:, None] * (np.arange(26) + 0.5) / 26)
    return logs @ basis.T * (1 + 11 * np.sin(np.pi * k / 22))


def regression(values):
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    return (padded[3:-1] - padded[1:-3] + 2 * (padded[4:] - padded[:-4])) / 10


def test_statics_and_deltas_follow_the_recipe():
    speech = noise(16000)
    values = mfcc39.descriptors(speech)[:]
    statics = recipe(speech)
    assert np.abs(values[:, :13] - statics).max() < 5e-4
    assert np.abs(values[:, 13:26] - regression(statics)).max() < 5e-4
    inner = slice(4, -4)  # away from the ends, where the accelerations see rows that do not exist
    assert np.abs(values[inner, 26:] - regression(regression(statics))[inner]).max() < 5e-4


def test_loudness_moves_the_columns_called_c0_and_no_other():
    speech = noise(8000, 1000.0)
    difference = np.abs(mfcc39.descriptors(speech * 8)[:] - mfcc39.descriptors(speech)[:]).max(axis=0)
    moved = {name for name, change in zip(mfcc39.COLUMNS, difference, strict=True) if change > 0.1}
    assert moved == {"c0"}
    fading = (speech * np.linspace(0.1, 1, 8000)).astype(np.int16)
    means = dict(zip(mfcc39.COLUMNS, mfcc39.descriptors(fading)[:].mean(axis=0), strict=True))
    assert max((name for name in mfcc39.COLUMNS if name.endswith("_delta")), key=lambda name: means[name]) == "c0_delta"


def voice(seconds, seed=0):
    """A gliding, pausing voice in noise, so that pitch is found, lost and found again."""
    draw, t = np.random.default_rng(seed), np.arange(round(seconds * 16000)) / 16000
    phase = 2 * np.pi * np.cumsum(150 + 50 * np.sin(2 * np.pi * 0.7 * t)) / 16000
    tones = sum(np.sin(k * phase) / k for k in range(1, 15)) * (np.sin(2 * np.pi * 0.5 * t + seed) > 0)
    return np.clip(3000 * tones + draw.normal(0, 300, len(t)), -32768, 32767).astype(np.int16)


def by_the_package(feature_set, level, speech):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = opensmile.Smile(feature_set, level)
        return whole.process_signal(speech / np.float32(32768), 16000).to_numpy(np.float32)


@pytest.mark.parametrize(
    ("module", "feature_set", "level"),
    [
        (mfcc39, str(mfcc39._CONFIGURATION), "mfcc39"),
        (egemaps23, opensmile.FeatureSet.eGeMAPSv01a, opensmile.FeatureLevel.LowLevelDescriptors),
        (egemaps25, opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors),
        (compare65, opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.LowLevelDescriptors),
    ],
)
@pytest.mark.parametrize("samples", [960, 1119, 1120, 4000, 16001, 80000, 200123])
def test_fed_in_blocks_the_values_are_those_of_the_package_bit_by_bit(module, feature_set, level, samples):
    speech = voice(samples / 16000, seed=samples)
    assert np.array_equal(module.descriptors(speech)[:], by_the_package(feature_set, level, speech))


@pytest.mark.parametrize("block", [160, 1000, 40000])
def test_the_size_of_the_blocks_does_not_show(monkeypatch, block):
    speech = voice(12)
    want = egemaps25.descriptors(speech)[:]
    monkeypatch.setattr(opensmile_stream, "_BLOCK", block)
    assert np.array_equal(egemaps25.descriptors(speech)[:], want)


@pytest.mark.slow
@pytest.mark.parametrize("module", [mfcc39, egemaps23, egemaps25, compare65])
def test_two_minutes_are_those_of_the_package_too(module):
    level = opensmile.FeatureLevel.LowLevelDescriptors
    sets = {egemaps23: "eGeMAPSv01a", egemaps25: "eGeMAPSv02", compare65: "ComParE_2016"}
    speech = voice(120)
    chosen = (opensmile.FeatureSet[sets[module]], level) if module in sets else (str(mfcc39._CONFIGURATION), "mfcc39")
    assert np.array_equal(module.descriptors(speech)[:], by_the_package(*chosen, speech))


def test_functionals_of_one_window_do_not_depend_on_the_windows_before():
    speech = voice(9)
    windows = [speech[first : first + 48000] for first in (0, 16000, 40000, 90000, 16000)]
    with opensmile_stream.Functionals("eGeMAPSv02") as over:
        found = [over(window) for window in windows]
    level = opensmile.FeatureLevel.Functionals
    for window, values in zip(windows, found, strict=True):
        assert np.array_equal(values, by_the_package(opensmile.FeatureSet.eGeMAPSv02, level, window)[0])


def test_a_full_disk_ends_the_run_with_its_own_message(monkeypatch):
    def full(self, rows):
        raise OSError("no space left")

    monkeypatch.setattr(opensmile_stream.Spool, "append", full)
    with pytest.raises(OSError, match="no space left"):
        mfcc39.descriptors(voice(30))


def test_an_analysis_that_stops_early_is_an_error(tmp_path):
    broken = mfcc39._CONFIGURATION.read_text().replace("frameSize = 0.025", "frameSize = 90")
    (tmp_path / "broken.conf").write_text(broken)
    with pytest.raises(RuntimeError, match="0 rows for 480000 samples, expected at least 2995"):
        opensmile_stream.descriptors(voice(30), 39, tmp_path / "broken.conf", "mfcc39")


@pytest.mark.parametrize(
    ("feature_set", "level", "columns"),
    [
        ("eGeMAPSv01a", "LowLevelDescriptors", egemaps23.COLUMNS),
        ("eGeMAPSv02", "LowLevelDescriptors", egemaps25.COLUMNS),
        ("eGeMAPSv02", "Functionals", egemaps88.COLUMNS),
        ("ComParE_2016", "LowLevelDescriptors", compare65.COLUMNS),
    ],
)
def test_names_are_those_of_the_package(feature_set, level, columns):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel[level])
    assert tuple(package.feature_names) == columns


def test_functionals_are_those_of_the_three_seconds_around_the_frame():
    speech = noise(10 * 16000)
    speech[: 4 * 16000] //= 50
    package = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)

    def whole(first, last):
        return package.process_signal(
            speech[round(first * 16000) : round(last * 16000)] / np.float32(32768), 16000
        ).to_numpy()

    values = np.concatenate([*egemaps88.frame_values(speech, Clock(np.array([0.0, 5.0, 5.04, 5.06, 9.9, 12.0])))])
    assert values.shape == (6, 88)
    for row, ends in zip(values, [(0, 1.5), (3.5, 6.5), (3.5, 6.5), (3.6, 6.6), (8.4, 10), (8.5, 10)], strict=True):
        assert np.allclose(row, whole(*ends), rtol=1e-4, atol=1e-4), ends
    level = egemaps88.COLUMNS.index("equivalentSoundLevel_dBp")
    assert values[1, level] - values[0, level] > 25


@pytest.mark.parametrize("samples", [0, 1, 400, 959, 960, 1600, 8000])
@pytest.mark.parametrize("level", [0, 3000, 1e9])
def test_functionals_are_finite_for_any_sound(samples, level):
    speech = noise(samples, level) if level else np.zeros(samples, np.int16)
    values = np.concatenate([*egemaps88.frame_values(speech, Clock(np.arange(12) / 30))])
    assert values.shape == (12, 88)
    assert np.isfinite(values).all()


def test_ten_seconds_give_998_rows_and_silence_gives_zeros():
    values = mfcc39.descriptors(np.zeros(160000, np.int16))[:]
    assert values.shape == (998, 39)
    assert not values.any()


@pytest.mark.parametrize(("module", "dim"), MODULES)
@pytest.mark.parametrize("samples", [0, 1, 399, 400, 560, 800, 959, 960, 1600, 1601, 8000])
@pytest.mark.parametrize("level", [0, 30, 3000, 1e9])
def test_any_length_and_level_gives_finite_rows(module, dim, samples, level):
    values = module.descriptors(noise(samples, level) if level else np.zeros(samples, np.int16))[:]
    assert values.dtype == np.float32
    assert values.ndim == 2
    assert values.shape[1] == dim
    assert len(values) >= 1
    assert np.isfinite(values).all()


@pytest.mark.parametrize("module", [mfcc39, egemaps23, egemaps25, compare65])
@pytest.mark.parametrize("make", ["constant", "impulse", "square", "sweep", "alternating"])
def test_artificial_signals_give_finite_rows(module, make):
    t = np.arange(16000) / 16000
    signal = {
        "constant": np.full(16000, 20000.0),
        "impulse": np.where(np.arange(16000) == 8000, 32767.0, 0.0),
        "square": 32767 * np.sign(np.sin(2 * np.pi * 120 * t) + 1e-9),
        "sweep": 20000 * np.sin(2 * np.pi * (50 * t + 3500 * t**2)),
        "alternating": 32767.0 * (-1) ** np.arange(16000),
    }[make]
    assert np.isfinite(module.descriptors(signal.astype(np.int16))[:]).all()


def test_rows_start_every_ten_milliseconds():
    speech = np.zeros(32000, np.int16)
    speech[16000:] = noise(16000)  # sound from 1.0 s on
    energy = mfcc39.descriptors(speech)[:][:, mfcc39.COLUMNS.index("c0")]
    loud = np.flatnonzero(energy > 1)
    assert loud[0] in (98, 99)  # the windows of 25 ms that begin at 0.98 and 0.99 s reach into it
    loudness = egemaps23.descriptors(speech)[:][:, egemaps23.COLUMNS.index("Loudness_sma3")]
    assert abs(int(np.flatnonzero(loudness > 0.1)[0]) - 98) <= 2


def test_registry_is_consistent():
    assert set(FEATURES) >= {
        "mfcc39",
        "egemaps25",
        "egemaps88",
        "compare65",
        "vggish128",
        "m3t_mel",
        "tsav_mel",
        "tsav_wave",
    }
    for name, spec in FEATURES.items():
        assert spec.id == name
        assert len(spec.columns) == len(set(spec.columns)) == spec.dim
        number = name.split(".")[0].lstrip("abcdefghijklmnopqrstuvwxyz")
        if number.isdigit():
            assert spec.dim == int(number)
        if name.endswith(".indexed"):
            assert spec.rule.name in ("index", "patch", "third")
            assert FEATURES[name.removesuffix(".indexed")].rule.name in ("time", "third_time")
