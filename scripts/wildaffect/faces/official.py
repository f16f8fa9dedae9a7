"""The organisers' own pictures, ``cropped`` and ``cropped_aligned``, instead of detected faces.

Below the root each folder holds one folder per trial with pictures ``00001.jpg`` and so on: picture k belongs to frame
k - 1, and frames in which the organisers found no face are left out.
"""

import logging
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from wildaffect.errors import InputError
from wildaffect.faces.catalogue import ALIGNED, OFFICIAL, check_official
from wildaffect.faces.crops import crop_writer, encode_jpeg
from wildaffect.faces.tables import DETECTIONS_SCHEMA, PERSONS_SCHEMA, TrialFaces, rows_table, source_counts
from wildaffect.faces.templates import get_template, resized
from wildaffect.media.frames import read_frames
from wildaffect.tables import write_table

log = logging.getLogger(__name__)

# Pixels of template around the organisers' crop: M3T's centre crop then shows exactly their picture.
BORDERS = {"m3t256": 16}
ABOUT = {
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
    """Write the persons table of one video from the pictures there are, and a detections table without rows.

    ``trials``: trial name -> person. A frame with an aligned picture is ``detected``, another one ``none``; boxes and
    points are null. Pictures beyond the last decoded frame are left out and counted in the metadata
    (``pictures_beyond``). Raises :class:`InputError` for a missing folder.
    """
    about = read_frames(frames).about
    count, parts, facts = about["frames"], [PERSONS_SCHEMA.empty_table()], {}
    seen = np.zeros(count, bool)
    for trial, person in trials.items():
        pictures, beyond = list_pictures(Path(root) / ALIGNED / trial, count)
        if beyond:
            log.warning("%s: %d pictures beyond the last of %d frames are left out", trial, beyond, count)
        rows = _rows(pictures, count)
        seen |= rows.valid
        parts.append(rows_table(trial, rows))
        facts[trial] = _facts(person, rows, beyond)
    quiet = {"tracks": [], "seen_together": 0, "order_reversed": 0, "identity_swaps": 0, "options": {}}
    write_table(persons, pa.concat_tables(parts), PERSONS_SCHEMA, {"trials": facts, "frames": count} | quiet)
    size = {"width": about["width"], "height": about["height"]}
    found = ABOUT | {"frames": count, "frames_with_face": int(seen.sum())} | size
    write_table(detections, DETECTIONS_SCHEMA.empty_table(), DETECTIONS_SCHEMA, found)


def pack_official(
    root: str | os.PathLike, frames: str | os.PathLike, trial: str, templates: dict[str, str | os.PathLike]
) -> None:
    """Write crop files (template name -> output path) of one trial, scaled by Pillow's bicubic filter.

    Frames without a picture are rows without a face. Raises :class:`InputError` for a missing folder, a picture that
    cannot be read, and templates that these pictures cannot serve.
    """
    check_official(list(templates))
    count = read_frames(frames).about["frames"]
    with ExitStack() as stack:
        for name, path in templates.items():
            pictures, _ = list_pictures(Path(root) / OFFICIAL[name] / trial, count)
            append = stack.enter_context(crop_writer(path, name, get_template(name).size, trial))
            for frame in range(count):
                append(frame, encode_jpeg(_fit(_open(pictures[frame]), name)) if frame in pictures else None)


def list_pictures(folder: Path, count: int) -> tuple[dict[int, Path], int]:
    """Pictures of one trial by frame, and how many lie beyond the last of ``count`` frames."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of pictures. Check faces.official_root or use faces.source detect.")
    pictures = {int(path.stem) - 1: path for path in folder.glob("*.jpg") if path.stem.isdecimal()}
    inside = {frame: path for frame, path in pictures.items() if 0 <= frame < count}
    return inside, len(pictures) - len(inside)


def _rows(pictures: dict[int, Path], count: int) -> TrialFaces:
    source = np.full(count, "none", "<U12")
    source[list(pictures)] = "detected"
    unknown = [np.full((count, *shape), np.nan, np.float32) for shape in ((4,), (), (5, 2), (68, 2))]
    return TrialFaces(source, np.where(source == "detected", 0, -1), *unknown)


def _facts(person: str, rows: TrialFaces, beyond: int) -> dict[str, Any]:
    tracks = {"tracks": [0] if rows.valid.any() else [], "tracks_without_identity": 0, "overrides": 0}
    return {"person": person, **source_counts(rows), **tracks, "pictures_beyond": beyond}


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: not a readable picture ({error}). Unpack the archive again.") from error


def _fit(picture: Image.Image, name: str) -> np.ndarray:
    size, border = get_template(name).size, BORDERS.get(name, 0)
    inner = resized(np.asarray(picture), size - 2 * border)
    canvas = np.zeros((size, size, 3), np.uint8)
    canvas[border : size - border, border : size - border] = inner
    return canvas
