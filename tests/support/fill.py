"""Weights and inputs made from names, as the golden numbers were made with.

A value depends on the name of its tensor, its shape and nothing else: standard normals or uniforms of a PCG64 generator that is seeded
with the CRC-32 of the name, scaled by what the name says the tensor is. So a network that has the original's keys gets the original's
weights, and no weights need to be stored.
"""

import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from support.golden import GOLDEN, read_golden
from wildaffect import systems

Shape = Sequence[int]


def generator(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def make_array(key: str, shape: Shape, shapes: Mapping[str, Shape], conv_gain: float = 1.0) -> np.ndarray:
    """The values of one entry of a state dict.

    Args:
        key: Name of the entry in the original.
        shape: Its shape.
        shapes: Shapes of all entries; a ``weight`` is a norm's if its ``bias`` has the same shape, a PReLU's slope if it has none.
        conv_gain: Extra factor of kernels with four or more dimensions.

    Returns:
        float64 array of ``shape``.
    """
    head, _, tail = key.rpartition(".")
    if tail == "num_batches_tracked":
        return np.zeros(shape)
    normals = generator(key).standard_normal(shape)
    if tail == "running_var":
        return 1 + 0.1 * np.abs(normals)
    if tail == "weight_g":
        return 1 + 0.1 * normals
    if tail == "weight":
        bias = shapes.get(f"{head}.bias" if head else "bias")
        if bias is not None and tuple(bias) == tuple(shape):
            return 1 + 0.1 * normals
        if bias is None and len(shape) == 1:
            return 0.25 + 0.05 * normals
    if len(shape) >= 2 and tail != "running_mean" and not tail.startswith("bias"):
        gain = conv_gain if len(shape) >= 4 else 1.0
        return normals * (gain / math.sqrt(math.prod(shape[1:])))
    return 0.1 * normals


def state_dict(path: Path) -> dict[str, torch.Tensor]:
    """All entries that the file ``models/*.json`` lists, in the original's order.

    ``seed_key`` is the name that made the values: another one than the key where the original stores one tensor under two keys.
    """
    description = json.loads(path.read_text())
    shapes = {entry["key"]: tuple(entry["shape"]) for entry in description["entries"]}
    return {
        entry["key"]: torch.from_numpy(
            np.asarray(
                make_array(entry["seed_key"], shapes[entry["key"]], shapes, description["conv_gain"]), entry["dtype"]
            )
        )
        for entry in description["entries"]
    }


def sample_input(name: str, shape: Shape, low: float, high: float, grid: Shape | None = None) -> np.ndarray:
    """float32 array of ``shape`` with values in [low, high), as coarse as ``grid`` (entry i of an axis is coarse entry floor(i g / n))."""
    values = generator(name).random(tuple(grid or shape))
    for axis, size in enumerate(shape):
        values = values.take(np.arange(size) * values.shape[axis] // size, axis=axis)
    return (low + (high - low) * values).astype(np.float32)


def sample_inputs(description: Mapping) -> dict[str, np.ndarray]:
    """The inputs that a file ``models/*.json`` describes, by name."""
    return {
        entry["name"]: sample_input(entry["name"], entry["shape"], entry["low"], entry["high"], entry["grid"])
        for entry in description["inputs"]
    }


def build_filled(build: Callable[[], torch.nn.Module], state: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """The network that ``build`` makes, in evaluation mode, with ``state`` in place of random weights, which are never drawn."""
    with torch.device("meta"):
        model = build()
    model.load_state_dict(state, assign=True)
    return model.eval()


def load_filled(system: str, variant: str, name: str) -> tuple[dict, Any, torch.nn.Module, dict[str, torch.Tensor]]:
    """What the reference has under ``name``: its description, its arrays, the model with its weights, its inputs as tensors."""
    base = GOLDEN / "models" / name
    description = read_golden(f"models/{name}.json")
    model = build_filled(lambda: systems.build_model(system, variant), state_dict(base.with_suffix(".json")))
    inputs = {
        key.removeprefix(f"{system}."): torch.from_numpy(value) for key, value in sample_inputs(description).items()
    }
    return description, np.load(base.with_suffix(".npz")), model, inputs


def assert_layout(model: torch.nn.Module, description: Mapping) -> None:
    """Names, order, shapes and types of the model's tensors, and its number of parameters, are the original's."""
    want = [(entry["key"], entry["shape"], entry["dtype"]) for entry in description["entries"]]
    got = [(k, list(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in model.state_dict().items()]
    assert got == want
    assert sum(parameter.numel() for parameter in model.parameters()) == description["n_parameters"]
