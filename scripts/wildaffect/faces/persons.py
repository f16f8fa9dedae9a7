"""What each trial of a video shows in every frame: one person's face, found, interpolated, held or absent."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.errors import InputError
from wildaffect.faces.assignment import Assignment, assign_tracks
from wildaffect.faces.columns import Detections, detections_from_table, points_column, read_points
from wildaffect.faces.detect import DETECTIONS
from wildaffect.faces.filling import Rows, fill_rows
from wildaffect.faces.options import parse_options
from wildaffect.faces.overrides import apply_override, read_overrides
from wildaffect.faces.tracking import track_faces
from wildaffect.media.frames import read_frames
from wildaffect.tables import read_metadata, read_table, write_table

PERSONS = pa.schema(
    [
        ("trial", pa.string()),
        ("frame", pa.int32()),
        ("source", pa.string()),  # detected | interpolated | held | none
        ("track", pa.int32()),  # -1 where none
        ("x0", pa.float32()),
        ("y0", pa.float32()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("score", pa.float32()),
        ("points5", pa.list_(pa.float32(), 10)),
        ("points68", pa.list_(pa.float32(), 136)),
    ]
)


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


def read_trial(persons: str | os.PathLike, trial: str) -> Rows:
    """One trial's rows of a persons table; :class:`InputError` if the table has no such trial."""
    table = read_table(persons, PERSONS)
    if trial not in read_metadata(persons)["trials"]:
        raise InputError(f"{persons}: has no trial {trial!r}. Delete the file and run the face stage again.")
    table = table.filter(pc.equal(table["trial"], trial))
    return Rows(
        np.array(table["source"].to_pylist(), dtype="<U12"),
        table["track"].to_numpy(),
        np.stack([table[name].to_numpy() for name in ("x0", "y0", "x1", "y1")], axis=1),
        table["score"].to_numpy(),
        read_points(table["points5"]),
        read_points(table["points68"]),
    )


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


def rows_table(trial: str, rows: Rows) -> pa.Table:
    """One trial's rows with the columns of :data:`PERSONS`."""
    count = len(rows.source)

    def nullable(values):
        return pa.array(values.astype(np.float32), mask=np.isnan(values))

    columns = [
        pa.array([trial] * count, pa.string()),
        pa.array(np.arange(count, dtype=np.int32)),
        pa.array(rows.source.tolist(), pa.string()),
        pa.array(rows.track.astype(np.int32)),
        *(nullable(rows.boxes[:, side]) for side in range(4)),
        nullable(rows.scores),
        points_column(rows.points5),
        points_column(rows.points68),
    ]
    return pa.Table.from_arrays(columns, schema=PERSONS)


def _facts(person: str, rows: Rows, assignment: Assignment, overrides: int) -> dict[str, Any]:
    return {
        "person": person,
        **source_counts(rows),
        "tracks": sorted(set(rows.track[rows.track >= 0].tolist())),
        "tracks_without_identity": assignment.chained[person],
        "overrides": overrides,
    }


def source_counts(rows: Rows) -> dict[str, Any]:
    """Frames of each source, and ``coverage``: the share with a face."""
    counts = {name: int((rows.source == name).sum()) for name in ("detected", "interpolated", "held", "none")}
    total = len(rows.source)
    return counts | {"coverage": 1 - counts["none"] / total if total else 0.0}


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
