"""What each trial of a video shows in every frame: one person's face, found, interpolated, held or absent."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from wildaffect.faces.assignment import Assignment, assign_tracks
from wildaffect.faces.columns import DETECTIONS, Detections, detections_from_table
from wildaffect.faces.filling import fill_rows
from wildaffect.faces.options import parse_options
from wildaffect.faces.overrides import apply_override, read_overrides
from wildaffect.faces.rows import PERSONS, Rows, read_trial, rows_table, source_counts
from wildaffect.faces.tracking import track_faces
from wildaffect.media.frames import read_frames
from wildaffect.tables import read_metadata, read_table, write_table

__all__ = ["PERSONS", "PersonOptions", "assign_persons", "read_trial", "rows_table"]


@dataclass(frozen=True)
class PersonOptions:
    """How gaps are treated.

    interpolate: longest run of frames (about 0.5 s) filled between two detections of one track in one shot.
    hold: how many frames before the first and after the last detection of a longer run repeat it.
    overrides: path of a CSV of corrections (:mod:`wildaffect.faces.overrides`), or None.
    """

    interpolate: int = 15
    hold: int = 0
    overrides: str | None = None


def assign_persons(
    detections: str | os.PathLike,
    frames: str | os.PathLike,
    trials: dict[str, str],
    output: str | os.PathLike,
    *,
    options: dict[str, Any],
) -> None:
    """Track the faces of one video, give each trial its person, write ``output`` (schema :data:`PERSONS`).

    ``trials``: trial name -> ``main``, ``left`` or ``right``. One row per decoded frame per trial, trials in the order
    given, frames ascending; columns of a frame without the person are null. Metadata: per trial the number of frames of
    each source, ``coverage`` (share with a face), tracks used and how many joined without identity; ``tracks`` (number,
    first and last frame, detections, mean box) for whoever writes overrides; ``seen_together``, ``order_reversed`` and
    ``identity_swaps`` (tracklets cut because the identity changed) as hints of swapped people.
    """
    settings = parse_options(PersonOptions, options)
    count = read_frames(frames).about["frames"]
    found = detections_from_table(read_table(detections, DETECTIONS))
    about = read_metadata(detections)
    cuts = about["cuts"]
    tracks, swaps = track_faces(found, cuts, about["identity_distance"], settings.interpolate)
    assignment = assign_tracks(found, tracks, set(trials.values()), about["width"] or 1, about["height"] or 1)
    overrides = read_overrides(settings.overrides) if settings.overrides else []
    parts, trial_facts = [PERSONS.empty_table()], {}
    for trial, person in trials.items():
        chosen = _rows_of_chain(found, tracks, assignment.chains[person], count)
        own = [override for override in overrides if override.trial == trial]
        for override in own:
            apply_override(chosen, override, found, tracks)
        blocked = _blocked(own, count)
        rows = fill_rows(found, tracks, chosen, cuts, blocked, settings.interpolate, settings.hold)
        parts.append(rows_table(trial, rows))
        trial_facts[trial] = _facts(person, rows, assignment, len(own))
    metadata = {
        "trials": trial_facts,
        "frames": count,
        "tracks": _track_list(found, tracks),
        "seen_together": assignment.together,
        "order_reversed": assignment.reversed,
        "identity_swaps": swaps,
        "options": {"interpolate": settings.interpolate, "hold": settings.hold},
    }
    write_table(output, pa.concat_tables(parts), PERSONS, metadata)


def _rows_of_chain(detections: Detections, tracks: np.ndarray, chain: set[int], count: int) -> np.ndarray:
    """Detection row (N,) per frame of the chain's tracks, -1 where they are not seen."""
    chosen = np.full(count, -1)
    rows = np.flatnonzero(np.isin(tracks, list(chain)))
    chosen[detections.frame[rows]] = rows
    return chosen


def _blocked(overrides, count: int) -> np.ndarray:
    """Bool (N,): frames a person declared empty, which nothing may fill."""
    blocked = np.zeros(count, bool)
    for override in overrides:
        blocked[override.first : override.last + 1] = override.track is None and override.point is None
    return blocked


def _facts(person: str, rows: Rows, assignment: Assignment, overrides: int) -> dict[str, Any]:
    return {
        "person": person,
        **source_counts(rows),
        "tracks": sorted(set(rows.track[rows.track >= 0].tolist())),
        "tracks_without_identity": assignment.chained[person],
        "overrides": overrides,
    }


def _track_list(detections: Detections, tracks: np.ndarray) -> list[dict[str, Any]]:
    listed = []
    for number in range(tracks.max(initial=-1) + 1):
        rows = tracks == number
        frames = detections.frame[rows]
        listed.append(
            {
                "track": number,
                "first_frame": int(frames.min()),
                "last_frame": int(frames.max()),
                "detections": int(rows.sum()),
                "mean_box": [round(float(value), 1) for value in detections.boxes[rows].mean(axis=0)],
                "identified": bool(detections.identified[rows].any()),
            }
        )
    return listed
