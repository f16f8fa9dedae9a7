"""Loader of the golden set's own helper module, which makes weights and inputs from names."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def load_fill(shared: Path) -> ModuleType:
    """Return ``golden/fill.py`` of the reference folder ``shared`` as a module, its bit stream checked.

    It is loaded by path and not put on ``sys.path``, so nothing of the reference material is importable by accident.
    Raises ``AssertionError`` when this NumPy draws other numbers than the golden set was made with.
    """
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden" / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.self_check()
    return module


def load_filled(shared: Path, system: str, variant: str, name: str) -> tuple[dict, Any, Any, dict]:
    """What the reference has under ``name``: its description, its arrays, the model with its weights, its inputs as tensors."""
    import torch

    from wildaffect import systems

    fill = load_fill(shared)
    base = shared / "golden" / "models" / name
    description = json.loads(base.with_suffix(".json").read_text())
    model = systems.build_model(system, variant).eval()
    model.load_state_dict(fill.state_dict_from_json(base.with_suffix(".json")))
    inputs = {
        entry["name"].removeprefix(f"{system}."): torch.from_numpy(
            fill.sample_input(entry["name"], entry["shape"], entry["low"], entry["high"], entry["grid"])
        )
        for entry in description["inputs"]
    }
    return description, np.load(base.with_suffix(".npz")), model, inputs


def assert_layout(model: Any, description: dict) -> None:
    """Names, order, shapes and types of the model's tensors, and its number of parameters, are the original's."""
    want = [(entry["key"], entry["shape"], entry["dtype"]) for entry in description["entries"]]
    got = [(k, list(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in model.state_dict().items()]
    assert got == want
    assert sum(parameter.numel() for parameter in model.parameters()) == description["n_parameters"]
