"""Sound on the video's clock: synchronisation, gaps, formats and faults."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from support.media import Sound, Video, beep, counted, flash_at, onset, write_media
from wildaffect.errors import InputError
from wildaffect.media.audio import read_audio, write_audio
from wildaffect.media.decode import decode
from wildaffect.media.frames import Frames, read_frames, write_frame_table
from wildaffect.media.track import Track, dejitter

RATE = 16_000


def through(video: Path, tmp_path: Path) -> tuple[Frames, np.ndarray, int, dict]:
    write_frame_table(video, tmp_path / "frames.parquet")
    write_audio(video, tmp_path / "frames.parquet", tmp_path / "audio.flac")
    frames = read_frames(tmp_path / "frames.parquet")
    samples, rate, about = read_audio(tmp_path / "audio.flac")
    assert samples.dtype == np.float32
    assert len(samples) == about["samples"] == round(frames.about["duration_s"] * rate)
    assert rate == about["rate"]
    return frames, samples, rate, about


def steady(count: int = 25, start: float = 0.0) -> Video:
    return Video([start + index / 25 for index in range(count)], counted, rate=Fraction(25))


def tone(length_s: float, rate: int = RATE, channels: int = 1, level: float = 0.5) -> np.ndarray:
    wave = level * np.sin(2 * np.pi * 440 * np.arange(round(length_s * rate)) / rate)
    return np.tile(wave, (channels, 1))


def variable_times() -> list[float]:
    generator = np.random.default_rng(5)
    return np.cumsum(np.append(0, generator.choice([0.02, 0.0334, 0.05, 0.1, 0.25], 39))).tolist()


RATES = {
    "7.5": [index / 7.5 for index in range(23)],
    "23.976": [index * 1001 / 24000 for index in range(72)],
    "29.97": [index * 1001 / 30000 for index in range(90)],
    "30": [index / 30 for index in range(90)],
    "variable": variable_times(),
}


@pytest.mark.parametrize("offset", [0.0, 0.5, -0.5])
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "pcm_s16le"), ("a.mov", "pcm_s16le")])
@pytest.mark.parametrize("rate", RATES)
def test_flash_and_beep_stay_together(tmp_path, rate, name, codec, offset):
    """``offset``: how much later than the video the sound starts; flash and beep happen at the same instant."""
    times = RATES[rate]
    flash = len(times) // 2
    video_start, sound_start = max(0.0, -offset), max(0.0, offset)
    instant = video_start + times[flash]
    video = Video([video_start + time for time in times], flash_at(flash))
    sound = Sound(beep(instant - sound_start, times[-1] + 0.5, RATE), start_s=sound_start, codec=codec)
    path = write_media(tmp_path / name, video, sound)
    frames, samples, _, about = through(path, tmp_path)
    seen = max(decode(path), key=lambda pair: pair[1].mean())[0]
    assert seen == flash
    half_frame = float(np.diff(times)[flash - 1 : flash + 1].min()) / 2
    assert frames.times[seen] == pytest.approx(times[flash], abs=1.1e-3)
    assert abs(onset(samples, RATE) - frames.times[seen]) < min(half_frame, 0.004)
    assert about["audio_valid"]
    assert about["offset_s"] == pytest.approx(offset, abs=0.08)  # an encoder may begin one block early
    if abs(offset) > 0.1:
        assert ("late" if offset > 0 else "early") in about["flags"]


def test_an_index_based_clock_would_fail_the_same_test():
    """The tolerance above is tight enough to notice index / rate on the variable file."""
    times = np.array(RATES["variable"])
    assert np.abs(times - np.arange(len(times)) * times[-1] / (len(times) - 1)).max() > 0.1


def test_pcm_comes_through_bit_by_bit(tmp_path):
    values = np.random.default_rng(0).integers(-32768, 32768, (1, RATE))
    path = write_media(tmp_path / "a.mkv", steady(25), Sound(values / 32768))
    _, _, _, about = through(path, tmp_path)
    written, _ = soundfile.read(tmp_path / "audio.flac", dtype="int16")
    assert (written == values[0]).all()
    assert soundfile.info(tmp_path / "audio.flac").subtype == "PCM_16"
    assert (about["padded_s"], about["trimmed_s"], about["gaps_s"], about["overlaps_s"]) == (0, 0, 0, 0)
    assert (about["offset_s"], about["channels"]) == (0, 1)


@pytest.mark.parametrize(
    ("codec", "subtype", "accuracy"),
    [
        ("pcm_u8", "PCM_16", 2**-7),
        ("pcm_s16le", "PCM_16", 2**-15),
        ("pcm_s24le", "PCM_24", 2**-23),
        ("pcm_s32le", "PCM_24", 2**-23),
        ("pcm_f32le", "PCM_24", 2**-23),
        ("pcm_f64le", "PCM_24", 2**-23),
        ("flac", "PCM_16", 2**-15),
        ("aac", "PCM_16", 0.05),
    ],
)
def test_sample_formats(tmp_path, codec, subtype, accuracy):
    wave = tone(1.0)
    path = write_media(tmp_path / "a.mkv", steady(20), Sound(wave, codec=codec))
    _, samples, _, _ = through(path, tmp_path)
    assert soundfile.info(tmp_path / "audio.flac").subtype == subtype
    inner = slice(1000, 11_000)
    assert np.abs(samples[inner] - wave[0, inner]).max() <= accuracy * 1.5


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_rates_are_kept(tmp_path, rate):
    path = write_media(tmp_path / "a.mkv", steady(10), Sound(tone(0.4, rate), rate=rate))
    _, samples, found, about = through(path, tmp_path)
    assert found == rate
    assert len(samples) == round(0.4 * rate)
    assert about["flags"] == []


@pytest.mark.parametrize(("channels", "layout"), [(2, "stereo"), (6, "5.1"), (6, "5.1(side)"), (8, "7.1")])
def test_channels_are_averaged(tmp_path, channels, layout):
    values = np.random.default_rng(channels).integers(-20_000, 20_000, (channels, 8_000))
    path = write_media(tmp_path / "a.mkv", steady(), Sound(values / 32768, rate=8_000, layout=layout))
    _, samples, _, about = through(path, tmp_path)
    assert np.abs(samples * 32768 - values.mean(axis=0)).max() <= 0.5
    assert about["channels"] == channels


def test_many_planar_channels(tmp_path):
    wave = tone(0.8, 48_000) * np.linspace(0.2, 1, 8)[:, None]
    sound = Sound(wave, rate=48_000, codec="aac", layout="7.1")
    _, samples, _, about = through(write_media(tmp_path / "a.mkv", steady(20), sound), tmp_path)
    assert about["channels"] == 8
    inner = slice(5_000, 30_000)
    assert np.corrcoef(samples[inner], wave.mean(axis=0)[inner])[0, 1] > 0.98


def test_no_sound(tmp_path):
    _, samples, rate, about = through(write_media(tmp_path / "a.mp4", steady()), tmp_path)
    assert (rate, len(samples)) == (16_000, 16_000)
    assert not samples.any()
    assert about["flags"] == ["absent"]
    assert (about["audio_valid"], about["silent"], about["offset_s"], about["channels"]) == (False, True, None, 0)


def test_short_sound_is_followed_by_silence(tmp_path):
    path = write_media(tmp_path / "a.mkv", steady(50), Sound(tone(0.75)))
    _, samples, _, about = through(path, tmp_path)
    assert np.abs(samples[:12_000]).max() > 0.4
    assert not samples[12_000:].any()
    assert about["padded_s"] == pytest.approx(1.25)
    assert about["flags"] == ["short"]
    assert about["audio_valid"]


def test_long_sound_is_cut(tmp_path):
    _, samples, _, about = through(write_media(tmp_path / "a.mkv", steady(25), Sound(tone(2.0))), tmp_path)
    assert np.abs(samples[-100:]).max() > 0.1
    assert about["trimmed_s"] == pytest.approx(1.0)
    assert about["flags"] == []


def test_gap_stays_silence_of_its_length(tmp_path):
    wave = beep(0.8, 1.2, RATE)
    blocks = [(0.0, 0, 8192), (1.512, 8192, wave.shape[1])]  # one second missing after 0.512 s
    path = write_media(tmp_path / "a.mkv", steady(60), Sound(wave, blocks=blocks))
    _, samples, _, about = through(path, tmp_path)
    assert onset(samples, RATE) == pytest.approx(1.8, abs=1e-3)
    assert about["gaps_s"] == pytest.approx(1.0, abs=1e-3)
    assert about["flags"] == ["gaps"]


def test_overlap_is_cut_from_the_later_block(tmp_path):
    wave = np.concatenate([tone(0.512, level=0.25), tone(0.688, level=0.75)], axis=1)
    blocks = [(0.0, 0, 8192), (0.462, 8192, wave.shape[1])]  # the second part begins 50 ms too early
    path = write_media(tmp_path / "a.mkv", steady(25), Sound(wave, blocks=blocks))
    _, samples, _, about = through(path, tmp_path)
    assert np.abs(samples[:8192]).max() < 0.26
    assert np.abs(samples[8192:8600]).max() > 0.7
    assert about["overlaps_s"] == pytest.approx(0.05, abs=1e-3)
    assert "overlaps" in about["flags"]


def test_rounded_timestamps_make_no_gaps(tmp_path):
    """Matroska rounds to milliseconds, 1024 samples at 44.1 kHz are 23.22 ms."""
    path = write_media(tmp_path / "a.mkv", steady(75), Sound(tone(3, 44_100), rate=44_100, codec="aac"))
    _, _, _, about = through(path, tmp_path)
    assert (about["gaps_s"], about["overlaps_s"]) == (0, 0)


def test_sound_elsewhere_is_not_valid(tmp_path):
    path = write_media(tmp_path / "a.mkv", steady(25), Sound(tone(1.0), start_s=5.0))
    _, samples, _, about = through(path, tmp_path)
    assert not samples.any()
    assert not about["audio_valid"]
    assert {"outside", "late"} <= set(about["flags"])


def test_silence_and_clipping_are_flagged(tmp_path):
    _, _, _, about = through(write_media(tmp_path / "a.mkv", steady(), Sound(np.zeros((1, RATE)))), tmp_path)
    assert (about["audio_valid"], about["silent"], about["flags"]) == (True, True, ["silent"])
    clipped = np.clip(3 * tone(1.0, channels=2), -1, 1 - 2**-15)
    clipped[1] = 0  # a dead channel; the mean of the channels is far from full scale
    _, samples, _, about = through(write_media(tmp_path / "b.mkv", steady(), Sound(clipped)), tmp_path)
    assert np.abs(samples).max() < 0.51
    assert about["clipped_fraction"] == pytest.approx((np.abs(clipped[0]) >= 32767 / 32768).mean(), abs=1e-3)
    assert about["flags"] == ["clipped", "dead_channel"]
    assert about["dead_channels"] == [2]


def test_damaged_sound_keeps_its_place(tmp_path):
    path = write_media(tmp_path / "a.mkv", steady(50), Sound(beep(1.5, 2, RATE), codec="flac"))
    content = bytearray(path.read_bytes())
    middle = content.index(b"\xff\xf8", len(content) // 3)  # a FLAC frame begins here
    content[middle : middle + 2] = b"\0\0"
    path.write_bytes(content)
    _, samples, _, about = through(path, tmp_path)
    assert onset(samples, RATE) == pytest.approx(1.5, abs=2e-3)
    assert about["audio_valid"]
    assert "damaged" in about["flags"]
    assert about["failed_packets"] >= 1


def test_missing_video_is_the_users_business(tmp_path):
    path = write_media(tmp_path / "a.mp4", steady())
    write_frame_table(path, tmp_path / "frames.parquet")
    with pytest.raises(InputError, match=r"b\.mp4"):
        write_audio(tmp_path / "b.mp4", tmp_path / "frames.parquet", tmp_path / "audio.flac")
    assert not (tmp_path / "audio.flac").exists()


def test_other_sound_files_are_refused(tmp_path):
    with pytest.raises(InputError):
        read_audio(tmp_path / "nothing.flac")
    soundfile.write(tmp_path / "other.flac", np.zeros(100), 8_000)
    with pytest.raises(InputError, match=r"other\.flac"):
        read_audio(tmp_path / "other.flac")


@given(st.lists(st.tuples(st.integers(-300, 900), st.integers(1, 200)), max_size=8), st.integers(1, 700))
def test_track_has_its_length_and_every_sample_its_position(blocks, length):
    """Each written sample carries its own position, the earlier block wins, all else is silence."""
    path = BytesIO()
    expected, claimed = np.zeros(length, np.int64), 0
    with soundfile.SoundFile(path, "w", samplerate=8_000, channels=1, format="FLAC", subtype="PCM_16") as file:
        track = Track(file, length)
        for index, (start, count) in enumerate(blocks):
            positions = np.arange(start, start + count)
            track.add(start, (positions + 1000 * (index + 1))[None] / 32768)
            free = (positions >= max(claimed, 0)) & (positions < length)
            expected[positions[free]] = positions[free] + 1000 * (index + 1)
            if free.any():
                claimed = positions[free][-1] + 1
        track.close()
    path.seek(0)
    written, _ = soundfile.read(path, dtype="int16")
    assert (written == expected).all()
    assert track.decoded + track.head + track.gaps + track.tail == length
    assert track.decoded + track.trimmed + track.overlaps == sum(count for _, count in blocks)


def test_dejitter_ignores_jitter_and_lone_blips_but_follows_lasting_steps():
    starts = [5, 103, 207, 330, 405, 605, 705, None, 905]  # blocks of 100; 330 is taken back, 605 is a real step
    blocks = [(start, np.zeros((1, 100))) for start in starts]
    assert [start for start, _ in dejitter(blocks, 10)] == [5, 105, 205, 305, 405, 605, 705, 805, 905]
    assert [start for start, _ in dejitter([(None, np.zeros((1, 4))), (4, np.zeros((1, 4)))], 2)] == [0, 4]
