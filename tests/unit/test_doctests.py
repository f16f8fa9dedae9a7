"""The examples in docstrings give what they say."""

import doctest
import importlib

import pytest

from support.pipeline import ROOT

LIBRARY = ROOT / "scripts"
MODULES = sorted(
    ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__")
    for path in (LIBRARY / "wildaffect").rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    outcome = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    assert outcome.attempted and not outcome.failed
