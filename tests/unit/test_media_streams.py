"""Files with several streams, clocks that step, images that change, and channels that do not fit together."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.media import (
    Sound,
    Video,
    beep,
    count_of,
    counted,
    flat,
    join,
    onsets,
    write_media,
    write_streams,
)
from wildaffect.features.frames import Clock as FrameClock
from wildaffect.features.frames import has_audio
from wildaffect.media import audio, container
from wildaffect.media.audio import read_audio, write_audio
from wildaffect.media.decode import decode
from wildaffect.media.frames import read_frames, write_frame_table
from wildaffect.media.timestamps import Clock, clock_starts, repair_clocks
from wildaffect.media.track import follow

RATE = 48_000


def steady(count: int = 50, **options) -> Video:
    return Video([index / 25 for index in range(count)], counted, rate=Fraction(25), tick=Fraction(1, 25), **options)


def tone(length_s: float, channels: int = 1, level: float = 0.5) -> np.ndarray:
    wave = level * np.sin(2 * np.pi * 440 * np.arange(round(length_s * RATE)) / RATE)
    return np.tile(wave, (channels, 1))


def through(path: Path, stream: int | None = None, sound: int | None = None):
    """Frame table, audio and its metadata of a file."""
    folder = path.parent / "results"
    write_frame_table(path, folder / "frames.parquet", stream)
    write_audio(path, folder / "frames.parquet", folder / "audio.flac", sound)
    samples, rate, about = read_audio(folder / "audio.flac")
    frames = read_frames(folder / "frames.parquet")
    assert len(samples) == max(1, round(frames.about["duration_s"] * rate))
    return frames, samples, about


# Formats without presentation times.


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("b_frames", [0, 1, 3])
@pytest.mark.parametrize("dropped", [(), (20, 21, 22, 23, 24, 25)])
def test_avi_is_timed_by_its_decoding_times(tmp_path, codec, b_frames, dropped):
    """The times that FFmpeg guesses for B-frames run back, and a gap lies a frame too early."""
    kept = [index for index in range(75) if index not in dropped]
    options = {"bf": str(b_frames)} | ({"x264-params": "scenecut=0"} if codec == "libx264" else {})
    video = Video(
        [index / 25 for index in kept],
        lambda row: counted(kept[row]),
        codec=codec,
        options=options,
        rate=Fraction(25),
        tick=Fraction(1, 25),
    )
    path = write_media(tmp_path / "a.avi", video)
    frames, _, _ = through(path)
    assert frames.times == pytest.approx(np.array(kept) / 25, abs=1e-6)
    assert frames.about["vfr"] == bool(dropped)
    assert frames.about["status"] == "ok"
    if codec == "libx264":  # the other one's colours are too coarse to count by
        assert [count_of(image) for _, image in decode(path)] == [index % 50 for index in kept]


def test_presentation_times_in_decoding_order_are_not_believed(tmp_path):
    """As programs write MP4 that leave out the differences of both times."""
    path = write_media(tmp_path / "a.avi", steady(75, options={"bf": "3", "b-adapt": "0"}))
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mp4"), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts, packet.stream = packet.dts, stream
                output.mux(packet)
    frames, _, _ = through(tmp_path / "b.mp4")
    assert np.diff(frames.times) == pytest.approx(np.full(74, 0.04), abs=1e-6)
    assert not frames.about["vfr"]
    assert [count_of(image) for _, image in decode(tmp_path / "b.mp4")] == [index % 50 for index in range(75)]


# Which stream.


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_single_picture_is_never_used_beside_a_video(tmp_path, name):
    """Not even with the default flag; without the flag of cover images it looks like a video."""
    thumbnail = Video([0.0], lambda _: flat(90, 96, 72), codec="mjpeg", pixel_format="yuvj420p", rate=Fraction(25))
    path = write_streams(tmp_path / name, [thumbnail, steady(options={"bf": "0"})], defaults=[0])
    frames, _, _ = through(path)
    assert len(frames.times) == 50
    assert frames.about["streams"] == {"kind": "video", "used": 1, "of": [0, 1], "reason": "more than one picture"}
    assert len(list(decode(path))) == len(list(decode(path, 2, frames.about["view"]))) == 50


def test_a_single_picture_alone_is_a_video_of_one_frame(tmp_path):
    thumbnail = Video([0.0], lambda _: flat(90), codec="mjpeg", pixel_format="yuvj420p", rate=Fraction(25))
    frames, _, _ = through(write_media(tmp_path / "a.mkv", thumbnail))
    assert len(frames.times) == 1
    assert "streams" not in frames.about


@pytest.mark.parametrize(
    ("first", "second", "defaults", "used", "reason"),
    [
        ((50, 64), (50, 64), [1], 1, "default"),
        ((50, 64), (50, 64), [], 0, "the first one"),
        ((20, 64), (50, 64), [], 1, "most frames"),
        ((50, 64), (50, 96), [], 1, "most pixels"),
        ((20, 96), (50, 64), [], 1, "most frames"),
        ((20, 96), (50, 64), [0], 0, "default"),
        ((50, 64), (48, 96), [], 1, "most pixels"),
    ],
)
def test_of_several_videos_the_rules_choose(tmp_path, first, second, defaults, used, reason):
    videos = [
        Video(steady(count).times, lambda _, width=width: flat(100, width), rate=Fraction(25))
        for count, width in (first, second)
    ]
    path = write_streams(tmp_path / "a.mkv", videos, defaults=defaults)
    frames, _, _ = through(path)
    assert frames.about["streams"]["reason"] == reason
    assert (frames.about["streams"]["used"], frames.about["view"]["stream"]) == (used, used)
    count, width = (first, second)[used]
    assert [image.shape[1] for _, image in decode(path, 1, frames.about["view"])] == [width] * count


def test_the_default_audio_is_used_and_the_choice_told(tmp_path):
    silence = Sound(np.zeros((1, 2 * RATE)), rate=RATE)
    path = write_streams(tmp_path / "a.mkv", [steady()], [silence, Sound(tone(2), rate=RATE)], defaults=[2])
    _, samples, about = through(path)
    assert np.abs(samples).max() > 0.4
    assert about["streams"] == {"kind": "audio", "used": 2, "of": [1, 2], "reason": "default"}


def test_without_a_default_the_longest_audio_is_used(tmp_path):
    short = Sound(tone(0.3, level=0.1), rate=RATE)
    path = write_streams(tmp_path / "a.mkv", [steady()], [short, Sound(tone(2), rate=RATE)])
    _, samples, about = through(path)
    assert np.abs(samples).max() > 0.4
    assert (about["streams"]["used"], about["streams"]["reason"]) == (2, "longest")


def test_a_stream_that_is_asked_for_is_used_or_missed(tmp_path):
    sounds = [Sound(tone(2, level=level), rate=RATE) for level in (0.1, 0.5)]
    path = write_streams(tmp_path / "a.mkv", [steady(20), steady(50)], sounds, defaults=[1, 2])
    frames, samples, about = through(path, 0, 3)
    assert len(frames.times) == 20
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.01)
    assert {frames.about["streams"]["reason"], about["streams"]["reason"]} == {"as the table of trials says"}
    frames, _, about = through(path, 3, 1)
    assert (frames.about["status"], frames.about["reason"]) == ("unreadable", "stream 3 is no video stream.")
    _, _, about = through(path, 0, 1)
    assert about["flags"] == ["undecodable"]


def test_a_file_without_a_choice_has_nothing_to_tell(tmp_path):
    frames, _, about = through(write_media(tmp_path / "a.mkv", steady(), Sound(tone(2), rate=RATE)))
    assert not {"streams", "changes", "hdr", "view", "clocks"} & set(frames.about)
    assert not {"streams", "unplaced_s", "channel", "dead_channels", "not_finite"} & set(about)


# Clocks that step.


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> dict[str, Path]:
    """Recordings of 45 frames with a beep at 0.5 s, starting at 0, 1.4 and 1000 s, by name."""
    folder, found = tmp_path_factory.mktemp("recordings"), {}
    for name, start in (("zero", 0.0), ("later", 1.4), ("far", 1000.0)):
        for suffix, codec in ((".ts", "libx264"), (".mpg", "mpeg2video")):
            video = Video(
                [start + index / 25 for index in range(45)], counted, codec=codec, rate=Fraction(25),
                tick=Fraction(1, 25), options={"bf": "2"},
            )  # fmt: skip
            sound = Sound(beep(0.5, 1.8, RATE), rate=RATE, start_s=start, codec="mp2")
            found[name + suffix] = write_media(folder / (name + suffix), video, sound)
    return found


@pytest.mark.parametrize(
    "parts",
    [
        ("zero.ts", "zero.ts"),
        ("zero.mpg", "zero.mpg"),
        ("zero.ts", "zero.ts", "zero.ts"),
        ("zero.ts", "far.ts"),
        ("far.ts", "zero.ts"),
        ("zero.ts", "later.ts"),
        ("later.ts", "zero.ts", "far.ts"),
    ],
)
def test_frames_and_audio_follow_a_clock_that_steps(tmp_path, recordings, parts):
    path = join(tmp_path / f"joined{recordings[parts[0]].suffix}", [recordings[part] for part in parts])
    frames, samples, about = through(path)
    count = 45 * len(parts)
    assert np.diff(frames.times) == pytest.approx(np.full(count - 1, 0.04), abs=1e-6)
    assert not frames.about["vfr"]
    assert (frames.about["status"], frames.about["reason"]) == ("ok", "")
    assert [clock["frame"] for clock in frames.about["clocks"]] == list(range(0, count, 45))
    assert frames.about["repairs"] == {"clock": count - 45}
    beeps = [1.8 * part + 0.5 for part in range(len(parts))]
    assert onsets(samples, RATE) == pytest.approx(beeps, abs=0.03)
    assert "unplaced_s" not in about
    assert about["gaps_s"] < 0.05


def test_one_wild_time_does_not_make_a_video_longer(tmp_path):
    """The stated length counts the wild one: nothing is missing."""
    times = [index / 25 for index in range(45)]
    path = write_media(tmp_path / "a.mkv", Video([*times[:-1], 1001.0], counted, rate=Fraction(25)))
    frames, _, _ = through(path)
    assert (frames.about["status"], frames.about["reason"]) == ("ok", "")
    assert frames.times == pytest.approx(times, abs=2e-3)


@pytest.mark.parametrize(
    ("stamps", "starts"),
    [
        ([0, 10, 20, 30], []),
        ([0, 10, 20, 0, 10, 20], [3]),
        ([0, 10, 20, 30, 40, 20, 30, 40, 50], [5]),  # runs back by three frames
        ([0, 10, 20, 30, 30, 40, 50], []),  # one is repeated
        ([0, 10, 20, 20, 20, 20, 20, 30], []),  # held
        ([0, 10, 7000, 7010, 40, 50, 60], []),  # two wild ones
        ([0, 10, 20, 9000, 9010, 9020], [3]),  # a jump beyond 1000
        ([0, 10, 20, 900, 910, 920], []),  # a long hold
        ([0, 10, 20, 30, 9000], []),
        ([30, 10, 20, 0, 60, 40, 50, 30, 90, 70, 80, 60], []),  # decoding order
        ([0, 10, 20, 30, 0, 10, 20, 30, 5, 15, 25, 35], [4, 8]),
        ([], []),
    ],
)
def test_where_clocks_start(stamps, starts):
    assert clock_starts(np.array(stamps, np.int64), 1000) == starts


@given(st.lists(st.one_of(st.none(), st.integers(-60, 60)), max_size=40), st.floats(0.5, 50))
def test_times_increase_whatever_the_clocks_do(stamps, step):
    known = np.array([stamp is not None for stamp in stamps], bool)
    ticks, rules, clocks = repair_clocks([stamp or 0 for stamp in stamps], known, step, 50)
    assert (np.diff(ticks) > 0).all()
    assert all(tick == stamp for stamp, tick, rule in zip(stamps, ticks, rules, strict=True) if rule == "")
    for clock, after in zip(clocks, [*clocks[1:], None], strict=False):
        for index in range(clock.frame, after.frame if after else len(stamps)):
            if rules[index] == "clock":
                assert ticks[index] == pytest.approx(stamps[index] + clock.shift)


def placed(starts: list[int], clocks: list[Clock], size: int = 100) -> tuple[list[int], list[int]]:
    """Positions of blocks at a rate of 100 samples per second, and from where on they are not known."""
    unplaced: list[int] = []
    blocks = [(start, np.zeros((1, size))) for start in starts]
    return [start for start, _ in follow(blocks, clocks, 100, unplaced)], unplaced


RESTART = [Clock(0, 0, 1000, 0), Clock(250, 0, 1000, 1000)]


def test_audio_makes_the_steps_of_the_frames():
    first, again = list(range(0, 1000, 100)), list(range(0, 300, 100))
    assert placed([*first, *again], RESTART) == ([*first, 1000, 1100, 1200], [])
    # It ends half a second early in the first recording: a gap, and the second one keeps its place.
    assert placed([*first[:9], 50, 150], RESTART) == ([*first[:9], 1050, 1150], [])


def test_audio_with_a_clock_of_its_own_goes_on_and_is_not_placed():
    assert placed([0, 100, 200, 0, 100], []) == ([0, 100, 200, 300, 400], [300])
    # The frames' clock steps elsewhere and by another amount.
    assert placed([0, 100, 200, 0, 100], RESTART) == ([0, 100, 200, 300, 400], [300])


def test_audio_that_steps_less_often_than_the_frames_is_not_placed():
    """After one step it may belong to either recording."""
    clocks = [*RESTART, Clock(500, 0, 1000, 2000)]
    first = list(range(0, 1000, 100))
    assert placed([*first, 0, 100], clocks)[1] == [1000]
    assert placed([*first, *first, 0], clocks)[1] == []


def test_steps_forward_are_gaps_and_short_overlaps_stay():
    assert placed([0, 100, 900], []) == ([0, 100, 900], [])
    assert placed([0, 100, 170], []) == ([0, 100, 170], [])


def test_audio_without_steps_is_known_whatever_the_frames_do():
    assert placed([0, 100, 200, 300], RESTART) == ([0, 100, 200, 300], [])


def test_where_audio_is_not_placed_it_is_not_valid(tmp_path, monkeypatch):
    """The clock of the audio alone runs back by 0.9 s in the middle."""

    def restarted(*arguments):
        for block in container.decoded(*arguments):
            second = float(block.pts * block.time_base)
            if second >= 1:
                block.pts -= round(0.9 / block.time_base)
            yield block

    monkeypatch.setattr(audio, "decoded", restarted)
    path = write_media(tmp_path / "a.mkv", steady(), Sound(beep(1.5, 2, RATE), rate=RATE))
    frames, samples, about = through(path)
    assert onsets(samples, RATE) == pytest.approx([1.5], abs=0.03)
    assert "unplaced" in about["flags"]
    ((first, last),) = about["unplaced_s"]
    assert (first, last) == (pytest.approx(1.0, abs=0.05), pytest.approx(2.0))
    valid = has_audio(about, FrameClock(frames.times))
    assert valid[1:24].all() and not valid[26:].any()


# Images that change.


def numbered_size(width: int, height: int) -> np.ndarray:
    """A bright square of a quarter of the height in the middle of a dark image."""
    image = np.full((height, width, 3), 20, np.uint8)
    side = height // 8
    image[height // 2 - side : height // 2 + side, width // 2 - side : width // 2 + side] = 230
    return image


def sized(folder: Path, sizes: list[tuple[int, int, int]]) -> Path:
    """A stream that consists of parts of (frames, width, height)."""
    parts = [
        write_media(
            folder / f"{number}.h264",
            Video([index / 25 for index in range(count)], lambda _, w=w, h=h: numbered_size(w, h), rate=Fraction(25)),
            container="h264",
        )
        for number, (count, w, h) in enumerate(sizes)
    ]
    return join(folder / "joined.h264", parts)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(10, 96, 64), (5, 64, 96)], (96, 64)),  # as large: the more frequent one
        ([(5, 96, 64), (10, 64, 96)], (64, 96)),
        ([(5, 48, 32), (10, 96, 64)], (96, 64)),  # the largest one
        ([(10, 48, 32), (5, 96, 64)], (96, 64)),
        ([(30, 96, 64), (1, 192, 128)], (96, 64)),  # unless it hardly occurs
        ([(6, 64, 48), (6, 128, 64)], (128, 64)),
    ],
)
def test_images_have_one_size_and_keep_their_aspect(tmp_path, sizes, expected):
    path = sized(tmp_path, sizes)
    frames, _, _ = through(path)
    about = frames.about
    assert (about["width"], about["height"]) == expected
    assert about["view"] == {"width": expected[0], "height": expected[1]}
    starts = np.cumsum([0, *[count for count, _, _ in sizes]])
    told = [
        {"frame": int(start), "width": w, "height": h, "rotation": 0}
        for start, (_, w, h) in zip(starts, sizes, strict=False)
    ]
    assert about["changes"] == told
    assert about["resized_frames"] == sum(count for count, w, h in sizes if (w, h) != expected)
    for threads in (1, 2):
        images = [image for _, image in decode(path, threads, about["view"])]
        assert {image.shape for image in images} == {(expected[1], expected[0], 3)}
    stored = [(w, h) for count, w, h in sizes for _ in range(count)]
    for image, (w, h) in zip(images, stored, strict=True):
        scale = min(expected[0] / w, expected[1] / h)
        rows, columns = np.nonzero(image[..., 1] > 125)
        # The square is in the middle and still a square, of the size that the scale makes of it.
        assert (rows.mean() + 0.5, columns.mean() + 0.5) == pytest.approx((expected[1] / 2, expected[0] / 2), abs=1)
        side = 2 * (h // 8) * scale
        assert np.ptp(rows) + 1 == pytest.approx(side, abs=2.5) and np.ptp(columns) + 1 == pytest.approx(side, abs=2.5)
        # Beside the frame it is black.
        top, left = (max(0, int((e - s * scale) / 2) - 1) for e, s in zip(expected[::-1], (h, w), strict=True))
        assert image[:top].max(initial=0) <= 8 and image[:, :left].max(initial=0) <= 8


def test_orientation_is_that_of_each_frame(tmp_path, monkeypatch):
    """An encoder states it with keyframes; it holds until the next keyframe."""
    upright, quarter = container.Orientation(), container.Orientation(transpose=True, mirror_x=True)
    keyframes, stated = [1, 0, 1, 0, 1, 0, 0], [upright, upright, quarter, upright, upright, upright, quarter]
    frames = [
        SimpleNamespace(key_frame=bool(key), rotation=turn.rotation, turn=turn)
        for key, turn in zip(keyframes, stated, strict=True)
    ]
    monkeypatch.setattr(container, "orientation", lambda frame: frame.turn)
    turns = [turn for _, turn in container.oriented(frames)]
    assert turns == [upright, upright, quarter, quarter, upright, upright, quarter]


@pytest.mark.slow  # tables of tone mapping take seconds
@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
def test_high_dynamic_range_is_mapped(tmp_path, transfer, name):
    """Diffuse white, 203 cd/m2, is code 0.58 of PQ and 0.75 of HLG (ITU-R BT.2408): it must come out bright, and middle grey in order."""
    code = {"PQ": 0.58, "HLG": 0.75}[name]
    params = f"log-level=none:pools=none:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:range=limited"
    levels = [round(255 * code), round(255 * code * 0.6), 8]
    video = Video(
        [0, 0.04, 0.08], lambda index: flat(levels[index]), codec="libx265", pixel_format="yuv420p10le",
        options={"x265-params": params}, rate=Fraction(25),
    )  # fmt: skip
    path = write_media(tmp_path / "a.mkv", video)
    frames, _, _ = through(path)
    assert frames.about["hdr"] == name
    white, grey, black = (float(image.mean()) for _, image in decode(path))
    assert white > levels[0] + 15 and white > 170
    assert black < 30 < grey < white


# Channels.


def test_channels_that_cancel_are_not_silence(tmp_path):
    wave = tone(2, 2)
    wave[1] *= -0.9
    path = write_media(tmp_path / "a.mkv", steady(), Sound(wave, rate=RATE))
    _, samples, about = through(path)
    assert samples == pytest.approx(wave[0], abs=1e-4)
    assert (about["flags"], about["channel"], about["silent"]) == (["cancelling"], 1, False)


def test_channels_that_cancel_for_a_while_are_heard_there(tmp_path):
    wave = tone(2, 2)
    wave[1, RATE:] *= -1
    _, samples, about = through(write_media(tmp_path / "a.mkv", steady(), Sound(wave, rate=RATE)))
    assert "cancelling" in about["flags"]
    assert np.abs(samples[RATE + 2000 :]).max() > 0.4


@pytest.mark.parametrize("channels", [2, 6])
def test_unrelated_channels_are_averaged_as_before(tmp_path, channels):
    noise = np.random.default_rng(channels).normal(0, 0.1, (channels, 2 * RATE)).clip(-1, 1)
    _, samples, about = through(write_media(tmp_path / "a.mkv", steady(), Sound(noise, rate=RATE)))
    assert samples == pytest.approx(noise.mean(axis=0), abs=1e-4)
    assert about["flags"] == []


def test_a_dead_channel_is_told(tmp_path):
    wave = tone(2, 2)
    wave[0] = 0
    _, samples, about = through(write_media(tmp_path / "a.mkv", steady(), Sound(wave, rate=RATE)))
    assert (about["flags"], about["dead_channels"]) == (["dead_channel"], [1])
    assert np.abs(samples).max() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_told_and_silent(tmp_path, value):
    wave = tone(2)
    wave[0, 1000:1100] = value
    _, samples, about = through(write_media(tmp_path / "a.mkv", steady(), Sound(wave, rate=RATE, codec="pcm_f32le")))
    assert (about["flags"], about["not_finite"]) == (["not_finite"], 100)
    assert not samples[1000:1100].any()
    assert np.abs(samples).max() < 0.6
