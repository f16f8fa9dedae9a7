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
from wildaffect.systems.cnu_adl.model import Affect, build
from wildaffect.systems.cnu_adl.spec import SPEC
from wildaffect.systems.keras import SUFFIXES, VARIABLES, read_keras, text, to_tensor
from wildaffect.systems.weights import load_state
from wildaffect.weights import read_weights, save_weights

PREFIXES = {"image": "expr_va_image_", "frames_stat": "expr_va_frames_", "stat_bilstm": "expr_va_frames_lstm_"}
"""How the heads' layers are called in the variants."""
OUTPUTS = {"class": "class", "aro": "aro_ccc", "val": "val_ccc", "aroval": "aroval_mse"}
CONVOLUTIONS = {"reduce": "1x1_reduce", "middle": "3x3", "increase": "1x1_increase", "proj": "1x1_proj"}
LSTM_VARIABLES = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0", "bias": "bias_ih_l0"}


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
            print(f"compiled with: {text(file.attrs['training_config'])}")


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
        state[key] = to_tensor(variable, values)
    return state


if __name__ == "__main__":
    main()
