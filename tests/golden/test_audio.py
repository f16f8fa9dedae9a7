"""Parity of the audio features with the published tools (reference set, folder ``audio``)."""

import hashlib
import json

import numpy as np
import pytest

from support.golden import load_fill
from wildaffect.features.audio import egemaps23, egemaps25, m3t_mel, mfcc39, ntua_mel, tsav_mel
from wildaffect.features.columns import EGEMAPS23, EGEMAPS25
from wildaffect.features.frames import Clock, by_patch, patch_count
from wildaffect.features.vggish import frontend
from wildaffect.features.vggish.network import PATCH
from wildaffect.features.waveform import read_speech


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "golden" / "audio"


@pytest.fixture(scope="module")
def facts(folder):
    return json.loads((folder / "audio.json").read_text())


@pytest.fixture(scope="module")
def speech(folder, facts):
    samples = read_speech(folder / "speech16k.wav")[:]
    digest = hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()
    assert digest == facts["speech"]["sha256_of_int16_little_endian"]
    return samples


def test_mfcc(folder, speech):
    want = np.load(folder / "opensmile_first2s.npz")
    got = mfcc39.descriptors(speech[:32000])[:]
    assert got.shape == want["mfcc12_0_d_a"].shape == (198, 39)
    assert np.abs(got - want["mfcc12_0_d_a_full_precision"]).max() <= 1e-5
    assert np.abs(got - want["mfcc12_0_d_a"]).max() <= 6e-5  # printed with five significant digits
    assert np.allclose(want["mfcc_frame_time"], np.arange(198) / 100)


@pytest.mark.parametrize(
    ("module", "version", "columns"), [(egemaps23, "v01a", EGEMAPS23), (egemaps25, "v02", EGEMAPS25)]
)
def test_egemaps(folder, facts, speech, module, version, columns):
    want = np.load(folder / "opensmile_first2s.npz")
    got = module.descriptors(speech[:32000])[:]
    assert got.shape == want[f"egemaps_{version}_python"].shape == (196, len(columns))
    assert np.abs(got - want[f"egemaps_{version}_python"]).max() <= 1e-5
    assert np.abs(got - want[f"egemaps_{version}_conf"]).max() <= 6e-4
    assert list(columns) == facts["opensmile"][f"egemaps_{version}_python_columns"]
    assert np.allclose(want["egemaps_v01a_frame_time"], np.arange(196) / 100)


def test_log_mel(folder, speech):
    want = np.load(folder / "vggish_logmel.npz")

    got = frontend.log_mel(speech, np.arange(frontend.row_count(len(speech))))
    assert got.shape == (398, 64)
    assert np.abs(got - want["test_logmel"]).max() <= 1e-5
    assert np.abs(got[:384].reshape(4, 96, 64) - want["test_examples"]).max() <= 1e-5
    padded = frontend.log_mel(speech, np.arange(frontend.row_count(len(speech) + frontend.TAIL)))
    assert padded.shape == (498, 64)
    assert np.abs(padded - want["test_logmel_padded_1s"]).max() <= 1e-5


@pytest.mark.parametrize("rate", ["23.976", "25.0", "29.97", "30.0"])
def test_patch_starts(facts, speech, rate):
    want = facts["lfan_patches"][rate]
    rows = frontend.row_count(len(speech) + frontend.TAIL) - PATCH + 1
    assert patch_count(rows, float(rate)) == want["n_patches"]
    frames = np.zeros(want["n_patches"] + 3)  # three more than there are patches
    got = by_patch(frames, float(rate), rows)
    assert got.tolist() == want["start_rows"] + 3 * want["start_rows"][-1:]


@pytest.fixture(scope="module")
def wave(shared, facts):
    """The synthetic sound at 44.1 kHz, made by the formula that the reference states."""
    about = facts["synthetic44k"]
    t = np.arange(about["seconds"] * about["rate"]) / about["rate"]
    gate = np.where((t >= 5.0) & (t < 5.5), 0, 1)
    noise = load_fill(shared).sample_input("audio.noise", t.shape, -1, 1).astype(np.float64)
    chirp = np.sin(2 * np.pi * (300 * t + 150 * t**2)) * (0.5 + 0.5 * np.sin(2 * np.pi * 0.5 * t))
    left = gate * (0.30 * np.sin(2 * np.pi * 220 * t) + 0.25 * chirp)
    right = gate * (0.35 * np.sin(2 * np.pi * 1234.5 * t) * np.exp(-(t % 1.5)) + 0.10 * noise)
    samples = np.rint(32767 * (left + right) / 2).astype(np.int16)
    assert samples[1000:1010].tolist() == about["mono_first_1000_to_1010"]
    assert hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() == about["mono_sha256_int16_little_endian"]
    return samples


def test_tsav_image(folder, wave):
    want = np.load(folder / "tsav_mel.npz")
    times = {"t_0_0": 0.0, "t_3_0": 3.0, "t_7_0": 7.0, "t_11_9": 11.9}
    together = tsav_mel.faithful_windows(wave, np.array(list(times.values())))
    for got, (name, time) in zip(together, times.items(), strict=True):
        assert got.shape == want[name].shape == (1, 64, 1001)
        assert np.abs(got - want[name]).max() <= 1e-4, name
        assert np.abs(tsav_mel.faithful_windows(wave, np.array([time]))[0] - got).max() <= 1e-6, name


@pytest.mark.parametrize("fps", [25.0, 29.97])
def test_m3t_mel(folder, facts, speech, fps):
    want, about = np.load(folder / "m3t_mel.npz"), facts["m3t_mel"][str(fps)]
    name = f"fps{str(fps).replace('.', '_')}"
    hop = m3t_mel.hop_samples(fps)
    assert hop == about["hop"]
    for edges, kind in (("constant", "zero_edges"), ("reflect", "reflect_edges")):
        got = m3t_mel.rows(speech, hop, edges)[:]
        assert got.shape == want[f"mel_{name}_{kind}"].shape == (about["mel_frames"], 40)
        assert np.abs(got - want[f"mel_{name}_{kind}"]).max() <= 1e-3
    rows = want[f"rows200_{name}_zero_edges"]
    first = 3 * np.arange(about["video_frames"])
    assert np.abs(m3t_mel.five_rows(m3t_mel.rows(speech, hop, "constant"), first, 0.0) - rows).max() <= 1e-3
    got = np.concatenate([*m3t_mel.frame_values(speech, Clock(np.arange(len(rows)) / fps, fps, "third"))])
    assert np.abs(got - rows)[1:].max() <= 1e-3  # the edges show in the first frame only
    assert (got == 0).all(axis=1).sum() == 0
    assert np.flatnonzero((got[:, 160:] == 0).all(axis=1)).tolist() == about["rows200_with_zero_fill"]


@pytest.mark.parametrize("fps", ["fps30", "fps29.97"])
def test_ntua_columns(shared, fps):
    want = json.loads((shared / "golden/post/ntua_chunks.json").read_text())["mel_window_start_and_length"][fps]
    times = np.array([int(frame) for frame in want]) / float(fps.removeprefix("fps"))
    assert ntua_mel.first_columns(times).tolist() == [first for first, _ in want.values()]
    assert {length for _, length in want.values()} == {ntua_mel.COLUMNS}
