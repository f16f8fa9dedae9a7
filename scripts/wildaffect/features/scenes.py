"""Crops of the whole scene, of the body in it and of the scene without it, made once per trial (NTUA spec 2.5, 2.6).

Whatever the video's shape, a crop is squeezed into a square, as the original does at each read (NTUA spec 2.7), and stored losslessly, as
the original stores none.
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.alignment import Template, resize
from wildaffect.faces.crops import crop_writer, encode_image
from wildaffect.faces.cutting import decoded_frames
from wildaffect.features.bodies.table import read_bodies
from wildaffect.media.frames import read_frames

# Fractions of a body's box that are added on each side: horizontal, vertical.
MASK_MARGINS = (0.01, 0.25)
BODY_MARGINS = (1.0, 1.0)


def cut_scenes(
    video: str | os.PathLike,
    frames: str | os.PathLike,
    bodies: str | os.PathLike | None,
    trial: str,
    templates: Mapping[Template, str | os.PathLike],
    *,
    threads: int = 1,
) -> None:
    """Write one trial's crops in several templates in a single decoding pass.

    Every frame has a crop: where no body is known it shows the whole scene.

    Args:
        video: The video file.
        frames: Its frame table.
        bodies: Its table of bodies; None suffices for templates that need none.
        trial: Name of the trial.
        templates: Output path by template.
        threads: Threads of the decoder.

    Raises:
        InputError: A template of another kind, a missing table, or a video that no longer has the frames of ``frames``.
    """
    for template in templates:
        if template.view not in _CUTS:
            raise InputError(f"crops: {template.name} is no crop of the scene; it shows a {template.view}.")
        if template.needs_bodies and bodies is None:
            raise InputError(f"crops: {template.name} needs the table of bodies; set features.bodies.")
    count = read_frames(frames).about["frames"]
    body = None if bodies is None else read_bodies(bodies, trial)
    if body is not None and len(body.boxes) != count:
        raise InputError(
            f"{bodies}: {len(body.boxes)} rows, but {frames} has {count} frames. Delete the file and run again."
        )
    with ExitStack() as stack:
        sinks = {
            kind: stack.enter_context(crop_writer(path, kind.name, kind.size, trial))
            for kind, path in templates.items()
        }
        for frame, image in decoded_frames(video, count, frames, threads):
            box = np.full(4, np.nan) if body is None else body.box_in(frame, image.shape[1], image.shape[0])
            for kind, append in sinks.items():
                crop = resize(_CUTS[kind.view](image, box), kind.size, kind.resizing)
                append(frame, encode_image(crop, kind.encoding))


def with_margins(box: np.ndarray, margins: tuple[float, float], width: int, height: int) -> tuple[int, int, int, int]:
    """Whole pixels of a box with margins.

    Sides and margins are rounded half to even, each by itself; margins are added before the box ends at the image's border, as published.

    Args:
        box: Left, top, right, bottom, (4,); it may reach out of the image.
        margins: Fractions of width and height that are added on each side.
        width: Width of the image.
        height: Height of the image.

    Returns:
        Left, top, right, bottom within the image; without area where the box with its margins lies outside.
    """
    x0, y0, x1, y1 = map(round, box)
    dx, dy = (round(fraction * side) for fraction, side in zip(margins, (x1 - x0, y1 - y0), strict=True))
    left, right = (min(max(side, 0), width) for side in (x0 - dx, x1 + dx))
    top, bottom = (min(max(side, 0), height) for side in (y0 - dy, y1 + dy))
    return left, top, right, bottom


def without_body(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """``image`` uint8 (H, W, 3) with the body in ``box`` (4,) blackened; as it is where the box is NaN."""
    if np.isnan(box).any():
        return image
    left, top, right, bottom = with_margins(box, MASK_MARGINS, image.shape[1], image.shape[0])
    masked = image.copy()
    masked[top:bottom, left:right] = 0
    return masked


def of_body(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The body in ``box`` (4,) and as much again on each side, cut out of ``image`` uint8 (H, W, 3).

    The whole image where the box is NaN or has no area.
    """
    if np.isnan(box).any():
        return image
    left, top, right, bottom = with_margins(box, BODY_MARGINS, image.shape[1], image.shape[0])
    return image[top:bottom, left:right] if left < right and top < bottom else image


_CUTS = {
    "frame": lambda image, box: image,
    "body": of_body,
    "context": without_body,
}
