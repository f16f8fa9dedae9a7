"""The systems: sub-packages of this folder that contain a ``spec.py``, and installed packages that announce one.

A system of another package is announced by an entry point of the group ``wildaffect.systems``, whose name is that of the system and whose
value is the package with its ``spec.py``. Torch is imported only when a model or a recipe is asked for.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wildaffect.config import Section, keys, laid_over, parse, sections
from wildaffect.errors import InputError
from wildaffect.systems.types import PredictorSettings, RecipeSettings, Setup, Spec

Settings = RecipeSettings | PredictorSettings

if TYPE_CHECKING:
    import torch

    from wildaffect.systems.base import Predictor, Recipe
    from wildaffect.systems.weights import LoadReport

GROUP = "wildaffect.systems"
"""Entry points of systems in other packages."""


def available() -> dict[str, list[str]]:
    """Variants of every system, ``{system: [variant, ...]}``."""
    return {name: list(spec(name).variants) for name in _packages()}


def spec(system: str) -> Spec:
    """What ``system`` offers and needs. :class:`InputError` for an unknown name."""
    return import_module(f"{package(system)}.spec").SPEC


def package(system: str) -> str:
    """Dotted name of the package of ``system``. :class:`InputError` for an unknown name."""
    found = _packages()
    if system not in found:
        raise InputError(f"no system is called {system!r}; known systems: {', '.join(found)}.")
    return found[system]


def folder(system: str) -> Path:
    """Folder of the package of ``system``."""
    found = find_spec(package(system))
    if found is None or not found.submodule_search_locations:
        raise InputError(f"system {system}: {package(system)} is no package that can be imported. Install it again.")
    return Path(found.submodule_search_locations[0])


def inside(system: str) -> list[str]:
    """The package of ``system`` if it is part of this project; fingerprints of jobs then cover its code."""
    name = package(system)
    return [name] if name.startswith(f"{__name__}.") else []


def outside_hash(system: str) -> str:
    """Hash of the files of a system in another package, which fingerprints of jobs do not cover; empty for the others."""
    if inside(system):
        return ""
    digest, root = hashlib.sha256(), folder(system)
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".md")):
        digest.update(f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def build_model(system: str, variant: str, **options: Any) -> "torch.nn.Module":
    """Untrained model of a variant, with the ``state_dict`` keys of the original checkpoint; nothing is downloaded.

    Options are those of the system's ``model.build``, for example a smaller backbone. The initial weights depend on torch's seed.
    """
    _check_variant(system, variant)
    return import_module(f"{package(system)}.model").build(variant, **options)


def set_up(
    system: str,
    variant: str,
    target: str,
    mode: str,
    settings: Settings | Mapping[str, Any] | None = None,
    base: str | None = None,
) -> Setup:
    """A model that can be trained or run.

    Args:
        system: Name of the system.
        variant: One of its variants, or a name that the configuration gave to one.
        target: One of the variant's targets.
        mode: ``faithful`` or ``corrected``.
        settings: Complete settings, or those that differ from the defaults.
        base: The variant that such a name stands for; None: ``variant`` is one itself.

    Raises:
        InputError: The system does not have one of these.
    """
    base = base or variant
    _check_variant(system, base)
    declared = spec(system)
    if target not in declared.targets_of(base):
        known = ", ".join(declared.targets_of(base))
        raise InputError(f"{system} {variant} has no target {target!r}; its targets are {known}.")
    if mode not in declared.modes:
        raise InputError(f"{system} has no mode {mode!r}; its modes are {', '.join(declared.modes)}.")
    complete = settings if isinstance(settings, Settings) else resolve_settings(system, settings)
    return Setup(system, variant, target, mode, complete, base)


def build_recipe(
    system: str, variant: str, target: str, mode: str, settings: Settings | Mapping[str, Any] | None = None
) -> "Recipe":
    """How a model is trained and run; arguments as for :func:`set_up`."""
    return recipe_of(set_up(system, variant, target, mode, settings))


def recipe_of(setup: Setup) -> "Recipe":
    """How ``setup`` is trained and run; :class:`InputError` for a system that comes trained."""
    if spec(setup.system).trained:
        raise InputError(f"{setup.system} comes trained: it can be run, and nothing of it is trained here.")
    return _built(setup)


def predictor_of(setup: Setup) -> "Predictor":
    """How ``setup`` is run, trained here or not."""
    return _built(setup)


def _built(setup: Setup) -> Any:
    module = import_module(f"{package(setup.system)}.recipe")
    return module.build(setup.base, spec(setup.system).targets[setup.target], setup.mode, setup.settings)


def resolve_settings(system: str, settings: Mapping[str, Any] | None = None) -> Settings:
    """The complete settings of a recipe: ``settings`` checked, and the system's defaults for all others."""
    return parse(spec(system).settings, settings or {}, f"config.systems.{system}.recipe")


def recorded_settings(system: str, record: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Settings:
    """Settings of an earlier training with some ``changes``.

    Args:
        system: Name of the system.
        record: The recipe that the run record of that training holds; its keys may have been renamed since.
        changes: Settings that differ.
    """
    return resolve_settings(system, laid_over(_with_new_names(spec(system).settings, record), changes or {}))


def load_weights(model: "torch.nn.Module", path: str | Path, sha256: str | None = None) -> "LoadReport":
    """Load a weight file into ``model``; see :func:`wildaffect.systems.weights.load_weights`."""
    from wildaffect.systems import weights

    return weights.load_weights(model, path, sha256)


@cache
def _packages() -> dict[str, str]:
    """The package of each system, by name."""
    inside = {path.parent.name: f"{__name__}.{path.parent.name}" for path in Path(__file__).parent.glob("*/spec.py")}
    outside = {entry.name: entry.value for entry in metadata.entry_points(group=GROUP)}
    if both := sorted(inside.keys() & outside.keys()):
        raise InputError(
            f"{outside[both[0]]}: a system called {both[0]!r} exists already; give the entry point another name."
        )
    return dict(sorted({**inside, **outside}.items()))


def _check_variant(system: str, variant: str) -> None:
    if variant not in spec(system).variants:
        raise InputError(f"{system} has no variant {variant!r}; its variants are {', '.join(spec(system).variants)}.")


def _with_new_names(section: type[Section], values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` of a section with the present names of their keys."""
    found, fields = {}, keys(section)
    for key, value in values.items():
        name = section.renamed.get(key, key)
        blocks = sections(fields[name].annotation) if name in fields else []
        found[name] = _with_new_names(blocks[0], value) if blocks and isinstance(value, Mapping) else value
    return found
