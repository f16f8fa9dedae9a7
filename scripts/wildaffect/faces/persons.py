"""What each trial of a video shows in every frame: one person's face, detected, interpolated, held or absent.

Rules (Aff-Wild2 names one person of a video by a suffix, or by none):

* ``main`` alone: the longest, largest, most central track, that is one person's over the whole video; where that person is seen in
  less than a quarter of the frames that show a face (slides, a montage), the most prominent person of each shot;
* ``left`` and ``right``: of the two most prominent people seen together, by mean horizontal order over the frames that
  show both;
* ``main`` beside one suffixed trial: the other person of that pair;
* numbers: ``1`` is the person seen in most frames, ``2`` the next, and so on; a number beyond those who are there shows nobody;
* ``main`` beside both: of the three most prominent people seen together, and others as large beside them, ``left`` and ``right`` are
  the outermost and ``main`` is the most prominent of the rest; if no three are seen together, the pair and the most prominent third.

A CSV of overrides, one for the corpus, corrects the automatic assignment.
"""

import os
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from wildaffect.corpus.trials import PERSONS
from wildaffect.errors import InputError
from wildaffect.faces.gaps import Blend, fill_gaps
from wildaffect.faces.options import TrackingOptions
from wildaffect.faces.overrides import Override, check_override, read_overrides
from wildaffect.faces.tables import (
    ABSENT,
    PERSONS_SCHEMA,
    Detections,
    TrialFaces,
    areas,
    centres,
    pairwise_iou,
    read_detections,
    rows_by_track,
    rows_table,
    source_counts,
)
from wildaffect.faces.tracking import track_faces
from wildaffect.media.frames import kept_view, read_frames
from wildaffect.tables import read_metadata, write_parts

# Only this many people, the most prominent ones, are considered as a pair.
PAIR_CANDIDATES = 12
# A track of unknown identity shorter than this joins no person: short ones are mostly false detections.
SHORTEST_CHAINED = 5
# Of the frames that show a face a main person is seen in this fraction at least; else each shot has its own.
LEAST_PRESENCE = 0.25
# Beside three people another one counts if seen in this fraction of their frames and of this part of the smallest one's side.
LEAST_COMPANY = 0.5
# ... and it must be, on average, where the person is: overlap of the two mean boxes.
SAME_POSITION = 0.25


def assign_persons(
    detections: str | os.PathLike,
    frames: str | os.PathLike,
    trials: dict[str, str],
    output: str | os.PathLike,
    *,
    options: TrackingOptions,
    overrides: str | os.PathLike | None = None,
) -> None:
    """Track the faces of one video and write which of them each trial shows.

    The table has one row per decoded frame and trial, trials in the order given, frames ascending; columns of a frame without the person
    are null. Metadata: per trial the number of frames of each source and doubtful quality, ``coverage`` (the fraction with a face),
    ``presence`` (of the person in the frames with a face, by detection) and whether it ``follows`` a person or each shot, tracks used and
    how many joined without identity; ``tracks`` (number, first and last frame, detections, mean box) for writing overrides;
    ``seen_together``, ``order_reversed`` and ``identity_swaps`` (tracklets cut because the identity changed) as hints of swapped people;
    ``company``: how many of the ``frames_with_face`` show several people who stay, and how many people these show; ``overview``: the
    first frame that shows the most people, one of them followed if possible, with their tracks and boxes, or null; ``smallest_face`` of
    the detections; ``view`` of the frame table, if it has one, for those who decode the video again.

    Args:
        detections: Table of detections of the video.
        frames: Its frame table.
        trials: ``main``, ``left`` or ``right`` by trial, or numbers.
        output: Table to write (`wildaffect.faces.tables.PERSONS_SCHEMA`).
        options: How faces are tracked and gaps are filled.
        overrides: CSV of corrections.

    Raises:
        InputError: For an unknown person, a CSV that cannot be read, and one that names a frame, track or point that the video lacks.
    """
    clip = read_frames(frames).about
    count = clip["frames"]
    persons = set(trials.values())
    found = read_detections(detections)
    about = read_metadata(detections)
    cuts = about["cuts"]
    tracks, swaps = track_faces(found, cuts, about["identity_distance"], options.max_gap, about.get("continued", ()))
    width, height = about["width"] or 1, about["height"] or 1
    assignment = assign_tracks(found, tracks, persons, width, height)
    shown = len(np.unique(found.frame))
    corrections = read_overrides(overrides) if overrides else []
    seen = track_ranges(found, tracks) if corrections else {}
    faces: dict[str, tuple[TrialFaces, Blend]] = {}
    trial_facts = {}
    followed = np.zeros(count, bool)
    shows: dict[str, np.ndarray] = {}
    follows: dict[str, tuple[float, str]] = {}
    for trial, person in trials.items():
        chosen = _rows_of_chain(found, tracks, assignment.chains[person], count)
        presence = int((chosen >= 0).sum()) / shown if shown else 0.0
        stays = persons != {"main"} or not shown or presence >= LEAST_PRESENCE
        if not stays:
            chosen = rows_of_shots(found, tracks, prominence(found, width, height), cuts, count)
        shows[trial], follows[trial] = chosen, (presence, "person" if stays else "shots")
    for override in (override for override in corrections if override.trial in trials):
        check_override(override, count, (about["width"], about["height"]), seen)
        apply_override(shows[override.trial], override, found, tracks)
        if trials[override.trial].isdigit():
            _take_from_others(shows, override)
    for trial, person in trials.items():
        chosen, own = shows[trial], [override for override in corrections if override.trial == trial]
        blocked = _blocked(own, count)
        faces[trial] = fill_gaps(found, tracks, chosen, cuts, blocked, options.interpolate, options.hold)
        followed |= chosen >= 0
        trial_facts[trial] = {
            **_facts(person, faces[trial][0], assignment, len(own)),
            "presence": follows[trial][0],
            "follows": follows[trial][1],
            **({ABSENT: True} if person.isdigit() and person != "1" and not (chosen >= 0).any() else {}),
        }
    metadata = {
        "trials": trial_facts,
        "frames": count,
        "tracks": _track_list(found, tracks),
        "seen_together": assignment.together,
        "order_reversed": assignment.reversed,
        "identity_swaps": swaps,
        **_company(found, tracks, followed),
        "frames_with_face": shown,
        "smallest_face": about.get("smallest_face", 0.0),
        "options": {"interpolate": options.interpolate, "hold": options.hold},
    } | kept_view(clip)
    # The 68 points of one trial at a time: they are most of the table.
    parts = (
        rows_table(trial, replace(rows, points68=blend.of(found.points68[blend.rows])))
        for trial, (rows, blend) in faces.items()
    )
    write_parts(output, parts, PERSONS_SCHEMA, metadata)


def _take_from_others(shows: dict[str, np.ndarray], override: Override) -> None:
    """Of several people each face is one's: what an override gives to its trial, the others lose, in place."""
    within = slice(override.first, override.last + 1)
    given = shows[override.trial][within]
    for trial, chosen in shows.items():
        if trial != override.trial:
            chosen[within][(chosen[within] == given) & (given >= 0)] = -1


def _rows_of_chain(detections: Detections, tracks: np.ndarray, chain: set[int], count: int) -> np.ndarray:
    """Find the detection row (N,) of each frame among the tracks of a chain, -1 where there is none."""
    chosen = np.full(count, -1)
    rows = np.flatnonzero(np.isin(tracks, list(chain)))
    chosen[detections.frame[rows]] = rows
    return chosen


def rows_of_shots(
    detections: Detections, tracks: np.ndarray, weights: np.ndarray, cuts: list[int], count: int
) -> np.ndarray:
    """Find the detection row (N,) of each frame that shows the most prominent track of its shot, -1 where there is none.

    Args:
        detections: The faces of the video (M rows).
        tracks: Track number (M,) of each.
        weights: Prominence (M,) of each.
        cuts: First frames of new shots.
        count: Number of frames N.
    """
    chosen = np.full(count, -1)
    shots = np.searchsorted(np.asarray(cuts, int), detections.frame, side="right")
    for shot in np.unique(shots):
        rows = np.flatnonzero(shots == shot)
        rows = rows[tracks[rows] == np.bincount(tracks[rows], weights[rows]).argmax()]
        chosen[detections.frame[rows]] = rows
    return chosen


def _company(detections: Detections, tracks: np.ndarray, followed: np.ndarray) -> dict[str, Any]:
    """How many frames show several people who stay for a while, how many people these show, and the first of the fullest ones.

    A frame that shows somebody whom a trial follows (``followed``, bool (N,)) is preferred.
    """
    staying = np.bincount(tracks, minlength=1) >= SHORTEST_CHAINED
    rows = np.flatnonzero(staying[tracks]) if len(tracks) else np.zeros(0, int)
    frames, people = np.unique(detections.frame[rows], return_counts=True)
    several = people > 1
    company = {"frames": int(several.sum()), "people": int(np.median(people[several])) if several.any() else 0}
    if not several.any():
        return {"company": company, "overview": None}
    frame = int(frames[np.lexsort([-people, ~followed[frames], ~several])[0]])
    faces = [
        {"track": int(tracks[row]), "box": [round(float(value), 1) for value in detections.boxes[row]]}
        for row in rows[detections.frame[rows] == frame]
    ]
    return {"company": company, "overview": {"frame": frame, "faces": faces}}


def _blocked(overrides: list[Override], count: int) -> np.ndarray:
    """Mark the frames (N,) that an override declares empty, which nothing may fill."""
    blocked = np.zeros(count, bool)
    for override in overrides:
        blocked[override.first : override.last + 1] = override.track is None and override.point is None
    return blocked


def _facts(person: str, rows: TrialFaces, assignment: "Assignment", overrides: int) -> dict[str, Any]:
    return {
        "person": person,
        **source_counts(rows),
        "tracks": sorted(set(rows.track[rows.track >= 0].tolist())),
        "tracks_without_identity": assignment.chained[person],
        "overrides": overrides,
    }


def _track_list(detections: Detections, tracks: np.ndarray) -> list[dict[str, Any]]:
    listed, identified = [], detections.identified
    for number, rows in enumerate(rows_by_track(tracks)):
        frames = detections.frame[rows]
        listed.append(
            {
                "track": number,
                "first_frame": int(frames.min()),
                "last_frame": int(frames.max()),
                "detections": len(rows),
                "mean_box": [round(float(value), 1) for value in detections.boxes[rows].mean(axis=0)],
                "identified": bool(identified[rows].any()),
            }
        )
    return listed


@dataclass(frozen=True)
class Assignment:
    """Tracks of each requested person, and how reliable the order of the pair is.

    Attributes:
        chains: Track numbers by person.
        chained: How many of these joined by position, without identity, by person.
        together: Frames that show both of the pair.
        reversed: Those of them in which the two stand the other way round.
    """

    chains: dict[str, set[int]]
    chained: dict[str, int]
    together: int
    reversed: int


def prominence(detections: Detections, width: int, height: int) -> np.ndarray:
    """Weigh each detection (M,): relative side of the box times nearness to the centre of the frame (0 to 1)."""
    middle = np.array([width, height]) / 2
    away = np.linalg.norm(centres(detections.boxes) - middle, axis=1) / np.linalg.norm(middle)
    return np.sqrt(areas(detections.boxes) / (width * height)) * np.clip(1 - away, 0, 1)


def assign_tracks(detections: Detections, tracks: np.ndarray, wanted: set[str], width: int, height: int) -> Assignment:
    """Find the chain of tracks of each requested person by the rules above.

    Args:
        detections: The faces of the video (M rows).
        tracks: Track number (M,) of each, 0 to T - 1.
        wanted: Some of `wildaffect.corpus.trials.PERSONS`, or the numbers of several people.
        width: Of the frame in pixels.
        height: Of the frame in pixels.

    Returns:
        The chains.

    Raises:
        InputError: For an unknown person.
    """
    if wanted and all(person.isdigit() for person in wanted):
        return _assign_numbers(detections, tracks, wanted)
    if unknown := wanted - set(PERSONS):
        raise InputError(f"trials: unknown person {', '.join(sorted(unknown))}, use main, left or right.")
    count = tracks.max(initial=-1) + 1
    weights = np.bincount(tracks, prominence(detections, width, height), minlength=count)
    pair: tuple[int | None, int | None] = (None, None)
    together = flipped = 0
    group = _three_together(detections, tracks, weights) if wanted == set(PERSONS) else []
    if group:
        pair, together, flipped = _outermost(detections, tracks, group)
    elif wanted & {"left", "right"}:
        pair, together, flipped = _left_and_right(detections, tracks, weights, width)
    seeds: dict[str, int | None] = {}
    for person in sorted(wanted):
        if person == "main":
            seeds[person] = _main(weights, pair, wanted, group)
        else:
            seeds[person] = pair[0] if person == "left" else pair[1]
    # Both of a pair build chains even if one has no trial, so that the other's tracks are not taken.
    owners = seeds | {f"other {side}": track for side, track in enumerate(pair) if track not in seeds.values()}
    chains, chained = _chain_unidentified(detections, tracks, weights, owners)
    return Assignment({p: chains[p] for p in seeds}, {p: chained[p] for p in seeds}, together, flipped)


def _assign_numbers(detections: Detections, tracks: np.ndarray, wanted: set[str]) -> Assignment:
    """Number the people of a video by the frames that show them, the earlier one first where these are as many.

    The longest track that belongs to nobody yet begins a new person, as long as there may be one of those who are wanted among them.
    """
    lengths = np.bincount(tracks) if len(tracks) else np.zeros(0, int)
    seeds: dict[str, int | None] = {}
    chains: dict[str, set[int]] = {}
    chained: dict[str, int] = {}
    for track in np.argsort(-lengths, kind="stable").tolist():
        if lengths[track] < SHORTEST_CHAINED or len(seeds) == len(wanted) + PAIR_CANDIDATES:
            break
        if not any(track in chain for chain in chains.values()):
            seeds[str(track)] = track
            chains, chained = _chain_unidentified(detections, tracks, lengths.astype(float), seeds)
    order = sorted(chains, key=lambda seed: (-sum(lengths[track] for track in chains[seed]), min(chains[seed])))
    numbers = {str(number): seed for number, seed in enumerate(order, 1)}
    return Assignment(
        {person: chains.get(numbers.get(person, ""), set()) for person in wanted},
        {person: chained.get(numbers.get(person, ""), 0) for person in wanted},
        0,
        0,
    )


def _three_together(detections: Detections, tracks: np.ndarray, weights: np.ndarray) -> list[int]:
    """The three tracks most prominent together, and others as large that are beside them; empty if no three are."""
    best = np.argsort(-weights, kind="stable")[:PAIR_CANDIDATES].tolist()
    seen = np.zeros((len(best), int(detections.frame.max(initial=-1)) + 1), bool)
    for row, track in enumerate(best):
        seen[row, detections.frame[tracks == track]] = True
    means = _mean_prominence(weights, tracks)

    def joint(three: tuple[int, ...]) -> float:
        return float(seen[list(three)].all(axis=0).sum() * min(means[best[row]] for row in three))

    three = max(combinations(range(len(best)), 3), key=joint, default=())
    if not three or not joint(three):
        return []
    shared = seen[list(three)].all(axis=0)
    side = [np.sqrt(areas(detections.boxes[tracks == track]).mean()) for track in best]
    least = LEAST_COMPANY * min(side[row] for row in three)
    others = [
        row
        for row in range(len(best))
        if row not in three and seen[row, shared].mean() >= LEAST_COMPANY and side[row] >= least
    ]
    return [best[row] for row in [*three, *others]]


def _outermost(
    detections: Detections, tracks: np.ndarray, group: list[int]
) -> tuple[tuple[int | None, int | None], int, int]:
    """The outermost pair (left track, right track) of people seen together, frames with both, frames with both the other way round."""
    x = np.full((len(group), int(detections.frame.max()) + 1), np.nan)
    for row, track in enumerate(group):
        rows = tracks == track
        x[row, detections.frame[rows]] = centres(detections.boxes[rows])[:, 0]
    # Mean distance of each from each, over the frames that show both: people move, and are not always all there.
    away = [
        sum(_gaps(x, one, other).mean() for other in range(len(group)) if other != one) for one in range(len(group))
    ]
    left, right = int(np.argmin(away)), int(np.argmax(away))
    gaps = _gaps(x, left, right)
    return (group[left], group[right]), len(gaps), int((gaps > 0).sum())


def _gaps(x: np.ndarray, one: int, other: int) -> np.ndarray:
    difference = x[one] - x[other]
    return difference[~np.isnan(difference)]


def _main(weights: np.ndarray, pair: tuple[int | None, int | None], wanted: set[str], group: list[int]) -> int | None:
    if wanted == {"main", "left"}:
        return pair[1]
    if wanted == {"main", "right"}:
        return pair[0]
    rest = [t for t in np.argsort(-weights, kind="stable").tolist() if t not in pair and (t in group or not group)]
    return rest[0] if rest else None


def _left_and_right(
    detections: Detections, tracks: np.ndarray, weights: np.ndarray, width: int
) -> tuple[tuple[int | None, int | None], int, int]:
    """The pair (left track, right track), frames with both, frames with both the other way round."""
    best = np.argsort(-weights, kind="stable")[:PAIR_CANDIDATES].tolist()
    if not best:
        return (None, None), 0, 0
    x = centres(detections.boxes)[:, 0]
    if len(best) == 1:
        on_left = x[tracks == best[0]].mean() < width / 2
        return ((best[0], None) if on_left else (None, best[0])), 0, 0
    means = _mean_prominence(weights, tracks)
    chosen, value, gaps = None, 0.0, np.zeros(0)
    for position, first in enumerate(best):
        for second in best[position + 1 :]:
            rows_first, rows_second = np.flatnonzero(tracks == first), np.flatnonzero(tracks == second)
            _, in_first, in_second = np.intersect1d(
                detections.frame[rows_first], detections.frame[rows_second], return_indices=True
            )
            joint = len(in_first) * min(means[first], means[second])
            if joint > value:
                chosen, value, gaps = (first, second), joint, x[rows_first[in_first]] - x[rows_second[in_second]]
    if chosen is None:
        chosen = tuple(sorted(best[:2], key=lambda track: x[tracks == track].mean()))
        return chosen, 0, 0
    if gaps.mean() > 0:
        chosen, gaps = chosen[::-1], -gaps
    return chosen, len(gaps), int((gaps > 0).sum())


def _mean_prominence(weights: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    """Mean prominence (T,) of a track's detections from its summed one."""
    return weights / np.maximum(np.bincount(tracks, minlength=len(weights)), 1)


def _chain_unidentified(
    detections: Detections, tracks: np.ndarray, weights: np.ndarray, owners: dict[str, int | None]
) -> tuple[dict[str, set[int]], dict[str, int]]:
    """Give tracks of unknown identity to a person whose position they take, most prominent tracks first.

    Where identity is known a second track is a second person and stays out. A track joins only if its mean box overlaps
    the person's and the two are never seen together: the same camera position after a cut or a long absence. That two
    people took turns on one chair cannot be told without identity.
    """
    count = len(weights)
    rows = rows_by_track(tracks)
    frames = [set(detections.frame[mine].tolist()) for mine in rows]
    identified = np.bincount(tracks[detections.identified], minlength=count) > 0
    positions = np.array([detections.boxes[mine].mean(axis=0) for mine in rows]).reshape(-1, 4)
    overlap = pairwise_iou(positions, positions)
    chains = {person: set() if track is None else {track} for person, track in owners.items()}
    seen = {person: set() if track is None else set(frames[track]) for person, track in owners.items()}
    chained = dict.fromkeys(owners, 0)
    taken = set(owners.values())
    for track in np.argsort(-weights, kind="stable").tolist():
        if track in taken or identified[track] or len(frames[track]) < SHORTEST_CHAINED:
            continue
        possible = [p for p, seed in owners.items() if seed is not None and not seen[p] & frames[track]]
        person = max(possible, key=lambda p: overlap[owners[p], track], default=None)
        if person is not None and overlap[owners[person], track] >= SAME_POSITION:
            chains[person].add(track)
            seen[person] |= frames[track]
            chained[person] += 1
    return chains, chained


def track_ranges(detections: Detections, tracks: np.ndarray) -> dict[int, tuple[int, int]]:
    """First and last frame of each track."""
    ranges: dict[int, tuple[int, int]] = {}
    for track, frame in zip(tracks.tolist(), detections.frame.tolist(), strict=True):
        ranges[track] = (ranges.get(track, (frame,))[0], frame)
    return dict(sorted(ranges.items()))


def apply_override(chosen: np.ndarray, override: Override, detections: Detections, tracks: np.ndarray) -> None:
    """Change ``chosen`` (detection row per frame, -1 none, (N,)) in place within the override's frames."""
    chosen[override.first : override.last + 1] = -1
    # Detections come in the order of frames.
    begin, end = np.searchsorted(detections.frame, (override.first, override.last + 1))
    track = override.track
    if override.point is not None and begin < end:
        first_frame_ends = np.searchsorted(detections.frame, detections.frame[begin], side="right")
        distances = np.linalg.norm(centres(detections.boxes[begin:first_frame_ends]) - override.point, axis=1)
        track = tracks[begin + distances.argmin()]
    if track is not None:
        rows = begin + np.flatnonzero(tracks[begin:end] == track)
        chosen[detections.frame[rows]] = rows
