"""TSAV's log-mel images: what is shared between frames must not show, and silence must lie where there is none."""

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from wildaffect.features.audio import tsav_mel
from wildaffect.features.audio.tsav_mel import centred_images, faithful_images

SILENT = np.float32((-100 + 14.8) / 19.895)


def noise(seconds, seed=0, level=3000):
    return np.random.default_rng(seed).normal(0, level, round(seconds * 44100)).astype(np.int16)


def signal(wave):
    return np.concatenate([*tsav_mel.frame_values(wave, None)])


def stacked(images):
    return np.stack([*images]) if len(images) else np.zeros((0, 1, 64, 1001), np.float32)


def centred_windows(power, times):
    return stacked(centred_images(power, times))


def faithful_windows(wave, times):
    return stacked(faithful_images(wave, times))


def by_torchaudio(samples):
    """The published front end on one piece of sound: mel power (64, columns)."""
    mel = torchaudio.transforms.MelSpectrogram(44100, n_fft=1024, win_length=882, hop_length=441, n_mels=64).double()
    return mel(torch.from_numpy(samples / 32768)).numpy()


def published(wave, t):
    """One image by the letter of TSAV spec 2.8 and 2.9."""
    start = int(max(t * 44100 - 441000 + 220500, 0))
    length = int(min(441000, max(t * 44100, 882)))
    power = np.zeros((64, 1001))
    found = by_torchaudio(wave[start : start + length])
    power[:, 1001 - found.shape[1] :] = found
    db = 10 * np.log10(np.maximum(power, 1e-10))
    return (np.maximum(db, db.max() - 80) + 14.8) / 19.895


def test_faithful_images_are_those_of_torchaudio():
    wave = noise(13)
    wave[5 * 44100 : 6 * 44100] = 0
    times = np.array([0.0, 1 / 30, 2.5, 4.999, 5.0, 5.001, 7.0, 9.97, 10.0, 12.0, 12.987])
    for image, t in zip(faithful_windows(wave, times), times, strict=True):
        assert np.abs(image[0] - published(wave, t)).max() < 2e-5, t


@pytest.mark.parametrize(("t", "columns"), [(0.0, 3), (2.5, 251), (5.0, 501), (7.0, 701), (10.0, 1001)])
def test_columns_of_real_sound(t, columns):
    image = faithful_windows(noise(20), np.array([t]))[0, 0]
    floor = image.max() - np.float32(80) / np.float32(19.895)
    real = (image > floor + 1e-3).any(axis=0)
    assert real.sum() == columns
    assert real[-columns:].all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 14), min_size=1, max_size=6), st.sampled_from([faithful_windows, centred_windows]))
def test_no_bit_of_an_image_depends_on_its_company(times, windows):
    wave = noise(12)
    stored = wave if windows is faithful_windows else signal(wave)
    together = windows(stored, np.array(times))
    assert together.shape == (len(times), 1, 64, 1001)
    assert together.dtype == np.float32
    for image, t in zip(together, times, strict=True):
        np.testing.assert_array_equal(image, windows(stored, np.array([t]))[0])


@pytest.mark.parametrize(("fps", "columns"), [(25, 2), (30, 6), (30000 / 1001, 300)])
def test_images_share_all_columns_of_their_phase(fps, columns):
    """Of a minute the columns that are needed: as many times the length of the audio as there are phases."""
    times = np.arange(60 * round(fps)) / fps
    images = faithful_images(noise(60), times)
    assert images.nbytes / (64 * 4 * 6000) == pytest.approx(columns, rel=0.2)


def test_centred_images_share_all_columns():
    images = centred_images(signal(noise(60)), np.arange(1800) / 30)
    assert images.nbytes == images.prepare().nbytes
    assert images.nbytes / (64 * 4 * 6000) == pytest.approx(1, rel=0.2)


def test_no_frames_give_no_images():
    for windows, stored in ((faithful_windows, noise(1)), (centred_windows, signal(noise(1)))):
        assert windows(stored, np.zeros(0)).shape == (0, 1, 64, 1001)


@pytest.mark.parametrize("samples", [0, 1, 441, 882, 44100])
def test_silence_is_the_published_constant_everywhere(samples):
    wave = np.zeros(samples, np.int16)
    times = np.array([0.0, 0.5, 7.0, 30.0])
    assert pytest.approx(-4.28248, abs=1e-5) == SILENT
    for images in (faithful_windows(wave, times), centred_windows(signal(wave), times)):
        assert np.abs(images - SILENT).max() < 1e-6


@pytest.mark.parametrize("samples", [513, 600, 881, 882, 883, 1323])
def test_very_short_sounds(samples):
    image = faithful_windows(noise(1)[:samples], np.array([3.0]))[0]
    floor = image.max() - np.float32(80) / np.float32(19.895)
    assert np.isfinite(image).all()
    assert (image[0] > floor + 1e-3).any(axis=0).sum() == 1 + samples // 441


def test_sounds_that_cannot_be_reflected_are_silence():
    assert np.abs(faithful_windows(noise(1)[:512], np.array([3.0])) - SILENT).max() < 1e-6


def test_an_event_stands_in_the_middle_of_the_centred_image_of_its_frame():
    wave = np.zeros(30 * 44100, np.int16)
    for at in (0.5, 12.34, 29.0):
        wave[round(at * 44100) - 20 : round(at * 44100) + 20] = 20000
    power = signal(wave)
    for at in (0.5, 12.34, 29.0):
        loudest = centred_windows(power, np.array([at]))[0, 0].sum(axis=0).argmax()
        assert abs(int(loudest) - 500) <= 1


def test_the_two_kinds_agree_up_to_half_a_column_inside_and_differ_at_the_ends():
    wave = noise(30)
    power = signal(wave)
    inside = np.array([10.0, 15.0, 20.0])  # on the grid, so that both see the same sound
    difference = np.abs(faithful_windows(wave, inside) - centred_windows(power, inside))
    assert difference[..., 1:-1].max() < 1e-5
    early = np.array([2.0])
    ahead = centred_windows(power, early)[0, 0, :, 600:1000]
    assert (ahead > ahead.max() - 3).all()  # look-ahead of 5 s
    late = np.array([29.0])
    assert np.ptp(centred_windows(power, late)[0, 0, :, -300:]) == 0  # nothing behind the end
    assert np.ptp(faithful_windows(wave, late)[0, 0, :, :300]) == 0  # the original puts it on the left


def test_the_stored_signal_may_be_a_memory_map(tmp_path):
    wave = noise(2)
    np.save(tmp_path / "wave.npy", wave)
    np.save(tmp_path / "power.npy", signal(wave))
    times = np.array([0.3, 1.9])
    mapped = np.load(tmp_path / "wave.npy", mmap_mode="r")
    assert np.abs(faithful_windows(mapped, times) - faithful_windows(wave, times)).max() <= 1e-6
    mapped = np.load(tmp_path / "power.npy", mmap_mode="r")
    assert np.array_equal(centred_windows(mapped, times), centred_windows(signal(wave), times))


def test_full_scale_square_wave_is_finite():
    wave = np.where(np.arange(2 * 44100) // 50 % 2, 32767, -32768).astype(np.int16)
    assert np.isfinite(faithful_windows(wave, np.array([1.0, 2.0]))).all()
    assert all(np.isfinite(block).all() for block in tsav_mel.frame_values(wave, None))
