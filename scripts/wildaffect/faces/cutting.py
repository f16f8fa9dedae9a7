"""Cut the face of a trial out of every frame, in one template or several in one decoding pass."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.catalogue import RESIZED, SHEET_SOURCE
from wildaffect.faces.crops import CropFile, crop_writer, decode_jpeg, encode_jpeg
from wildaffect.faces.previews import write_contact_sheet
from wildaffect.faces.tables import read_trial
from wildaffect.faces.templates import Template, crop_transform, cut, get_template, resized
from wildaffect.media.decode import decode
from wildaffect.media.prefetch import prefetch

# Pictures decoded ahead of cutting.
AHEAD = 2


def cut_crops(
    video: str | os.PathLike,
    persons: str | os.PathLike,
    trial: str,
    templates: dict[str, str | os.PathLike],
    *,
    threads: int = 1,
) -> None:
    """Cut one trial's face in every template of ``templates`` (name -> output path) in a single decoding pass.

    A template that is a resized copy of another one's is made from that one's JPEG, byte for byte as :func:`resize_crops` does.
    Frames whose source is "none" are rows without a picture. Raises :class:`InputError` for an unknown template, a resized one without
    the one it is made from, a trial that ``persons`` lacks, or a video that no longer has the frames of the table.
    """
    faces = read_trial(persons, trial)
    valid, points5, boxes = faces.valid, faces.points5, faces.boxes
    kinds = {name: get_template(name) for name in sorted(templates, key=RESIZED.__contains__)}
    if alone := [name for name in kinds if name in RESIZED and RESIZED[name] not in kinds]:
        raise InputError(f"crops: {alone[0]} is made from {RESIZED[alone[0]]}, which is not among {', '.join(kinds)}.")
    with ExitStack() as stack:
        sinks = {
            name: stack.enter_context(crop_writer(path, name, kinds[name].size, trial))
            for name, path in templates.items()
        }
        for frame, picture in pictures(video, len(valid), persons, threads):
            made = _crops(picture, kinds, points5[frame], boxes[frame]) if valid[frame] else {}
            for name, append in sinks.items():
                append(frame, made.get(name))


def _crops(picture: np.ndarray, kinds: dict[str, Template], points5: np.ndarray, box: np.ndarray) -> dict[str, bytes]:
    """JPEG bytes of one face by template; a resized one stands after its source in ``kinds``."""
    made: dict[str, bytes] = {}
    for name, kind in kinds.items():
        if name in RESIZED:
            crop = resized(decode_jpeg(made[RESIZED[name]]), kind.size)
        else:
            crop = cut(picture, kind, crop_transform(kind, points5, box))
        made[name] = encode_jpeg(crop)
    return made


def pictures(
    video: str | os.PathLike, count: int, table: str | os.PathLike, threads: int = 1
) -> Iterator[tuple[int, np.ndarray]]:
    """The ``count`` frames that ``table`` says ``video`` has, as (frame, upright picture uint8 (H, W, 3)), decoded a little ahead.

    Raises :class:`InputError` after the last one if the video has another number of frames.
    """
    decoded = 0
    for frame, picture in prefetch(decode(Path(video), threads), AHEAD) if count else ():
        if frame < count:
            yield frame, picture
        decoded += 1
    if decoded != count:
        raise InputError(f"{video}: {decoded} frames decoded, {table} has {count}. Run the face stage again.")


def resize_crops(crops: str | os.PathLike, name: str, output: str | os.PathLike) -> None:
    """Write the crop file of template ``name`` from the ``crops`` of the template it is a resized copy of.

    Pictures are scaled by Pillow's bicubic filter. Raises :class:`InputError` if ``name`` is not made from such crops.
    """
    source, kind = CropFile(crops), get_template(name)
    if RESIZED.get(name) != source.about["template"]:
        raise InputError(f"{crops}: {name} is not made from {source.about['template']} crops.")
    with crop_writer(output, name, kind.size, source.about["trial"]) as append:
        for frame, valid in enumerate(source.valid.tolist()):
            picture = resized(source.read([frame])[0], kind.size) if valid else None
            append(frame, None if picture is None else encode_jpeg(picture))


def cut_together(
    video: str | os.PathLike,
    persons: str | os.PathLike,
    trial: str,
    templates: dict[str, Path],
    *,
    sheet: Path | None = None,
    threads: int = 1,
) -> None:
    """:func:`~wildaffect.faces.cutting.cut_crops`, and the contact sheet from what was cut if ``sheet`` names a file for it."""
    cut_crops(video, persons, trial, templates, threads=threads)
    if sheet is not None:
        write_contact_sheet(templates[SHEET_SOURCE], persons, sheet)
