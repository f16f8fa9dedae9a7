"""Faces as TSAV's authors aligned them, instead of detected ones: a matrix and 68 landmarks for each frame (TSAV spec 2.3)."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.alignment import ARCFACE, map_points
from wildaffect.faces.official import ABOUT, write_given_faces
from wildaffect.faces.tables import (
    DETECTED,
    NONE,
    SOURCE_TYPE,
    TrialFaces,
)
from wildaffect.integrity import foreign
from wildaffect.media.frames import read_frames
from wildaffect.pickles import read_pickle

# Corners of an ordinary detector's box in the crop of 112 pixels.
BOX = np.array([[15.0, 11.0], [97.0, 117.0]])
# Decoders differ by a frame or two at the end of a video; more, and the file belongs to another one.
MOST_APART = 2


def read_alignments(
    files: Mapping[str, str | os.PathLike],
    frames: str | os.PathLike,
    trials: Mapping[str, str],
    persons: str | os.PathLike,
    detections: str | os.PathLike,
) -> None:
    """Write the table of persons of one video from the alignments of its trials, and a table of detections without rows.

    The five points are where the matrix takes them to the ArcFace targets, so that crops and landmark masks are the authors' own; the box
    is an ordinary detector's around them. Frames without a matrix are ``none``.

    Args:
        files: Pickle file by trial.
        frames: Frame table of the video.
        trials: Person by trial.
        persons: Table to write (`wildaffect.faces.tables.PERSONS_SCHEMA`).
        detections: Table to write (`wildaffect.faces.tables.DETECTIONS_SCHEMA`).

    Raises:
        InputError: A file of another form or of another video, or a video that is rotated for display: the matrices are those of frames
            as stored.
    """
    clip = read_frames(frames).about
    if clip.get("rotation"):
        raise InputError(f"{frames}: the video is rotated for display, TSAV's alignments are of frames as stored.")
    faces = {trial: aligned_rows(Path(files[trial]), clip["frames"]) for trial in trials}
    about = ABOUT | {"backend": "tsav", "model": "alignment archive", "licence": "unknown"}
    write_given_faces(clip, trials, faces, persons, detections, about)


def aligned_rows(path: Path, count: int) -> tuple[TrialFaces, int]:
    """One trial's faces in ``count`` frames, and how many alignments lie beyond the last; see `read_alignments`."""
    content = read_pickle(path)
    with foreign(path, "one of TSAV's alignments ('frame' and 'mask' for each frame)"):
        matrices, masks = list(content["frame"]), list(content["mask"])
        present = [frame for frame, matrix in enumerate(matrices) if matrix is not None]
        forward = np.array([matrices[frame] for frame in present], np.float64).reshape(-1, 2, 3)
        dense = np.array([masks[frame] for frame in present], np.float64).reshape(-1, 68, 2)
    if abs(len(matrices) - count) > MOST_APART:
        raise InputError(
            f"{path}: {len(matrices)} frames, but the video has {count}. Are {path.name} and the video of one release?"
        )
    if not np.isfinite(forward).all() or (np.abs(np.linalg.det(forward[:, :, :2])) < 1e-12).any():
        raise InputError(f"{path}: a matrix that cannot be inverted. Fetch the file again.")
    source = np.full(count, NONE, SOURCE_TYPE)
    boxes, points5, points68 = (np.full((count, *shape), np.nan, np.float32) for shape in ((4,), (5, 2), (68, 2)))
    for frame, matrix, mask in zip(present, forward, dense, strict=True):
        if frame >= count:
            continue
        back = np.linalg.inv(matrix[:, :2])
        inverse = np.column_stack([back, -back @ matrix[:, 2]])
        source[frame] = DETECTED
        points5[frame], points68[frame] = map_points(inverse, ARCFACE), map_points(inverse, mask)
        half = (BOX[1] - BOX[0]) / 2 * np.sqrt(abs(np.linalg.det(back)))
        middle = map_points(inverse, BOX.mean(axis=0))
        boxes[frame] = [*(middle - half), *(middle + half)]
    track = np.where(source == DETECTED, 0, -1)
    rows = TrialFaces(source, track, boxes, np.full(count, np.nan, np.float32), points5, points68)
    return rows, sum(frame >= count for frame in present)
