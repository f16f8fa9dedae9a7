"""A person's corrections of the automatic assignment, one CSV for the corpus."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.columns import Detections
from wildaffect.faces.geometry import centres

COLUMNS = ("trial", "first_frame", "last_frame", "track", "x", "y")


@dataclass(frozen=True)
class Override:
    """In frames first to last (inclusive) the trial shows ``track``, or the face nearest ``point``, or (neither) nobody."""

    trial: str
    first: int
    last: int
    track: int | None
    point: tuple[float, float] | None


def read_overrides(path: str | os.PathLike) -> list[Override]:
    """The rows of a CSV with the columns :data:`COLUMNS`; ``track`` or ``x`` and ``y`` (pixels) may be empty."""
    with Path(path).open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path}: columns must be {','.join(COLUMNS)}, found {','.join(reader.fieldnames or [])}.")
        return [_parse(path, number, row) for number, row in enumerate(reader, start=2)]


def _parse(path, line: int, row: dict[str, str]) -> Override:
    try:
        first, last = int(row["first_frame"]), int(row["last_frame"])
        track = int(row["track"]) if row["track"] else None
        point = (float(row["x"]), float(row["y"])) if row["x"] or row["y"] else None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} line {line}: {error}. Frames and track are whole numbers, x and y pixels.") from error
    if first > last or (track is not None and point is not None):
        raise InputError(
            f"{path} line {line}: first_frame must not exceed last_frame; give track or x and y, not both."
        )
    return Override(row["trial"], first, last, track, point)


def apply_override(chosen: np.ndarray, override: Override, detections: Detections, tracks: np.ndarray) -> None:
    """Change ``chosen`` (detection row per frame, -1 none, (N,)) in place within the override's frames."""
    chosen[override.first : override.last + 1] = -1
    inside = (detections.frame >= override.first) & (detections.frame <= override.last)
    track = override.track
    if override.point is not None and inside.any():
        rows = np.flatnonzero(inside & (detections.frame == detections.frame[inside].min()))
        distances = np.linalg.norm(centres(detections.boxes[rows]) - override.point, axis=1)
        track = tracks[rows[distances.argmin()]]
    if track is not None:
        rows = np.flatnonzero(inside & (tracks == track))
        chosen[detections.frame[rows]] = rows
