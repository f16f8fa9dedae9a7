"""Frame tables of synthetic files whose right answer is known."""

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from support.media import Sound, Video, beep, count_of, counted, flat, write_media
from wildaffect.errors import InputError
from wildaffect.media import container as container_module
from wildaffect.media import frames as frames_module
from wildaffect.media.audio import read_audio, write_audio
from wildaffect.media.container import UnreadableError
from wildaffect.media.decode import decode
from wildaffect.media.frames import FRAMES, Frames, read_frames, write_frame_table


def table_of(video: Path, tmp_path: Path) -> Frames:
    write_frame_table(video, tmp_path / "frames.parquet")
    return read_frames(tmp_path / "frames.parquet")


def times_at(rate: float | Fraction, count: int = 30, start: float = 0.0) -> list[float]:
    return [start + float(index / rate) for index in range(count)]


CONTAINERS = [
    ("h264.mp4", "libx264", {}),
    ("h264.mov", "libx264", {}),
    ("h264.mkv", "libx264", {}),
    ("h264.ts", "libx264", {}),
    ("hevc.mp4", "libx265", {"x265-params": "log-level=none:pools=none"}),
    ("mpeg4.mp4", "mpeg4", {}),
    ("mpeg4.avi", "mpeg4", {}),
    ("mpeg1.mpg", "mpeg1video", {}),
    ("mpeg2.mpg", "mpeg2video", {}),
    ("wmv2.wmv", "wmv2", {}),
    ("vp8.webm", "libvpx", {}),
    ("vp9.webm", "libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
    ("av1.mkv", "libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}),
]


@pytest.mark.parametrize(("name", "codec", "options"), CONTAINERS, ids=[name for name, _, _ in CONTAINERS])
def test_every_container_and_codec(tmp_path, name, codec, options):
    video = write_media(
        tmp_path / name,
        Video(times_at(25), counted, codec=codec, options=options, rate=Fraction(25), tick=Fraction(1, 25)),
    )
    frames = table_of(video, tmp_path)
    assert frames.about["status"] == "ok", frames.about["reason"]
    assert frames.table.schema.equals(FRAMES)
    assert frames.times == pytest.approx(np.arange(30) / 25, abs=1e-3)
    assert frames.table["duration_s"].to_numpy() == pytest.approx(np.full(30, 0.04), abs=2e-3)
    assert frames.about["frames"] == 30
    assert frames.about["average_rate"] == pytest.approx(25, rel=1e-3)
    assert Fraction(frames.about["nominal_rate"]) == 25
    assert (frames.about["width"], frames.about["height"]) == (64, 48)
    assert not frames.about["vfr"]
    assert frames.table["keyframe"][0].as_py()
    assert [index for index, _ in decode(video)] == list(range(30))


@pytest.mark.parametrize("rate", [Fraction(15, 2), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60)])
def test_constant_rates(tmp_path, rate):
    frames = table_of(write_media(tmp_path / "a.mp4", Video(times_at(rate), counted, rate=rate)), tmp_path)
    assert frames.times == pytest.approx(np.arange(30) / float(rate), abs=2e-5)
    assert frames.about["average_rate"] == pytest.approx(float(rate), rel=1e-4)
    assert frames.about["duration_s"] == pytest.approx(30 / float(rate), rel=1e-3)
    assert not frames.about["vfr"]
    assert frames.about["repairs"] == {}
    assert set(frames.table["repair"].to_pylist()) == {""}


VARIABLE = [0.0, 0.02, 0.05, *(0.1 + 0.11 * frame for frame in range(20))]


@pytest.mark.parametrize("times", [times_at(25), times_at(30000 / 1001), VARIABLE], ids=["25", "29.97", "variable"])
@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.ts", "libx264"), ("a.wmv", "wmv2")],
)
def test_the_nominal_rate_is_what_opencv_reports(tmp_path, name, codec, times):
    """The header's; transport streams, and a WMV of a variable rate, state none."""
    video = write_media(tmp_path / name, Video(times, counted, codec=codec, tick=Fraction(1, 1000)))
    assert float(Fraction(table_of(video, tmp_path).about["nominal_rate"])) == opencv_rate(video)


@pytest.mark.shared
def test_the_nominal_rate_of_real_files_is_what_opencv_reports(shared):
    """Of those that both can open; five of them show their frames at another rate."""
    compared = 0
    for path in sorted([*(shared / "realdata/videos").iterdir(), *(shared / "cases").iterdir()]):
        try:
            with container_module.open_media(path) as container:
                ours = float(container_module.stated_rate(container_module.video_stream(container)[0]))
        except (UnreadableError, InputError):
            continue
        assert ours == opencv_rate(path), path.name
        compared += 1
    assert compared >= 20


def opencv_rate(video: Path) -> float:
    """What the authors' reader says."""
    return cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FPS)


def test_variable_rate_keeps_every_time(tmp_path):
    times = np.cumsum([0, 0.02, 0.05, 0.033, 0.3, 0.04, 0.01, 0.09, 0.033, 0.033])
    frames = table_of(write_media(tmp_path / "a.mkv", Video(times, counted)), tmp_path)
    assert frames.times == pytest.approx(times, abs=1e-3)
    assert frames.about["vfr"]
    assert frames.table["duration_s"].to_numpy()[:-1] == pytest.approx(np.diff(times), abs=2e-3)
    average = 9 / times[-1]
    assert frames.about["jitter_s"] == pytest.approx(np.abs(times - np.arange(10) / average).max(), abs=2e-3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_late_video_starts_at_zero_and_its_start_is_told(tmp_path, name):
    sound = Sound(beep(0.1, 2, 16_000), codec="aac" if name == "a.mp4" else "pcm_s16le")
    frames = table_of(write_media(tmp_path / name, Video(times_at(25, start=0.4), counted), sound), tmp_path)
    assert frames.times[0] == 0
    assert frames.times == pytest.approx(np.arange(30) / 25, abs=1e-3)
    assert frames.about["video_start_s"] == pytest.approx(0.4, abs=1e-3)
    assert frames.about["audio_start_s"] == pytest.approx(0, abs=0.1)
    assert frames.about["audio_streams"] == 1


def test_b_frames_come_in_presentation_order(tmp_path):
    video = write_media(tmp_path / "a.mp4", Video(times_at(30, 40), counted, options={"bf": "3", "b-adapt": "0"}))
    with av.open(str(video)) as opened:
        decode_order = [packet.pts for packet in opened.demux(video=0) if packet.pts is not None]
    assert decode_order != sorted(decode_order)  # the file does hold reordered frames
    frames = table_of(video, tmp_path)
    assert frames.times == pytest.approx(np.arange(40) / 30, abs=1e-4)
    assert [count_of(picture) for _, picture in decode(video)] == list(range(40))


def test_avi_with_b_frames_is_in_order_and_at_most_a_frame_late(tmp_path):
    video = write_media(
        tmp_path / "a.avi",
        Video(
            times_at(25),
            counted,
            codec="mpeg4",
            options={"bf": "2", "qmin": "1", "qmax": "2"},
            rate=Fraction(25),
            tick=Fraction(1, 25),
        ),
        Sound(beep(0.4, 1.2, 16_000)),
    )
    frames = table_of(video, tmp_path)
    assert frames.times == pytest.approx(np.arange(30) / 25)
    assert [count_of(picture) for _, picture in decode(video)] == list(range(30))
    assert 0 <= frames.about["video_start_s"] <= 0.04  # the format has decode times only: up to the decoder's delay


def test_raw_stream_without_timestamps_gets_the_nominal_rate(tmp_path):
    frames = table_of(write_media(tmp_path / "a.h264", Video(times_at(25), counted), container="h264"), tmp_path)
    assert frames.about["frames"] == 30
    assert (np.diff(frames.times) > 0).all()


@pytest.fixture
def with_stamps(monkeypatch):
    """Change timestamps between decoder and table, as damaged files do: {frame: pts or None for missing}."""

    def change(changes, decode_times=True):
        def decoded(*arguments):
            for index, frame in enumerate(container_module.decoded(*arguments)):
                if index in changes:
                    frame.pts = changes[index]
                if not decode_times:
                    frame.dts = None
                yield frame

        monkeypatch.setattr(frames_module, "decoded", decoded)

    return change


@pytest.fixture
def steady(tmp_path) -> Path:
    """Twenty frames at 25 per second in an MKV: 40 ticks each."""
    return write_media(tmp_path / "steady.mkv", Video(times_at(25, 20), counted, rate=Fraction(25)))


def test_missing_duplicate_and_disordered_stamps_are_repaired_and_recorded(tmp_path, steady, with_stamps):
    with_stamps({3: None, 7: 240, 12: 9000})
    frames = table_of(steady, tmp_path)
    assert frames.times == pytest.approx(np.arange(20) * 0.04, abs=1e-9)
    assert {index: rule for index, rule in enumerate(frames.table["repair"].to_pylist()) if rule} == {
        3: "missing",
        7: "duplicate",
        12: "out_of_order",
    }
    assert frames.about["repairs"] == {"missing": 1, "duplicate": 1, "out_of_order": 1}
    assert frames.table["pts"].to_pylist()[2:4] == [80, None]
    assert frames.table["pts"][12].as_py() == 9000


def test_decode_times_serve_where_no_frame_has_a_presentation_time(tmp_path, steady, with_stamps):
    with_stamps(dict.fromkeys(range(20)))
    frames = table_of(steady, tmp_path)
    assert frames.times == pytest.approx(np.arange(20) * 0.04, abs=1e-9)
    repairs = frames.about["repairs"]
    assert repairs["decode_time"] >= 17  # frames that leave the decoder at the end of the file have no time at all
    assert sum(repairs.values()) == 20
    assert frames.about["video_start_s"] == 0


def test_without_any_time_the_nominal_rate_serves(tmp_path, steady, with_stamps):
    with_stamps(dict.fromkeys(range(20)), decode_times=False)
    frames = table_of(steady, tmp_path)
    assert frames.times == pytest.approx(np.arange(20) * 0.04, abs=1e-9)
    assert frames.about["repairs"] == {"missing": 20}


def test_single_frame(tmp_path):
    frames = table_of(write_media(tmp_path / "a.mp4", Video([0.0], counted, rate=Fraction(25))), tmp_path)
    assert frames.times.tolist() == [0]
    assert 0 < frames.about["duration_s"] <= 0.2


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "gray", "yuv444p"])
def test_pixel_formats_are_told(tmp_path, pixel_format):
    codec = "libx264" if pixel_format != "gray" else "ffv1"
    video = Video(times_at(25, 5), lambda _: flat(130), codec=codec, pixel_format=pixel_format)
    video = write_media(tmp_path / "a.mkv", video)
    frames = table_of(video, tmp_path)
    assert frames.about["pixel_format"] == pixel_format
    assert all(abs(picture.mean() - 130) < 3 for _, picture in decode(video))


def test_anamorphic_pixels_are_told(tmp_path):
    video = Video(times_at(25, 5), counted, sample_aspect=Fraction(16, 11))
    frames = table_of(write_media(tmp_path / "a.mp4", video), tmp_path)
    assert frames.about["sample_aspect"] == "16:11"
    assert (frames.about["width"], frames.about["height"]) == (64, 48)


def unreadable(path: Path, tmp_path: Path) -> str:
    frames = table_of(path, tmp_path)
    assert frames.about["status"] == "unreadable"
    assert len(frames.times) == frames.about["frames"] == frames.table.num_rows == 0
    assert list(decode(path)) == []
    write_audio(path, tmp_path / "frames.parquet", tmp_path / "audio.flac")
    samples, rate, about = read_audio(tmp_path / "audio.flac")
    assert (samples.tolist(), rate, about["audio_valid"]) == ([0.0], 16_000, False)
    assert frames.about["reason"].endswith(".")
    return frames.about["reason"]


def test_empty_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert unreadable(tmp_path / "a.mp4", tmp_path) == "the file is empty."


@pytest.mark.parametrize("name", ["a.mp4", "a.txt"])
def test_text_is_no_video(tmp_path, name):
    (tmp_path / name).write_text("This is a letter, not a video.\n" * 100)
    assert "video" in unreadable(tmp_path / name, tmp_path)


def test_random_bytes_are_no_video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(np.random.default_rng(0).bytes(50_000))
    assert "cannot be opened" in unreadable(tmp_path / "a.mp4", tmp_path)


def test_playlist_does_not_lead_to_other_files(tmp_path):
    write_media(tmp_path / "a.mp4", Video(times_at(25), counted))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    assert unreadable(tmp_path / "list.mp4", tmp_path)


def test_folder_is_no_video(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    assert "cannot be opened" in unreadable(tmp_path / "folder.mp4", tmp_path)


def test_sound_without_video(tmp_path):
    sound = write_media(tmp_path / "a.mka", None, Sound(beep(0.1, 1, 16_000)), container="matroska")
    assert unreadable(sound, tmp_path) == "the file has no video stream."


def test_forbidden_file(tmp_path, monkeypatch):
    video = write_media(tmp_path / "a.mp4", Video(times_at(25, 3), counted))
    if os.geteuid() == 0:  # the superuser may read everything

        def refuse(*_, **__):
            raise av.error.PermissionError(13, "Permission denied", str(video))

        monkeypatch.setattr(container_module.av, "open", refuse)
    else:
        video.chmod(0)
    assert "permission denied" in unreadable(video, tmp_path)


def test_missing_file_is_the_users_business(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.mp4"):
        write_frame_table(tmp_path / "nothing.mp4", tmp_path / "frames.parquet")
    with pytest.raises(InputError):
        list(decode(tmp_path / "nothing.mp4"))
    assert not (tmp_path / "frames.parquet").exists()


def cut(path: Path, fraction: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    return path


def noisy(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def test_cut_off_mp4_with_its_index_at_the_end_is_unreadable(tmp_path):
    assert unreadable(cut(write_media(tmp_path / "a.mp4", Video(times_at(25), noisy)), 0.6), tmp_path)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"movflags": "faststart"}),
        ("a.mov", "libx264", {"movflags": "faststart"}),
        ("a.mkv", "libx264", {}),
        ("a.avi", "mpeg4", {}),
    ],
)
def test_cut_off_files_keep_what_is_there(tmp_path, name, codec, options):
    video = Video(times_at(25, 60), noisy, codec=codec, rate=Fraction(25), tick=Fraction(1, 25))
    path = write_media(tmp_path / name, video, **options)
    whole = [picture for _, picture in decode(path)]
    frames = table_of(cut(path, 0.6), tmp_path)
    assert frames.about["status"] == "truncated"
    assert "missing" in frames.about["reason"]
    assert 20 < len(frames.times) < 50
    assert frames.times == pytest.approx(np.arange(len(frames.times)) / 25, abs=1e-3)
    rest = [picture for _, picture in decode(path)]
    assert len(rest) == len(frames.times)
    assert all((one == other).all() for one, other in zip(rest[:-2], whole, strict=False))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
def test_damage_never_separates_table_and_pictures(tmp_path, name, codec):
    options = {"x265-params": "log-level=none:pools=none"} if codec == "libx265" else {}
    path = write_media(
        tmp_path / name, Video(times_at(25, 30), noisy, codec=codec, options=options, tick=Fraction(1, 25))
    )
    content = path.read_bytes()
    found = set()
    for seed in range(6):
        generator = np.random.default_rng(seed)
        damaged = bytearray(content)
        for place in generator.integers(len(content) // 4, len(content) * 9 // 10, 5):
            damaged[place : place + 12] = generator.bytes(12)
        path.write_bytes(damaged)
        frames = table_of(path, tmp_path)
        found.add(frames.about["status"])
        for threads in (1, 3):
            assert [index for index, _ in decode(path, threads)] == list(range(len(frames.times)))
    if codec != "libx265":  # whose decoder takes any bits for a picture
        assert "truncated" in found


@pytest.mark.parametrize(
    "name", ["with space.mp4", "ünïcödé 视频.mp4", "dots.in.name.mp4", "a:b.mp4", "%03d.mp4", "-dash.mp4", "http:x.mkv"]
)
def test_names_do_not_matter(tmp_path, name, monkeypatch):
    write_media(tmp_path / "plain.mkv", Video(times_at(25, 5), counted)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    frames = table_of(Path(name), tmp_path)
    assert (frames.about["status"], len(frames.times)) == ("ok", 5)
    write_audio(Path(name), tmp_path / "frames.parquet", tmp_path / f"{name}.flac")
    assert read_audio(tmp_path / f"{name}.flac")[2]["flags"] == ["absent"]


def test_another_table_is_refused(tmp_path):
    (tmp_path / "frames.parquet").write_text("no table")
    with pytest.raises(InputError):
        read_frames(tmp_path / "frames.parquet")
