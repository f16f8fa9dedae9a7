"""Which rows of a feature show what they are meant to show, and how far its rows are from the picture."""

from fractions import Fraction

import numpy as np
import pytest

from support.media import Sound, Video, counted, write_media
from wildaffect.errors import InputError
from wildaffect.features.extract import extract_features
from wildaffect.features.frames import BY_INDEX, BY_PATCH, BY_THIRD, Clock, has_audio, instants
from wildaffect.features.store import read_valid, write_valid
from wildaffect.media.audio import write_audio
from wildaffect.media.frames import read_frames, write_frame_table

NOISE = np.random.default_rng(0).normal(0, 0.1, (1, 16000))


def extracted(folder, feature, sound, fps=25, seconds=2):
    """Values, validity and frame times of a clip with ``sound``."""
    times = np.arange(seconds * fps) / fps
    video = write_media(folder / "clip.mkv", Video(times, counted, rate=Fraction(fps)), sound)
    frames, audio, out = folder / "frames.parquet", folder / "audio.flac", folder / "features" / "clip.npy"
    write_frame_table(video, frames)
    write_audio(video, frames, audio)
    extract_features({feature: out}, audio, frames)
    return np.load(out), read_valid(out), read_frames(frames).times


@pytest.mark.parametrize("feature", ["mfcc39", "egemaps25", "egemaps88", "m3t_mel", "mfcc39.indexed", "tsav_mel"])
def test_a_video_without_sound_has_finite_values_and_no_valid_row(tmp_path, feature):
    values, valid, _ = extracted(tmp_path, feature, None)
    assert np.isfinite(values).all()
    assert valid.dtype == bool
    assert valid.shape == (50,)
    assert not valid.any()


@pytest.mark.parametrize("feature", ["mfcc39", "mfcc39.indexed", "m3t_mel", "tsav_mel"])
def test_valid_are_the_frames_while_there_is_sound(tmp_path, feature):
    _, valid, times = extracted(tmp_path, feature, Sound(NOISE, start_s=0.5))
    assert np.array_equal(valid, (times >= 0.5) & (times < 1.5))


def test_silence_in_a_recording_is_sound(tmp_path):
    _, valid, _ = extracted(tmp_path, "mfcc39", Sound(np.zeros((1, 32000))))
    assert valid.all()


def test_m3t_as_published_has_no_sound_below_15_frames_per_second(tmp_path):
    values, valid, _ = extracted(tmp_path, "m3t_mel.indexed", Sound(np.tile(NOISE, 2)), fps=10)
    assert not values.any()
    assert not valid.any()
    values, valid, _ = extracted(tmp_path, "m3t_mel", Sound(np.tile(NOISE, 2)), fps=10)
    assert values.std() > 1
    assert valid.all()


def test_sound_that_begins_before_the_picture_and_ends_early():
    about = {"audio_valid": True, "offset_s": -0.3, "samples": 32000, "rate": 16000, "padded_s": 0.5}
    clock = Clock(np.arange(20) / 10)
    assert has_audio(about, clock).tolist() == [True] * 15 + [False] * 5


@pytest.mark.parametrize(
    ("fps", "per_10000_frames"),
    [(30.0, 1.4583), (29.97, 1.7920), (25.0, 0.625), (24.0, 0.4167), (24000 / 1001, 0.8333), (20.0, 1.25)],
)
def test_how_far_m3t_falls_behind(fps, per_10000_frames):
    """Per frame 1 / fps - 3 floor(16000 / (3 fps)) / 16000 s."""
    times = np.arange(10_001) / fps
    behind = times - instants(Clock(times, fps, BY_THIRD))
    assert behind[-1] == pytest.approx(per_10000_frames, abs=1e-4)
    assert np.allclose(np.diff(behind), behind[1], atol=1e-9)


def test_the_index_rule_is_right_at_a_constant_rate_and_wrong_at_a_variable_one():
    times = np.arange(10_000) / 25
    assert np.abs(instants(Clock(times, 25.0, BY_INDEX)) - times).max() < 1e-9
    # 100 s at 30 frames/s and 100 s at 10: the mean of 20 puts frame 3000 at 150 s instead of 100.
    times = np.r_[np.arange(3000) / 30, 100 + np.arange(1000) / 10]
    for rule in (BY_INDEX, BY_PATCH):
        apart = instants(Clock(times, 20.0, rule)) - times
        assert apart[3000] == pytest.approx(50)
        assert np.abs(apart).max() == pytest.approx(50, abs=0.1)
    assert not (instants(Clock(times)) - times).any()


def test_the_file_beside(tmp_path):
    write_valid(tmp_path / "mfcc39" / "a.npy", np.array([1, 0]))
    assert read_valid(tmp_path / "mfcc39" / "a.npy").tolist() == [True, False]
    assert (tmp_path / "mfcc39" / "valid" / "a.npy").is_file()
    with pytest.raises(InputError, match=r"valid/b\.npy: not a readable"):
        read_valid(tmp_path / "mfcc39" / "b.npy")
