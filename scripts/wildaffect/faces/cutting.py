"""Cutting the crops of a trial out of its video, and making crops from crops."""

import os
from contextlib import ExitStack
from pathlib import Path

from wildaffect.errors import InputError
from wildaffect.faces.ahead import ahead
from wildaffect.faces.catalogue import RESIZED
from wildaffect.faces.crops import CropFile, crop_writer, encode
from wildaffect.faces.rows import read_trial
from wildaffect.faces.templates import crop_transform, cut, get_template, resized
from wildaffect.media.decode import decode

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

    Frames whose source is "none" are rows without a picture. Raises :class:`InputError` for an unknown template, a trial
    that ``persons`` lacks, or a video that no longer has the frames of the table.
    """
    faces = read_trial(persons, trial)
    valid, points5, boxes = faces.valid, faces.points5, faces.boxes
    kinds = {name: get_template(name) for name in templates}
    with ExitStack() as stack:
        sinks = {
            name: stack.enter_context(crop_writer(path, name, kinds[name].size, trial))
            for name, path in templates.items()
        }
        decoded = 0
        for frame, picture in ahead(decode(Path(video), threads), AHEAD) if len(valid) else ():
            if frame < len(valid):
                for name, kind in kinds.items():
                    transform = crop_transform(kind, points5[frame], boxes[frame]) if valid[frame] else None
                    sinks[name](frame, None if transform is None else encode(cut(picture, kind, transform)))
            decoded += 1
        if decoded != len(valid):
            raise InputError(
                f"{video}: {decoded} frames decoded, {persons} has {len(valid)}. Run the face stage again."
            )


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
            append(frame, None if picture is None else encode(picture))
