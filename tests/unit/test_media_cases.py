"""Small files that broke, with their right answers, as far as they are among the reference material."""

from pathlib import Path

import numpy as np
import pytest

from support.media import onsets
from wildaffect.media.audio import read_audio, write_audio
from wildaffect.media.decode import decode
from wildaffect.media.frames import read_frames, write_frame_table

pytestmark = pytest.mark.shared


@pytest.fixture
def through(shared, tmp_path):
    """Frame times, what is known of them, samples, what is known of the audio, and images of a case."""

    def run(name: str):
        video: Path = shared / "cases" / name
        if not video.exists():
            pytest.skip(f"{video} is not among the reference material")
        write_frame_table(video, tmp_path / "frames.parquet")
        write_audio(video, tmp_path / "frames.parquet", tmp_path / "audio.flac")
        frames = read_frames(tmp_path / "frames.parquet")
        samples, rate, sound = read_audio(tmp_path / "audio.flac")
        images = decode(video, 2, frames.about.get("view"))
        return frames.times, frames.about, (samples, rate), sound, images

    return run


def test_b_frames_in_avi_are_constant(through):
    times, about, _, _, _ = through("bframes.avi")
    assert times == pytest.approx(np.arange(75) / 25)
    assert not about["vfr"]


@pytest.mark.parametrize(
    ("name", "size", "changed"), [("phone_turned.webm", (720, 1280), 15), ("webrtc_ramp.webm", (1280, 720), 10)]
)
def test_images_share_the_largest_size(through, name, size, changed):
    _, about, _, _, images = through(name)
    assert (about["width"], about["height"]) == size
    assert about["changes"][1]["frame"] == changed
    assert [image.shape[1::-1] for _, image in images] == [size] * 50


def test_a_thumbnail_is_no_video(through):
    times, about, _, _, _ = through("thumb_first.mp4")
    assert (len(times), about["streams"]["used"]) == (50, 1)


def test_the_default_audio_is_heard(through):
    _, _, (samples, _), sound, _ = through("empty_first_audio.mkv")
    assert np.abs(samples).max() > 0.1
    assert (sound["streams"]["used"], sound["silent"]) == (2, False)


def test_joined_recordings_have_all_their_beeps(through):
    times, about, (samples, rate), sound, _ = through("ts_restart.ts")
    assert len(times) == 90
    assert onsets(samples, rate) == pytest.approx([0.5, 1.5, 2.3, 3.3], abs=0.01)
    assert (about["status"], sound["gaps_s"]) == ("ok", 0)


def test_high_dynamic_range_is_as_bright_as_meant(through):
    _, about, _, _, images = through("hdr_pq.mp4")
    assert about["hdr"] == "PQ"
    assert np.mean([image.mean() for _, image in images]) == pytest.approx(119, abs=3)
