"""Cut the face of a trial out of every frame, in one template or several in one decoding pass."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.alignment import Template, crop_transform, fit, warp
from wildaffect.faces.crops import CropFile, crop_writer, decode_image, encode_image
from wildaffect.faces.previews import write_contact_sheet
from wildaffect.faces.tables import read_trial
from wildaffect.media.decode import decode, prefetch
from wildaffect.tables import read_metadata

# Frames decoded ahead of cutting.
AHEAD = 2


def cut_crops(
    video: str | os.PathLike,
    persons: str | os.PathLike,
    trial: str,
    templates: Mapping[Template, str | os.PathLike],
    *,
    threads: int = 1,
) -> None:
    """Cut one trial's face in several templates in a single decoding pass.

    A template that is resized from another one is made from that one's stored image, byte for byte as `resize_crops` does. Frames
    whose source is ``none`` are rows without a crop.

    Args:
        video: The video.
        persons: Its table of persons.
        trial: Name of the trial.
        templates: Output path of each template.
        threads: Threads that decode.

    Raises:
        InputError: For a resized template without the one it is made from, a trial that ``persons`` lacks, or a video that no longer has
            the frames of the table.
    """
    faces = read_trial(persons, trial)
    valid, points5, boxes = faces.valid, faces.points5, faces.boxes
    kinds = {template.name: template for template in sorted(templates, key=lambda kind: kind.resized_from is not None)}
    for name, kind in kinds.items():
        if kind.resized_from and kind.resized_from not in kinds:
            raise InputError(f"crops: {name} is made from {kind.resized_from}, which is not among {', '.join(kinds)}.")
    with ExitStack() as stack:
        sinks = {
            kind.name: stack.enter_context(crop_writer(path, kind.name, kind.size, trial, resizing=kind.resizing))
            for kind, path in templates.items()
        }
        for index, frame in decoded_frames(video, len(valid), persons, threads):
            crops = _crops(frame, kinds, points5[index], boxes[index]) if valid[index] else {}
            for name, append in sinks.items():
                append(index, crops.get(name))


def _crops(frame: np.ndarray, kinds: Mapping[str, Template], points5: np.ndarray, box: np.ndarray) -> dict[str, bytes]:
    """Image files of one face by template; a resized one stands after its source in ``kinds``."""
    crops: dict[str, bytes] = {}
    for name, kind in kinds.items():
        if kind.resized_from:
            crops[name] = _resized(crops[kind.resized_from], kind)
        else:
            crops[name] = encode_image(warp(frame, kind, crop_transform(kind, points5, box)), kind.encoding)
    return crops


def _resized(image: bytes, kind: Template, border: int = 0) -> bytes:
    """The image file of a resized template, from the stored one of its source, which ``border`` makes a crop."""
    if kind.encoding == "unchanged":
        return image
    return encode_image(fit(decode_image(image), kind.size, border, kind.resizing), kind.encoding)


def decoded_frames(
    video: str | os.PathLike, count: int, table: str | os.PathLike, threads: int = 1
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the frames of a video, decoded a little ahead.

    Args:
        video: The video.
        count: Number of frames it has by ``table``, which messages name.
        table: The table, of frames or of persons.
        threads: Threads that decode.

    Yields:
        Index and upright RGB uint8 (H, W, 3).

    Raises:
        InputError: After the last frame if the video has another number of them.
    """
    decoded = 0
    images = decode(Path(video), threads, read_metadata(table).get("view")) if count else ()
    for index, frame in prefetch(images, AHEAD):
        if index < count:
            yield index, frame
        decoded += 1
    if decoded != count:
        raise InputError(f"{video}: {decoded} frames decoded, {table} has {count}. Run the face stage again.")


def resize_crops(crops: str | os.PathLike, template: Template, output: str | os.PathLike) -> None:
    """Write the crop file of a template from the stored images of the one it is resized from.

    Args:
        crops: Crop file of the template that it is made from.
        template: The template to make.
        output: Crop file to write.

    Raises:
        InputError: If ``template`` is not made from such crops.
    """
    source = CropFile(crops)
    if template.resized_from != source.about["template"]:
        raise InputError(f"{crops}: {template.name} is not made from {source.about['template']} crops.")
    name, size, resizing = template.name, template.size, template.resizing
    border = source.border if template.encoding == "unchanged" else 0
    with crop_writer(output, name, size, source.about["trial"], border=border, resizing=resizing) as append:
        for index in range(len(source)):
            image = source.stored(index)
            append(index, _resized(image, template, source.border) if image is not None else None)


def cut_together(
    video: str | os.PathLike,
    persons: str | os.PathLike,
    trial: str,
    templates: Mapping[Template, Path],
    *,
    sheet: Path | None = None,
    sheet_source: str = "",
    threads: int = 1,
) -> None:
    """`cut_crops`, and the contact sheet of the crops of template ``sheet_source`` if ``sheet`` names a file for it."""
    cut_crops(video, persons, trial, templates, threads=threads)
    if sheet is not None:
        crops = {template.name: path for template, path in templates.items()}
        write_contact_sheet(video, crops[sheet_source], persons, sheet)
