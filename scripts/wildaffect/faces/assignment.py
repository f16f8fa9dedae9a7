"""Which track is which trial's person.

Rules (Aff-Wild2 names one person of a video by a suffix, or by none):

* ``main`` alone: the longest, largest, most central track, that is one person's over the whole video;
* ``left`` and ``right``: of the two most prominent people seen together, by mean horizontal order over the frames that
  show both;
* ``main`` beside one suffixed trial: the other person of that pair; beside both: the most prominent third person.
"""

from dataclasses import dataclass

import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.columns import Detections
from wildaffect.faces.geometry import areas, centres, pairwise_iou

PERSONS = ("main", "left", "right")
# Only this many people, the most prominent ones, are considered as a pair.
PAIR_CANDIDATES = 12
# A track of unknown identity shorter than this joins nobody: short ones are mostly false detections.
SHORTEST_CHAINED = 5
# ... and it must be, on average, where the person is: overlap of the two mean boxes.
SAME_PLACE = 0.25


@dataclass(frozen=True)
class Assignment:
    """Tracks of each person wanted, and what the pair's order was like.

    chains: person -> track numbers. chained: person -> how many of these joined by place, without identity.
    together: frames that show both of the pair; reversed: those of them in which the two stand the other way round.
    """

    chains: dict[str, set[int]]
    chained: dict[str, int]
    together: int
    reversed: int


def prominence(detections: Detections, width: int, height: int) -> np.ndarray:
    """Weight (M,) of each detection: relative side of the box times nearness to the picture's centre (0 to 1)."""
    middle = np.array([width, height]) / 2
    away = np.linalg.norm(centres(detections.boxes) - middle, axis=1) / np.linalg.norm(middle)
    return np.sqrt(areas(detections.boxes) / (width * height)) * np.clip(1 - away, 0, 1)


def assign_tracks(detections: Detections, tracks: np.ndarray, wanted: set[str], width: int, height: int) -> Assignment:
    """The chain of tracks of each person in ``wanted`` (a subset of :data:`PERSONS`) by the rules above.

    ``tracks`` (M,) numbers the detections' tracks, 0 to T - 1.
    """
    if unknown := wanted - set(PERSONS):
        raise InputError(f"trials: unknown person {', '.join(sorted(unknown))}, use main, left or right.")
    count = tracks.max(initial=-1) + 1
    weights = np.bincount(tracks, prominence(detections, width, height), minlength=count)
    pair: tuple[int | None, int | None] = (None, None)
    together = flipped = 0
    if wanted & {"left", "right"}:
        pair, together, flipped = _left_and_right(detections, tracks, weights, width)
    seeds: dict[str, int | None] = {}
    for person in sorted(wanted):
        if person == "main":
            seeds[person] = _main(weights, pair, wanted)
        else:
            seeds[person] = pair[0] if person == "left" else pair[1]
    # Both of a pair build chains even if one has no trial, so that the other's tracks are not taken.
    owners = seeds | {f"other {side}": track for side, track in enumerate(pair) if track not in seeds.values()}
    chains, chained = _chain_unidentified(detections, tracks, weights, owners)
    return Assignment({p: chains[p] for p in seeds}, {p: chained[p] for p in seeds}, together, flipped)


def _main(weights: np.ndarray, pair: tuple[int | None, int | None], wanted: set[str]) -> int | None:
    if wanted == {"main", "left"}:
        return pair[1]
    if wanted == {"main", "right"}:
        return pair[0]
    rest = [track for track in np.argsort(-weights, kind="stable").tolist() if track not in pair]
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
    share = _mean_prominence(weights, tracks)
    chosen, value, gaps = None, 0.0, np.zeros(0)
    for position, first in enumerate(best):
        for second in best[position + 1 :]:
            rows_first, rows_second = np.flatnonzero(tracks == first), np.flatnonzero(tracks == second)
            _, in_first, in_second = np.intersect1d(
                detections.frame[rows_first], detections.frame[rows_second], return_indices=True
            )
            joint = len(in_first) * min(share[first], share[second])
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
    """Give tracks of unknown identity to a person whose place they take, most prominent tracks first.

    Where identity is known a second track is a second person and stays out. A track joins only if its mean box overlaps
    the person's and the two are never seen together: the same camera position after a cut or a long absence. That two
    people took turns on one chair cannot be told without identity.
    """
    count = len(weights)
    frames = [set(detections.frame[tracks == track].tolist()) for track in range(count)]
    identified = np.bincount(tracks[detections.identified], minlength=count) > 0
    places = np.array([detections.boxes[tracks == track].mean(axis=0) for track in range(count)]).reshape(-1, 4)
    overlap = pairwise_iou(places, places)
    chains = {person: set() if track is None else {track} for person, track in owners.items()}
    seen = {person: set() if track is None else set(frames[track]) for person, track in owners.items()}
    chained = dict.fromkeys(owners, 0)
    taken = set(owners.values())
    for track in np.argsort(-weights, kind="stable").tolist():
        if track in taken or identified[track] or len(frames[track]) < SHORTEST_CHAINED:
            continue
        possible = [p for p, seed in owners.items() if seed is not None and not seen[p] & frames[track]]
        person = max(possible, key=lambda p: overlap[owners[p], track], default=None)
        if person is not None and overlap[owners[person], track] >= SAME_PLACE:
            chains[person].add(track)
            seen[person] |= frames[track]
            chained[person] += 1
    return chains, chained
