"""The organisers' images, folders ``cropped`` and ``cropped_aligned``, instead of detected faces.

Below the root each folder holds one folder per trial with images ``00001.jpg`` and so on: image k belongs to frame
k - 1, and frames in which the organisers found no face are left out.
"""

import logging
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from wildaffect.errors import InputError
from wildaffect.faces.alignment import Template, resize
from wildaffect.faces.crops import crop_writer, encode_jpeg
from wildaffect.faces.tables import (
    DETECTED,
    DETECTIONS_SCHEMA,
    NONE,
    PERSONS_SCHEMA,
    SOURCE_TYPE,
    TrialFaces,
    rows_table,
    source_counts,
)
from wildaffect.faces.templates import ALIGNED
from wildaffect.integrity import foreign
from wildaffect.media.frames import kept_view, read_frames
from wildaffect.tables import write_table

log = logging.getLogger(__name__)

ABOUT: dict[str, Any] = {
    "backend": "official",
    "model": ALIGNED,
    "version": "",
    "files": {},
    "licence": "pictures of the Aff-Wild2 organisers: research only",
    "provider": "none",
    "options": {},
    "identity_distance": None,
    "cuts": [],
}


def read_official(
    root: str | os.PathLike,
    frames: str | os.PathLike,
    trials: dict[str, str],
    persons: str | os.PathLike,
    detections: str | os.PathLike,
) -> None:
    """Write the table of persons of one video from the images there are, and a table of detections without rows.

    A frame with an aligned image is ``detected``, another one ``none``; boxes and points are null. Images beyond the last decoded frame
    are left out and counted in the metadata (``pictures_beyond``).

    Args:
        root: Folder that holds the organisers' folders.
        frames: Frame table of the video.
        trials: Person by trial.
        persons: Table to write (`wildaffect.faces.tables.PERSONS_SCHEMA`).
        detections: Table to write (`wildaffect.faces.tables.DETECTIONS_SCHEMA`).

    Raises:
        InputError: For a missing folder.
    """
    about = read_frames(frames).about
    count, parts, facts = about["frames"], [PERSONS_SCHEMA.empty_table()], {}
    seen = np.zeros(count, bool)
    for trial, person in trials.items():
        images, beyond = list_images(Path(root) / ALIGNED / trial, count)
        if beyond:
            log.warning("%s: %d images beyond the last of %d frames are left out", trial, beyond, count)
        rows = _rows(images, count)
        seen |= rows.valid
        parts.append(rows_table(trial, rows))
        facts[trial] = _facts(person, rows, beyond)
    quiet = {"tracks": [], "seen_together": 0, "order_reversed": 0, "identity_swaps": 0, "options": {}}
    write_table(
        persons, pa.concat_tables(parts), PERSONS_SCHEMA, {"trials": facts, "frames": count} | quiet | kept_view(about)
    )
    size = {"width": about["width"], "height": about["height"]}
    found = ABOUT | {"frames": count, "frames_with_face": int(seen.sum())} | size
    write_table(detections, DETECTIONS_SCHEMA.empty_table(), DETECTIONS_SCHEMA, found)


def pack_official(
    root: str | os.PathLike,
    frames: str | os.PathLike,
    trial: str,
    templates: Mapping[Template, str | os.PathLike],
) -> None:
    """Write crop files of one trial from the organisers' images, scaled by Pillow's bicubic filter.

    Frames without an image are rows without a crop.

    Args:
        root: Folder that holds the organisers' folders.
        frames: Frame table of the video.
        trial: Name of the trial.
        templates: Output path of each template.

    Raises:
        InputError: For a missing folder, an image that cannot be read, and a template that these images cannot stand for.
    """
    if unfit := [template.name for template in templates if not template.official]:
        raise InputError(f"crops: the organisers' images cannot stand for {', '.join(unfit)}.")
    count = read_frames(frames).about["frames"]
    with ExitStack() as stack:
        for template, path in templates.items():
            images, _ = list_images(Path(root, str(template.official), trial), count)
            append = stack.enter_context(crop_writer(path, template.name, template.size, trial))
            for index in range(count):
                append(index, encode_jpeg(_fit(_open(images[index]), template)) if index in images else None)


def list_images(folder: Path, count: int) -> tuple[dict[int, Path], int]:
    """Find the images of one trial by frame index, and count those beyond the last of ``count`` frames."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of images. Check faces.official_root or use faces.source detect.")
    images = {int(path.stem) - 1: path for path in folder.glob("*.jpg") if re.fullmatch("[0-9]{1,9}", path.stem)}
    inside = {frame: path for frame, path in images.items() if 0 <= frame < count}
    return inside, len(images) - len(inside)


def _rows(images: dict[int, Path], count: int) -> TrialFaces:
    source = np.full(count, NONE, SOURCE_TYPE)
    source[list(images)] = DETECTED
    unknown = [np.full((count, *shape), np.nan, np.float32) for shape in ((4,), (), (5, 2), (68, 2))]
    return TrialFaces(source, np.where(source == DETECTED, 0, -1), *unknown)


def _facts(person: str, rows: TrialFaces, beyond: int) -> dict[str, Any]:
    tracks = {"tracks": [0] if rows.valid.any() else [], "tracks_without_identity": 0, "overrides": 0}
    return {"person": person, **source_counts(rows), **tracks, "pictures_beyond": beyond}


def _open(path: Path) -> Image.Image:
    with foreign(path, "a readable image", "Unpack the archive again."), Image.open(path) as image:
        return image.convert("RGB")


def _fit(image: Image.Image, template: Template) -> np.ndarray:
    size, border = template.size, template.official_border
    inner = resize(np.asarray(image), size - 2 * border)
    canvas = np.zeros((size, size, 3), np.uint8)
    canvas[border : size - border, border : size - border] = inner
    return canvas
