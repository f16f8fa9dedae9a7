"""CNU_ADL's weights from Keras' files: layouts, shared parts, names, what is missing or wrong, the converter."""

import json

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from support.cnu_adl import SMALL, small_checkpoint, write_keras
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.files import sha256
from wildaffect.systems.cnu_adl import keras_files
from wildaffect.systems.cnu_adl.keras_files import load_face, load_keras, read_keras


def small(variant):
    hidden = (8, 6) if variant == "image" else (8,)
    return systems.build_model("cnu_adl", variant, classification=hidden, **SMALL).eval()


@pytest.fixture
def file(tmp_path):
    """Writes a checkpoint, changed as wanted."""

    def write(variant="frames_stat", change=lambda groups: None, **layout):
        groups = small_checkpoint(variant)
        change(groups)
        write_keras(tmp_path / "w.h5", groups, **layout)
        return tmp_path / "w.h5"

    return write


@pytest.mark.parametrize("variant", ["image", "frames_stat", "stat_bilstm"])
@pytest.mark.parametrize("layout", [{}, {"model": True}, {"split": 7}])
def test_every_tensor_comes_from_the_file(file, variant, layout):
    model = small(variant)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.fill_(-7)
    assert load_keras(model, variant, file(variant, **layout)) == sha256(file(variant, **layout))
    state = model.state_dict()
    assert not [name for name, value in state.items() if (value == -7).any()]
    groups = small_checkpoint(variant)
    face = groups.get("time_distributed_1") or {k: v for group in groups.values() for k, v in group.items()}
    kernel = face["conv2_1_3x3/kernel"]
    np.testing.assert_array_equal(state["face.conv2_1.middle.conv.weight"], kernel.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(state["face.conv1.norm.running_var"], face["conv1/7x7_s2/bn/moving_variance"])
    np.testing.assert_array_equal(state["face.features.weight"], face["features/kernel"].T)
    if variant == "stat_bilstm":
        backward = groups["bidirectional_2"]["bidirectional_2/backward_lstm_1/lstm_cell/recurrent_kernel"]
        np.testing.assert_array_equal(state["temporal.layer2.weight_hh_l0_reverse"], backward.T)
        assert not state["temporal.layer1.bias_hh_l0"].any()


def test_numbers_that_tensorflow_adds_to_names_do_not_matter(file):
    def rename(groups):
        own = ("conv4_1_1x1_reduce/bn", "conv1/7x7_s2", "conv3_1_3x3", "features")
        for layer in ("time_distributed_1", "model_1", "model_2"):
            for name in [name for name in groups[layer] if name.rpartition("/")[0] in own]:
                path, _, variable = name.rpartition("/")
                groups[layer][f"some_scope/{path}_3/{variable}"] = groups[layer].pop(name)

    plain, renamed = small("frames_stat"), small("frames_stat")
    load_keras(plain, "frames_stat", file())
    load_keras(renamed, "frames_stat", file(change=rename))
    assert all(torch.equal(value, renamed.state_dict()[name]) for name, value in plain.state_dict().items())


def test_the_older_names_of_lstms(file):
    def rename(groups):
        for number in (1, 2):
            group = groups[f"bidirectional_{number}"]
            groups[f"bidirectional_{number}"] = {
                name.replace("/lstm_cell", "").replace("_lstm", f"_lstm_{number}"): value
                for name, value in group.items()
            }

    model, new = small("stat_bilstm"), small("stat_bilstm")
    load_keras(model, "stat_bilstm", file("stat_bilstm", rename))
    load_keras(new, "stat_bilstm", file("stat_bilstm"))
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in model.state_dict().items())


def drop(layer):
    def change(groups):
        for name in ("time_distributed_1", "model_1", "model_2"):
            groups[name] = {key: value for key, value in groups[name].items() if not key.startswith(layer)}

    return change


def reshape(groups):
    name = "expr_va_frames_predictions_class"
    groups[name][f"{name}/kernel"] = np.zeros((8, 6), np.float32)


def differ(groups):
    groups["model_1"]["features/bias"] = groups["model_1"]["features/bias"] + 1


def add(groups):
    groups["dense_9"] = {"dense_9/kernel": np.zeros((2, 2), np.float32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            drop("conv3_1_3x3/kernel"),
            r"w\.h5: does not fit Affect: 1 keys missing \(face\.conv3_1\.middle\.conv\.weight\)",
        ),
        (reshape, r"heads\.class\.predictions\.weight is \(6, 8\), model has \(7, 8\)"),
        (differ, r"w\.h5: holds two different features/bias"),
        (add, r"keys unknown \(keras:dense/kernel\)"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_loaded(file, change, message):
    model = small("frames_stat")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match=message):
        load_keras(model, "frames_stat", file(change=change))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_other_files_are_refused(tmp_path, file):
    with pytest.raises(InputError, match=r"none\.h5: weight file not found"):
        read_keras(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(InputError, match=r"text\.h5: not a weight file of Keras"):
        read_keras(tmp_path / "text.h5")
    with pytest.raises(InputError, match=r"SHA-256 is [0-9a-f]{64}, expected 0000"):
        read_keras(file(), "0" * 64)
    write_keras(tmp_path / "empty.h5", {"input_1": {}})
    with pytest.raises(InputError, match="holds no weights"):
        read_keras(tmp_path / "empty.h5")
    with pytest.raises(InputError, match="keys missing"):
        load_keras(small("stat_bilstm"), "stat_bilstm", file("frames_stat"))


@pytest.mark.parametrize("source", ["stat_bilstm", "image"])
def test_a_face_network_comes_out_of_a_whole_model(file, source):
    """t8 has no expression layer in its face network; where one is wanted it cannot be used."""
    face = small("image").face
    record = load_face(face, file(source))
    assert record == {"part": "face", "file": str(file(source)), "sha256": sha256(file(source))}
    whole = small(source)
    load_keras(whole, source, file(source))
    assert all(torch.equal(value, whole.face.state_dict()[name]) for name, value in face.state_dict().items())
    if source == "image":
        with pytest.raises(InputError, match=r"1 keys missing \(predictions\.weight\)"):
            load_face(small("frames_stat").face, file(source))
    else:
        load_face(small("frames_stat").face, file(source))


def test_a_face_network_comes_out_of_our_own_files(tmp_path):
    torch.manual_seed(1)
    trained = small("frames_stat")
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    torch.save(trained.face.state_dict(), tmp_path / "face.pth")
    for name in ("model.safetensors", "face.pth"):
        for variant in ("frames_stat", "image"):
            face = small(variant).face
            record = load_face(face, tmp_path / name, sha256(tmp_path / name))
            assert len(record["sha256"]) == 64
            assert torch.equal(face.conv5_1.proj.conv.weight, trained.face.conv5_1.proj.conv.weight)
    with pytest.raises(InputError, match="SHA-256"):
        load_face(small("image").face, tmp_path / "face.pth", "0" * 64)


def test_the_converter_finds_the_sizes_and_keeps_the_numbers(file, tmp_path, capsys, monkeypatch):
    def build_small(variant, **hidden):
        return systems.build_model("cnu_adl", variant, **SMALL | {key: tuple(value) for key, value in hidden.items()})

    monkeypatch.setattr(keras_files, "build", build_small)
    path = file("stat_bilstm", model=True)
    keras_files.main([str(path), "stat_bilstm", str(tmp_path / "out.safetensors"), "--sha256", sha256(path)])
    said = capsys.readouterr().out
    assert json.loads(said.split("recipe: ")[1].splitlines()[0]) == {
        "network": {"classification": [8], "regression": [8, 6]}
    }
    assert sha256(path) in said and 'compiled with: {"loss": "mse"}' in said
    model = small("stat_bilstm")
    systems.load_weights(model, tmp_path / "out.safetensors")
    want = small("stat_bilstm")
    load_keras(want, "stat_bilstm", path)
    assert all(torch.equal(value, want.state_dict()[name]) for name, value in model.state_dict().items())
    assert load_file(tmp_path / "out.safetensors").keys() == want.state_dict().keys()
    monkeypatch.setattr(keras_files, "VggFace", lambda: small("stat_bilstm").face)
    keras_files.main([str(path), "face", str(tmp_path / "face.safetensors")])
    assert "recipe" not in capsys.readouterr().out
    assert load_file(tmp_path / "face.safetensors").keys() == want.face.state_dict().keys()
    with pytest.raises(SystemExit) as stopped:
        keras_files.main([str(tmp_path / "none.h5"), "image", str(tmp_path / "x.safetensors")])
    assert stopped.value.code == 2 and "none.h5: weight file not found" in capsys.readouterr().err


def external_link(file, other):
    file["conv"] = h5py.ExternalLink(str(other), "/secret")


def soft_link(file, other):
    file["conv"] = h5py.SoftLink("/elsewhere")


def deep_link(file, other):
    file.create_group("a/b/c")["d"] = h5py.ExternalLink(str(other), "/secret")


def external_dataset(file, other):
    file.create_dataset("conv/w", (4,), "f4", external=[(str(other), 0, 16)])


def virtual_dataset(file, other):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(other), "secret", (4,))
    file.create_virtual_dataset("conv/w", layout)


@pytest.mark.parametrize("lead", [external_link, soft_link, deep_link, external_dataset, virtual_dataset])
@pytest.mark.parametrize("named", [True, False])
def test_no_other_file_is_read(tmp_path, lead, named):
    """Whether or not the lists of names lead to it."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.arange(4, dtype=np.float32)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        lead(file, tmp_path / "other.h5")
        if named:
            file.attrs["layer_names"] = [b"conv"]
    with pytest.raises(InputError, match=r"w\.h5: '.*(Link|in other files).* Not loaded"):
        read_keras(tmp_path / "w.h5")


def test_a_circle_of_groups_ends(tmp_path):
    write_keras(tmp_path / "w.h5", {"dense": {"dense/kernel": np.zeros((2, 2), np.float32)}})
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file["dense/again"] = file["/"]
    assert list(read_keras(tmp_path / "w.h5")[0]) == ["dense/kernel"]


def test_the_converter_replaces_nothing(tmp_path, file):
    (tmp_path / "x.safetensors").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        keras_files.main([str(file()), "frames_stat", str(tmp_path / "x.safetensors")])
    assert stop.value.code == 2 and (tmp_path / "x.safetensors").read_text() == "mine"
