"""From a sound file and a frame table to an array of one row per frame."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch

from support.prepared import frame_table, sealed_audio
from wildaffect.errors import InputError
from wildaffect.features import vggish
from wildaffect.features.audio import mfcc39
from wildaffect.features.extract import describe_feature, extract_features
from wildaffect.features.registry import FEATURES
from wildaffect.features.spec import rows_per_second
from wildaffect.features.store import read_valid
from wildaffect.features.vggish import SEED

SIGNALS = [name for name, spec in FEATURES.items() if spec.rows_per_second]
PER_FRAME = [name for name in FEATURES if name not in SIGNALS]
BY_ROW = [name for name in PER_FRAME if FEATURES[name].rule.rows]
SOUNDS = pytest.mark.parametrize(
    ("seconds", "level", "rate"),
    [(1.0, 0.0, 16000), (0.1, 0.1, 48000), (0.0, 0.0, 44100), (1.0, 0.1, 8000), (1.0, 20.0, 44100)],
    ids=["silent", "100ms", "empty", "8kHz", "clipped"],
)


class Bands(torch.nn.Module):
    """In place of the network, so that a test can read the spectrogram of each patch's first two rows."""

    def forward(self, examples):
        return examples[:, 0, :2].flatten(1)

    def overlapping(self, spectrogram, starts):
        return torch.cat([spectrogram[starts], spectrogram[starts + 1]], 1)


@pytest.fixture
def cheap(monkeypatch):
    monkeypatch.setattr(vggish, "seeded_network", Bands)


def extract(tmp_path, feature, audio, frames, **options):
    weights = "seeded" if feature.startswith("vggish") else None
    pca = components(tmp_path) if FEATURES[feature].pca else None
    extract_features({feature: tmp_path / "out.npy"}, audio, frames, weights=weights, pca=pca, **options)
    return np.load(tmp_path / "out.npy")


def components(folder):
    """A file of components that turn and whiten nothing."""
    np.savez(folder / "pca.npz", pca_eigen_vectors=np.eye(128), pca_means=np.zeros((128, 1)))
    return str(folder / "pca.npz")


def noisy_clip(tmp_path, seconds, level, rate):
    noise = np.clip(np.random.default_rng(0).normal(0, level, int(seconds * rate)), -1, 1)
    return sealed_audio(tmp_path / "a.wav", noise, rate)


@pytest.mark.parametrize("feature", PER_FRAME)
@SOUNDS
def test_any_sound_gives_one_finite_row_per_frame(tmp_path, cheap, feature, seconds, level, rate):
    frames = frame_table(tmp_path / "frames.parquet", np.arange(31) / 29.97)
    values = extract(tmp_path, feature, noisy_clip(tmp_path, seconds, level, rate), frames)
    assert values.shape == (31, FEATURES[feature].dim)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


@pytest.mark.parametrize("feature", SIGNALS)
@SOUNDS
def test_any_sound_gives_a_finite_signal_as_long_as_itself(tmp_path, feature, seconds, level, rate):
    spec = FEATURES[feature]
    frames = frame_table(tmp_path / "frames.parquet", np.arange(31) / 29.97)
    values = extract(tmp_path, feature, noisy_clip(tmp_path, seconds, level, rate), frames)
    assert values.dtype == spec.dtype
    assert values.shape[1:] == ((spec.dim,) if spec.dim > 1 else ())
    assert abs(len(values) - seconds * spec.rows_per_second) <= 1
    assert np.isfinite(values).all()


@pytest.mark.parametrize("feature", PER_FRAME)
def test_no_frames_give_an_array_without_rows(tmp_path, cheap, feature):
    audio = sealed_audio(tmp_path / "a.flac", np.zeros(1), 16000)
    frames = frame_table(tmp_path / "frames.parquet", [], status="unreadable")
    assert extract(tmp_path, feature, audio, frames).shape == (0, FEATURES[feature].dim)


def test_features_made_by_one_job_are_those_made_one_by_one(tmp_path, cheap):
    """Two rates, both timings, a signal and a network; the weights go to those that have some."""
    names = ["mfcc39", "mfcc39.indexed", "m3t_mel", "ntua_mel", "vggish128"]
    audio, frames = (
        noisy_clip(tmp_path, 2.0, 0.1, 22050),
        frame_table(tmp_path / "frames.parquet", np.arange(31) / 29.97),
    )
    outputs = {name: tmp_path / name / "v.npy" for name in names}
    extract_features(outputs, audio, frames, weights="seeded")
    for name, path in outputs.items():
        np.testing.assert_array_equal(np.load(path), extract(tmp_path, name, audio, frames))
        np.testing.assert_array_equal(read_valid(path), read_valid(tmp_path / "out.npy"))


def test_which_features_have_a_row_per_frame():
    assert {name: rows_per_second(name) for name in SIGNALS} == {
        "tsav_mel": 100,
        "tsav_wave": 44100,
        "ntua_mel": 44100 / 512,
    }
    assert all(rows_per_second(name) is None for name in [*PER_FRAME, "import.senet"])


def test_a_waveform_at_44100_hz_is_stored_sample_by_sample(tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32768, 3000).astype(np.int16)
    frames = frame_table(tmp_path / "frames.parquet", [0.0, 0.04])
    assert np.array_equal(
        extract(tmp_path, "tsav_wave", sealed_audio(tmp_path / "a.flac", samples, 44100), frames), samples
    )


@pytest.mark.parametrize("feature", BY_ROW)
def test_frames_beyond_the_sound_repeat_the_last_row(tmp_path, cheap, feature):
    audio = sealed_audio(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 48000))
    frames = frame_table(tmp_path / "frames.parquet", np.arange(100) / 25)
    values = extract(tmp_path, feature, audio, frames)
    assert (values[60:] == values[-1]).all()
    assert not (values[:20] == values[-1]).all(axis=1).any()


def test_at_a_variable_rate_only_the_plain_features_stay_with_the_picture(tmp_path, cheap):
    # 2 s at 50 frames/s, then 2 s at 10: the mean rate is 30. The sound begins at 3.0 s, at frame 110.
    times = np.r_[np.arange(100) / 50, 2 + np.arange(20) / 10]
    frames = frame_table(tmp_path / "frames.parquet", times)
    sound = np.zeros(4 * 48000)
    sound[3 * 48000 :] = np.random.default_rng(0).normal(0, 0.1, 48000)
    audio = sealed_audio(tmp_path / "a.wav", sound)

    def first_loud(feature, column):
        values = extract(tmp_path, feature, audio, frames)[:, column]
        return int(np.flatnonzero(values > values[0] + 1)[0])

    assert times[110] == 3.0
    c0 = mfcc39.COLUMNS.index("c0")
    assert first_loud("mfcc39", c0) == 110
    assert first_loud("m3t_mel", 20) == 110
    assert first_loud("vggish128", 20) == 110
    for feature, column in (("mfcc39.indexed", c0), ("vggish128.indexed", 20)):
        assert abs(first_loud(feature, column) - 90) <= 1  # the frame that a constant 30 frames/s would put at 3.0 s


@pytest.fixture
def rated(tmp_path):
    """A feature of eight seconds of noise, for 180 frames at 24 per second in a container that counts milliseconds."""
    audio = sealed_audio(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 8 * 48000))

    def values(feature, times=None, **about):
        times = np.round(np.arange(180) / 24, 3) if times is None else times
        return extract(tmp_path, feature, audio, frame_table(tmp_path / "f.parquet", times, **about))

    return values


@pytest.mark.parametrize("feature", ["m3t_mel", "m3t_mel.indexed"])
def test_a_measured_rate_is_the_stated_one_where_the_frames_keep_it(rated, feature):
    exact = rated(feature, average_rate=24.0)
    assert np.array_equal(rated(feature, average_rate=24.0003, nominal_rate="24"), exact)
    assert not np.array_equal(rated(feature, average_rate=24.0, nominal_rate="1000"), rated(feature, average_rate=20.0))
    assert np.array_equal(rated(feature, average_rate=24.0, nominal_rate="1000"), exact)
    with pytest.raises(InputError, match="states no average rate"):
        rated(feature, average_rate=None)


@pytest.mark.parametrize("stated", ["30", "30000/1001", "24", "23.5"])
def test_the_rules_of_lfan_divide_by_the_rate_that_the_file_states(rated, cheap, stated):
    """Whatever the frames do (LFAN spec 2.5, 2.7: CAP_PROP_FPS); written out on the rows of every 10 ms."""
    fps = float(Fraction(stated))
    every = rated("mfcc39", times=np.arange(790) / 100)
    wanted = [min(round(frame / fps / 0.01), 789) for frame in range(180)]
    about = {"average_rate": 24.0, "nominal_rate": stated}
    np.testing.assert_array_equal(rated("mfcc39.indexed", **about), every[wanted])
    same = np.array_equal(rated("vggish128.indexed", **about), rated("vggish128.indexed", average_rate=24.0))
    assert same == (stated == "24")
    assert np.array_equal(rated("mfcc39", **about), rated("mfcc39", average_rate=24.0))  # by true timestamps


def test_the_array_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    audio = sealed_audio(tmp_path / "a.wav", np.zeros(1600), 16000)
    frames = frame_table(tmp_path / "frames.parquet", [0.0, 0.04])

    def broken(speech, clock):
        yield np.zeros((1, 39), np.float32)
        raise OSError("disk full")

    monkeypatch.setattr(mfcc39, "frame_values", broken)
    with pytest.raises(OSError, match="disk full"):
        extract(tmp_path, "mfcc39", audio, frames)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "frames.parquet"]


def test_wrong_requests_are_refused(tmp_path):
    audio = sealed_audio(tmp_path / "a.wav", np.zeros(1600), 16000)
    frames = frame_table(tmp_path / "frames.parquet", [0.0, 0.04])
    out = tmp_path / "out.npy"
    with pytest.raises(InputError, match="feature 'mfcc13' is not known: use one of compare65, egemaps23"):
        extract_features({"mfcc13": out}, audio, frames)
    with pytest.raises(InputError, match="'mfcc39' take no weights"):
        extract_features({"mfcc39": out}, audio, frames, weights="seeded")
    with pytest.raises(InputError, match="'vggish128' take no pca"):
        extract_features({"vggish128": out}, audio, frames, pca="vggish_pca")
    with pytest.raises(InputError, match="'mfcc39', 'vggish128' take no pca"):
        extract_features({"mfcc39": out, "vggish128": out}, audio, frames, weights="seeded", pca="vggish_pca")
    with pytest.raises(InputError, match=r"vggish_pca_params-970ea276\.pth: the file of model 'vggish_pca' is missing"):
        extract_features({"vggish128_quantised": out}, audio, frames, weights="seeded", models_dir=tmp_path)
    with pytest.raises(InputError, match=r"vggish-10086976\.pth: the file of model 'vggish' is missing"):
        extract_features({"vggish128": out}, audio, frames, models_dir=tmp_path)
    with pytest.raises(InputError, match="device 'gpu' is not known"):
        extract_features({"vggish128": out}, audio, frames, weights="seeded", device="gpu")
    assert not out.exists()


def test_values_that_are_not_finite_are_never_written(tmp_path, monkeypatch):
    monkeypatch.setattr(vggish, "embed", lambda *arguments: [np.full((2, 128), np.nan, np.float32)])
    monkeypatch.setattr(vggish, "seeded_network", Bands)
    audio = sealed_audio(tmp_path / "a.wav", np.zeros(1600), 16000)
    frames = frame_table(tmp_path / "frames.parquet", [0.0, 0.04])
    with pytest.raises(InputError, match="not finite at frame 0"):
        extract(tmp_path, "vggish128", audio, frames)
    assert not (tmp_path / "out.npy").exists()


def test_the_description_says_what_the_columns_are_and_where_they_come_from(tmp_path):
    def describe(feature, **options):
        describe_feature(feature, tmp_path / "about.json", **options)
        return json.loads((tmp_path / "about.json").read_text())

    about = describe("mfcc39")
    assert about["columns"][12] == "c0"
    assert about["columns"][0] == "c1"
    assert about["weights"] is None
    assert "research licence" in about["notice"]
    assert about["synchronisation"]["rule"] == "time"
    assert describe("egemaps23.indexed")["synchronisation"]["rule"] == "index"

    about = describe("vggish128", weights="seeded")
    assert about["dim"] == len(about["columns"]) == 128
    assert about["weights"]["trained"] is False
    assert about["weights"]["seed"] == SEED
    assert "random projection" in about["weights"]["note"]

    for feature in FEATURES:
        spec = FEATURES[feature]
        weights = "seeded" if spec.weights == "vggish" else None
        about = describe(feature, weights=weights, pca=components(tmp_path) if spec.pca else None)
        assert about["dim"] == len(about["columns"]) == len(set(about["columns"]))
        assert about["synchronisation"]["meaning"] == spec.rule.meaning
        assert about["notice"]
        assert about["parameters"]["rate_hz"] == FEATURES[feature].rate_hz
    assert describe("tsav_mel")["synchronisation"]["rows_per_second"] == 100
    about = describe("vggish128_quantised", weights="seeded", pca=components(tmp_path))
    assert about["weights"]["trained"] is False
    assert about["weights"]["pca"]["name"] == "pca.npz"
    assert "mel_bands" in describe("ntua_mel")["parameters"]["assumed"]

    weights = tmp_path / "mine.pth"
    weights.write_bytes(b"anything")
    about = describe("vggish128.indexed", weights=str(weights))
    assert about["weights"]["trained"] is True
    assert about["weights"]["verified"] is False
    assert len(about["weights"]["sha256"]) == 64
    with pytest.raises(InputError, match="is missing"):
        describe("vggish128", models_dir=tmp_path)
