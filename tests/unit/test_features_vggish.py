"""VGGish: the network's layout, batches, memory and weight files."""

import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from wildaffect.errors import InputError
from wildaffect.features import vggish
from wildaffect.features.audio.vggish128_quantised import quantised, read_pca
from wildaffect.features.store import Spool, save_blocks
from wildaffect.features.vggish import PATCH, TENSORFLOW, from_tensorflow, load_network, seeded_network


@pytest.fixture(scope="module")
def network():
    return seeded_network()


@pytest.fixture(scope="module")
def speech():
    samples = np.random.default_rng(3).normal(0, 1, 3 * 16000) * (1 + np.sin(np.arange(3 * 16000) / 4000)) * 2000
    return samples.astype(np.int16)


class Tap(torch.nn.Module):
    """Stands in for the network: shows what it is fed at no cost."""

    def forward(self, examples):
        return examples[:, 0, :2].flatten(1)  # two rows of 64 bands

    def overlapping(self, spectrogram, starts):
        return torch.cat([spectrogram[starts], spectrogram[starts + 1]], 1)


def embed(*arguments):
    return np.concatenate([np.zeros((0, 128), np.float32), *vggish.embed(*arguments)])


def test_the_last_sample_is_repeated_behind_the_end_so_that_a_patch_always_fits():
    samples = np.array([3000, 7000], np.int16)
    rows = np.arange(vggish.row_count(len(samples) + vggish.TAIL))
    assert len(rows) >= PATCH
    lengthened = np.r_[samples, np.full(vggish.TAIL, 7000, np.int16)]
    assert np.array_equal(vggish.log_mel(samples, rows), vggish.log_mel(lengthened, rows))
    assert np.allclose(vggish.log_mel(np.zeros(0, np.int16), rows), np.log(0.01))
    assert vggish.row_count(vggish.TAIL) == 98 >= PATCH


def test_spectrogram_agrees_with_torch_and_a_tone_peaks_in_its_band():
    t = np.arange(16000) / 16000
    tone = (12000 * np.sin(2 * np.pi * 1000 * t)).astype(np.int16)
    rows = np.arange(vggish.row_count(len(tone)))
    values = vggish.log_mel(tone, rows)
    wave = torch.from_numpy(tone / 32768.0).unfold(0, 400, 160) * torch.hann_window(400, dtype=torch.float64)
    magnitude = torch.fft.rfft(wave, 512).abs().numpy()
    assert np.abs(values - np.log(magnitude @ vggish.mel_matrix() + 0.01)).max() < 1e-6
    centres = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)[1:-1]
    assert values.mean(axis=0).argmax() == np.abs(centres - 1127 * np.log(1 + 1000 / 700)).argmin()


def test_silence_gives_the_logarithm_of_the_offset():
    values = vggish.log_mel(np.zeros(16000, np.int16), np.arange(98))
    assert np.allclose(values, np.log(0.01))


def test_patches_are_the_96_rows_from_the_start(speech):
    rows = vggish.log_mel(speech, np.arange(vggish.row_count(len(speech) + vggish.TAIL)))
    for starts in ([0, 3, 7, 200, 7, 150], list(range(90, 250, 2)), [5]):  # far apart, overlapping, alone
        seen = embed(Tap(), speech, np.array(starts))
        assert np.array_equal(seen, np.stack([rows[s : s + 2].ravel() for s in starts]))


@pytest.mark.parametrize(
    "starts",
    [[0], [5], [0, 1, 2, 3, 4, 5, 6, 7], [0, 3, 7, 10, 13, 17, 20, 23], [4, 4, 40, 41, 104]],
    ids=["one", "odd", "every phase", "30 frames/s", "irregular"],
)
def test_shared_work_gives_the_same_embeddings(network, starts):
    spectrogram = torch.from_numpy(np.random.default_rng(4).normal(-1, 2, (max(starts) + PATCH, 64)).astype(np.float32))
    with torch.inference_mode():
        plain = network(torch.stack([spectrogram[None, s : s + PATCH] for s in starts]))
        shared = network.overlapping(spectrogram, torch.tensor(starts))
    assert (shared - plain).abs().max() <= 1e-5 * plain.abs().max()


def test_embedding_of_a_patch_depends_on_that_patch_alone(network, speech):
    starts = np.arange(0, 200, 3)  # more than one batch
    together = embed(network, speech, starts)
    for i in (0, 39, 63, 64):
        alone = embed(network, speech, starts[i : i + 1])
        assert np.abs(alone - together[i]).max() < 1e-5 * np.abs(together).max()
    shuffled = np.random.default_rng(0).permutation(len(starts))
    assert np.abs(embed(network, speech, starts[shuffled]) - together[shuffled]).max() < 1e-4
    assert embed(network, speech, np.zeros(0, np.int64)).shape == (0, 128)


def test_seeded_network_is_reproducible_and_tells_sounds_apart(network, speech):
    again = seeded_network().state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in network.state_dict().items())
    assert again["embeddings.4.weight"][0, :3].tolist() == pytest.approx(
        [-0.0449221283, -0.0167769380, 0.0017764989], rel=1e-6
    )
    values = embed(network, speech, np.array([0, 60, 150]))
    assert values.std(axis=0).mean() > 0.01 * np.abs(values).mean()


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak(seconds):
        speech, starts = Spool(np.int16), np.arange(0, seconds * 100, 4)
        for _ in range(seconds):
            speech.append(np.zeros(16000, np.int16))
        tracemalloc.start()
        save_blocks(tmp_path / "v.npy", vggish.embed(Tap(), speech, starts), (128,))
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    assert peak(240) < peak(30) + 1e5


def test_long_gaps_between_patches_cost_nothing():
    speech = np.zeros(16000 * 600, np.int16)
    tracemalloc.start()
    embed(Tap(), speech, np.array([0, 59_000]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def tensorflow_variables(network):
    """What a TensorFlow session would hand out for the same network."""
    state = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
    variables = {}
    for layer, scope in TENSORFLOW.items():
        weight = state[f"{layer}.weight"]
        variables[f"{scope}/weights"] = weight.transpose((2, 3, 1, 0) if weight.ndim == 4 else (1, 0))
        variables[f"{scope}/biases"] = state[f"{layer}.bias"]
    return variables


def test_tensorflow_variables_become_the_same_network(network, tmp_path):
    variables = tensorflow_variables(network)
    assert variables["vggish/conv1/weights"].shape == (3, 3, 1, 64)
    assert variables["vggish/fc1/fc1_1/weights"].shape == (12288, 4096)
    state = from_tensorflow(variables)
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())
    np.savez(tmp_path / "v.npz", **{**variables, "global_step": np.zeros(())})
    with pytest.raises(InputError, match=r"v\.npz: not weights of VGGish .*global_step"):
        load_network(tmp_path / "v.npz")


def test_quantised_embeddings_are_those_of_the_published_steps(tmp_path):
    draw = np.random.default_rng(0)
    raw, vectors, means = draw.normal(0, 2, (50, 128)), draw.normal(0, 0.1, (128, 128)), draw.normal(0, 0.3, (128, 1))
    got = quantised(raw.astype(np.float32), vectors, means.ravel())
    components = np.dot(vectors, np.where(raw > 0, raw, 0).T - means).T
    want = ((np.clip(components, -2, 2) + 2) * (255 / 4)).astype(np.uint8)
    assert (got != want).mean() < 1e-3  # single precision may fall on the other side of a step
    assert np.abs(got - want).max() <= 1
    assert (got.min(), got.max()) == (0, 255)
    np.savez(tmp_path / "p.npz", pca_eigen_vectors=vectors, pca_means=means)
    torch.save(
        {"pca_eigen_vectors": torch.from_numpy(vectors), "pca_means": torch.from_numpy(means)}, tmp_path / "p.pth"
    )
    for name in ("p.npz", "p.pth"):
        assert np.array_equal(read_pca(tmp_path / name)[0], vectors)
        assert np.array_equal(read_pca(tmp_path / name)[1], means.ravel())
    np.savez(tmp_path / "q.npz", pca_eigen_vectors=vectors[:5], pca_means=means)
    np.savez(tmp_path / "r.npz", pca_means=means)
    for name in ("q.npz", "r.npz"):
        with pytest.raises(InputError, match=f"{name}: not a file with pca_eigen_vectors"):
            read_pca(tmp_path / name)
    with pytest.raises(InputError, match=r"absent\.npz: cannot be read \(No such file"):
        read_pca(tmp_path / "absent.npz")


@pytest.mark.slow
def test_files_of_every_kind_load(network, tmp_path):
    state = network.state_dict()
    torch.save(state, tmp_path / "v.pth")
    save_file(state, tmp_path / "v.safetensors")
    np.savez(tmp_path / "v.npz", **tensorflow_variables(network))
    for name in ("v.pth", "v.safetensors", "v.npz"):
        loaded = load_network(tmp_path / name).state_dict()
        assert all(torch.equal(tensor, loaded[key]) for key, tensor in state.items()), name
        (tmp_path / name).unlink()


def test_unusable_weight_files_are_refused_by_name(network, tmp_path):
    class Evil:
        def __reduce__(self):
            return (pickle.loads, (b"",))

    def refused(name, pattern):
        with pytest.raises(InputError, match=pattern):
            load_network(tmp_path / name)

    small = {key: torch.zeros(1) for key in network.state_dict()}
    torch.save(small, tmp_path / "shape.pth")
    refused("shape.pth", r"shape\.pth: .* has shape \(1,\), VGGish needs")
    del small["features.0.bias"]
    torch.save(small, tmp_path / "key.pth")
    refused("key.pth", r"key\.pth: not weights of VGGish \(missing: \['features\.0\.bias'\]")
    torch.save({"features.0.bias": Evil()}, tmp_path / "evil.pth")
    refused("evil.pth", r"evil\.pth: not a weight file")
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\x00\x00")
    refused("cut.safetensors", r"cut\.safetensors: not a weight file")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    refused("cut.npz", r"cut\.npz: not a weight file")
    torch.save([1], tmp_path / "list.pt")
    refused("list.pt", r"list\.pt: does not hold a state dict")
    refused("absent.pth", r"absent\.pth: weight file not found")
    refused("v.ckpt", r"v\.ckpt: a TensorFlow checkpoint is not read; use the same weights as \.pth")
    (tmp_path / "v.h5").write_bytes(b"\x89HDF\r\n")
    refused("v.h5", r"v\.h5: .* must be \.safetensors, \.pth or \.pt")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_embeddings(speech):
    for starts in (np.arange(0, 200, 3), np.arange(0, 200, 40)):  # work shared by patches, and not
        want = embed(seeded_network(), speech, starts)
        got = embed(seeded_network().to("cuda", memory_format=torch.channels_last), speech, starts, "cuda")
        assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def test_a_missing_device_is_an_error():
    with pytest.raises(InputError, match="device 'tpu' is not known"):
        vggish.check_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="sees no CUDA device"):
            vggish.check_device("cuda")
