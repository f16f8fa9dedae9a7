"""Weights from Keras' HDF5 files (CNU_ADL spec 7.3).

    python -m wildaffect.systems.cnu_adl.keras_files t31.h5 frames_stat t31.safetensors

makes a file for ``systems.cnu_adl.trained`` out of an original checkpoint; ``face`` in place of the variant makes one for
``features.embeddings`` out of that of a face network, or the one within a whole model.
"""

import argparse
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from wildaffect.errors import InputError
from wildaffect.features.vggface import ConvNorm, VggFace
from wildaffect.files import sha256
from wildaffect.systems.cnu_adl.model import Affect, build
from wildaffect.systems.cnu_adl.spec import SPEC
from wildaffect.systems.weights import load_state
from wildaffect.weights import read_weights, save_weights

SUFFIXES = (".h5", ".hdf5")
PREFIXES = {"image": "expr_va_image_", "frames_stat": "expr_va_frames_", "stat_bilstm": "expr_va_frames_lstm_"}
"""How the heads' layers are called in the variants."""
OUTPUTS = {"class": "class", "aro": "aro_ccc", "val": "val_ccc", "aroval": "aroval_mse"}
CONVOLUTIONS = {"reduce": "1x1_reduce", "middle": "3x3", "increase": "1x1_increase", "proj": "1x1_proj"}
# Keras' variables and ours; the first dimension of its kernels is the input.
VARIABLES = {
    "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var",
}  # fmt: skip
LSTM_VARIABLES = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0", "bias": "bias_ih_l0"}


def read_keras(path: str | Path, expected: str | None = None) -> tuple[dict[str, np.ndarray], str]:
    """Arrays by Keras' names (``layer/variable``) of a weights file or a whole saved model, and the file's SHA-256.

    A layer that several parts of a model share is stored with each of them; all copies must be equal. Raises :class:`InputError` for a file
    that is absent, not the expected one, or not Keras', and for links and datasets that lead to other files.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: weight file not found.")
    digest = sha256(path)
    if expected is not None and digest != expected.lower():
        raise InputError(f"{path}: SHA-256 is {digest}, expected {expected.lower()}. This is not the intended file.")
    found: dict[str, np.ndarray] = {}
    try:
        with h5py.File(path) as file:
            if inside := file.visititems_links(_link) or file.visititems(_foreign):
                raise InputError(
                    f"{path}: {inside}, which weights have no use for; it could read any file. Not loaded."
                )
            root = file.get("model_weights", file)
            for layer in _names(root, "layer_names"):
                for name in _names(root[layer], "weight_names"):
                    values, known = np.asarray(root[layer][name]), _plain(f"{layer}>{name}")
                    if known in found and not np.array_equal(found[known], values):
                        raise InputError(f"{path}: holds two different {known}, which its parts should share.")
                    found[known] = values
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError) as error:
        raise InputError(
            f"{path}: not a weight file of Keras ({error}). Expected the HDF5 of save or save_weights."
        ) from error
    if not found:
        raise InputError(f"{path}: holds no weights.")
    return found, digest


def load_keras(model: Affect, variant: str, path: str | Path, expected: str | None = None) -> str:
    """Load a checkpoint of ``variant`` into ``model``, strictly: every tensor, in its shape, else :class:`InputError` that names them.

    Returns:
        SHA-256 of the file.
    """
    arrays, digest = read_keras(path, expected)
    layers = {f"face.{own}": keras for own, keras in face_layers(model.face).items()} | head_layers(model, variant)
    load_state(model, _state(model, arrays, layers), path)
    return digest


def load_face(face: VggFace, path: str | Path, expected: str | None = None) -> dict[str, Any]:
    """Load the face network alone from a file of it or of a whole model, Keras' or ours; returns the record of the file.

    The expression layer of a face network is passed over where ``face`` has none.
    """
    path = Path(path)
    if path.suffix in SUFFIXES:
        arrays, digest = read_keras(path, expected)
        state = _state(face, arrays, face_layers(face))
        state = {key: value for key, value in state.items() if key in face.state_dict() or _of_face(key)}
    else:
        state, digest = read_weights(path, expected)
        inside = {key.removeprefix("face."): value for key, value in state.items() if key.startswith("face.")}
        state = inside or state
    if face.predictions is None:
        state = {
            key: value for key, value in state.items() if key not in ("predictions.weight", "keras:predictions/kernel")
        }
    load_state(face, state, path)
    return {"part": "face", "file": str(path), "sha256": digest}


def face_layers(face: VggFace) -> dict[str, str]:
    """Keras' layer for each of our modules with weights."""
    found = {"features": "features", "predictions": "predictions"}
    for name, module in face.named_modules():
        if isinstance(module, ConvNorm):
            unit, _, part = name.rpartition(".")
            layer = f"{unit}_{CONVOLUTIONS[part]}" if unit else "conv1/7x7_s2"
            found |= {f"{name}.conv": layer, f"{name}.norm": f"{layer}/bn"}
    return found if face.predictions is not None else {own: name for own, name in found.items() if own != "predictions"}


def head_layers(model: Affect, variant: str) -> dict[str, str]:
    """Keras' layer for each of our layers in the heads."""
    prefix = PREFIXES[variant]
    found: dict[str, str] = {}
    for branch, head in model.heads.items():
        found |= {f"heads.{branch}.hidden.{k}": f"{prefix}{branch}_feature{k + 1}" for k in range(len(head.hidden))}
        found[f"heads.{branch}.predictions"] = f"{prefix}predictions_{OUTPUTS[branch]}"
    return found


def build_like(variant: str, arrays: Mapping[str, np.ndarray]) -> tuple[Affect, dict[str, Any]]:
    """Model of ``variant`` with the hidden layers of a checkpoint (t8 and t12 differ in them), and the settings ``network`` that say so."""
    names = {"classification": "class", "regression": "aro"}
    hidden: dict[str, Any] = {
        option: [
            arrays[name].shape[1]
            for name in (f"{PREFIXES[variant]}{branch}_feature{k}/kernel" for k in (1, 2))
            if name in arrays
        ]
        for option, branch in names.items()
    }
    return build(variant, **hidden), hidden


def main(arguments: list[str] | None = None) -> None:
    """Convert a checkpoint; prints the settings to go with it, and how it was compiled if it tells."""
    parser = argparse.ArgumentParser(prog="python -m wildaffect.systems.cnu_adl.keras_files", description=main.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("variant", choices=[*SPEC.variants, "face"])
    parser.add_argument("output", type=Path, help="a .safetensors file")
    parser.add_argument("--sha256", help="expected SHA-256 of the checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    given = parser.parse_args(arguments)
    network: dict[str, Any] = {}
    try:
        if os.path.lexists(given.output) and not given.overwrite:
            raise InputError(f"{given.output}: exists. Choose another name, or give --overwrite to replace it.")
        arrays, digest = read_keras(given.checkpoint, given.sha256)
        if given.variant == "face":
            model = VggFace()
            load_face(model, given.checkpoint)
        else:
            model, network = build_like(given.variant, arrays)
            load_keras(model, given.variant, given.checkpoint)
    except InputError as error:
        parser.exit(2, f"{error}\n")
    state = model.state_dict()
    about = {"system": SPEC.name, "variant": given.variant, "source": given.checkpoint.name, "source_sha256": digest}
    save_weights(state, given.output, about)
    print(f"{given.output}: {len(state)} tensors of {given.checkpoint.name}, SHA-256 {digest}")
    if network:
        print(f"recipe: {json.dumps({'network': network})}")
    with h5py.File(given.checkpoint) as file:
        if "training_config" in file.attrs:
            print(f"compiled with: {_text(file.attrs['training_config'])}")


def _link(name: str, link: Any) -> str | None:
    """What is wrong with a link: all but hard ones lead elsewhere in the file or in another one."""
    return None if isinstance(link, h5py.HardLink) else f"{name!r} is a {type(link).__name__}"


def _foreign(name: str, thing: h5py.Group | h5py.Dataset) -> str | None:
    """What is wrong with an object: the values of external and virtual datasets lie in other files."""
    if not isinstance(thing, h5py.Dataset):
        return None
    return f"{name!r} keeps its values in other files" if thing.external or thing.is_virtual else None


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names that Keras splits into numbered attributes when it is long."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    parts, found = 0, []
    while f"{attribute}{parts}" in group.attrs:
        found += [_text(name) for name in group.attrs[f"{attribute}{parts}"]]
        parts += 1
    if not parts:
        raise KeyError(f"no attribute {attribute}")
    return found


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _plain(name: str) -> str:
    """``layer/variable`` without the groups around it and the numbers that TensorFlow adds to a name it has met before.

    Of ``name``, ``group>path/of/variable:0``, the group tells bidirectional layers apart; all others have names of their own.
    """
    group, _, path = name.partition(">")
    layer, _, variable = path.removesuffix(":0").rpartition("/")
    if direction := re.search(r"(forward|backward)_", layer):
        return f"{group}/{direction[1]}/{variable}"
    known = re.search(r"(conv1/7x7_s2|conv\d_\d+_\dx\d(?:_(?:reduce|increase|proj))?)(?:_\d+)?(/bn)?(?:_\d+)?$", layer)
    if known:
        return f"{known[1]}{known[2] or ''}/{variable}"
    return f"{re.sub(r'_[0-9]+$', '', layer.rpartition('/')[2])}/{variable}"


def _of_face(key: str) -> bool:
    return re.match(r"keras:(conv|features/|predictions/)", key) is not None


def _state(module: nn.Module, arrays: Mapping[str, np.ndarray], layers: Mapping[str, str]) -> dict[str, Tensor]:
    """Our names and shapes; what belongs nowhere keeps Keras' name behind ``keras:``. Tensors that Keras has not are those of ``module``
    (counters) or zero (the second bias of LSTMs).
    """
    own = {keras: name for name, keras in layers.items()}
    state = {
        key: torch.zeros_like(value)
        for key, value in module.state_dict().items()
        if key.endswith("num_batches_tracked") or ".bias_hh_l0" in key
    }
    directions = list(dict.fromkeys(name.split("/")[0] for name in arrays if re.search("/(forward|backward)/", name)))
    for name, values in arrays.items():
        layer, _, variable = name.rpartition("/")
        group, _, direction = layer.partition("/")
        if direction in ("forward", "backward") and variable in LSTM_VARIABLES:
            suffix = "_reverse" if direction == "backward" else ""
            key = f"temporal.layer{directions.index(group) + 1}.{LSTM_VARIABLES[variable]}{suffix}"
        elif layer in own and variable in VARIABLES:
            key = f"{own[layer]}.{VARIABLES[variable]}"
        else:
            key = f"keras:{name}"
        order = (3, 2, 0, 1) if values.ndim == 4 else tuple(reversed(range(values.ndim)))
        state[key] = torch.from_numpy(np.ascontiguousarray(values.transpose(order)))
    return state


if __name__ == "__main__":
    main()
