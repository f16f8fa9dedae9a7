"""Weight files: what loads, and what is refused and why."""

import pickle

import pytest
import torch

from support.runs import TINY_BACKBONE
from wildaffect.errors import InputError
from wildaffect.files import sha256
from wildaffect.systems import build_model, load_weights
from wildaffect.weights import save_weights


def model(seed):
    torch.manual_seed(seed)
    return build_model("lfan", "multimodal", **TINY_BACKBONE)


def same(first, second):
    return all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())


@pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped"])
def test_what_is_saved_comes_back(tmp_path, kind):
    source, other = model(1), model(2)
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_weights(source.state_dict(), path)
    else:
        torch.save(source.state_dict() if kind == "pth" else {"state_dict": source.state_dict(), "epoch": 3}, path)
    assert not same(source, other)
    report = load_weights(other, path, sha256(path).upper())
    assert same(source, other)
    assert sorted(report.matched) == sorted(source.state_dict())
    assert (report.missing, report.unexpected, report.sha256) == ((), (), sha256(path))


def test_another_hash_is_refused(tmp_path):
    save_weights(model(1).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors: SHA-256 is .* expected 000"):
        load_weights(model(2), tmp_path / "w.safetensors", "0" * 64)


def test_other_keys_and_shapes_are_refused_and_change_nothing(tmp_path):
    state = model(1).state_dict()
    state["extra"] = torch.zeros(1)
    state["regressor.weight"] = torch.zeros(2, 224)
    del state["ln.bias"]
    torch.save(state, tmp_path / "w.pth")
    target, untouched = model(2), model(2)
    with pytest.raises(
        InputError, match=r"w\.pth.*1 keys missing \(ln\.bias\).*extra.*regressor\.weight is \(2, 224\)"
    ):
        load_weights(target, tmp_path / "w.pth")
    assert same(target, untouched)


class Intruder:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def test_code_in_a_pickle_is_not_run(tmp_path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Intruder()))
    torch.save({"a": Intruder()}, tmp_path / "zip.pth")
    for name in ("w.pth", "zip.pth"):
        with pytest.raises(InputError, match=f"{name}: not a weight file"):
            load_weights(model(1), tmp_path / name)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_damaged_and_absent_files_are_named(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}: weight file not found"):
        load_weights(model(1), tmp_path / name)
    (tmp_path / name).write_bytes(b"\x00" * 100)
    with pytest.raises(InputError, match=f"{name}: not a weight file"):
        load_weights(model(1), tmp_path / name)


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="does not hold a state dict"):
        load_weights(model(1), tmp_path / "w.pth")
