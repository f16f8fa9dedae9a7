"""Frozen image networks: which weights they take, what they are shown, what is written down."""

import json
from typing import get_args

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchvision.transforms.v2 import functional

from wildaffect.errors import InputError
from wildaffect.features.embeddings import NETWORKS, describe_embedding, open_network, preparation, prepare
from wildaffect.features.hsemotion import PREPARATIONS
from wildaffect.features.vggface import VggFace
from wildaffect.files import sha256
from wildaffect.weights import read_weights
from wildaffect.workflow.settings import Embedding

PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def reference():
    """A network of torchvision with random weights and 7 classes."""
    torch.manual_seed(1)
    return torchvision.models.resnet18(num_classes=7).eval()


def answer(network):
    with torch.inference_mode():
        return network.eval()(prepare(PICTURES))


def test_prepared_as_torchvision_prepares(reference):
    """Against the transforms of torchvision."""
    scale = functional.resize(PICTURES.permute(0, 3, 1, 2).float() / 255, [224, 224])
    want = functional.normalize(scale, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.allclose(prepare(PICTURES), want, atol=1e-5)


@pytest.mark.parametrize("form", ["plain.pth", "nested.pt", "tensors.safetensors", "old.pth", "half.pth"])
def test_any_file_of_the_same_network(tmp_path, reference, form):
    state = reference.state_dict()
    if form.startswith("old"):
        state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    if form.startswith("half"):
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    path = tmp_path / form
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if form.startswith("nested") else state, path)
    network, about = open_network("resnet18", str(path), tmp_path)
    assert about["sha256"] == sha256(path) and about["trained"]
    assert network.fc(torch.ones(1)) == 1
    with torch.inference_mode():
        want = reference(prepare(PICTURES))
        got = answer(network) @ reference.fc.weight.T + reference.fc.bias
    assert torch.allclose(want, got, rtol=2e-2 if form.startswith("half") else 1e-5, atol=1e-3)


def test_untrained_networks_are_the_same_whatever_was_drawn_before():
    first, about = open_network("resnet18", "seeded", "models")
    torch.rand(3)
    state = torch.get_rng_state()
    second, _ = open_network("resnet18", "seeded", "models")
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(answer(first), answer(second))
    assert answer(first).shape == (1, 512)
    assert not about["trained"] and about["sha256"] is None


def test_files_that_are_not_of_the_network(tmp_path, reference):
    state = reference.state_dict()
    torch.save(state, tmp_path / "r18.pth")
    with pytest.raises(InputError, match=r"r18\.pth: not weights of ResNet \(missing: "):
        open_network("resnet34", str(tmp_path / "r18.pth"), tmp_path)
    torch.save(state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, tmp_path / "grey.pth")
    with pytest.raises(InputError, match=r"conv1\.weight has shape \(64, 1, 7, 7\), ResNet needs \(64, 3, 7, 7\)"):
        open_network("resnet18", str(tmp_path / "grey.pth"), tmp_path)
    with pytest.raises(InputError, match="no such model file"):
        open_network("resnet18", str(tmp_path / "none.pth"), tmp_path)


def test_code_in_a_weights_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"a": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(InputError, match=r"trap\.pth: not a weight file"):
        read_weights(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="does not hold a state dict"):
        read_weights(tmp_path / "list.pth")
    (tmp_path / "weights.h5").write_bytes(b"\x89HDF")
    with pytest.raises(InputError, match="must be"):
        read_weights(tmp_path / "weights.h5")


def test_the_description_says_which_network_with_which_weights(tmp_path, reference):
    torch.save(reference.state_dict(), tmp_path / "w.pth")
    entry = {"network": "resnet18", "weights": str(tmp_path / "w.pth"), "crops": "cnu224"}
    describe_embedding("face", tmp_path / "about.json", **entry, models_dir=tmp_path)
    about = json.loads((tmp_path / "about.json").read_text())
    assert (about["id"], about["dim"], about["columns"][-1]) == ("embed.face", 512, "face511")
    assert about["weights"]["sha256"] == sha256(tmp_path / "w.pth")
    assert about["parameters"]["crops"] == "cnu224"
    assert about["synchronisation"]["rule"] == "picture"
    describe_embedding("face", tmp_path / "about.json", **entry | {"weights": "seeded"}, models_dir=tmp_path)
    assert json.loads((tmp_path / "about.json").read_text())["weights"]["trained"] is False


def test_the_configuration_knows_the_same_networks():
    assert set(get_args(Embedding.model_fields["network"].annotation)) == {"hog", *NETWORKS, *PREPARATIONS}


def test_the_face_network_answers_features_and_probabilities(tmp_path):
    """Alone or out of a whole model; one without the layer of expressions is refused."""
    torch.manual_seed(4)
    state = VggFace().state_dict()
    torch.save(state, tmp_path / "face.pth")
    whole = {f"face.{key}": value for key, value in state.items()} | {"heads.aro.predictions.weight": torch.zeros(1)}
    torch.save(whole, tmp_path / "whole.pth")
    function, words = preparation("vggface_resnet50")
    answers = []
    for name in ("face", "whole"):
        network, about = open_network("vggface_resnet50", str(tmp_path / f"{name}.pth"), tmp_path)
        with torch.inference_mode():
            answers.append(network.eval()(function(PICTURES[:1])))
        assert about["trained"] and about["sha256"] == sha256(tmp_path / f"{name}.pth")
    assert answers[0].shape == (1, 2055) and torch.equal(*answers)
    assert float(answers[0][:, 2048:].sum()) == pytest.approx(1, abs=1e-5)
    entry = {"network": "vggface_resnet50", "weights": str(tmp_path / "face.pth"), "crops": "cnu224"}
    describe_embedding("cnu", tmp_path / "about.json", **entry, models_dir=tmp_path)
    written = json.loads((tmp_path / "about.json").read_text())
    assert (written["dim"], written["parameters"]["preparation"]) == (2055, words)
    torch.save({key: value for key, value in state.items() if key != "predictions.weight"}, tmp_path / "face.pth")
    with pytest.raises(InputError, match=r"not weights of VggFace \(missing: \['predictions\.weight'\]"):
        open_network("vggface_resnet50", str(tmp_path / "face.pth"), tmp_path)
