"""Parity of the audio features with the published tools (reference set, folder ``audio``)."""

import hashlib
import json

import numpy as np
import pytest

from wildaffect.features import egemaps, mfcc, vggish_frontend
from wildaffect.features.grid import by_patch, patch_count
from wildaffect.features.registry import EGEMAPS23
from wildaffect.features.vggish import PATCH
from wildaffect.features.waveform import read_speech


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "golden" / "audio"


@pytest.fixture(scope="module")
def facts(folder):
    return json.loads((folder / "audio.json").read_text())


@pytest.fixture(scope="module")
def speech(folder, facts):
    samples = read_speech(folder / "speech16k.wav")
    digest = hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()
    assert digest == facts["speech"]["sha256_of_int16_little_endian"]
    return samples


def test_mfcc(folder, speech):
    want = np.load(folder / "opensmile_first2s.npz")
    got = mfcc.descriptors(speech[:32000])
    assert got.shape == want["mfcc12_0_d_a"].shape == (198, 39)
    assert np.abs(got - want["mfcc12_0_d_a_full_precision"]).max() <= 1e-5
    assert np.abs(got - want["mfcc12_0_d_a"]).max() <= 6e-5  # printed with five significant digits
    assert np.allclose(want["mfcc_frame_time"], np.arange(198) / 100)


def test_egemaps(folder, facts, speech):
    want = np.load(folder / "opensmile_first2s.npz")
    got = egemaps.descriptors(speech[:32000])
    assert got.shape == want["egemaps_v01a_python"].shape == (196, 23)
    assert np.abs(got - want["egemaps_v01a_python"]).max() <= 1e-5
    assert np.abs(got - want["egemaps_v01a_conf"]).max() <= 6e-4
    assert list(EGEMAPS23) == facts["opensmile"]["egemaps_v01a_python_columns"]
    assert np.allclose(want["egemaps_v01a_frame_time"], np.arange(196) / 100)


def test_log_mel(folder, speech):
    want = np.load(folder / "vggish_logmel.npz")

    def spectrogram(samples):
        return vggish_frontend.log_mel(samples, np.arange(vggish_frontend.row_count(len(samples))))

    got = spectrogram(speech)
    assert got.shape == (398, 64)
    assert np.abs(got - want["test_logmel"]).max() <= 1e-5
    assert np.abs(got[:384].reshape(4, 96, 64) - want["test_examples"]).max() <= 1e-5
    padded = spectrogram(vggish_frontend.pad_tail(speech))
    assert padded.shape == (498, 64)
    assert np.abs(padded - want["test_logmel_padded_1s"]).max() <= 1e-5


@pytest.mark.parametrize("rate", ["23.976", "25.0", "29.97", "30.0"])
def test_patch_starts(facts, speech, rate):
    want = facts["lfan_patches"][rate]
    rows = vggish_frontend.row_count(len(vggish_frontend.pad_tail(speech))) - PATCH + 1
    assert patch_count(rows, float(rate)) == want["n_patches"]
    frames = np.zeros(want["n_patches"] + 3)  # three more than there are patches
    got = by_patch(frames, float(rate), rows)
    assert got.tolist() == want["start_rows"] + 3 * want["start_rows"][-1:]
