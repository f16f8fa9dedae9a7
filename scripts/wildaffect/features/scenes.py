"""Pictures of the whole scene, of the body in it and of the scene without it, made once per trial (NTUA spec 2.5, 2.6).

Whatever the video's shape, a picture is squeezed into a square, by Pillow's antialiased bilinear filter as the original does at each read
(NTUA spec 2.7).
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np
from PIL import Image

from wildaffect.errors import InputError
from wildaffect.faces.catalogue import SCENES
from wildaffect.faces.crops import crop_writer, encode_jpeg
from wildaffect.faces.cutting import pictures
from wildaffect.features.bodies.table import read_bodies
from wildaffect.media.frames import read_frames

SIZE = 112
# Shares of a body's box that are added on each side: across, down.
MASK_MARGINS = (0.01, 0.25)
BODY_MARGINS = (1.0, 1.0)


def cut_scenes(
    video: str | os.PathLike,
    frames: str | os.PathLike,
    bodies: str | os.PathLike | None,
    trial: str,
    templates: Mapping[str, str | os.PathLike],
    *,
    threads: int = 1,
) -> None:
    """Write one trial's pictures in every template of ``templates`` (name -> output path) in a single decoding pass.

    Every frame has a picture: where no body is known it shows the whole scene. ``bodies`` is the table of bodies; None will do for
    templates that need none. Raises :class:`InputError` for an unknown template, a missing table, and a video that no longer has the
    frames of ``frames``.
    """
    for name in templates:
        if name not in SCENES:
            raise InputError(f"crops: {name} is not a picture of the scene; those are {', '.join(SCENES)}.")
        if SCENES[name] and bodies is None:
            raise InputError(f"crops: {name} needs the table of bodies; set features.bodies.")
    count = read_frames(frames).about["frames"]
    boxes = np.full((count, 4), np.nan) if bodies is None else read_bodies(bodies, trial).boxes.astype(float)
    if len(boxes) != count:
        raise InputError(
            f"{bodies}: {len(boxes)} rows, but {frames} has {count} frames. Delete the file and run again."
        )
    with ExitStack() as stack:
        sinks = {name: stack.enter_context(crop_writer(path, name, SIZE, trial)) for name, path in templates.items()}
        for frame, picture in pictures(video, count, frames, threads):
            for name, append in sinks.items():
                append(frame, encode_jpeg(squeezed(_CUTS[name](picture, boxes[frame]))))


def with_margins(box: np.ndarray, margins: tuple[float, float], width: int, height: int) -> tuple[int, int, int, int]:
    """Whole pixels (left, top, right, bottom) of ``box`` (4,) with ``margins`` added, within a picture of ``width`` x ``height``.

    Sides and margins are rounded half to even, each by itself. A body that reaches out of the picture ends there before margins are added.
    """
    x0, y0, x1, y1 = (round(min(max(side, 0.0), limit)) for side, limit in zip(box, (width, height) * 2, strict=True))
    across, down = (round(share * side) for share, side in zip(margins, (x1 - x0, y1 - y0), strict=True))
    return max(x0 - across, 0), max(y0 - down, 0), min(x1 + across, width), min(y1 + down, height)


def without_body(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """``picture`` uint8 (H, W, 3) with the body in ``box`` (4,) blackened; as it is where the box is NaN."""
    if np.isnan(box).any():
        return picture
    left, top, right, bottom = with_margins(box, MASK_MARGINS, picture.shape[1], picture.shape[0])
    masked = picture.copy()
    masked[top:bottom, left:right] = 0
    return masked


def of_body(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The body in ``box`` (4,) and as much again on each side, cut out of ``picture`` uint8 (H, W, 3).

    The whole picture where the box is NaN or has no area.
    """
    if np.isnan(box).any():
        return picture
    left, top, right, bottom = with_margins(box, BODY_MARGINS, picture.shape[1], picture.shape[0])
    return picture[top:bottom, left:right] if left < right and top < bottom else picture


def squeezed(picture: np.ndarray) -> np.ndarray:
    """A picture uint8 (H, W, 3) of any shape as (112, 112, 3)."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


_CUTS = {
    "ntua_frame112": lambda picture, box: picture,
    "ntua_body112": of_body,
    "ntua_context112": without_body,
}
