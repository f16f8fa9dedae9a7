"""The systems, found as sub-packages of this folder that contain a ``spec.py``.

A new system is one new folder with ``spec.py`` (no torch), ``schema.yaml`` (its block of the configuration), ``model.py``, ``data.py``,
``recipe.py`` and ``card.md``; nothing here or elsewhere names it. Torch is imported only when a model or a recipe is asked for.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wildaffect.config import complete
from wildaffect.errors import InputError
from wildaffect.systems.interface import Recipe, Spec

if TYPE_CHECKING:
    import torch

    from wildaffect.systems.weights import LoadReport


def available() -> dict[str, list[str]]:
    """Variants of every system, ``{system: [variant, ...]}``."""
    return {path.parent.name: list(spec(path.parent.name).variants) for path in sorted(_folder().glob("*/spec.py"))}


def spec(system: str) -> Spec:
    """What ``system`` offers and needs. :class:`InputError` for an unknown name."""
    if not (_folder() / system / "spec.py").is_file():
        known = ", ".join(path.parent.name for path in sorted(_folder().glob("*/spec.py")))
        raise InputError(f"no system is called {system!r}; known systems: {known}.")
    return import_module(f"{__name__}.{system}.spec").SPEC


def build_model(system: str, variant: str, **options: Any) -> "torch.nn.Module":
    """Untrained model of a variant, with the ``state_dict`` keys of the original checkpoint; nothing is downloaded.

    Options are those of the system's ``model.build``, for example a smaller backbone. The initial weights depend on torch's seed.
    """
    _check_variant(system, variant)
    return import_module(f"{__name__}.{system}.model").build(variant, **options)


def build_recipe(
    system: str, variant: str, target: str, mode: str, settings: Mapping[str, Any] | None = None
) -> Recipe:
    """How an instance is trained and run. ``settings`` override single defaults of :func:`resolve_recipe`."""
    _check_variant(system, variant)
    declared = spec(system)
    if target not in declared.targets_of(variant):
        known = ", ".join(declared.targets_of(variant))
        raise InputError(f"{system} {variant} has no target {target!r}; its targets are {known}.")
    if mode not in declared.modes:
        raise InputError(f"{system} has no mode {mode!r}; its modes are {', '.join(declared.modes)}.")
    module = import_module(f"{__name__}.{system}.recipe")
    return module.build(variant, declared.targets[target], mode, resolve_recipe(system, settings))


def resolve_recipe(system: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The complete recipe: ``settings`` with the defaults of the system's ``schema.yaml`` filled in, checked."""
    return complete(settings or {}, spec(system).schema["properties"]["recipe"], f"config.systems.{system}.recipe")


def load_weights(model: "torch.nn.Module", path: str | Path, sha256: str | None = None) -> "LoadReport":
    """Load a weight file into ``model``; see :func:`wildaffect.systems.weights.load_weights`."""
    from wildaffect.systems import weights

    return weights.load_weights(model, path, sha256)


def _folder() -> Path:
    return Path(__file__).parent


def _check_variant(system: str, variant: str) -> None:
    if variant not in spec(system).variants:
        raise InputError(f"{system} has no variant {variant!r}; its variants are {', '.join(spec(system).variants)}.")
