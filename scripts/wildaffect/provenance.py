"""What a result was made from: code fingerprints, stable hashes of values, versions.

The fingerprint of a job is the hash of its script and of every module of this package that the script imports, directly or not,
with comments, docstrings and blank lines cut. It goes into the rule's ``params``, so an edit of the library reruns exactly the rules
that use the edited module, and a fresh clone or a better comment reruns nothing.
"""

import ast
import hashlib
import io
import json
import platform
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
SCRIPTS = PACKAGE.parent
MAIN_PACKAGES = (
    "av",
    "numpy",
    "opencv-python-headless",
    "opensmile",
    "soxr",
    "torch",
    "lightning",
    "onnxruntime",
    "snakemake",
)
DATA = {".yaml", ".conf", ".inc", ".html", ".css", ".js"}


def code_fingerprint(script: str, modules: Iterable[str] = ()) -> str:
    """16 hexadecimal digits for ``scripts/<script>`` and all first-party code it imports.

    ``modules`` names further modules (``wildaffect.systems.lfan``) the script picks at run time; a package stands for all in it.
    Imports are found by parsing, never by importing. Data files beside a module (``.yaml``, ``.conf`` …) belong to its package.
    A process looks at its code once; see :func:`forget`.
    """
    return _fingerprint(script, tuple(modules))


def forget() -> None:
    """Look at the code anew from now on: for processes that outlive an edit of it."""
    for remembered in (_fingerprint, _inspect, _module_files, _data_files):
        remembered.cache_clear()


@cache
def _fingerprint(script: str, modules: tuple[str, ...]) -> str:
    pending = [SCRIPTS / script]
    for name in modules:
        pending += _module_files(name, whole_package=True)
    seen: dict[Path, str] = {}
    while pending:
        path = pending.pop()
        if path in seen:
            continue
        digest, imports = _inspect(path)
        seen[path] = digest
        for name in imports:
            pending += _module_files(name)
    lines = sorted(f"{path.relative_to(SCRIPTS)} {digest}" for path, digest in seen.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def stable_hash(value: Any) -> str:
    """16 hexadecimal digits of a JSON-serialisable value, independent of the order of mapping keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of ``packages``, of Python and of this package."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def main_versions() -> dict[str, str]:
    """Versions of the packages that results depend on most."""
    return versions("wildaffect", *MAIN_PACKAGES)


def significant_text(source: str) -> str:
    """Python source without comments, docstrings and blank lines; everything else keeps its place and spelling.

    The text is cut, not re-generated from the syntax tree, because the form of such a dump changes between Python versions.
    """
    return _without_remarks(source, list(_statements(ast.parse(source))))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """``node`` and all statements in it: everything that can import or hold a docstring, without the many expressions."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _statements(child)


def _without_remarks(source: str, statements: Iterable[ast.AST]) -> str:
    spans = [_docstring_span(node) for node in statements]
    cut = {line for span in spans if span for line in range(span[0], span[1] + 1)}
    lines = source.splitlines()
    # Reading tokens is the slow part, and most modules have no comment.
    tokens = tokenize.generate_tokens(io.StringIO(source).readline) if "#" in source else ()
    for token in tokens:
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(line.rstrip() for number, line in enumerate(lines, 1) if number not in cut and line.strip())


def _docstring_span(node: ast.AST) -> tuple[int, int] | None:
    """First and last line of the docstring of a module, class or function."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
        return None
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first.lineno, first.end_lineno or first.lineno
    return None


@cache
def _inspect(path: Path) -> tuple[str, tuple[str, ...]]:
    """Digest of one source file and the names of the first-party modules it imports."""
    source = path.read_text()
    if path.suffix != ".py":
        return hashlib.sha256(source.encode()).hexdigest(), ()
    names, statements = set(), list(_statements(ast.parse(source)))
    for node in statements:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    first_party = tuple(sorted(name for name in names if name.split(".")[0] == PACKAGE.name))
    return hashlib.sha256(_without_remarks(source, statements).encode()).hexdigest(), first_party


@cache
def _module_files(name: str, whole_package: bool = False) -> list[Path]:
    """Files behind a dotted name: the module or package, the parent packages (Python runs them too) and the data beside them."""
    base = SCRIPTS.joinpath(*name.split("."))
    if base.is_dir() and whole_package:
        return [
            *_module_files(name),
            *(path for path in base.rglob("*") if path.suffix == ".py" or path.suffix in DATA),
        ]
    files = [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]
    if not files:
        return []
    parents = [folder / "__init__.py" for folder in base.parents if SCRIPTS in folder.parents]
    return files + parents + _data_files(files[0].parent)


@cache
def _data_files(folder: Path) -> list[Path]:
    """Data of one package: in its folder and in sub-folders that are not packages themselves."""
    folders = [folder, *(sub for sub in folder.iterdir() if sub.is_dir() and not (sub / "__init__.py").exists())]
    return [path for place in folders for path in place.iterdir() if path.suffix in DATA]
