"""Speech: rows by true times, turns by Silero's rule, and the network on real speech and on silence."""

import numpy as np
import pytest

from wildaffect.features import registry
from wildaffect.features.audio import speech
from wildaffect.features.frames import Clock
from wildaffect.features.registry import FEATURES, given_file, problems
from wildaffect.features.store import Spool
from wildaffect.models import locate, read_manifest

ROW = 0.032


@pytest.fixture
def installed():
    if not locate("silero_vad", "models").is_file():
        pytest.skip("the package silero-vad is not installed")


def test_a_frame_takes_the_row_that_its_time_lies_in():
    times = np.array([0.0, 0.0319, 0.032, 0.0961, 5.0])
    assert Clock(times, rule=FEATURES["speech"].rule).rows(4).tolist() == [0, 0, 1, 3, 3]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([0.1] * 40, []),
        # Ten rows of speech from row 4: 0.128 s to 0.448 s, and 30 ms on each side.
        ([0.1] * 4 + [0.9] * 10 + [0.1] * 10, [(0.098, 0.478)]),
        # Seven rows are 0.224 s: too short for a turn.
        ([0.1] * 4 + [0.9] * 7 + [0.1] * 10, []),
        # The fourth quiet row begins 96 ms after the first, the fifth more than the 100 ms that end a turn.
        ([0.9] * 10 + [0.1] * 4 + [0.9] * 10 + [0.1] * 9, [(0.0, 24 * ROW + 0.03)]),
        ([0.9] * 10 + [0.1] * 5 + [0.9] * 10 + [0.1] * 9, [(0.0, 10 * ROW + 0.03), (15 * ROW - 0.03, 25 * ROW + 0.03)]),
        # Between the two thresholds nothing begins and nothing ends.
        ([0.4] * 20, []),
        ([0.9] * 10 + [0.4] * 10 + [0.1] * 9, [(0.0, 20 * ROW + 0.03)]),
        # Speech until the end of the signal.
        ([0.1] * 4 + [0.9] * 10, [(0.098, 14 * ROW + 0.03)]),
    ],
)
def test_turns(rows, expected):
    found = speech.turns(np.array(rows))
    assert len(found) == len(expected)
    assert np.allclose(np.array(found), np.array(expected)) or not expected


def test_blocks_change_nothing(installed, monkeypatch):
    """State and context are carried on: also the last row of a block is followed by its neighbour."""
    noise = (np.random.default_rng(0).standard_normal(16_000) * 3000).astype(np.int16)
    whole = speech.probabilities(noise, "silero_vad", "models")
    monkeypatch.setattr(speech, "BLOCK", 7)
    assert len(whole) == 32 and np.allclose(speech.probabilities(noise, "silero_vad", "models"), whole, atol=1e-6)


def test_silence_and_tones_are_no_speech(installed):
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)).astype(np.int16)
    for signal in (np.zeros(0, np.int16), np.zeros(32_000, np.int16), tone):
        (found,) = speech.frame_values(
            signal, Clock(np.arange(20) / 10, rule=FEATURES["speech"].rule),
            weights="silero_vad", models_dir="models", device="cpu", threads=1,
        )  # fmt: skip
        assert found.shape == (20, 2) and found[:, 0].max() < 0.5 and not found[:, 1].any()


@pytest.mark.shared
def test_real_speech_is_found_where_it_is(installed, shared):
    """A sentence of RAVDESS with its own silence before and after, put behind two seconds of silence, read as jobs read it."""
    import soundfile

    path = shared / "realdata" / "ravdess" / "03-01-05-01-02-01-04.flac"
    sentence = soundfile.read(path, dtype="int16")[0]
    signal = Spool(np.int16)
    signal.append(np.zeros(32_000, np.int16))
    signal.append(sentence)
    signal.append(np.zeros(32_000, np.int16))
    loud = np.flatnonzero(np.abs(sentence.astype(int)) > 0.1 * np.abs(sentence.astype(int)).max()) / 16_000 + 2
    times = np.sort(np.random.default_rng(0).uniform(0, len(signal) / 16_000, 500))
    (found,) = speech.frame_values(
        signal, Clock(times, rule=FEATURES["speech"].rule),
        weights="silero_vad", models_dir="models", device="cpu", threads=1,
    )  # fmt: skip
    inside = times[found[:, 1] > 0]
    assert loud[0] - 0.3 < inside.min() < loud[0] + 0.3 and loud[-1] - 0.4 < inside.max() < loud[-1] + 0.4
    assert not found[times < 1.9, 1].any() and found[(times > loud[0] + 0.2) & (times < loud[-1] - 0.3), 1].mean() > 0.7


def test_declared_files_by_the_configuration(tmp_path):
    section = {"vggish_weights": "seeded", "vggish_pca": "own.pth"}
    found = [given_file(section, name, tmp_path) for name in ("vggish", "vggish_pca", "silero_vad")]
    assert found[:2] == ["seeded", "own.pth"] and found[2] == str(locate("silero_vad", tmp_path))
    own = tmp_path / read_manifest()["silero_vad"].file
    own.touch()
    assert given_file(section, "silero_vad", tmp_path) == str(own)


def test_the_message_where_the_package_is_absent(monkeypatch, tmp_path):
    from importlib import metadata

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("wildaffect.models.metadata.distribution", absent)
    section = {"vggish_weights": "seeded", "vggish_pca": "x", "import": {}, "embeddings": {}, "bodies": None}
    (line,) = problems(section, ["speech", "mfcc39"], {}, tmp_path)
    assert line.startswith("feature speech: ") and "pip install --no-deps silero-vad==6.2.3" in line
    assert registry.features_table().count("| speech | 2 | per frame | Silero VAD |") == 1
