"""The 16 kHz signal under the features."""

import numpy as np
import pytest
import soundfile
import soxr

from wildaffect.errors import InputError
from wildaffect.features import signal
from wildaffect.features.signal import read_speech


def write(path, samples, rate, **options):
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_an_event_keeps_its_time_at_any_rate(tmp_path, rate):
    t = np.arange(2 * rate) / rate
    pulse = 0.5 * np.exp(-(((t - 1.234) / 0.002) ** 2))
    speech = read_speech(write(tmp_path / "a.flac", pulse, rate))[:]
    assert speech.dtype == np.int16
    assert abs(len(speech) - 32000) <= 1
    centre = np.sum(np.arange(len(speech)) * speech.astype(float)) / speech.sum() / 16000
    assert centre == pytest.approx(1.234, abs=2e-5)
    assert speech.max() == pytest.approx(0.5 * 32768, rel=0.02)


def test_blocks_do_not_show(tmp_path, monkeypatch):
    noise = np.random.default_rng(1).normal(0, 0.1, 50_000).astype(np.float32)
    path = write(tmp_path / "a.wav", noise, 44100, subtype="FLOAT")
    monkeypatch.setattr(signal, "_SAMPLES_AT_ONCE", 777)
    whole = soxr.resample(noise, 44100, 16000)
    assert np.abs(read_speech(path)[:] - whole * 32768).max() <= 0.6


def test_16_bit_at_16_khz_is_taken_as_it_is(tmp_path):
    samples = np.random.default_rng(2).integers(-32768, 32768, 5000).astype(np.int16)
    assert np.array_equal(read_speech(write(tmp_path / "a.flac", samples, 16000))[:], samples)


def test_full_scale_is_clipped_and_never_wraps(tmp_path):
    loud = np.array([1.0, 1.5, -1.0, -1.5, 0.0], np.float32)
    speech = read_speech(write(tmp_path / "a.wav", loud, 16000, subtype="FLOAT"))[:]
    assert speech.tolist() == [32767, 32767, -32768, -32768, 0]


def test_empty_file_gives_no_samples(tmp_path):
    assert read_speech(write(tmp_path / "a.wav", np.zeros(0, np.int16), 44100))[:].shape == (0,)


def test_other_files_are_refused_by_name(tmp_path):
    stereo = write(tmp_path / "stereo.wav", np.zeros((10, 2)), 16000)
    with pytest.raises(InputError, match=r"stereo\.wav: has 2 channels"):
        read_speech(stereo)
    text = tmp_path / "text.flac"
    text.write_text("no sound")
    with pytest.raises(InputError, match=r"text\.flac.*not a readable audio file"):
        read_speech(text)
    with pytest.raises(InputError, match=r"absent\.flac"):
        read_speech(tmp_path / "absent.flac")
