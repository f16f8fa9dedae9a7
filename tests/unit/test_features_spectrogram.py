"""Mel spectrograms against torchaudio, and the features M3T and NTUA that are made of them."""

import numpy as np
import pytest
import torch
import torchaudio

from wildaffect.features.audio import m3t_mel, ntua_mel
from wildaffect.features.frames import BY_THIRD, BY_THIRD_TIME, Clock
from wildaffect.features.signal import htk_filters, piece, slaney_filters


def noise(seconds, rate=16000, level=3000):
    return np.random.default_rng(0).normal(0, level, round(seconds * rate)).astype(np.int16)


def decibel(power):
    db = 10 * np.log10(np.maximum(power, 1e-10))
    return np.maximum(db, db.max() - 80)


def by_torchaudio(samples, **options):
    mel = torchaudio.transforms.MelSpectrogram(mel_scale="slaney", norm="slaney", **options).double()
    return decibel(mel(torch.from_numpy(samples / 32768)).numpy().T)


@pytest.mark.parametrize(
    "shape", [(44100, 1024, 64, 0.0, 22050.0), (16000, 512, 40, 0.0, 8000.0), (44100, 2048, 128, 20.0, 8300.0)]
)
@pytest.mark.parametrize(("make", "scale", "norm"), [(htk_filters, "htk", None), (slaney_filters, "slaney", "slaney")])
def test_filters_are_those_of_torchaudio(shape, make, scale, norm):
    rate, fft, bands, low, high = shape
    want = torchaudio.functional.melscale_fbanks(fft // 2 + 1, low, high, bands, rate, norm, scale).numpy()
    assert np.abs(make(rate, fft, bands, low, high) - want).max() <= 1e-4 * want.max()


def test_pieces_are_padded_with_silence_on_either_side():
    signal = np.array([32767, -32768, 16384], np.int16)
    full = np.array([0, 0, 32767 / 32768, -1, 0.5, 0])
    for start in range(-5, 6):
        for stop in range(start, 7):
            want = [full[k + 2] if -2 <= k <= 3 else 0 for k in range(start, stop)]
            assert piece(signal, start, stop).tolist() == want


def test_m3t_levels_are_those_of_torchaudio():
    speech = noise(3)
    speech[16000:24000] = 0
    got = m3t_mel.rows(speech, 177)[:]
    want = by_torchaudio(speech, sample_rate=16000, n_fft=512, win_length=400, hop_length=177, n_mels=40)
    assert got.shape == want.shape == (1 + 48000 // 177, 40)
    assert np.abs(got - want).max() < 1e-3


@pytest.mark.parametrize(("fps", "hop"), [(30, 177), (29.97, 177), (25, 213), (24, 222), (23.976, 222), (15.452, 345)])
def test_m3t_hops(fps, hop):
    assert m3t_mel.hop_samples(fps) == hop


def m3t_frames(speech, clock):
    return np.concatenate([*m3t_mel.frame_values(speech, clock)])


def onset(values):
    """First frame whose five rows hear anything."""
    return int(np.flatnonzero(values[:, 160:].max(axis=1) > values.min() + 20)[0])


def test_the_published_m3t_rows_fall_behind_the_picture_and_the_others_do_not():
    frames, fps = 3000, 30.0
    speech = np.zeros(frames * 16000 // 30, np.int16)
    speech[90 * 16000 :] = noise(10)  # at frame 2700
    times = np.arange(frames) / fps
    true = m3t_frames(speech, Clock(times, fps, BY_THIRD_TIME))
    assert 2698 <= onset(true) <= 2700
    behind = m3t_frames(speech, Clock(times, fps, BY_THIRD))
    # 2.33 samples a frame: the row of 90 s is 8135, which frame 2711 is the first to reach with its fifth row
    assert onset(behind) in (2710, 2711)


def test_m3t_rows_behind_the_end():
    speech = noise(1)
    times = np.arange(60) / 30  # twice as long as the sound
    faithful = m3t_frames(speech, Clock(times, 30.0, BY_THIRD))
    assert (faithful[31:] == 0).all()
    corrected = m3t_frames(speech, Clock(times, 30.0, BY_THIRD_TIME))
    assert (corrected[31:] == m3t_mel.rows(speech, 177)[:].min()).all()
    assert (corrected.reshape(60, 5, 40)[:29, 3] == corrected.reshape(60, 5, 40)[1:30, 0]).all()  # time-major


def test_m3t_below_15_frames_per_second_only_the_corrected_rule_has_sound():
    clock = np.arange(10) / 10
    assert not m3t_frames(noise(1), Clock(clock, 10.0, BY_THIRD)).any()
    assert m3t_frames(noise(1), Clock(clock, 10.0, BY_THIRD_TIME)).std() > 1


def test_silence_in_m3t_is_minus_100_db():
    assert (m3t_mel.rows(np.zeros(1000, np.int16), 177)[:] == -100).all()


def test_ntua_signal_and_windows():
    wave = noise(12, 44100)
    db = np.concatenate([*ntua_mel.frame_values(wave, None)])
    want = by_torchaudio(
        wave, sample_rate=44100, n_fft=2048, hop_length=512, n_mels=128, f_min=20.0, f_max=8300.0, pad_mode="constant"
    )
    assert db.shape == want.shape
    assert np.abs(db - want).max() < 1e-3
    early, late = ntua_mel.windows(db, np.array([3.0, 11.0]))
    assert early.shape == (128, 861)
    assert np.array_equal(early, db[:861].T)
    first = int(6 * 44100 / 512)
    assert np.array_equal(late[:, : len(db) - first], db[first:].T)
    assert (late[:, len(db) - first :] == 0).all()
    assert (ntua_mel.windows(db, np.array([11.0]), fill=-7)[0, :, -1] == -7).all()
    assert (ntua_mel.windows(db, np.array([40.0])) == 0).all()
