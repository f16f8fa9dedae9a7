"""One file more in ``features/audio`` is a feature: planned, computed and described, without an edit elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from textwrap import dedent

import numpy as np
import pytest

from support.media import Sound, Video, counted, write_media
from wildaffect.features import spec
from wildaffect.features.registry import FEATURES
from wildaffect.media.audio import write_audio
from wildaffect.media.frames import write_frame_table

LOUDNESS = '''"""Root mean square of the 40 ms that begin at a frame, in dB."""

from collections.abc import Iterator

import numpy as np

from wildaffect.features.frames import Clock, Rule
from wildaffect.features.spec import per_frame

LATE = Rule("late", "the 40 ms that begin at the frame and one second more")
FEATURES = (per_frame(__name__, columns=("rms_db",), rule=LATE, description="loudness"),)


def parameters() -> dict:
    return {"rate_hz": 16_000, "window_s": 0.04}


def frame_values(speech, clock: Clock) -> Iterator[np.ndarray]:
    padded = np.pad(speech[:], (0, 32_000)) / 32768
    for time in clock.times:
        window = padded[round((time + 1) * 16_000) : round((time + 1.04) * 16_000)]
        yield np.array([[10 * np.log10(np.mean(np.square(window)) + 1e-10)]], np.float32)
'''
AMPLITUDE = 0.1


@pytest.fixture
def scripts(tmp_path, root):
    """A copy of the code with one module more; all other files are as they were."""
    shutil.copytree(root / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "scripts/wildaffect/features/audio/loudness1.py").write_text(LOUDNESS)
    return tmp_path / "scripts"


def run(scripts, *arguments):
    """What a fresh Python prints that runs the code in ``scripts``."""
    environment = os.environ | {"PYTHONPATH": str(scripts)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def clip(tmp_path):
    """Audio and frame table of two seconds at 25 frames/s; a tone sounds from 1.5 s on."""
    samples = AMPLITUDE * np.sin(2 * np.pi * 250 * np.arange(32_000) / 16_000)
    samples[:24_000] = 0
    video = write_media(
        tmp_path / "clip.mkv", Video(np.arange(50) / 25, counted, rate=Fraction(25)), Sound(samples[None])
    )
    frames, audio = tmp_path / "frames.parquet", tmp_path / "audio.flac"
    write_frame_table(video, frames)
    write_audio(video, frames, audio)
    return audio, frames


def test_a_module_more_is_a_feature_more(scripts, clip, tmp_path):
    names = run(scripts, "-c", "from wildaffect.features.registry import FEATURES; print(*FEATURES)").split()
    assert names == sorted([*FEATURES, "loudness1"])

    compute = dedent(
        """
        import sys
        from wildaffect.features.extract import describe_feature, extract_features
        audio, frames, folder = sys.argv[1:]
        extract_features({"loudness1": f"{folder}/clip.npy"}, audio, frames)
        describe_feature("loudness1", f"{folder}/about.json")
        features = {name.split(".")[3] for name in sys.modules if name.startswith("wildaffect.features.audio.")}
        print(*features, "wildaffect.features.registry" in sys.modules)
        """
    )
    assert run(scripts, "-c", compute, *clip, tmp_path).split() == ["loudness1", "False"]
    values = np.load(tmp_path / "clip.npy")
    assert values.shape == (50, 1)
    assert values.dtype == np.float32
    assert np.allclose(np.delete(values, range(12, 25)), -100, atol=1e-3)
    assert np.allclose(values[13:24], 20 * np.log10(AMPLITUDE / np.sqrt(2)), atol=0.02)
    assert np.load(tmp_path / "valid" / "clip.npy").all()

    about = json.loads((tmp_path / "about.json").read_text())
    assert about["columns"] == ["rms_db"]
    assert about["parameters"] == {"rate_hz": 16_000, "window_s": 0.04}
    assert about["synchronisation"] == {
        "rule": "late",
        "meaning": "the 40 ms that begin at the frame and one second more",
        "rows_per_second": None,
    }
    listed = run(scripts, "-m", "wildaffect.cli", "features")
    assert "loudness1" in listed
    assert "egemaps25.indexed" in listed


def test_the_example_that_is_shown_is_a_feature(scripts, clip, tmp_path):
    example = dedent(spec.__doc__.split("level.py``::\n")[1].split("\nNow ``wildaffect")[0])
    (scripts / "wildaffect/features/audio/level.py").write_text(example)
    compute = dedent(
        """
        import sys
        from wildaffect.features.extract import describe_feature, extract_features
        audio, frames, folder = sys.argv[1:]
        outputs = {name: f"{folder}/{name}.npy" for name in ("level", "level.indexed")}
        extract_features(outputs, audio, frames)
        describe_feature("level", f"{folder}/about.json")
        """
    )
    run(scripts, "-c", compute, *clip, tmp_path)
    by_time, by_index = np.load(tmp_path / "level.npy"), np.load(tmp_path / "level.indexed.npy")
    assert by_time.shape == (50, 1)
    assert np.array_equal(by_time, by_index)  # 25 frames/s throughout
    assert np.allclose(by_time[:37], -100, atol=1e-3)
    assert np.allclose(by_time[38:], 20 * np.log10(AMPLITUDE / np.sqrt(2)), atol=0.3)
    assert json.loads((tmp_path / "about.json").read_text())["dim"] == 1


def test_every_module_holds_features_of_its_own_name():
    for name in spec.module_names():
        module = spec.feature_module(name)
        assert {found.id.partition(".")[0] for found in module.FEATURES} == {name}
        assert {found.module for found in module.FEATURES} == {module.__name__}
        for found in module.FEATURES:
            assert spec.find_feature(found.id) is found
            assert spec.rows_per_second(found.id) == found.rows_per_second


@pytest.mark.parametrize("name", ["import.senet", "embed.face50", "mfcc13", "mfcc39.shifted", "", "..", "os.path"])
def test_names_that_are_no_feature_of_the_audio(name):
    assert spec.rows_per_second(name) is None
    with pytest.raises(
        spec.InputError, match=r"is not known: use one of compare65, egemaps23, .* vggish128_quantised\."
    ):
        spec.find_feature(name)
