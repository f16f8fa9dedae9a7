"""Loader of the golden set's own helper module, which makes weights and inputs from names."""

import importlib.util
from pathlib import Path
from types import ModuleType


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
