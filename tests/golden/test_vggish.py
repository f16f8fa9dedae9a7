"""Parity of the VGGish network with the published one (reference set, ``models/vggish``)."""

import json

import numpy as np
import pytest
import torch

from support.golden import load_fill
from wildaffect.features.audio.vggish128 import embed
from wildaffect.features.vggish.network import VGGish
from wildaffect.features.vggish.weights import TENSORFLOW
from wildaffect.features.waveform import read_speech


@pytest.fixture(scope="module")
def fill(shared):
    return load_fill(shared)


@pytest.fixture(scope="module")
def facts(shared):
    return json.loads((shared / "golden/models/vggish.json").read_text())


@pytest.fixture(scope="module")
def want(shared):
    return np.load(shared / "golden/models/vggish.npz")


@pytest.fixture(scope="module")
def network(fill, shared):
    model = VGGish()
    model.load_state_dict(fill.state_dict_from_json(str(shared / "golden/models/vggish.json")))
    return model.eval()


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
def test_output_and_order_of_the_flattened_map(network, fill, facts, want, layout):
    given = facts["inputs"][0]
    examples = fill.sample_input(given["name"], given["shape"], given["low"], given["high"], given["grid"])
    seen = []
    hook = network.embeddings.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        got = network.to(memory_format=layout)(torch.from_numpy(examples)).numpy()
    hook.remove()
    assert close(got, want["output"])
    assert close(seen[0][0].numpy(), want["flat_example0"])


def test_from_the_sound_to_the_embedding(network, shared, want):
    speech = read_speech(shared / "golden/audio/speech16k.wav")[:]
    assert close(np.concatenate([*embed(network, speech, 96 * np.arange(4))]), want["output_test_wav"])


def test_the_same_from_overlapping_patches(network, shared, want):
    speech = read_speech(shared / "golden/audio/speech16k.wav")[:]
    among = np.unique([0, 3, 5, 94, 96, 97, 192, 198, 288, *range(0, 289, 8)])  # so many that work is shared
    got = np.concatenate([*embed(network, speech, among)])
    assert close(got[np.searchsorted(among, 96 * np.arange(4))], want["output_test_wav"])
