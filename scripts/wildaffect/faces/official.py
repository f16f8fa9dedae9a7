"""Images that others cut, the organisers', M3T's or LFAN's, instead of detected faces.

Each trial has a folder with images ``00001.jpg`` and so on: image k belongs to frame k - 1, and frames without a face are left out (see
`wildaffect.faces.official_folders`); or with all images in one array (see `wildaffect.faces.lfan_archive`).
"""

import logging
import os
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from wildaffect.errors import InputError
from wildaffect.faces.alignment import Template
from wildaffect.faces.crops import crop_writer, encode_image
from wildaffect.faces.lfan_archive import FILE, read_images
from wildaffect.faces.official_folders import ImageFolder, image_folders, list_images
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
from wildaffect.faces.templates import ALIGNED, PRESENCE
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
        root: Folder that holds the folders of images.
        frames: Frame table of the video.
        trials: Person by trial.
        persons: Table to write (`wildaffect.faces.tables.PERSONS_SCHEMA`).
        detections: Table to write (`wildaffect.faces.tables.DETECTIONS_SCHEMA`).

    Raises:
        InputError: For a missing folder.
    """
    clip = read_frames(frames).about
    faces = {}
    for trial in trials:
        images, beyond = images_in(find_images(root, PRESENCE, trial)[0], clip["frames"])
        if beyond:
            log.warning("%s: %d images beyond the last of %d frames are left out", trial, beyond, clip["frames"])
        faces[trial] = _rows(images, clip["frames"]), beyond
    write_given_faces(clip, trials, faces, persons, detections, ABOUT)


def write_given_faces(
    clip: Mapping[str, Any],
    trials: Mapping[str, str],
    faces: Mapping[str, tuple[TrialFaces, int]],
    persons: str | os.PathLike,
    detections: str | os.PathLike,
    about: Mapping[str, Any],
) -> None:
    """Write the table of persons of one video whose faces others found, and a table of detections without rows.

    Args:
        clip: Metadata of the frame table.
        trials: Person by trial.
        faces: Rows of each trial, and how many of what was given lie beyond the last frame.
        persons: Table to write (`wildaffect.faces.tables.PERSONS_SCHEMA`).
        detections: Table to write (`wildaffect.faces.tables.DETECTIONS_SCHEMA`).
        about: What stands for the description of a detector.
    """
    count, parts, facts = clip["frames"], [PERSONS_SCHEMA.empty_table()], {}
    seen = np.zeros(count, bool)
    for trial, (rows, beyond) in faces.items():
        seen |= rows.valid
        parts.append(rows_table(trial, rows))
        tracks = {"tracks": [0] if rows.valid.any() else [], "tracks_without_identity": 0, "overrides": 0}
        facts[trial] = {"person": trials[trial], **source_counts(rows), **tracks, "pictures_beyond": beyond}
    quiet = {"tracks": [], "seen_together": 0, "order_reversed": 0, "identity_swaps": 0, "options": {}}
    write_table(
        persons, pa.concat_tables(parts), PERSONS_SCHEMA, {"trials": facts, "frames": count} | quiet | kept_view(clip)
    )
    size = {"width": clip["width"], "height": clip["height"]}
    found = {**about, "frames": count, "frames_with_face": int(seen.sum()), **size}
    write_table(detections, DETECTIONS_SCHEMA.empty_table(), DETECTIONS_SCHEMA, found)


def pack_official(
    root: str | os.PathLike,
    frames: str | os.PathLike,
    trial: str,
    templates: Mapping[Template, str | os.PathLike],
) -> None:
    """Write crop files of one trial from images that others cut.

    Images are stored as they are and become crops when they are read, so that they pass through no other JPEG. Frames without an image
    are rows without a crop.

    Args:
        root: Folder that holds the folders of images.
        frames: Frame table of the video.
        trial: Name of the trial.
        templates: Output path of each template.

    Raises:
        InputError: For a missing folder, an image that cannot be read, and a template that these images cannot stand for.
    """
    if unfit := [template.name for template in templates if not template.official]:
        raise InputError(f"crops: the organisers' images cannot stand for {', '.join(unfit)}.")
    count = read_frames(frames).about["frames"]
    for template, path in templates.items():
        borders = dict(template.official)
        folder, kind = find_images(root, borders, trial)
        images, _ = images_in(folder, count)
        name, size, resizing = template.name, template.size, template.resizing
        with crop_writer(path, name, size, trial, border=borders[kind], resizing=resizing) as append:
            for index in range(count):
                append(index, _image(images[index]) if index in images else None)


def find_images(root: str | os.PathLike, kinds: Iterable[str], trial: str) -> tuple[ImageFolder, str]:
    """Find a trial's images of the first of ``kinds`` that there is, and that kind.

    Raises:
        InputError: There are no folders of these kinds, or none of the trial.
    """
    kinds = list(kinds)
    for kind in kinds:
        if folders := image_folders(root, kind):
            if trial not in folders:
                break
            return folders[trial], kind
    raise InputError(
        f"{root}: no such folder of images as {kinds[0]}/{trial}. Check faces.official_root or use faces.source detect."
    )


def images_in(folder: ImageFolder, count: int) -> tuple[Mapping[int, Path | np.ndarray], int]:
    """Find the images of one trial by frame index, and count those beyond the last of ``count`` frames."""
    return read_images(folder.path, count) if (folder.path / FILE).is_file() else list_images(folder, count)


def _rows(images: Mapping[int, Any], count: int) -> TrialFaces:
    source = np.full(count, NONE, SOURCE_TYPE)
    source[list(images)] = DETECTED
    unknown = [np.full((count, *shape), np.nan, np.float32) for shape in ((4,), (), (5, 2), (68, 2))]
    return TrialFaces(source, np.where(source == DETECTED, 0, -1), *unknown)


def _image(given: Path | np.ndarray) -> bytes:
    """An image file with the pixels of ``given``: that file, unless it is of a format that crop files do not hold, or an array."""
    if isinstance(given, np.ndarray):
        return encode_image(given.astype(np.uint8), "png")
    with foreign(given, "a readable image", "Unpack the archive again."):
        data = given.read_bytes()
        with Image.open(BytesIO(data)) as file:
            image = file.convert("RGB")  # reads all of it: a torn file is found here
            as_it_is = file.format in ("JPEG", "PNG") and file.mode in ("RGB", "L")
    return data if as_it_is else encode_image(np.asarray(image), "png")
