"""Crop files from the organisers' own ``cropped_aligned`` pictures instead of detected faces."""

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from wildaffect.errors import InputError
from wildaffect.faces.crops import crop_writer, encode
from wildaffect.faces.templates import TEMPLATES, get_template
from wildaffect.media.frames import read_frames

# Pixels of template around the organisers' crop: M3T's centre crop then shows exactly their picture.
BORDERS = {"arcface112": 0, "lfan48": 0, "m3t256": 16, "cnu_aligned224": 0}


def pack_official(
    folder: str | os.PathLike, frames: str | os.PathLike, trial: str, templates: dict[str, str | os.PathLike]
) -> None:
    """Write crop files (template name -> output path) of one trial from ``<folder>/00001.jpg`` and so on.

    Picture k (five digits, from 1) belongs to frame k - 1; frames whose picture is missing are rows without a face, as
    the organisers leave out frames in which they found none. Pictures are scaled to the template by Pillow's bicubic
    filter. Raises :class:`InputError` for a missing folder, a picture that cannot be read or that lies beyond the last
    frame, and for templates these pictures cannot serve (``tsav112`` needs landmarks, ``cnu224`` unaligned boxes).
    """
    folder, count = Path(folder), read_frames(frames).about["frames"]
    if unfit := sorted(set(templates) - set(BORDERS)):
        raise InputError(f"faces.source official: cannot make {', '.join(unfit)}, only {', '.join(BORDERS)}.")
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no folder of aligned pictures for {trial}. Check corpus.root or use faces.source detect."
        )
    pictures = {int(path.stem) - 1: path for path in folder.glob("*.jpg") if path.stem.isdecimal()}
    if beyond := sorted(frame for frame in pictures if not 0 <= frame < count):
        raise InputError(
            f"{pictures[beyond[0]]}: the video has {count} frames. The pictures belong to another version of it."
        )
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(crop_writer(path, name, get_template(name), trial))
            for name, path in templates.items()
        }
        for frame in range(count):
            picture = _open(pictures[frame]) if frame in pictures else None
            for name, append in writers.items():
                append(frame, None if picture is None else encode(_fit(picture, name)))


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: not a readable picture ({error}). Unpack the archive again.") from error


def _fit(picture: Image.Image, name: str) -> np.ndarray:
    size, border = TEMPLATES[name].size, BORDERS[name]
    inner = picture.resize((size - 2 * border, size - 2 * border), Image.Resampling.BICUBIC)
    canvas = np.zeros((size, size, 3), np.uint8)
    canvas[border : size - border, border : size - border] = np.asarray(inner)
    return canvas
