"""The crop templates, one YAML file each in this folder, found by being there; nothing else lists them.

A file ``<name>.yaml`` holds the values of a `wildaffect.faces.alignment.Template` and two texts for readers, ``about`` (what is
shown) and ``source`` (where it is published, what is assumed). Defaults: ``view: face``, ``warp_size`` as ``size``. ``points`` is
``{arcface: {scale: s, offset: o}}`` (the ArcFace targets times ``s``, plus ``o`` pixels), a list of five pairs, or absent. Jobs get the
template they cut by value, so that another file here, or another text, reruns nothing.
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.alignment import ARCFACE, Points, Template
from wildaffect.faces.lfan_archive import SIDE
from wildaffect.files import read_yaml

SHEETS = "sheets"
"""What `faces.single_pass` calls contact sheets ..."""
SHEET_SOURCE = "arcface112"
"""... and the template that they are made of."""

FOLDER = Path(__file__).parent
TEXTS = ("about", "source")
PRESENCE = (ALIGNED, _, ARRAYS) = ("cropped_aligned", "face_256", "npy_data")
"""Kinds of folders that say in which frames a trial has a face, the better first: the organisers' aligned crops, M3T's face tracks, LFAN's
preprocessed arrays."""
CHOICES = {key: get_args(kind) for key, kind in get_type_hints(Template).items() if get_origin(kind) is Literal}
"""Keys of a template that have a few possible values, with these."""


def names() -> list[str]:
    """Names of all templates, sorted."""
    return list(all_templates())


@cache
def all_templates() -> dict[str, Template]:
    """All templates by name; `InputError` for a file that does not describe one."""
    found = {path.stem: _read(path) for path in sorted(FOLDER.glob("*.yaml"))}
    for template in found.values():
        source = found.get(template.resized_from) if template.resized_from else None
        bordered = source is not None and any(border > 0 for _, border in source.official)
        if template.resized_from and (source is None or source.view != "face" or source.resized_from or bordered):
            raise InputError(
                f"{FOLDER / template.name}.yaml: resized_from {template.resized_from!r} is no template that is cut from frames "
                "and has no border."
            )
        if template.encoding == "unchanged" and source is None:
            raise InputError(
                f"{FOLDER / template.name}.yaml: encoding unchanged is for templates that are resized_from others."
            )
    return found


def get_template(name: str) -> Template:
    """The template called ``name``; `InputError` lists the names there are."""
    if name not in all_templates():
        raise InputError(f"crops: unknown template {name!r}; known are {', '.join(names())}.")
    return all_templates()[name]


def value(name: str) -> dict[str, Any]:
    """The template as plain values, as a job gets it; ``Template(**value)`` is the template again."""
    values = asdict(get_template(name))
    # Where it says nothing it is left out, as in the records of weights from before it was there.
    return {key: part for key, part in values.items() if key != "margin" or part is not None}


def cut_from_frames() -> list[str]:
    """Templates of faces that are cut from the decoded video.

    Decoding a frame costs several times more than cutting a crop out of it, so only what needs the video's own pixels is cut from it.
    """
    return [name for name, template in all_templates().items() if template.view == "face" and not template.resized_from]


def resized() -> dict[str, str]:
    """Templates made from the stored crops of another one, with the name of that one."""
    return {name: template.resized_from for name, template in all_templates().items() if template.resized_from}


def scenes() -> list[str]:
    """Templates that show a scene, made from the decoded video whatever the faces in it."""
    return [name for name, template in all_templates().items() if template.view != "face"]


def with_bodies() -> list[str]:
    """Those of the scenes for which bodies must be found first."""
    return [name for name, template in all_templates().items() if template.needs_bodies]


def official() -> list[str]:
    """Templates that images which others cut can stand for."""
    return [name for name, template in all_templates().items() if template.official]


def official_kind(name: str, kinds: Collection[str]) -> str | None:
    """The best of the ``kinds`` of folders there are whose images can stand for a template, if any."""
    return next((kind for kind, _ in get_template(name).official if kind in kinds), None)


def check_official(wanted: Iterable[str], kinds: Collection[str]) -> None:
    """`InputError` if a template of ``wanted`` can neither be made from these kinds of images nor from the scene."""

    def possible(name: str) -> bool:
        kind = official_kind(resized().get(name, name), kinds)
        return name in scenes() or (kind is not None and (kind != ARRAYS or get_template(name).size <= SIDE))

    if unfit := sorted(name for name in wanted if not possible(name)):
        size = f" and {SIDE} pixels" if ARRAYS in kinds else ""
        raise InputError(
            f"faces.source official: {', '.join(unfit)} cannot be made from images in {' and '.join(kinds)}, which "
            f"have no landmarks{size}. Leave out the systems that need it or use faces.source detect."
        )


def _read(path: Path) -> Template:
    content = read_yaml(path)
    known = {field.name for field in fields(Template)} - {"name"}
    if not isinstance(content, dict) or (unknown := set(content) - known - set(TEXTS)):
        what = f"unknown key {', '.join(sorted(map(str, unknown)))}" if isinstance(content, dict) else "no mapping"
        raise InputError(f"{path}: {what}; a template has {', '.join(sorted(known))} and {', '.join(TEXTS)}.")
    values = {key: content[key] for key in content if key in known}
    if not isinstance(values.get("size"), int):
        raise InputError(f"{path}: needs a size in pixels.")
    for key, choices in CHOICES.items():
        if key in values and values[key] not in choices:
            raise InputError(f"{path}: needs as {key} one of {', '.join(choices)}.")
    defaults = {"view": "face", "warp_size": values["size"]}
    try:
        points = _points(values.get("points"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: points are {{arcface: {{scale: s, offset: o}}}} or five pairs ({error!r})."
        ) from error
    kinds = tuple((values.get("official") or {}).items())
    return Template(**{"name": path.stem, **defaults, **values, "points": points, "official": kinds})


def _points(value: Any) -> Points | None:
    """The five targets as pairs."""
    if value is None:
        return None
    if isinstance(value, dict):
        value = value["arcface"]["scale"] * ARCFACE + value["arcface"]["offset"]
    return tuple((float(x), float(y)) for x, y in np.reshape(value, (5, 2)))
