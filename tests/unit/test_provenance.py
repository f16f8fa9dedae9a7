"""Fingerprints change with code and with nothing else."""

import shutil

import pytest

from wildaffect import provenance
from wildaffect.provenance import code_fingerprint, significant_text, stable_hash


def test_comments_docstrings_and_blank_lines_do_not_count():
    plain = "import os\ndef f(a):\n    return os.sep + '#no comment'\nclass A:\n    x = 1\n"
    rich = (
        '"""Module."""\n\nimport os  # why\n\n\ndef f(a):\n    """Doc\n\n    of f."""\n    # note\n    return os.sep + \'#no comment\'\n'
        'class A:\n    """Doc."""\n\n    x = 1\n'
    )
    assert significant_text(rich) == significant_text(plain)


@pytest.mark.parametrize(
    "edited", ["x = 2", "x = '# 1'", "y = 1", "x = 1; z = 2", "x = 1\n'''a string that is used'''.strip()"]
)
def test_code_counts(edited):
    assert significant_text("x = 1") != significant_text(edited)


def test_stable_hash_ignores_the_order_of_keys():
    assert stable_hash({"a": 1, "b": [1, 2]}) == stable_hash({"b": [1, 2], "a": 1})
    assert stable_hash([1, 2]) != stable_hash([2, 1])


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small copy of the layout: two scripts, a shared module, two packages picked at run time."""
    files = {
        "one.py": "from wildaffect.left import f\n",
        "two.py": "from wildaffect import right\n",
        "wildaffect/__init__.py": "",
        "wildaffect/left.py": "from wildaffect.shared.deep import g\ndef f(): return g()\n",
        "wildaffect/right.py": "x = 1\n",
        "wildaffect/shared/__init__.py": "",
        "wildaffect/shared/deep.py": "def g(): return 1\n",
        "wildaffect/shared/rules.yaml": "a: 1\n",
        "wildaffect/plug/__init__.py": "",
        "wildaffect/plug/a/__init__.py": "",
        "wildaffect/plug/a/core.py": "v = 1\n",
        "wildaffect/plug/b/__init__.py": "",
        "wildaffect/plug/b/core.py": "v = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(provenance, "SCRIPTS", tmp_path)
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "wildaffect")
    return tmp_path


def prints(
    names=(("one.py", ()), ("two.py", ()), ("two.py", ("wildaffect.plug.a",)), ("two.py", ("wildaffect.plug.b",))),
):
    provenance.forget()
    return [code_fingerprint(script, modules) for script, modules in names]


@pytest.mark.parametrize(
    ("file", "text", "changed"),
    [
        ("wildaffect/shared/deep.py", "def g(): return 2\n", [True, False, False, False]),
        ("wildaffect/shared/deep.py", "def g():  # one\n    return 1\n", [True, False, False, False]),
        ("wildaffect/shared/deep.py", "'''Doc.'''\n\ndef g(): return 1  # one\n", [False, False, False, False]),
        ("wildaffect/shared/rules.yaml", "a: 2\n", [True, False, False, False]),
        ("wildaffect/right.py", "x = 2\n", [False, True, True, True]),
        ("wildaffect/plug/a/core.py", "v = 2\n", [False, False, True, False]),
        ("wildaffect/plug/__init__.py", "v = 2\n", [False, False, True, True]),
        ("one.py", "from wildaffect.left import f\nf()\n", [True, False, False, False]),
    ],
)
def test_an_edit_changes_exactly_what_imports_it(tree, file, text, changed):
    before = prints()
    (tree / file).write_text(text)
    assert [a != b for a, b in zip(before, prints(), strict=True)] == changed


def test_a_copy_elsewhere_has_the_same_fingerprint(tree, tmp_path_factory, monkeypatch):
    before = prints()
    copy = tmp_path_factory.mktemp("clone") / "scripts"
    shutil.copytree(tree, copy)
    monkeypatch.setattr(provenance, "SCRIPTS", copy)
    assert prints() == before
