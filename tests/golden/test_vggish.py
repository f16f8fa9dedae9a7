"""Parity of the VGGish network with the published one."""

import numpy as np
import pytest
import torch

from support import fill
from support.golden import GOLDEN, read_golden
from wildaffect.features.vggish import TENSORFLOW, VGGish, embed


@pytest.fixture(scope="module")
def facts():
    return read_golden("models/vggish.json")


@pytest.fixture(scope="module")
def want():
    return np.load(GOLDEN / "models" / "vggish.npz")


@pytest.fixture(scope="module")
def network():
    return fill.build_filled(VGGish, fill.state_dict(GOLDEN / "models" / "vggish.json"))


def close(got, want):
    return np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def test_keys_shapes_and_parameters(facts):
    with torch.device("meta"):
        state = VGGish().state_dict()
    assert {key: list(tensor.shape) for key, tensor in state.items()} == {
        entry["key"]: entry["shape"] for entry in facts["entries"]
    }
    assert sum(tensor.numel() for tensor in state.values()) == facts["n_parameters"]


def test_tensorflow_names(facts):
    kinds = {"weight": "weights", "bias": "biases"}
    for key, entry in facts["tf_key_map"].items():
        layer, kind = key.rsplit(".", 1)
        assert f"{TENSORFLOW[layer]}/{kinds[kind]}" == entry["tf_variable"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_output_and_order_of_the_flattened_map(network, facts, want, layout):
    (examples,) = fill.sample_inputs(facts).values()
    seen = []
    hook = network.embeddings.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        got = network.to(memory_format=layout)(torch.from_numpy(examples)).numpy()
    hook.remove()
    assert close(got, want["output"])
    assert close(seen[0][0].numpy(), want["flat_example0"])


@pytest.fixture(scope="module")
def of_speech(shared):
    return np.load(shared / "golden" / "models" / "vggish.npz")["output_test_wav"]


@pytest.mark.shared
def test_from_the_audio_to_the_embedding(network, speech, of_speech):
    assert close(np.concatenate([*embed(network, speech, 96 * np.arange(4))]), of_speech)


@pytest.mark.shared
def test_the_same_from_overlapping_patches(network, speech, of_speech):
    among = np.unique([0, 3, 5, 94, 96, 97, 192, 198, 288, *range(0, 289, 8)])  # so many that work is shared
    got = np.concatenate([*embed(network, speech, among)])
    assert close(got[np.searchsorted(among, 96 * np.arange(4))], of_speech)
