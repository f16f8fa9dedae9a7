"""Contact sheets: a few evenly spaced crops of a trial, so that a person can check who is who at a glance."""

import os

import cv2
import numpy as np

from wildaffect.faces.crops import CropFile, encode
from wildaffect.faces.rows import read_trial
from wildaffect.files import atomic

TILE = 96
CAPTION = 14
# Border of a tile by the row's source.
COLOURS = {"detected": (60, 160, 75), "interpolated": (70, 110, 220), "held": (230, 160, 30), "none": (150, 150, 150)}


def contact_sheet(crops: str | os.PathLike, persons: str | os.PathLike, columns: int = 12, tiles: int = 24) -> bytes:
    """A JPEG of ``tiles`` evenly spaced frames of one trial's crop file, each with its frame number.

    The border's colour is the source: green detected, blue interpolated, orange held, grey none (then the tile is blank).
    ``persons`` is the video's persons table. A trial of zero frames gives one blank tile.
    """
    file = CropFile(crops)
    source = read_trial(persons, file.about["trial"]).source
    frames = np.unique(np.linspace(0, max(0, len(file) - 1), tiles).round().astype(int))[: len(file)]
    drawn = [_tile(file.read([frame])[0], int(frame), source[frame]) for frame in frames]
    drawn = drawn or [np.full((TILE + CAPTION, TILE, 3), 245, np.uint8)]
    blank = np.full_like(drawn[0], 255)
    drawn += [blank] * (-len(drawn) % columns if len(drawn) > columns else 0)
    width = min(columns, len(drawn))
    return encode(np.vstack([np.hstack(drawn[start : start + width]) for start in range(0, len(drawn), width)]))


def write_contact_sheet(crops: str | os.PathLike, persons: str | os.PathLike, output: str | os.PathLike) -> None:
    """Write :func:`contact_sheet` to a file."""
    with atomic(output) as partial:
        partial.write_bytes(contact_sheet(crops, persons))


def _tile(picture: np.ndarray, frame: int, source: str) -> np.ndarray:
    tile = np.full((TILE + CAPTION, TILE, 3), 255, np.uint8)
    side = TILE - 8
    shrinks = picture.shape[0] > side
    face = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    tile[4 : TILE - 4, 4 : TILE - 4] = face if source != "none" else 235
    cv2.rectangle(tile, (2, 2), (TILE - 3, TILE - 3), COLOURS[source], 2)
    cv2.putText(tile, str(frame), (4, TILE + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1, cv2.LINE_AA)
    return tile
