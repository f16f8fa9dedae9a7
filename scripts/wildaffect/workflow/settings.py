"""The configuration of a run, checked and completed: sections, blocks of systems, blocks of ensembles."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from wildaffect import systems
from wildaffect.config import complete, load_schema, nearest
from wildaffect.corpus.labels import VALENCE_AROUSAL
from wildaffect.errors import InputError


def complete_settings(raw: Mapping[str, Any], schemas: Path) -> dict[str, Any]:
    """``raw`` with all defaults, by the schemas in the folder ``schemas`` and those of the systems."""
    config = complete(raw, load_schema(schemas / "config.schema.yaml"))
    common = load_schema(schemas / "system.schema.yaml")
    wanted = _system_blocks(config["systems"])
    config["systems"] = {name: _system_config(name, block, common) for name, block in wanted.items()}
    declared = config["score"]["ensembles"]
    config["score"]["ensembles"] = {name: _ensemble_config(name, block, schemas) for name, block in declared.items()}
    return config


def _system_blocks(wanted: Mapping[str, Any] | list[str]) -> dict[str, Mapping[str, Any]]:
    """The blocks of the systems to run. A list names systems that run by their defaults; ``[all]`` names every one."""
    if isinstance(wanted, list):
        return {name: {} for name in (systems.available() if wanted == ["all"] else wanted)}
    for name, block in wanted.items():
        if block not in (None, False) and not isinstance(block, Mapping):
            raise InputError(
                f"configuration:\n  - config.systems.{name}: {block!r} is no block of settings. Values inside blocks given by --config are "
                "text; write them into a file and name it with --configfile."
            )
    return {name: block or {} for name, block in wanted.items() if block is not False}


def _system_config(name: str, block: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """The block of one system: the keys that all systems share, and the recipe by the schema in the system's folder."""
    if name not in systems.available():
        raise InputError(
            f"configuration:\n  - config.systems: unknown system {name!r}{nearest(name, systems.available())}"
        )
    spec = systems.spec(name)
    schema = deepcopy(dict(common))
    schema["properties"]["variants"] |= {"items": {"enum": list(spec.variants)}, "default": list(spec.variants)}
    schema["properties"]["targets"] |= {"items": {"enum": list(spec.targets)}, "default": list(spec.targets)}
    schema["properties"]["mode"] |= {"enum": list(spec.modes)}
    fusion = schema["properties"]["fusion"]["properties"]["method"]
    if _has_other_columns(spec, block.get("targets", spec.targets)):
        # Centring is defined for valence and arousal alone.
        fusion |= {"enum": ["mean"], "default": "mean"}
    filled = complete(block, schema, f"config.systems.{name}")
    # Only checked here: the configuration keeps what was asked for, the run record says what it came to.
    systems.resolve_settings(name, filled["recipe"])
    return filled


def _has_other_columns(spec, targets: Sequence[str]) -> bool:
    """Some target predicts more than valence and arousal; unknown names are found by the schema."""
    known = [target for name, target in spec.targets.items() if isinstance(targets, Sequence) and name in targets]
    return any(set(target.columns) - set(VALENCE_AROUSAL) for target in known)


def _ensemble_config(name: str, block: Mapping[str, Any] | None, schemas: Path) -> dict[str, Any]:
    """The block of one ensemble, smoothed by the same keys as a system."""
    schema = load_schema(schemas / "ensemble.schema.yaml")
    schema["properties"]["smoothing"] = load_schema(schemas / "system.schema.yaml")["properties"]["smoothing"]
    return complete(block or {}, schema, f"config.score.ensembles.{name}")
