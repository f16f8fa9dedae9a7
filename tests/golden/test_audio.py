"""Parity of the audio features with the published tools, on synthetic signals."""

import hashlib

import numpy as np
import pytest

from support import fill
from support.golden import GOLDEN, read_golden
from wildaffect.features import vggish
from wildaffect.features.audio import ntua_mel, tsav_mel
from wildaffect.features.frames import by_patch, patch_count

SAMPLES = 64_000  # of the recording at 16 kHz that the published patches belong to


@pytest.fixture(scope="module")
def facts():
    return read_golden("audio/audio.json")


def test_log_mel_of_a_tone():
    """Where the tone is not, there is nothing but the rounding of the samples to float32, which shows in the fourth digit."""
    want = np.load(GOLDEN / "audio" / "vggish_sine.npz")
    rows = np.arange(vggish.row_count(len(want["wave16k"])))
    got = vggish.log_mel(32768 * want["wave16k"], rows)
    assert got.shape == want["logmel"].shape == (98, 64)
    loud = want["logmel"] > -2
    assert np.abs(got - want["logmel"])[loud].max() <= 1e-5
    assert np.abs(got - want["logmel"]).max() <= 2e-4


@pytest.mark.parametrize("rate", ["23.976", "25.0", "29.97", "30.0"])
def test_patch_starts(facts, rate):
    want = facts["lfan_patches"][rate]
    rows = vggish.patch_starts(SAMPLES)
    assert patch_count(rows, float(rate)) == want["n_patches"]
    frames = np.zeros(want["n_patches"] + 3)  # three more than there are patches
    got = by_patch(frames, float(rate), rows)
    assert got.tolist() == want["start_rows"] + 3 * want["start_rows"][-1:]


@pytest.fixture(scope="module")
def wave(facts):
    """The synthetic signal at 44.1 kHz, made by the formula that the reference states."""
    about = facts["synthetic44k"]
    t = np.arange(about["seconds"] * about["rate"]) / about["rate"]
    gate = np.where((t >= 5.0) & (t < 5.5), 0, 1)
    noise = fill.sample_input("audio.noise", t.shape, -1, 1).astype(np.float64)
    chirp = np.sin(2 * np.pi * (300 * t + 150 * t**2)) * (0.5 + 0.5 * np.sin(2 * np.pi * 0.5 * t))
    left = gate * (0.30 * np.sin(2 * np.pi * 220 * t) + 0.25 * chirp)
    right = gate * (0.35 * np.sin(2 * np.pi * 1234.5 * t) * np.exp(-(t % 1.5)) + 0.10 * noise)
    samples = np.rint(32767 * (left + right) / 2).astype(np.int16)
    assert samples[1000:1010].tolist() == about["mono_first_1000_to_1010"]
    assert hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() == about["mono_sha256_int16_little_endian"]
    return samples


def test_tsav_image(wave):
    want = np.load(GOLDEN / "audio" / "tsav_mel.npz")
    times = {"t_0_0": 0.0, "t_3_0": 3.0, "t_7_0": 7.0, "t_11_9": 11.9}
    together = tsav_mel.faithful_images(wave, np.array(list(times.values())))
    for got, (name, time) in zip(together, times.items(), strict=True):
        assert got.shape == want[name].shape == (1, 64, 1001)
        assert np.abs(got - want[name]).max() <= 1e-4, name
        assert np.abs(tsav_mel.faithful_images(wave, np.array([time]))[0] - got).max() <= 1e-6, name


@pytest.mark.parametrize("fps", ["fps30", "fps29.97"])
def test_ntua_columns(fps):
    want = read_golden("post/ntua_chunks.json")["mel_window_start_and_length"][fps]
    times = np.array([int(frame) for frame in want]) / float(fps.removeprefix("fps"))
    assert ntua_mel.first_columns(times).tolist() == [first for first, _ in want.values()]
    assert {length for _, length in want.values()} == {ntua_mel.COLUMNS}
