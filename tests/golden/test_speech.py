"""Parity of audio features with the published tools on a recording of speech that is not part of the project: skipped without it."""

import hashlib
import json

import numpy as np
import pytest

from wildaffect.features import vggish
from wildaffect.features.audio import egemaps23, egemaps25, m3t_mel, mfcc39
from wildaffect.features.frames import BY_THIRD, Clock

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def facts(speech_folder):
    return json.loads((speech_folder / "audio.json").read_text())


def test_the_recording_is_the_one_meant(facts, speech):
    digest = hashlib.sha256(speech.astype("<i2").tobytes()).hexdigest()
    assert digest == facts["speech"]["sha256_of_int16_little_endian"]


def test_mfcc(speech_folder, speech):
    want = np.load(speech_folder / "opensmile_first2s.npz")
    got = mfcc39.descriptors(speech[:32000])[:]
    assert got.shape == want["mfcc12_0_d_a"].shape == (198, 39)
    assert np.abs(got - want["mfcc12_0_d_a_full_precision"]).max() <= 1e-5
    assert np.abs(got - want["mfcc12_0_d_a"]).max() <= 6e-5  # printed with five significant digits
    assert np.allclose(want["mfcc_frame_time"], np.arange(198) / 100)


@pytest.mark.parametrize(
    ("module", "version", "columns"), [(egemaps23, "v01a", egemaps23.COLUMNS), (egemaps25, "v02", egemaps25.COLUMNS)]
)
def test_egemaps(speech_folder, facts, speech, module, version, columns):
    want = np.load(speech_folder / "opensmile_first2s.npz")
    got = module.descriptors(speech[:32000])[:]
    assert got.shape == want[f"egemaps_{version}_python"].shape == (196, len(columns))
    assert np.abs(got - want[f"egemaps_{version}_python"]).max() <= 1e-5
    assert np.abs(got - want[f"egemaps_{version}_conf"]).max() <= 6e-4
    assert list(columns) == facts["opensmile"][f"egemaps_{version}_python_columns"]
    assert np.allclose(want["egemaps_v01a_frame_time"], np.arange(196) / 100)


def test_log_mel(speech_folder, speech):
    want = np.load(speech_folder / "vggish_logmel.npz")

    got = vggish.log_mel(speech, np.arange(vggish.row_count(len(speech))))
    assert got.shape == (398, 64)
    assert np.abs(got - want["test_logmel"]).max() <= 1e-5
    assert np.abs(got[:384].reshape(4, 96, 64) - want["test_examples"]).max() <= 1e-5
    padded = vggish.log_mel(speech, np.arange(vggish.row_count(len(speech) + vggish.TAIL)))
    assert padded.shape == (498, 64)
    assert np.abs(padded - want["test_logmel_padded_1s"]).max() <= 1e-5


@pytest.mark.parametrize("fps", [25.0, 29.97])
def test_m3t_mel(speech_folder, facts, speech, fps):
    want, about = np.load(speech_folder / "m3t_mel.npz"), facts["m3t_mel"][str(fps)]
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
    got = np.concatenate([*m3t_mel.frame_values(speech, Clock(np.arange(len(rows)) / fps, fps, BY_THIRD))])
    assert np.abs(got - rows)[1:].max() <= 1e-3  # the edges show in the first frame only
    assert (got == 0).all(axis=1).sum() == 0
    assert np.flatnonzero((got[:, 160:] == 0).all(axis=1)).tolist() == about["rows200_with_zero_fill"]
