"""From detections to tracks, with the whole video in hand.

First faces of neighbouring frames are linked into tracklets by motion, overlap and identity (where the image was turned or changed its
size, the only face that goes on is linked wherever it is); then a tracklet whose identity changed while two faces touched is cut there;
then tracklets of one person are joined over the whole video. No tracklet spans a camera cut; only identity joins across one.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from wildaffect.faces.tables import Detections, areas, centres, paired_iou, pairwise_iou, rows_by_frame, rows_by_track

# Two boxes of successive frames may be one face if they overlap this much where the face was expected ...
LEAST_OVERLAP = 0.15
# ... and neither is more than this many times larger than the other (area).
MOST_GROWTH = 2.5
# Weight of identity against overlap in the cost of a link: full disagreement costs as much as no overlap.
IDENTITY_WEIGHT = 1.0
# Distances of means of n vectors and those from running sums differ by less than this fraction of the distance that separates two
# people times the root of n: float32 rounds to 6e-8.
ESTIMATE_ERROR = 1e-6
# Columns of identity vectors, and pairs of faces, that are looked at together.
COLUMNS = 32
PAIRS = 1 << 16
# Weight of a new displacement in the running velocity.
VELOCITY_WEIGHT = 0.5
IMPOSSIBLE = 1e6


@dataclass
class _Open:
    """A tracklet that may still grow."""

    number: int
    frame: int
    box: np.ndarray
    velocity: np.ndarray
    identity: np.ndarray


def track_faces(
    detections: Detections,
    cuts: list[int],
    identity_distance: float | None,
    max_gap: int,
    continued: Collection[int] = (),
) -> tuple[np.ndarray, int]:
    """Group the faces of a video into tracks.

    Args:
        detections: The faces (M rows).
        cuts: First frames of new shots.
        identity_distance: Distance below which two identity vectors are one person; None where there are no vectors.
        max_gap: Most frames in which a face may be missing within a tracklet.
        continued: Frames whose only face is the only one of the frame before, wherever it is.

    Returns:
        Track number (M,) of each face, numbered by first appearance, and how many times a tracklet was cut because its identity changed.
    """
    tracklets = link_tracklets(detections, cuts, identity_distance, max_gap, continued)
    split = split_swapped(detections, tracklets, identity_distance)
    revealed = int(split.max(initial=-1) - tracklets.max(initial=-1))
    shots = np.searchsorted(np.asarray(cuts, int), detections.frame, side="right")
    return merge_tracklets(detections, split, shots, identity_distance), revealed


def link_tracklets(
    detections: Detections,
    cuts: list[int],
    identity_distance: float | None,
    max_gap: int,
    continued: Collection[int] = (),
) -> np.ndarray:
    """Find the tracklet number (M,) of each face: frame by frame the cheapest assignment of faces to open tracklets."""
    numbers = np.full(len(detections.frame), -1)
    identified = detections.identified
    nobody = np.full(detections.vectors.shape[1], np.nan, np.float32)

    def identity(row: int) -> np.ndarray:
        return detections.vectors[detections.vector[row]] if identified[row] else nobody

    open_tracklets: list[_Open] = []
    next_number, shot = 0, 0
    for frame, rows in rows_by_frame(detections.frame):
        frame_shot = int(np.searchsorted(cuts, frame, side="right"))
        if frame_shot != shot:
            open_tracklets, shot = [], frame_shot
        open_tracklets = [tracklet for tracklet in open_tracklets if frame - tracklet.frame <= max_gap + 1]
        if frame in continued:
            open_tracklets = [
                replace(tracklet, box=detections.boxes[rows[0]], velocity=np.zeros(2))
                for tracklet in open_tracklets
                if tracklet.frame == frame - 1
            ]
        if open_tracklets:
            cost = _link_cost(open_tracklets, frame, detections, rows, identity_distance)
            for which, position in zip(*linear_sum_assignment(cost), strict=True):
                if cost[which, position] < IMPOSSIBLE:
                    row = rows[position]
                    _extend(open_tracklets[which], frame, detections.boxes[row], identity(row))
                    numbers[row] = open_tracklets[which].number
        for row in rows[numbers[rows] < 0]:
            open_tracklets.append(_Open(next_number, frame, detections.boxes[row], np.zeros(2), identity(row)))
            numbers[row] = next_number
            next_number += 1
    return numbers


def _link_cost(
    tracklets: list[_Open], frame: int, detections: Detections, rows: np.ndarray, identity_distance: float | None
) -> np.ndarray:
    steps = np.array([[frame - tracklet.frame] for tracklet in tracklets])
    shifts = np.array([tracklet.velocity for tracklet in tracklets]) * steps
    expected = np.array([tracklet.box for tracklet in tracklets]) + np.tile(shifts, 2)
    boxes = detections.boxes[rows]
    overlap = pairwise_iou(expected, boxes)
    growth = areas(boxes)[None, :] / np.maximum(areas(expected)[:, None], 1e-6)
    cost = 1 - overlap
    possible = (overlap >= LEAST_OVERLAP) & (growth < MOST_GROWTH) & (growth > 1 / MOST_GROWTH)
    # Unknown identity counts as neither alike nor different.
    if identity_distance is not None and (detections.vector[rows] >= 0).any():
        known = np.array([tracklet.identity for tracklet in tracklets])
        distance = np.linalg.norm(known[:, None] - detections.identity(rows)[None], axis=2) / identity_distance
        cost = cost + IDENTITY_WEIGHT * np.clip(np.nan_to_num(distance, nan=0.5), 0, 1.5)
    elif identity_distance is not None:
        cost = cost + IDENTITY_WEIGHT * 0.5
    return np.where(possible, cost, IMPOSSIBLE)


def _extend(tracklet: _Open, frame: int, box: np.ndarray, identity: np.ndarray) -> None:
    moved = (centres(box[None])[0] - centres(tracklet.box[None])[0]) / (frame - tracklet.frame)
    tracklet.velocity = (1 - VELOCITY_WEIGHT) * tracklet.velocity + VELOCITY_WEIGHT * moved
    tracklet.frame, tracklet.box = frame, box
    if len(identity) and not np.isnan(identity[0]):
        tracklet.identity = identity


def split_swapped(detections: Detections, tracklets: np.ndarray, identity_distance: float | None) -> np.ndarray:
    """Cut tracklets that passed from one person to another while two faces touched.

    A cut needs both: vectors before and after that are further apart on average than ``identity_distance``, and a frame
    between them in which the face touched another or was missing (a lone face cannot become another person's; a
    profile view may look so). Returns tracklet numbers (M,), parts cut off numbered on.
    """
    numbers = tracklets.copy()
    if identity_distance is None:
        return numbers
    touching = _contact(detections)
    pending = rows_by_track(numbers)
    next_number = len(pending)
    while pending:
        rows = pending.pop()
        cut = _swap_position(detections, rows, touching, identity_distance)
        if cut is not None:
            numbers[rows[cut:]] = next_number
            next_number += 1
            pending += [rows[:cut], rows[cut:]]
    return numbers


def _swap_position(detections: Detections, rows: np.ndarray, touching: np.ndarray, limit: float) -> int | None:
    """Where in ``rows`` another person begins, or None: at the split whose two mean vectors are furthest apart."""
    samples = np.flatnonzero(detections.identified[rows])
    vectors = detections.vectors[detections.vector[rows[samples]]]
    estimates = _mean_distances(vectors)
    # Running sums round otherwise than means do; the few splits that they cannot rule out are compared by means.
    error = ESTIMATE_ERROR * limit * len(vectors) ** 0.5
    possible = {}
    for split in (np.flatnonzero(estimates > limit - error) + 1).tolist():
        between = slice(samples[split - 1], samples[split] + 1)
        evidence = touching[rows[between]].copy()
        # A missing frame within the stretch is an occlusion: as good a position as the closest contact.
        evidence[1:][np.diff(detections.frame[rows[between]]) > 1] = 1
        if evidence.max() > 0:
            possible[split] = int(samples[split - 1] + max(1, evidence.argmax()))
    highest = max((estimates[split - 1] for split in possible), default=0)
    best, position = limit, None
    for split in possible:
        if estimates[split - 1] >= highest - 2 * error:
            distance = np.linalg.norm(vectors[:split].mean(axis=0) - vectors[split:].mean(axis=0))
            if distance > best:
                best, position = distance, possible[split]
    return position


def _mean_distances(vectors: np.ndarray) -> np.ndarray:
    """Distance (n - 1,) between the means of the first 1, 2, … of ``vectors`` (n, D) and of the others, nearly."""
    before = np.arange(1, len(vectors))[:, None]
    squares = np.zeros(len(before))
    for first in range(0, vectors.shape[1], COLUMNS):
        sums = vectors[:, first : first + COLUMNS].cumsum(axis=0, dtype=np.float64)
        apart = sums[:-1] / before - (sums[-1:] - sums[:-1]) / (len(vectors) - before)
        squares += (apart**2).sum(axis=1)
    return np.sqrt(squares)


def _contact(detections: Detections) -> np.ndarray:
    """Largest overlap (M,) of each face with another of its frame."""
    touching = np.zeros(len(detections.frame))
    for rows, others in _pairs_by_frame(detections.frame):
        for some in np.split(np.arange(len(rows)), range(PAIRS, len(rows), PAIRS)):
            overlap = paired_iou(detections.boxes[rows[some]], detections.boxes[others[some]])
            np.maximum.at(touching, rows[some], overlap)
            np.maximum.at(touching, others[some], overlap)
    return touching


def _pairs_by_frame(frame: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield all pairs of rows of one frame, for ascending frames (M,): those of neighbours, then those with one row between, ..."""
    step = 1
    while len(rows := np.flatnonzero(frame[step:] == frame[:-step])):
        yield rows, rows + step
        step += 1


# Averages of several vectors lie closer together than single ones, so they must be nearer to count as one person.
MEAN_FACTOR = 0.85
# Without identity: the face must return to the same position in the same shot within this many frames (about 5 s).
RETURN_FRAMES = 150
RETURN_OVERLAP = 0.3


def merge_tracklets(
    detections: Detections, tracklets: np.ndarray, shots: np.ndarray, identity_distance: float | None
) -> np.ndarray:
    """Track number (M,) of each detection, numbered by first appearance.

    Tracklets seen in one frame together are different people and never join. Where identity is known it decides, across
    cuts too; where it is not, a tracklet joins the one that ended at its position in the same shot. ``shots`` (M,) is the
    shot of each detection.
    """
    count = tracklets.max(initial=-1) + 1
    apart = _seen_together(detections.frame, tracklets, count)
    sums, samples = _identity_sums(detections, tracklets, count)
    parent = np.arange(count)

    def join(keep: int, lose: int) -> None:
        parent[parent == lose] = keep
        apart[keep] |= apart[lose]
        apart[:, keep] |= apart[:, lose]
        sums[keep] += sums[lose]
        samples[keep] += samples[lose]

    if identity_distance is not None:
        _join_by_identity(sums, samples, apart, identity_distance * MEAN_FACTOR, join)
    _join_by_position(detections, tracklets, shots, parent, samples, apart, join)
    return number_by_appearance(parent[tracklets]) if count else tracklets


def number_by_appearance(labels: np.ndarray) -> np.ndarray:
    """Labels (M,) renamed 0, 1, … in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _seen_together(frame: np.ndarray, tracklets: np.ndarray, count: int) -> np.ndarray:
    apart = np.zeros((count, count), bool)
    for rows, others in _pairs_by_frame(frame):
        apart[tracklets[rows], tracklets[others]] = apart[tracklets[others], tracklets[rows]] = True
    np.fill_diagonal(apart, val=False)
    return apart


def _identity_sums(detections: Detections, tracklets: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    known = detections.identified
    sums = np.zeros((count, detections.vectors.shape[1]))
    np.add.at(sums, tracklets[known], detections.vectors[detections.vector[known]])
    return sums, np.bincount(tracklets[known], minlength=count)


def _join_by_identity(sums: np.ndarray, samples: np.ndarray, apart: np.ndarray, limit: float, join) -> None:
    """Agglomerative clustering of mean vectors, nearest pair first, never joining what was seen together."""
    means = sums / np.maximum(samples, 1)[:, None]
    squares = (means**2).sum(axis=1)
    distance = np.sqrt(np.clip(squares[:, None] + squares[None] - 2 * means @ means.T, 0, None))
    unknown = samples == 0
    distance[unknown] = distance[:, unknown] = np.inf
    distance[apart] = np.inf
    np.fill_diagonal(distance, np.inf)
    nearest = distance.min(axis=1, initial=np.inf)
    while len(nearest) and nearest.min() < limit:
        keep = int(nearest.argmin())
        lose = int(distance[keep].argmin())
        stale = (distance[:, keep] <= nearest) | (distance[:, lose] <= nearest)
        join(keep, lose)
        distance[lose] = distance[:, lose] = np.inf
        means[keep] = sums[keep] / samples[keep]
        others = np.isfinite(distance[keep]) & ~apart[keep]
        distance[keep] = np.where(others, np.linalg.norm(means - means[keep], axis=1), np.inf)
        distance[:, keep] = distance[keep]
        # Only rows whose nearest was one of the two, and those now nearer to the joined one, need a new minimum.
        nearest[stale] = distance[stale].min(axis=1)
        nearest[[keep, lose]] = distance[[keep, lose]].min(axis=1)
        nearest = np.minimum(nearest, distance[:, keep])


def _join_by_position(detections, tracklets, shots, parent, samples, apart, join) -> None:
    count = len(parent)
    order = np.argsort(tracklets, kind="stable")
    bounds = np.searchsorted(tracklets[order], np.arange(count + 1))
    first, last = order[bounds[:-1]], order[bounds[1:] - 1]

    def returns(later: int) -> tuple[np.ndarray, np.ndarray]:
        """Tracklets that ended shortly before this one in the same shot, and how much their last boxes overlap with its first."""
        waited = detections.frame[first[later]] - detections.frame[last]
        ended = np.flatnonzero((waited > 0) & (waited <= RETURN_FRAMES) & (shots[last] == shots[first[later]]))
        return ended, pairwise_iou(detections.boxes[last[ended]], detections.boxes[first[[later]]])[:, 0]

    # Of those that begin in one frame the one that overlaps most goes first, of equals the one further left, whatever their order.
    candidates = [returns(later) for later in range(count)]
    best = [overlap.max(initial=0) for _, overlap in candidates]
    for later in np.lexsort([*detections.boxes[first].T[::-1], np.negative(best), detections.frame[first]]):
        ended, overlap = candidates[later]
        own, others = parent[later], parent[ended]
        free = ~apart[others, own] & (others != own) & ((samples[others] == 0) | (samples[own] == 0))
        overlap = overlap * free
        if overlap.max(initial=0) >= RETURN_OVERLAP:
            join(others[int(overlap.argmax())], own)
