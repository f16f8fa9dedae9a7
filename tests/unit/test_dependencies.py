"""The project's description of itself: one version; dependencies declared, used, locked and installed where a rule imports them."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.pipeline import ROOT, rule_blocks

# What runs without being imported by the product, and why.
RUN_TIME = {
    "face-recognition-models": "a folder of weight files, located and never imported",
    "pygments": "imported by `snakemake --report`",
    "snakemake": "imports the rules, not the other way round",
    "snakemake-executor-plugin-cluster-generic": "found by Snakemake, for PBS",
    "snakemake-executor-plugin-slurm": "found by Snakemake, for SLURM",
}
TOOLS = {
    "mkdocs",
    "mkdocs-material",
    "mkdocstrings-python",
    "mypy",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "snakefmt",
}  # started or found by pytest, not imported by a test
UNLISTED = {"dlib": ["dlib-bin"]}  # a module that its distribution does not list
# insightface asks for the other build of the library by name; setuptools is there to install this project.
REPLACED = {"opencv-python": "opencv-python-headless"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(.+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
}
ENVIRONMENTS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "envs").glob("*.yaml"))}


def names(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


DECLARED = names(PROJECT["dependencies"])
TEST = names(PROJECT["optional-dependencies"]["test"])
# Of these a file of weights is read, so nothing that they ask for is needed; they are located and never imported.
PREDICTORS = names(PROJECT["optional-dependencies"]["predictors"])
EXPORT = names(PROJECT["optional-dependencies"]["export"])


@cache
def distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions()) | UNLISTED


def third_party(modules: Iterable[str], own: set[str]) -> set[str]:
    """Distributions of the modules that are neither Python's nor named in ``own``."""
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - own
    unknown = tops - distributions().keys()
    assert not unknown, f"imported and not installed: {sorted(unknown)}"
    return {canonicalize_name(distributions()[top][0]) for top in tops}


def imports(path: Path, *, at_start: bool = False) -> Iterator[str]:
    """Modules that a file imports; ``at_start`` leaves out imports inside functions. Parts of a package are named as well."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if at_start and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        pending += ast.iter_child_nodes(node)


def imported_below(*folders: str) -> set[str]:
    """What the files below these folders import, without what lies in the folders themselves."""
    own = {path.stem for folder in ("scripts", "workflow/rules", *folders) for path in (ROOT / folder).iterdir()}
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return third_party((module for path in files for module in imports(path)), own)


def test_one_version_everywhere():
    (latest, *_) = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert PROJECT["version"] == latest == cited


def test_the_product_declares_what_it_imports_and_no_more():
    assert imported_below("scripts") == DECLARED - RUN_TIME.keys() | EXPORT
    assert RUN_TIME.keys() <= DECLARED


def test_the_tests_declare_what_they_import_and_no_more():
    assert imported_below("tests", "benchmarks", "benchmarks/real") - DECLARED == TEST - TOOLS
    assert not TEST & DECLARED


def needs_of(name: str, extra: str) -> set[tuple[str, str]]:
    """What a distribution needs on this machine with an extra (or none: an empty text), each with the extras that it asks for."""
    wanted = [Requirement(text) for text in metadata.requires(name) or ()]
    wanted = [need for need in wanted if not need.marker or need.marker.evaluate({"extra": extra})]
    return {(canonicalize_name(need.name), kind) for need in wanted for kind in ("", *need.extras)}


def test_the_lock_holds_what_is_declared_and_all_that_this_needs():
    assert LOCK.keys() >= PREDICTORS
    pending, seen = (
        {(name, "") for name in DECLARED | TEST | EXPORT | {"setuptools"}},
        {(name, "") for name in PREDICTORS},
    )
    while pending:
        name, extra = pending.pop()
        assert name in LOCK, f"{name} is needed and not in requirements.lock"
        seen.add((name, extra))
        pending |= {(REPLACED.get(need, need), kind) for need, kind in needs_of(name, extra)} - seen
    assert LOCK.keys() - {name for name, _ in seen} == set(), "nothing needs these"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_has_what_its_rules_import(environment):
    """Of the scripts and of all first-party modules that they import at start; and nothing but what is declared, as locked."""
    described = ENVIRONMENTS[environment]
    assert "defaults" not in described["channels"]
    pins = {canonicalize_name(pin.split("==")[0]): pin.split("==")[1] for pin in described["dependencies"][-1]["pip"]}
    assert pins.items() <= {name: LOCK.get(name) for name in DECLARED}.items()
    scripts = ROOT / "scripts"
    rules = [name for name, block in rule_blocks().items() if f"envs/{environment}.yaml" in block]
    pending, seen, found = [scripts / f"{rule}.py" for rule in rules], set(), set()
    while pending:
        path = pending.pop()
        seen.add(path)
        modules = set(imports(path, at_start=True))
        found |= third_party(modules, {"wildaffect"})
        steps = [module.split(".") for module in modules if module.startswith("wildaffect")]
        files = {
            file
            for parts in steps
            for end in range(1, len(parts) + 1)
            for file in (
                scripts.joinpath(*parts[:end], "__init__.py"),
                scripts.joinpath(*parts[:end]).with_suffix(".py"),
            )
        }
        pending += [file for file in files - seen if file.is_file()]
    assert rules and "numpy" in found
    assert found | {"snakemake"} <= pins.keys()
