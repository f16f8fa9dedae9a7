"""The table by which a person corrects what trials show, where the rules of `wildaffect.faces.persons` are wrong."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from wildaffect.config import nearest
from wildaffect.errors import InputError
from wildaffect.textfiles import decimal, read_rows, whole

OVERRIDE_COLUMNS = ("trial", "first_frame", "last_frame", "track", "x", "y")


@dataclass(frozen=True)
class Override:
    """A correction: in frames first to last (inclusive) the trial shows ``track``, or the face nearest ``point``, or (neither) no face.

    Attributes:
        where: File and line, for messages.
    """

    where: str
    trial: str
    first: int
    last: int
    track: int | None
    point: tuple[float, float] | None


def read_overrides(path: str | os.PathLike) -> list[Override]:
    """Read the rows of a table (`read_rows`) with the columns `OVERRIDE_COLUMNS`; ``track`` or ``x`` and ``y`` (pixels) may be empty."""
    return [_parse(where, row) for where, row in read_rows(Path(path), OVERRIDE_COLUMNS, OVERRIDE_COLUMNS)]


def check_trials(overrides: Collection[Override], trials: Collection[str]) -> None:
    """Raise an `InputError` for an override of a trial that the corpus does not have."""
    known = frozenset(trials)
    for override in overrides:
        if override.trial not in known:
            raise InputError(f"{override.where}: there is no trial {override.trial!r}{nearest(override.trial, known)}.")


def check_override(
    override: Override, frames: int, size: tuple[int, int], tracks: Mapping[int, tuple[int, int]]
) -> None:
    """Raise an `InputError` for a frame, point or track that the video does not have.

    Args:
        override: A correction of one of the video's trials.
        frames: Number of frames; 0 for a broken video, which has nothing to correct.
        size: Width and height in pixels.
        tracks: First and last frame of each track.
    """
    if not frames:
        return
    if override.last >= frames:
        raise InputError(
            f"{override.where}: there is no frame {override.last}; the video has frames 0 to {frames - 1}."
        )
    if override.point and not all(0 <= value <= limit for value, limit in zip(override.point, size, strict=True)):
        raise InputError(f"{override.where}: the point lies outside the image of {size[0]}x{size[1]} pixels.")
    if override.track is None:
        return
    if override.track not in tracks:
        seen = ", ".join(f"{track} in frames {first} to {last}" for track, (first, last) in tracks.items())
        raise InputError(f"{override.where}: there is no track {override.track}; known: {seen or 'none'}.")
    first, last = tracks[override.track]
    if override.last < first or last < override.first:
        raise InputError(f"{override.where}: track {override.track} is seen in frames {first} to {last} only.")


def _parse(where: str, row: Mapping[str, str]) -> Override:
    try:
        first, last = whole(row["first_frame"]), whole(row["last_frame"])
        track = whole(row["track"]) if row["track"] else None
        point = (decimal(row["x"]), decimal(row["y"])) if row["x"] or row["y"] else None
    except ValueError as error:
        raise InputError(f"{where}: {error}. Frames and track are whole numbers, x and y pixels.") from None
    if not 0 <= first <= last or (track or 0) < 0 or (track is not None and point is not None):
        raise InputError(
            f"{where}: frames and track count from 0, first_frame must not exceed last_frame; give track or x and y, not both."
        )
    return Override(where, row["trial"], first, last, track, point)
