"""What decides whether a frame of a trial can be trusted: head pose, size, sharpness and brightness of the face.

Head pose comes from landmarks and a mean face by a perspective camera whose focal length is not known and taken to be the longer side of
the frame (a view of 53 degrees), with its axis through the middle of the frame. Angles of frontal faces are right to a few degrees, and
depend on how far the person's face differs from the mean one.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from wildaffect.faces.crops import CropFile
from wildaffect.faces.tables import HELD as REPEATED
from wildaffect.faces.tables import MISALIGNED, NONE, areas, read_trial
from wildaffect.tables import read_metadata, write_table

POINTS5 = np.array([[-31.5, -38, 34], [31.5, -38, 34], [0, 0, 0], [-26, 31, 28], [26, 31, 28]], np.float64)
"""The mean face in mm from the tip of the nose: x to the right of the image, y down, z away from the camera when it looks into it. Eyes and
corners of the mouth, in the order of the five points. Rounded proportions of adults (pupils 63 mm apart); ours, from no published model."""
POINTS68 = np.array(
    [[0, 0, 0], [0, 74, 16], [-45, -38, 42], [45, -38, 42], [-17, -38, 30], [17, -38, 30], [-26, 31, 28], [26, 31, 28]],
    np.float64,
)
"""Tip of the nose, chin, outer and inner corners of the eyes, corners of the mouth of the same face ..."""
OF_68 = (30, 8, 36, 45, 39, 42, 48, 54)
"""... and their numbers among the 68 points."""

SCHEMA = pa.schema(
    [
        ("trial", pa.string()),
        ("frame", pa.int32()),
        ("yaw", pa.float32()),
        ("pitch", pa.float32()),
        ("roll", pa.float32()),
        ("face_px", pa.float32()),
        ("sharpness", pa.float32()),
        ("brightness", pa.float32()),
    ]
)
MEASURES = tuple(SCHEMA.names[2:])
INSIDE = slice(28, 84)
"""Rows and columns of an aligned crop of 112 pixels that show skin, whatever hair and background there is."""
CHUNK = 256


def measure_quality(
    persons: str | os.PathLike, crops: str | os.PathLike, frames: str | os.PathLike, trial: str, output: Path
) -> None:
    """Write the table of measures of one trial, a row per decoded frame; null where there is no face, or nothing to measure it by.

    Args:
        persons: Table of persons of the video.
        crops: Crops of the trial, aligned, of 112 pixels.
        frames: Frame table of the video, which knows the size of its frames.
        trial: Name of the trial.
        output: The table.
    """
    faces, about = read_trial(persons, trial), read_metadata(frames)
    count = len(faces.source)
    angles = np.full((count, 3), np.nan)
    if faces.valid.any():
        size = (about["width"], about["height"])
        for row in np.flatnonzero(faces.valid):
            angles[row] = head_pose(faces.points5[row], faces.points68[row], size)
    sharp, bright = np.concatenate([np.empty((0, 2)), *_looks(CropFile(crops))]).T
    with np.errstate(invalid="ignore"):
        side = np.where(faces.valid, np.sqrt(areas(faces.boxes)), np.nan)
    values = dict(zip(MEASURES, (*angles.T, side, sharp, bright), strict=True))
    columns = {name: pa.array(part.astype(np.float32), mask=~np.isfinite(part)) for name, part in values.items()}
    head = {"trial": pa.array([trial] * count, pa.string()), "frame": pa.array(np.arange(count, dtype=np.int32))}
    write_table(output, pa.table(head | columns), SCHEMA)


def head_pose(points5: np.ndarray, points68: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Yaw, pitch and roll of a head in degrees, as the camera sees it.

    - yaw: positive where the nose points to the right of the image
    - pitch: positive where it points up
    - roll: positive where the head leans to the right of the image (clockwise)

    The head is first rolled about its own axis, then pitched, then turned. All are 0 for a face in the middle of the frame that looks into
    the camera.

    Args:
        points5: Landmarks (5, 2) in pixels.
        points68: Landmarks (68, 2); NaN where the detector has none, then the five are used.
        size: Width and height of the frame in pixels.

    Returns:
        float64 (3,), NaN where there are no landmarks, or where no head in front of the camera has them.
    """
    if np.isfinite(points68).all():
        model, points = POINTS68, points68[list(OF_68)]
    else:
        model, points = POINTS5, points5
    if not np.isfinite(points).all():
        return np.full(3, np.nan)
    try:
        found, turn, place = cv2.solvePnP(
            model, points.astype(np.float64), camera(size), None, flags=cv2.SOLVEPNP_SQPNP
        )
    except cv2.error:  # points that coincide
        return np.full(3, np.nan)
    if not found or place[2, 0] <= 0:
        return np.full(3, np.nan)
    return angles_of(cv2.Rodrigues(turn)[0])


def camera(size: tuple[int, int]) -> np.ndarray:
    """The assumed camera (3, 3) of frames of ``size``."""
    return np.array([[max(size), 0, (size[0] - 1) / 2], [0, max(size), (size[1] - 1) / 2], [0, 0, 1]], np.float64)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The rotation (3, 3) of a head by angles in degrees, the inverse of `angles_of`."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    lean = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return turn @ nod @ lean


def angles_of(turned: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll in degrees of a rotation (3, 3)."""
    x, y, z = -turned[:, 2]  # where the nose points
    yaw, pitch = np.arctan2(x, -z), np.arcsin(np.clip(-y, -1, 1))
    lean = rotation(np.degrees(yaw), np.degrees(pitch), 0).T @ turned
    return np.degrees([yaw, pitch, np.arctan2(lean[1, 0], lean[0, 0])])


def _looks(crops: CropFile) -> Iterator[np.ndarray]:
    """Sharpness and brightness (n, 2) in blocks, NaN without a face."""
    for first in range(0, len(crops), CHUNK):
        valid = crops.valid[first : first + CHUNK]
        values = np.full((len(valid), 2), np.nan)
        rows = np.flatnonzero(valid)
        for row, image in zip(rows, crops.read(first + rows), strict=True):
            values[row] = look(image)
        yield values


def look(image: np.ndarray) -> tuple[float, float]:
    """Sharpness and brightness of an aligned crop.

    Args:
        image: RGB uint8 (112, 112, 3).

    Returns:
        Variance of the Laplacian of the grey levels (0 to 255), and their mean, both inside the face.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    inside = grey[INSIDE, INSIDE]
    return float(cv2.Laplacian(inside, cv2.CV_64F).var()), float(inside.mean())


NO_FACE, HELD, WRONG, SMALL, TURNED, BLURRED, DARK, BRIGHT = REASONS = (
    "no_face", "held", "misaligned", "small", "turned", "blurred", "dark", "bright",
)  # fmt: skip
"""Why a frame is not trusted; the first that applies is given."""


def distrust(
    source: np.ndarray, quality: np.ndarray, measures: Mapping[str, np.ndarray], rule: Mapping[str, float]
) -> np.ndarray:
    """Why each frame of a trial is not trusted, empty where it is. What was not measured is no reason.

    Args:
        source: Where the face of each frame comes from (N,), of a table of persons.
        quality: How well it can be shown (N,), likewise.
        measures: Arrays (N,) by the names of `MEASURES`, NaN where there is nothing.
        rule: The limits ``max_yaw``, ``max_pitch``, ``min_face_px``, ``min_sharpness``, ``min_brightness`` and ``max_brightness``.

    Returns:
        Strings (N,), each empty or one of `REASONS`.
    """
    with np.errstate(invalid="ignore"):
        turned = np.abs(measures["yaw"]) > rule["max_yaw"]
        turned |= np.abs(measures["pitch"]) > rule["max_pitch"]
        applies = {
            NO_FACE: source == NONE,
            HELD: source == REPEATED,
            WRONG: quality == MISALIGNED,
            SMALL: measures["face_px"] < rule["min_face_px"],
            TURNED: turned,
            BLURRED: measures["sharpness"] < rule["min_sharpness"],
            DARK: measures["brightness"] < rule["min_brightness"],
            BRIGHT: measures["brightness"] > rule["max_brightness"],
        }
    return np.select([applies[name] for name in REASONS], REASONS, "")
