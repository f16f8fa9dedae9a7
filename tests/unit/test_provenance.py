"""Fingerprints change with the definitions that a script reaches, and with nothing else."""

import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.runs import Corpus, train
from wildaffect.errors import InputError
from wildaffect.provenance import (
    MAIN_PACKAGES,
    code_fingerprint,
    definitions,
    explain,
    forget,
    main_versions,
    stable_hash,
)

JOB = "from pkg.a import f\nf()\n"


@pytest.fixture(autouse=True)
def fresh():
    """No code is remembered from one test to the next."""
    yield
    forget()


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files of a small package ``pkg``, with the ``__init__.py`` that they lack."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        if path.suffix == ".py" and path.parent != folder:
            (path.parent / "__init__.py").touch()
    return folder


@pytest.fixture
def reach(tmp_path_factory):
    """What a job reaches, given the files as keywords-like mapping; each call uses a folder of its own."""

    def reach(files: Mapping[str, str], *modules: str, script: str = "job.py") -> dict[str, str]:
        folder = write(tmp_path_factory.mktemp("scripts"), {"job.py": JOB, "pkg/__init__.py": "", **files})
        return definitions(script, modules, scripts=folder)

    return reach


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


# What counts of a statement.

UNCHANGED = {
    "comments": ("def f(): return 1", "# a\ndef f():  # b\n    # c\n    return 1  # d\n"),
    "blank lines and formatting": ("def f(): return g(1, 2) + 1", "\n\n\ndef f():\n\n    return (g(\n  1, 2,\n)\n+ 1)"),
    "quotes and joined text": ("def f(): return 'ab'", 'def f(): return "a" "b"'),
    "docstrings": (
        'class f:\n    """A."""\n    x = 1\n    """B."""\n    def g(self):\n        """C."""\n',
        "class f:\n    x = 1\n    def g(self): pass\n",
    ),
    "docstring of the module and of a constant": (
        "'''A'''\nX = 1\n'''B'''\ndef f(): return X",
        "X = 1\ndef f(): return X",
    ),
    "order of definitions": (
        "X = 1\ndef g(): return X\ndef f(): return g()",
        "def f(): return g()\nX = 1\ndef g(): return X",
    ),
    "order of imports": (
        "import os\nimport re\ndef f(): return re, os",
        "import re\nimport os\ndef f(): return re, os",
    ),
    "annotations of a function": ("def f(a=1): x = a", "def f(a: int = 1) -> None: x: str = a"),
    "annotation of a constant": ("X = 1\ndef f(): return X", "X: int = 1\ndef f(): return X"),
    "text of an error": ("def f(): raise ValueError('a')", "def f(): raise ValueError('b')"),
    "what builds the text of an error": (
        "def f(a): raise ValueError(f'a {a:.2f} {g(a)}' + ', '.join(a)) from a",
        "def f(a): raise ValueError(wrong(a), TEXT) from a",
    ),
    "text of something else that is raised": ("def f(a): raise failed(a, 'x')", "def f(a): raise failed(a, f'y {a}')"),
    "text that is chosen": (
        "def f(a): raise failed(a, 'x' if a else 'y')",
        "def f(a): raise failed(a, 'y' if a else 'x')",
    ),
    "text of an assertion": ("def f(a): assert a, 'a'", "def f(a): assert a"),
    "log messages": (
        "def f(a): log.info('a %d', a); logger.error(f'{a}'); logging.warning('a')",
        "def f(a): log.info('b'); logger.error('b'); logging.warning('b', g(a))",
    ),
    "log messages of an object": ("def f(s): s._log.debug('a')", "def f(s): s._log.debug('b')"),
    "warnings": (
        "import warnings\ndef f(): warnings.warn('a', RuntimeWarning, stacklevel=2)",
        "import warnings\ndef f(): warnings.warn('b', RuntimeWarning, stacklevel=2)",
    ),
    "descriptions of fields": (
        "class f: x: int = Field(1, description='a', title=f'b')",
        "class f: x: int = Field(1, description='c' 'd')",
    ),
    "help of arguments": ("def f(p): p.add_argument('a', help='b')", "def f(p): p.add_argument('a', help='c')"),
    "TYPE_CHECKING": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import os\ndef f(): return 1",
        "def f(): return 1",
    ),
    "code for a module that is run itself": ("def f(): return 1", "def f(): return 1\nif __name__ == '__main__': f(2)"),
}


@pytest.mark.parametrize("case", UNCHANGED)
def test_what_does_not_count(reach, case):
    before, after = UNCHANGED[case]
    assert reach({"pkg/a.py": before}) == reach({"pkg/a.py": after})


CHANGED = {
    "number": ("def f(): return 1", "def f(): return 2"),
    "type of a number": ("def f(): return 1", "def f(): return 1.0"),
    "true is not one": ("def f(): return 1", "def f(): return True"),
    "text": ("def f(): return '# a'", "def f(): return '# b'"),
    "text that is used": ("def f(): 'a'", "def f(): 'a'.strip()"),
    "bytes": ("def f(): return 'a'", "def f(): return b'a'"),
    "operator": ("def f(a): return a + 1", "def f(a): return a - 1"),
    "precedence": ("def f(a): return a * (a + 1)", "def f(a): return a * a + 1"),
    "nesting": ("def f(a):\n    if a:\n        g()\n        g()", "def f(a):\n    if a:\n        g()\n    g()"),
    "default": ("def f(a=1): pass", "def f(a=2): pass"),
    "which argument has the default": ("def f(*, a, b=1): pass", "def f(*, a=1, b): pass"),
    "only by keyword": ("def f(a, b): pass", "def f(a, *, b): pass"),
    "stars": ("def f(*a): pass", "def f(**a): pass"),
    "unpacked mapping": ("def f(a): return {None: a}", "def f(a): return {**a}"),
    "decorator": ("from functools import cache\ndef f(): pass", "from functools import cache\n@cache\ndef f(): pass"),
    "asynchronous": ("def f(): pass", "async def f(): pass"),
    "field of a class": ("class f: x: int", "class f: x: float"),
    "annotation of a decorated function": ("@d\ndef f(a: int, b): pass", "@d\ndef f(a, b: int): pass"),
    "what an import stands for": (
        "from os import sep as s\ndef f(): return s",
        "from os import linesep as s\ndef f(): return s",
    ),
    "what an import inside stands for": (
        "def f():\n    import os as o\n    return o",
        "def f():\n    import re as o\n    return o",
    ),
    "where all names of a module come from": (
        "from os import *\ndef f(): return sep",
        "from posixpath import *\ndef f(): return sep",
    ),
    "swapped imports": (
        "from pkg.b import g as x, h as y\ndef f(): return x - y",
        "from pkg.b import h as x, g as y\ndef f(): return x - y",
    ),
    "import for what it does": ("def f(): pass", "import readline\ndef f(): pass"),
    "kind of error": ("def f(): raise ValueError('a')", "def f(): raise TypeError('a')"),
    "cause of an error": ("def f(e): raise ValueError('a') from e", "def f(e): raise ValueError('a') from None"),
    "exit status": ("def f(): raise SystemExit(1)", "def f(): raise SystemExit(2)"),
    "what else is raised": ("def f(a): raise failed(a, 1)", "def f(a): raise failed(a, 2)"),
    "condition of an assertion": ("def f(a): assert a, 'a'", "def f(a): assert not a, 'a'"),
    "kind of a warning": ("def f(): warn('a', UserWarning)", "def f(): warn('a', RuntimeWarning)"),
    "list that is called log": ("def f(log): log.append('a')", "def f(log): log.append('b')"),
    "number called log": ("def f(a): return log(a)", "def f(a): return log(a + 1)"),
    "metric with the name of an error": ("def f(): return SquaredError('a')", "def f(): return SquaredError('b')"),
    "default of a field": ("class f: x: int = Field(1)", "class f: x: int = Field(2)"),
    "description that is data": ("def f(): return spec(description='a')", "def f(): return spec(description='b')"),
    "description that is computed": ("def f(a): return Field(title=a)", "def f(a): return Field(title=a.x)"),
    "other branch of TYPE_CHECKING": (
        "if TYPE_CHECKING:\n    pass\nelse:\n    X = 1\ndef f(): return X",
        "if TYPE_CHECKING:\n    pass\nelse:\n    X = 2\ndef f(): return X",
    ),
    "constant bound twice": ("X = 1\nX = 2\ndef f(): return X", "X = 1\nX = 3\ndef f(): return X"),
    "name of a variable": ("def f():\n    a = 1; b = 2; return a", "def f():\n    a = 1; b = 2; return b"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_what_counts(reach, case):
    before, after = CHANGED[case]
    files = {"pkg/b.py": "def g(): return 1\ndef h(): return 2\n"}
    assert reach(files | {"pkg/a.py": before}) != reach(files | {"pkg/a.py": after})


# What is followed. Everything named here is reached, everything else that is defined is not.

LIBRARY = {
    "pkg/b.py": """
        LIMIT = 1
        OTHER = 2
        def g(): return LIMIT
        def h(): return OTHER
        """,
    "pkg/sub/c.py": "def k(): return 3\ndef m(): return 4\n",
    "pkg/base.py": "class Base:\n    def run(self): return helper()\ndef helper(): return 1\nclass Unused: pass\n",
}
G = {"pkg.b:LIMIT", "pkg.b:g"}
H = {"pkg.b:OTHER", "pkg.b:h"}
FOLLOWED = {
    "from a module": ("from pkg.b import g\ndef f(): return g()", G),
    "with another name": ("from pkg.b import g as x\ndef f(): return x()", G),
    "inside of a function": ("def f():\n    from pkg.b import g\n    return g()", G),
    "inside, used by an inner function": ("def f():\n    from pkg.b import g\n    return lambda: g()", G),
    "inside of a class": ("class f:\n    from pkg.b import g\n    x = g()", G),
    "a module": ("from pkg import b\ndef f(): return b.g()", G),
    "a module with another name": ("import pkg.b as x\ndef f(): return x.g()", G),
    "a module by its full name": ("import pkg.b\ndef f(): return pkg.b.g()", G),
    "a module inside of a function": ("def f():\n    import pkg.b\n    return pkg.b.g().x", G),
    "attributes of what is found": ("from pkg import b\ndef f(): return b.LIMIT.bit_length()", {"pkg.b:LIMIT"}),
    "relative": ("from .b import g\nfrom . import sub\ndef f(): return g()", G),
    "relative module": ("from . import b\ndef f(): return b.g()", G),
    "star": ("from pkg.b import *\ndef f(): return g()", G),
    "both branches": (
        "try:\n    from pkg.b import g\nexcept ImportError:\n    g = None\ndef f(): return g()",
        {*G, "pkg.a:<module>"},
    ),
    "two packages down": ("from pkg.sub import c\ndef f(): return c.k()", {"pkg.sub.c:k"}),
    "bases": ("from pkg.base import Base\nclass f(Base): pass", {"pkg.base:Base", "pkg.base:helper"}),
    "decorators": ("from pkg.b import g\nclass f:\n    @g\n    def x(self): pass", G),
    "decorator of the function": ("from pkg.b import g\n@g\ndef f(): pass", {*G, "pkg.a:<module>"}),
    "defaults": ("from pkg.b import LIMIT\ndef f(a=LIMIT): pass", {"pkg.b:LIMIT"}),
    "methods": ("from pkg import b\nclass f:\n    def x(self):\n        def y(): return b.g()", G),
    "fields of a class": ("from pkg.base import Base\nclass f:\n    x: Base", {"pkg.base:Base", "pkg.base:helper"}),
    "fields of a class by text": (
        "from pkg.base import Base\nclass f:\n    x: 'list[Base]'",
        {"pkg.base:Base", "pkg.base:helper"},
    ),
    "comprehensions": ("from pkg.b import g, h\ndef f(): return [g for h in g()]", G),
    "first iterable of a comprehension": ("from pkg.b import g\ndef f(): return [g for g in g]", G),
    "global": ("from pkg.b import g\nX = g\ndef f():\n    global X\n    X = 1", {*G, "pkg.a:X"}),
    "own definitions": (
        "from pkg.b import g\ndef f(): return x()\ndef x(): return Y\nY = g()\nZ = 1",
        {*G, "pkg.a:x", "pkg.a:Y"},
    ),
    "the name of a module that is put together": ("def f(a): return import_module(f'pkg.{a}')", set()),
    "the name of a module": ("def f(): return import_module('pkg.b')", G | H),
    "a module as a value": ("from pkg import b\ndef f(a): return getattr(b, a)", G | H),
    "a package as a value": ("from pkg import sub\ndef f(a): return show(sub)", {"pkg.sub.c:k", "pkg.sub.c:m"}),
    "an argument of the same name": ("from pkg.b import g\ndef f(g): return g()", set()),
    "a variable of the same name": ("from pkg.b import g\ndef f():\n    for g in range(3): yield g()", set()),
    "an error of the same name": ("from pkg.b import g\ndef f():\n    try: x()\n    except E as g: return g", set()),
    "a pattern of the same name": ("from pkg.b import g\ndef f(x):\n    match x:\n        case [*g]: return g", set()),
    "a method of the same name": ("from pkg.b import g\nclass f:\n    def g(self): return self.g()", set()),
    "a variable around it": ("from pkg.b import g\ndef f(g):\n    def x(): return g", set()),
    "annotations": ("from pkg.b import g, h\ndef f(a: g) -> h:\n    x: g = 1", set()),
    "what is under TYPE_CHECKING": ("if TYPE_CHECKING:\n    from pkg.b import g\ndef f(): return g", set()),
    "what only a message uses": (
        "from pkg.b import g, h\ndef f(): log.info('%d', g())\ndef x(): raise ValueError(h())",
        set(),
    ),
    "what only an error uses": ("from pkg.b import g\ndef f():\n    raise ValueError(f'{g()}')", set()),
    "the error": ("from pkg.base import Base\ndef f():\n    raise Base('a')", {"pkg.base:Base", "pkg.base:helper"}),
    "what a nested function changes around it": (
        "def f():\n    from pkg.b import g\n    def x():\n        nonlocal g\n        g = g()",
        G,
    ),
    "a class that binds what it reads": ("from pkg.b import g\nclass f:\n    g = g()", G),
    "methods do not see the imports of their class": (
        "from pkg.b import g\nclass f:\n    from pkg.b import h as g\n    def x(self): return g()",
        G,
    ),
    "keywords of a class": (
        "from pkg.base import Base\nclass f(metaclass=Base): pass",
        {"pkg.base:Base", "pkg.base:helper"},
    ),
    "an own name goes before a star": (
        "from pkg.b import *\ndef f(): return g()\ndef g(): return 1",
        {"pkg.a:g"},
    ),
}


@pytest.mark.parametrize("case", FOLLOWED)
def test_what_is_followed(reach, case):
    source, wanted = FOLLOWED[case]
    assert set(reach(LIBRARY | {"pkg/a.py": source})) == {"job.py:<module>", "pkg.a:f"} | wanted


def test_reexports_are_followed(reach):
    files = {
        "pkg/sub/__init__.py": "from pkg.b import g as x\nfrom .c import k\n",
        "pkg/a.py": "from pkg.sub import x\ndef f(): x()",
    }
    assert set(reach(LIBRARY | files)) == {"job.py:<module>", "pkg.a:f"} | G


def test_a_name_in_a_package_goes_before_the_module_of_that_name(reach):
    files = {"pkg/sub/__init__.py": "from pkg.b import g as c\n", "pkg/a.py": "from pkg.sub import c\ndef f(): c()"}
    assert set(reach(LIBRARY | files)) == {"job.py:<module>", "pkg.a:f"} | G


def test_a_name_that_a_package_binds_as_it_runs_is_no_module(reach):
    files = {
        "pkg/sub/__init__.py": "if True:\n    c = 1\n",
        "pkg/a.py": "from pkg.sub import c\ndef f(): return show(c)",
    }
    assert set(reach(LIBRARY | files)) == {"job.py:<module>", "pkg.a:f", "pkg.sub:<module>"}


def test_a_plugin_offers_what_it_imports_by_a_star(reach):
    files = {"pkg/a.py": "def f(): pass", "pkg/plug.py": "from pkg.b import *"}
    assert set(reach(LIBRARY | files, "pkg.plug")) == {"job.py:<module>", "pkg.a:f"} | G | H


LAZY = """
    from importlib import import_module
    _HOMES = {"k": "pkg.sub.c", "g": "pkg.b"%s}
    def __getattr__(name):
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError("none" + name)
    """


@pytest.mark.parametrize("use", ["from pkg.sub import k\ndef f(): k()", "from pkg import sub\ndef f(): sub.k()"])
def test_what_a_package_loads_on_first_use_is_followed_alone(reach, use):
    before = reach(LIBRARY | {"pkg/sub/__init__.py": LAZY % "", "pkg/a.py": use})
    assert set(before) == {"job.py:<module>", "pkg.a:f", "pkg.sub:__getattr__", "pkg.sub.c:k"}
    assert reach(LIBRARY | {"pkg/sub/__init__.py": LAZY % ', "h": "pkg.b"', "pkg/a.py": use}) == before


def test_names_that_a_package_computes_otherwise_reach_all_of_it(reach):
    lazy = "def __getattr__(name): return x(name)\ndef x(name): return name\n"
    found = set(
        reach(LIBRARY | {"pkg/sub/__init__.py": lazy, "pkg/a.py": "from pkg.sub import other\ndef f(): other()"})
    )
    assert {"pkg.sub:__getattr__", "pkg.sub:x", "pkg.sub.c:k", "pkg.sub.c:m"} < found


def test_circles_end(reach):
    files = {
        "pkg/a.py": "from pkg.b import *\nfrom pkg.b import g\ndef f(): return g() + nowhere",
        "pkg/b.py": "from pkg.a import *\nfrom pkg import a\ndef g(): return a.f() + a.nowhere",
    }
    assert set(reach(files)) == {"job.py:<module>", "pkg.a:f", "pkg.b:g"}


# What runs on import.

RUNS = {
    "a call": "run(LIMIT)",
    "a condition": "if LIMIT: run()",
    "a loop": "for x in range(LIMIT): run(x)",
    "a guarded call": "try:\n    run(LIMIT)\nfinally:\n    pass",
    "a change of something imported": "import os\nos.environ['x'] = LIMIT",
    "a change of a value in something imported": "from os import environ\nenviron['x'] += LIMIT",
    "an own decorator": "def register(function): return function\n@register\ndef unused(): return LIMIT",
}


@pytest.mark.parametrize("case", RUNS)
@pytest.mark.parametrize("way", ["from pkg.b import g", "import pkg.b", "from pkg import b"])
def test_what_runs_on_import_counts(reach, case, way):
    files = {"pkg/a.py": f"{way}\ndef f(): return 1\n"}
    before = reach(LIBRARY | files)
    assert set(before) == {"job.py:<module>", "pkg.a:f"}
    after = reach(LIBRARY | files | {"pkg/b.py": textwrap.dedent(LIBRARY["pkg/b.py"]) + RUNS[case]})
    assert differing(before, after) >= {"pkg.b:<module>", "pkg.b:LIMIT"}


@pytest.mark.parametrize("way", ["from pkg.sub.c import k\ndef f(): return k", "def f():\n    import pkg.sub.c"])
def test_packages_around_a_module_run_too(reach, way):
    found = reach(LIBRARY | {"pkg/a.py": way, "pkg/sub/__init__.py": "print(1)", "pkg/__init__.py": "print(2)"})
    assert {"pkg.sub:<module>", "pkg:<module>"} < set(found)


def test_what_runs_counts_only_where_it_is_imported(reach):
    files = {"pkg/a.py": "def f(): return 1\ndef x():\n    import pkg.b\n", "pkg/b.py": "print(1)"}
    assert set(reach(files)) == {"job.py:<module>", "pkg.a:f"}


BELONGS = {
    "a key": "TABLE['x'] = LIMIT",
    "an attribute": "TABLE.x.y = LIMIT",
    "more of it": "TABLE += LIMIT",
    "a decorator": "@TABLE.register\ndef _(a: LIMIT): pass",
    "a decorator with arguments": "@TABLE.register('x')\ndef _(a): return LIMIT",
}


@pytest.mark.parametrize("case", BELONGS)
def test_changes_of_a_definition_belong_to_it(reach, case):
    files = {"pkg/b.py": f"LIMIT = 1\nTABLE = {{}}\n{BELONGS[case]}\ndef other(): pass"}
    used = reach(files | {"pkg/a.py": "from pkg.b import TABLE\ndef f(): return TABLE"})
    assert {"pkg.b:TABLE", "pkg.b:LIMIT"} <= set(used)
    without = reach({"pkg/b.py": "LIMIT = 1\nTABLE = {}", "pkg/a.py": "from pkg.b import TABLE\ndef f(): return TABLE"})
    assert used["pkg.b:TABLE"] != without["pkg.b:TABLE"]
    assert "pkg.b:LIMIT" not in reach(files | {"pkg/a.py": "from pkg.b import other\ndef f(): return other"})


# Scripts and plug-ins.


def test_the_whole_script_counts_and_snakemake_is_no_import(reach):
    script = (
        "from pkg.stage import stage\nwith stage(snakemake.log[0]):\n    from pkg.b import g\n    g(snakemake.input)\n"
    )
    files = LIBRARY | {"pkg/stage.py": "def stage(log): pass\ndef copies(): pass", "other.py": "x = 1"}
    before, after = (reach(files | {"job.py": text}) for text in (script, script.replace("input", "output")))
    assert set(before) == {"job.py:<module>", "pkg.stage:stage"} | G
    assert differing(before, after) == {"job.py:<module>"}
    assert reach(files | {"job.py": f'"""Words."""\n\n{script}  # more words'}) == before


PLUG = {
    "pkg/plug/one.py": "from pkg.b import g\ndef run(): return _help()\ndef _help(): return 1\ndef _unused(): return g()",
    "pkg/plug/two.py": "from pkg.b import g\nfrom pkg.base import Base\nSPEC = 1\n__all__ = ['SPEC', 'g']\ndef run(a: Base): pass",
    "pkg/plug/deep/three.py": "X = 1",
    "pkg/plug/rules.yaml": "a: 1",
    "pkg/a.py": "def f(): pass",
}
ONE, TWO = {"pkg.plug.one:run", "pkg.plug.one:_help"}, {"pkg.plug.two:SPEC", "pkg.plug.two:run"} | G


@pytest.mark.parametrize(
    ("modules", "wanted"),
    [
        ([], set()),
        (["pkg.plug.one"], ONE),
        (["pkg.plug.two"], TWO),
        (["pkg.plug"], ONE | TWO | {"pkg.plug.deep.three:X"}),
        (["pkg.plug.two:SPEC"], {"pkg.plug.two:SPEC"}),
        (["pkg.plug.two:SPEC", "pkg.plug.one"], {"pkg.plug.two:SPEC"} | ONE),
        (["pkg.plug:rules.yaml"], {"pkg.plug:rules.yaml"}),
    ],
)
def test_plugins_count_where_they_are_named(reach, modules, wanted):
    assert set(reach(LIBRARY | PLUG, *modules)) == {"job.py:<module>", "pkg.a:f"} | wanted


@pytest.mark.parametrize("name", ["pkg.plug.ten", "other", "", "pkg.plug.one:ten", "pkg.plug:ten.yaml"])
def test_plugins_that_are_not_there_are_refused(reach, name):
    with pytest.raises(InputError, match=r"ten|other|: no"):
        reach(LIBRARY | PLUG, name)


def test_scripts_that_are_not_there_are_refused(reach):
    with pytest.raises(InputError, match=r"none\.py"):
        reach({}, script="none.py")


# Data files.

OPENS = {
    "beside": ("RULES = Path(__file__).with_name('rules.yaml')\ndef f(): return RULES", "rules.yaml"),
    "in a folder": ("def f(): return open(HERE / 'config' / 'rules.yaml')", "config/rules.yaml"),
    "with the folder": ("def f(): return open(HERE / 'config/rules.yaml')", "config/rules.yaml"),
    "a folder": ("HERE = Path(__file__).parent / 'config'\ndef f(a): return HERE / a", "config/rules.yaml"),
    "a folder's folder": (
        "HERE = Path(__file__).parent / 'config'\ndef f(a): return HERE / a",
        "config/more/rules.yaml",
    ),
}


@pytest.mark.parametrize("case", OPENS)
def test_data_files_count_where_they_are_named(reach, case):
    source, name = OPENS[case]
    files = {"pkg/sub/a.py": source, f"pkg/sub/{name}": "a: 1", "pkg/sub/other.json": "{}", "pkg/rules.yaml": "{}"}
    job = {"job.py": "from pkg.sub.a import f\nf()"}
    before, after = reach(files | job), reach(files | job | {f"pkg/sub/{name}": "a: 2"})
    assert differing(before, after) == {f"pkg.sub:{name}"}
    assert {key for key in before if key.endswith((".yaml", ".json"))} == {f"pkg.sub:{name}"}


@pytest.mark.parametrize(
    "source",
    [
        "def f(): return 1\ndef g(): return 'rules.yaml'",
        "def f(): raise ValueError('rules.yaml')",
        "def f(): return '', '/', 'folder/', 'rules.yaml.old', 'new-rules.yaml'",
    ],
)
def test_data_files_that_nothing_reached_names_do_not_count(reach, source):
    files = {"pkg/a.py": source, "pkg/rules.yaml": "a: 1", "pkg/folder/rules.yaml": "a: 1"}
    assert set(reach(files)) == {"job.py:<module>", "pkg.a:f"}


def test_of_a_folder_the_files_count_that_no_module_names(reach):
    files = {
        "pkg/a.py": "HERE = Path(__file__).parent / 'config'\ndef f(a): return HERE / a\n",
        "pkg/b.py": "def g(): return f('mine.conf')",
        "pkg/config/mine.conf": "[a]",
        "pkg/config/shared.conf": "[b]",
        "pkg/config/said.conf": "[c]",
        "pkg/c.py": "'''Not said.conf.'''",
    }
    data = {name for name in reach(files) if name.endswith(".conf")}
    assert data == {"pkg:config/shared.conf", "pkg:config/said.conf"}
    with_plugin = {name for name in reach(files, "pkg.b") if name.endswith(".conf")}
    assert with_plugin == data | {"pkg:config/mine.conf"}


def test_data_files_of_the_packages_around_a_module_count(reach):
    files = {
        "pkg/a.py": "from pkg.deep.er.b import g\ndef f(a): return open(HERE / 'config' / a)\nX = g",
        "pkg/deep/__init__.py": "",
        "pkg/deep/er/b.py": "def g(): return f('mine.conf')",
        "pkg/config/mine.conf": "[a]",
        "pkg/config/shared.conf": "[b]",
        "pkg/deep/other.conf": "[c]",
    }
    assert {name for name in reach(files) if name.endswith(".conf")} == {"pkg:config/shared.conf"}
    wanted = {"pkg:config/shared.conf", "pkg:config/mine.conf"}
    assert {name for name in reach(files, "pkg.deep.er.b") if name.endswith(".conf")} == wanted


CONTENT = {
    "order and comments of YAML": ("x.yaml", "a: 1\nb: [1, 2]", "# words\nb:\n  - 1  # one\n  - 2\n\na: 1\n", False),
    "value of YAML": ("x.yaml", "a: 1", "a: 1.0", True),
    "order of a list": ("x.yaml", "[1, 2]", "[2, 1]", True),
    "description as data": ("x.yaml", "description: a", "description: b", True),
    "description in a schema": (
        "x.yaml",
        "title: a\nproperties: {b: {type: integer, description: c}}",
        "title: d\nproperties: {b: {type: integer, description: e}}",
        False,
    ),
    "description in a part of a schema": (
        "x.yaml",
        "properties: {}\nallOf: [{then: {description: a}}]",
        "properties: {}\nallOf: [{then: {description: b}}]",
        False,
    ),
    "default in a schema": ("x.yaml", "properties: {b: {default: 1}}", "properties: {b: {default: 2}}", True),
    "property named title": (
        "x.yaml",
        "properties: {title: {type: string}}",
        "properties: {title: {type: integer}}",
        True,
    ),
    "title in a default": (
        "x.yaml",
        "properties: {b: {default: {title: c}}}",
        "properties: {b: {default: {title: d}}}",
        True,
    ),
    "order in JSON": ("x.json", '{"a": 1, "b": 2}', '{\n "b": 2,\n "a": 1}', False),
    "value in JSON": ("x.json", '{"a": 1}', '{"a": 2}', True),
    "comments of openSMILE": ("x.conf", "[a]\nb = 1;2\n", "; words\n[a]\n\n  // words\nb = 1;2", False),
    "list of openSMILE": ("x.conf", "b = 1;2", "b = 1;3", True),
    "included part of openSMILE": ("x.conf.inc", "b = 1", "b = 2", True),
    "comments of HTML": ("x.html", "<p>a</p>\n", "{# b\nc #}\n<p>a</p><!-- d -->\n\n", False),
    "text of HTML": ("x.html", "<p>a // b</p>", "<p>a // c</p>", True),
    "comments of CSS": ("x.css", "a { b: c }", "/* don't\n */\na { b: c }", False),
    "text of CSS": ("x.css", "a { b: 'c /* d */' }", "a { b: 'c /* e */' }", True),
    "comments of JavaScript": ("x.js", "a('b');", "// don't\na('b'); /* c */\n", False),
    "address in JavaScript": ("x.js", "a('b://c');", "a('b://d');", True),
    "star in JavaScript": ("x.js", "a('b/*'); c(); d('*/');", "a('b/*'); e(); d('*/');", True),
    "template in JavaScript": ("x.js", "a(`\n// b\n`);", "a(`\n// c\n`);", True),
}


@pytest.mark.parametrize("case", CONTENT)
def test_data_files_count_by_their_content(reach, case):
    name, first, second, changed = CONTENT[case]
    before, after = (reach({"pkg/a.py": f"def f(): return '{name}'", f"pkg/{name}": text}) for text in (first, second))
    assert differing(before, after) == ({f"pkg:{name}"} if changed else set())


def test_data_files_that_a_data_file_names_count(reach):
    files = {
        "pkg/a.py": "def f(): return open('page.html')",
        "pkg/parts/page.html": '{% include "look.css" %}{# unused.js #}',
        "pkg/parts/look.css": "@import 'base.css'",
        "pkg/parts/base.css": "a {}",
        "pkg/parts/unused.js": "a()",
    }
    data = {name for name in reach(files) if name.startswith("pkg:")}
    assert data == {"pkg:parts/page.html", "pkg:parts/look.css", "pkg:parts/base.css"}


# Small programs made by chance: functions f0, f1, … in three modules that call each other.

IMPORTS = [
    ("from pkg.{m} import {f}", "{f}()"),
    ("from pkg.{m} import {f} as alias_{f}", "alias_{f}()"),
    ("from pkg import {m}", "{m}.{f}()"),
    ("import pkg.{m} as alias_{m}", "alias_{m}.{f}()"),
    ("import pkg.{m}", "pkg.{m}.{f}()"),
    ("from pkg.facade import {f}", "{f}()"),
]
WORDS = st.text("abc#'\" ", max_size=8)


@st.composite
def programs(draw):
    """Which functions call which, where each one is, and how the caller imports the called one: at the top or inside."""
    count = draw(st.integers(2, 7))
    numbers = range(count)
    calls = {i: draw(st.sets(st.sampled_from(numbers), max_size=3)) for i in numbers}
    homes = {i: draw(st.sampled_from("abc")) for i in numbers}
    ways = {(i, j): (draw(st.sampled_from(IMPORTS)), draw(st.booleans())) for i in numbers for j in calls[i]}
    return calls, homes, ways


class Noise(NamedTuple):
    """What is added to each function of a program, and how its functions and imports are shuffled."""

    comment: str = ""
    docstring: str = ""
    order: int | None = None

    def shuffled(self, parts: list) -> list:
        return parts if self.order is None else random.Random(self.order).sample(parts, len(parts))


QUIET = Noise()


def program(calls, homes, ways, constants=None, noise=QUIET):
    """The files of a program."""
    imports: dict[str, list[str]] = {name: [] for name in "abc"}
    functions: dict[str, list[str]] = {name: [] for name in "abc"}
    for i, called in calls.items():
        lines = [f"def f{i}():{noise.comment}", *filter(None, [noise.docstring])]
        for j in noise.shuffled(sorted(called)):
            (statement, _), is_inside = ways[i, j]
            if homes[i] != homes[j]:
                statement = statement.format(m=homes[j], f=f"f{j}")
                lines += [f"    {statement}"] if is_inside else []
                imports[homes[i]] += [] if is_inside else [statement]
        lines.append(f"    x = {(constants or {}).get(i, i)}{noise.comment}")
        for j in sorted(called):
            use = ways[i, j][0][1] if homes[i] != homes[j] else "{f}()"
            lines.append(f"    {use.format(m=homes[j], f=f'f{j}')}")
        functions[homes[i]].append("\n".join(lines))
    files = {"pkg/facade.py": "".join(f"from pkg.{homes[i]} import f{i}\n" for i in calls)}
    files["job.py"] = f"from pkg.{homes[0]} import f0\nf0()\n"
    for name in "abc":
        files[f"pkg/{name}.py"] = "\n".join([*noise.shuffled(imports[name]), *noise.shuffled(functions[name]), ""])
    return files


def closure(calls):
    """Functions that f0 can call, by hand."""
    found, pending = set(), [0]
    while pending:
        if (i := pending.pop()) not in found:
            found.add(i)
            pending += calls[i]
    return found


def reached_in(files):
    with tempfile.TemporaryDirectory() as folder:
        found = definitions("job.py", scripts=write(Path(folder), {"pkg/__init__.py": "", **files}))
        forget()
        return found


SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SOME
@given(programs())
def test_exactly_what_can_be_called_is_reached(parts):
    calls, homes, _ = parts
    wanted = {f"pkg.{homes[i]}:f{i}" for i in closure(calls)}
    assert set(reached_in(program(*parts))) == wanted | {"job.py:<module>"}


@SOME
@given(programs(), st.data())
def test_a_constant_counts_where_its_function_is_reached(parts, data):
    calls, homes, _ = parts
    i = data.draw(st.sampled_from(sorted(calls)))
    before, after = reached_in(program(*parts)), reached_in(program(*parts, constants={i: "'edited'"}))
    assert differing(before, after) == ({f"pkg.{homes[i]}:f{i}"} if i in closure(calls) else set())


@SOME
@given(programs(), WORDS, st.integers(0, 3), st.integers(0, 99))
def test_words_and_order_never_count(parts, words, blank, order):
    noise = Noise(f"  # {words}" + "\n" * blank, f"    {words!r}" + "\n" * blank, order)
    assert reached_in(program(*parts, noise=noise)) == reached_in(program(*parts))


@SOME
@given(
    programs(),
    st.sampled_from("abc"),
    st.sampled_from(["def g(): return f0()", "G = 1", "class G: x = 1", "import os as g"]),
)
def test_what_nobody_uses_never_counts(parts, module, addition):
    files = program(*parts)
    more = {f"pkg/{module}.py": f"{files[f'pkg/{module}.py']}\n{addition}\n"}
    if addition.startswith("import"):
        more = {f"pkg/{module}.py": f"{addition}\n{files[f'pkg/{module}.py']}\ndef unused(): return g\n"}
    assert reached_in(files | more) == reached_in(files)


# Values.


def test_stable_hash_ignores_the_order_of_keys():
    assert stable_hash({"a": 1, "b": [1, 2]}) == stable_hash({"b": [1, 2], "a": 1})
    assert stable_hash([1, 2]) != stable_hash([2, 1])
    assert stable_hash({}) == "44136fa355b3678a"  # the first digits of sha256(b"{}")


def test_versions_name_python_and_the_main_packages():
    assert set(main_versions()) == {"python", "wildaffect", *MAIN_PACKAGES}
    assert main_versions()["python"] == ".".join(map(str, sys.version_info[:3]))


# Memory, processes, folders.


def test_a_process_reads_its_code_once_until_it_is_told_to_forget(tmp_path):
    write(tmp_path, {"job.py": JOB, "pkg/a.py": "def f(): return 1"})
    before = code_fingerprint("job.py", scripts=tmp_path)
    write(tmp_path, {"pkg/a.py": "def f(): return 2"})
    assert code_fingerprint("job.py", scripts=tmp_path) == before
    forget()
    assert code_fingerprint("job.py", scripts=tmp_path) != before


def test_explain_lists_names_in_order(tmp_path):
    write(tmp_path, {"job.py": JOB, "pkg/a.py": "X = 1\ndef f(): return X\nY = 2"})
    assert explain("job.py", scripts=tmp_path) == ["job.py:<module>", "pkg.a:X", "pkg.a:f"]


def test_the_fingerprint_is_the_same_in_each_process_and_folder(root, tmp_path):
    write(
        tmp_path / "one",
        LIBRARY | {"job.py": JOB, "pkg/a.py": "from pkg import b, sub\ndef f(): return show(b, sub, {'b', 'a'})"},
    )
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    code = "import sys; from pathlib import Path; from wildaffect.provenance import code_fingerprint as fingerprint; "
    code += "print(fingerprint('job.py', scripts=Path(sys.argv[1])))"
    prints = set()
    for folder, seed in (("one", "1"), ("two", "2")):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root / "scripts")}
        command = [sys.executable, "-c", code, str(tmp_path / folder)]
        prints.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(prints) == 1


def test_how_fingerprints_are_computed_does_not_count_for_a_job_that_checks_its_own(root, tmp_path):
    shutil.copytree(root / "scripts/wildaffect", tmp_path / "wildaffect", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "job.py").write_text(
        "from wildaffect.provenance import code_fingerprint\ncode_fingerprint(snakemake.params.script)\n"
    )
    assert explain("job.py", scripts=tmp_path) == ["job.py:<module>", "wildaffect:<module>"]


# The project itself. Definitions are found by their names, wherever they are.

SYSTEMS = ("cnu_adl", "lfan", "m3t", "ntua", "tsav")


class Project:
    """A copy of the project's scripts, or the scripts themselves."""

    def __init__(self, scripts: Path):
        self.scripts = scripts
        self.package = scripts / "wildaffect"

    def module(self, path: Path) -> str:
        return ".".join(path.relative_to(self.scripts).with_suffix("").parts).removesuffix(".__init__")

    def defining(self, name: str) -> Path:
        """The one module that defines a name."""
        sources = {path: path.read_text() for path in self.package.rglob("*.py")}
        (path,) = (path for path, text in sources.items() if name in text and name in defined(ast.parse(text)))
        return path

    def naming(self, data: str) -> Path:
        """The one module that names a data file."""
        (path,) = (path for path in self.package.rglob("*.py") if re.search(rf"""["']{data}["']""", path.read_text()))
        return path

    def jobs(self) -> dict[str, dict[str, str]]:
        """What each kind of job reaches."""
        jobs = {path.name: (path.name, []) for path in self.scripts.glob("*.py")}
        for system in SYSTEMS:
            for kind in ("train", "predict"):
                jobs[f"{kind} {system}"] = f"{kind}_system.py", [f"wildaffect.systems.{system}"]
        for name in ("DlibDetector", "RetinaFaceDetector"):
            jobs[name] = "detect_faces.py", [self.module(self.defining(name))]
        for name in ("mfcc39.conf", "compare.conf"):
            jobs[name] = "extract_features.py", [self.module(self.naming(name))]
        forget()
        return {name: definitions(*job, scripts=self.scripts) for name, job in jobs.items()}

    def copy(self, folder: Path) -> "Project":
        """A copy to edit."""
        shutil.copytree(self.scripts, folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        return Project(folder / "scripts")

    def edit(self, name: str) -> None:
        """A function or class gets a statement more, a constant another value, a data file a line."""
        if "." in name:
            (path,) = self.package.rglob(name)
            path.write_text(f"{path.read_text()}\nedited = 1\n")
            return
        path = self.defining(name)
        lines = path.read_text().splitlines()
        node = defined(ast.parse(path.read_text()))[name]
        if isinstance(node, ast.Assign | ast.AnnAssign):
            lines[node.value.lineno - 1 : node.value.end_lineno] = [f"{name} = 'edited'"]
        else:
            first = next(each for each in node.body if not is_docstring(each))
            line = min([first.lineno, *(each.lineno for each in getattr(first, "decorator_list", ()))])
            lines.insert(line - 1, f"{' ' * first.col_offset}edited = True")
        path.write_text("\n".join(lines))


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def defined(tree: ast.Module) -> dict[str, ast.stmt]:
    """Functions, classes and constants of one line's start, by name."""
    nodes = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        nodes |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            nodes[node.name] = node
    return nodes


@pytest.fixture(scope="module")
def project(root):
    return Project(root / "scripts")


@pytest.fixture(scope="module")
def unedited(project):
    return project.jobs()


@pytest.fixture
def copy(project, tmp_path):
    """A copy to edit."""
    return project.copy(tmp_path)


def changed(before, after) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def test_each_script_has_a_fingerprint_of_its_own(project, unedited):
    scripts = sorted(path.name for path in project.scripts.glob("*.py"))
    prints = [code_fingerprint(script) for script in scripts]
    assert len(set(prints)) == len(scripts) > 30
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in prints)


def test_what_a_script_imports_is_reached(project, unedited):
    """Definitions, and something of each module that is imported as one."""
    for path in project.scripts.glob("*.py"):
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        imported = {(node.module, alias.name) for node in nodes for alias in node.names if node.module != "pathlib"}
        reached = unedited[path.name].keys()
        modules = {name.partition(":")[0] for name in reached}
        missed = {(m, n) for m, n in imported if f"{m}:{n}" not in reached and f"{m}.{n}" not in modules}
        assert imported and not missed, path.name


def test_a_copy_elsewhere_has_the_same_fingerprints(copy, unedited):
    assert changed(unedited, copy.jobs()) == set()


class Rewording(ast.NodeTransformer):
    """Other words in docstrings, errors and log messages."""

    def __init__(self):
        self.count = 0

    def visit_Expr(self, node):
        if is_docstring(node) and isinstance(node.value.value, str):
            return ast.Expr(ast.Constant("Other words."))
        return self.generic_visit(node)

    def visit_Raise(self, node):
        if isinstance(node.exc, ast.Call):
            self._reword(node.exc)
        return node

    def visit_Call(self, node):
        if (
            isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "log"
        ):
            self._reword(node)
        return self.generic_visit(node)

    def _reword(self, call):
        for node in ast.walk(call):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = f"edited {node.value}"
                self.count += 1


def test_rewriting_all_code_and_words_changes_nothing(copy, unedited):
    """Without comments, in another form, with other docstrings, errors and log messages."""
    rewording = Rewording()
    for path in copy.scripts.rglob("*.py"):
        path.write_text(ast.unparse(rewording.visit(ast.parse(path.read_text()))))
    assert rewording.count > 300
    assert changed(unedited, copy.jobs()) == set()


def test_what_nobody_uses_changes_nothing(copy, unedited):
    for path in copy.package.rglob("*.py"):
        path.write_text(f"{path.read_text()}\n\n_EDITED = 1\n\n\ndef _edited():\n    return _EDITED\n")
    path = copy.defining("track_faces")
    path.write_text(f"{path.read_text()}\n\nEDITED = 1\n")
    assert changed(unedited, copy.jobs()) == set()


def test_comments_in_data_files_change_nothing(copy, unedited):
    comments = {
        ".yaml": "# {}",
        ".conf": "; {}",
        ".inc": "; {}",
        ".html": "{{# {} #}}",
        ".css": "/* {} */",
        ".js": "// {}",
    }
    paths = [path for path in copy.package.rglob("*") if path.suffix in comments]
    assert {path.suffix for path in paths} == comments.keys()
    for path in paths:
        comment = comments[path.suffix].format("edited")
        path.write_text(f"{comment}\n{path.read_text()}\n{comment}\n")
    assert changed(unedited, copy.jobs()) == set()


DETECT = {"DlibDetector", "RetinaFaceDetector"}
TRAINED = {f"{kind} {system}" for kind in ("train", "predict") for system in SYSTEMS}
EDITS = {
    "LEAST_OVERLAP": {"assign_persons.py"},
    "track_faces": {"assign_persons.py"},
    "merge_tracklets": {"assign_persons.py"},
    "assign_tracks": {"assign_persons.py"},
    "fill_gaps": {"assign_persons.py"},
    "IdentitySchedule": {"detect_faces.py", *DETECT},
    "DlibDetector": {"DlibDetector"},
    "RetinaFaceDetector": {"RetinaFaceDetector"},
    "best_of_overlapping": {"RetinaFaceDetector"},
    "Follower": {"RetinaFaceDetector"},
    "cut_crops": {"cut_crops.py", "cut_crops_together.py"},
    "resize_crops": {"resize_crops.py"},
    "contact_sheet": {"draw_contact_sheet.py", "cut_crops_together.py"},
    "draw_overlay": {"draw_overlay.py"},
    "write_labels": {"join_labels.py"},
    "wiener": {"smooth_predictions.py"},
    "ccc": {"fuse_folds.py", "fuse_members.py", *TRAINED},
    "Concordance": {
        *("compare_variants.py", "score_predictions.py", "smooth_predictions.py", "fuse_folds.py", "fuse_members.py"),
        *TRAINED,
    },
    "LeaderFollower": {"train lfan", "predict lfan"},
    "Loop": {f"train {system}" for system in SYSTEMS} | {"train_system.py"},
    "main_versions": {"build_report.py"},
    "mfcc39.conf": {"mfcc39.conf"},
    "compare.conf": {"compare.conf"},
    "report.css": {"build_report.py"},
}


@pytest.fixture(scope="module")
def edited(project, unedited, tmp_path_factory):
    """The jobs that change by each edit: all are made at once, which shows, too, that no edit changes more than its definition."""
    copy = project.copy(tmp_path_factory.mktemp("edited"))
    for name in EDITS:
        copy.edit(name)
    jobs = {job: differing(unedited[job], after) for job, after in copy.jobs().items()}
    changed = {re.split("[:/]", each)[-1] for names in jobs.values() for each in names}
    assert changed == EDITS.keys()
    return {
        name: {job for job in jobs if any(re.split("[:/]", each)[-1] == name for each in jobs[job])} for name in EDITS
    }


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_the_jobs_that_use_it(edited, name):
    assert edited[name] == EDITS[name]


def importing(frame) -> bool:
    """The frame belongs to the import of one of the project's modules."""
    while frame and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    return frame is not None and "wildaffect" in frame.f_globals["__name__"]


def test_all_that_a_training_runs_is_reached(project, tmp_path):
    """Functions are recorded while they run, so this does not depend on how names are followed.

    What runs while a module is imported is left out: features and systems are found and imported by name.
    """
    corpus, ran = Corpus(tmp_path), set()

    def record(frame, event, argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(project.package)) and not importing(frame):
            ran.add((code.co_filename, code.co_qualname.partition(".")[0]))

    sys.setprofile(record)
    try:
        train(**corpus.train_arguments("run"))
    finally:
        sys.setprofile(None)
    names = {f"{project.module(Path(path))}:{name}" for path, name in ran if not name.startswith("<")}
    assert len(names) > 50
    assert names <= set(explain("train_system.py", ["wildaffect.systems.lfan"]))
