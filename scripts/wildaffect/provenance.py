"""What a result was made from: fingerprints of code, stable hashes of values, versions."""

import hashlib
import json
import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from wildaffect.fingerprint import Code, Part
from wildaffect.project import PACKAGES, SCRIPTS

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


def code_fingerprint(script: str, modules: Iterable[str] = (), *, scripts: Path = SCRIPTS) -> str:
    """Fingerprint of the code that a job runs.

    A process reads its code once; see `forget`.

    Args:
        script: File name of the job's script below ``scripts``.
        modules: What the script picks at run time: ``package.module`` for the public definitions of a module, ``package`` for those of all
            modules in it, ``package.module:name`` for one definition, ``package:folder/file`` for one data file.
        scripts: Folder of the scripts, and of the packages that they import unless it is that of this project.

    Returns:
        16 hexadecimal digits.

    Raises:
        InputError: The script or one of ``modules`` does not exist.
    """
    return _fingerprint(script, tuple(modules), scripts)


def definitions(script: str, modules: Iterable[str] = (), *, scripts: Path = SCRIPTS) -> dict[str, str]:
    """What a fingerprint is made of: a digest for each ``module:name`` that is reached.

    The name ``<module>`` stands for what a module runs on import, or for the body of the script. Two fingerprints differ because of the
    entries in which these mappings differ. Arguments and errors are those of `code_fingerprint`.
    """
    code = _code(scripts)
    pending, seen = [code.script(script), *map(code.plugin, modules)], {}
    while pending:
        part = pending.pop()
        if part not in seen:
            seen[part], reached = _part(scripts, part)
            pending += reached
    return {f"{module}:{name.lstrip('/')}": digest for (module, name), digest in sorted(seen.items()) if digest}


def explain(script: str, modules: Iterable[str] = (), *, scripts: Path = SCRIPTS) -> list[str]:
    """Every ``module:name`` that is reached, in order; see `definitions`."""
    return list(definitions(script, modules, scripts=scripts))


def forget() -> None:
    """Read the code again from now on: for processes that outlive an edit of it."""
    for remembered in (_fingerprint, _part, _code):
        remembered.cache_clear()


@cache
def _code(scripts: Path) -> Code:
    return Code(scripts, PACKAGES if scripts == SCRIPTS else scripts)


@cache
def _part(scripts: Path, part: Part) -> tuple[str, set[Part]]:
    """Digest of a part, empty where it holds nothing itself, and the parts that it reaches."""
    text, reached = _code(scripts).part(*part)
    return (_digest(text) if text else ""), reached


@cache
def _fingerprint(script: str, modules: tuple[str, ...], scripts: Path) -> str:
    return stable_hash(definitions(script, modules, scripts=scripts))


def stable_hash(value: Any) -> str:
    """16 hexadecimal digits of a JSON-serialisable value, independent of the order of mapping keys."""
    return _digest(json.dumps(value, sort_keys=True))


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of ``packages``, of Python and of this package."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def main_versions() -> dict[str, str]:
    """Versions of the packages that results depend on most."""
    return versions("wildaffect", *MAIN_PACKAGES)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
