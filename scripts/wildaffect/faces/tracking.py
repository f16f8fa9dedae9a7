"""From detections to tracks, with the whole video in hand.

First faces of neighbouring frames are linked into tracklets by motion, overlap and identity; then a tracklet whose
identity changed while two faces touched is cut there; then tracklets of one person are joined over the whole video
(:mod:`wildaffect.faces.merging`). No tracklet spans a camera cut; only identity joins across one.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from wildaffect.faces.columns import Detections, rows_by_frame
from wildaffect.faces.geometry import areas, centres, pairwise_iou
from wildaffect.faces.merging import merge_tracklets

# Two boxes of successive frames may be one face if they overlap this much where the face was expected ...
LEAST_OVERLAP = 0.15
# ... and neither is more than this many times larger than the other (area).
MOST_GROWTH = 2.5
# Weight of identity against overlap in the cost of a link: full disagreement costs as much as no overlap.
IDENTITY_WEIGHT = 1.0
# Share of a new displacement in the running velocity.
VELOCITY_SHARE = 0.5
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
    detections: Detections, cuts: list[int], identity_distance: float | None, max_gap: int
) -> tuple[np.ndarray, int]:
    """Track number (M,) of each detection, numbered by first appearance, and how many swaps identity revealed.

    ``cuts``: first frames of new shots. ``identity_distance``: distance below which identity vectors are one person
    (None: the backend has none). ``max_gap``: most frames a face may be missing within a tracklet.
    """
    tracklets = link_tracklets(detections, cuts, identity_distance, max_gap)
    split = split_swapped(detections, tracklets, identity_distance)
    revealed = int(split.max(initial=-1) - tracklets.max(initial=-1))
    shots = np.searchsorted(np.asarray(cuts, int), detections.frame, side="right")
    return merge_tracklets(detections, split, shots, identity_distance), revealed


def link_tracklets(
    detections: Detections, cuts: list[int], identity_distance: float | None, max_gap: int
) -> np.ndarray:
    """Tracklet number (M,) of each detection: frame by frame the cheapest assignment of faces to open tracklets."""
    numbers = np.full(len(detections.frame), -1)
    open_tracklets: list[_Open] = []
    next_number, shot = 0, 0
    for frame, rows in rows_by_frame(detections.frame):
        frame_shot = int(np.searchsorted(cuts, frame, side="right"))
        if frame_shot != shot:
            open_tracklets, shot = [], frame_shot
        open_tracklets = [tracklet for tracklet in open_tracklets if frame - tracklet.frame <= max_gap + 1]
        if open_tracklets:
            cost = _link_cost(open_tracklets, frame, detections, rows, identity_distance)
            for which, position in zip(*linear_sum_assignment(cost), strict=True):
                if cost[which, position] < IMPOSSIBLE:
                    row = rows[position]
                    _extend(open_tracklets[which], frame, detections.boxes[row], detections.identity[row])
                    numbers[row] = open_tracklets[which].number
        for row in rows[numbers[rows] < 0]:
            box = detections.boxes[row]
            open_tracklets.append(_Open(next_number, frame, box, np.zeros(2), detections.identity[row]))
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
    if identity_distance is not None:
        known = np.array([tracklet.identity for tracklet in tracklets])
        distance = np.linalg.norm(known[:, None] - detections.identity[rows][None], axis=2) / identity_distance
        # Unknown identity counts as neither alike nor different.
        cost = cost + IDENTITY_WEIGHT * np.clip(np.nan_to_num(distance, nan=0.5), 0, 1.5)
    return np.where(possible, cost, IMPOSSIBLE)


def _extend(tracklet: _Open, frame: int, box: np.ndarray, identity: np.ndarray) -> None:
    moved = (centres(box[None])[0] - centres(tracklet.box[None])[0]) / (frame - tracklet.frame)
    tracklet.velocity = (1 - VELOCITY_SHARE) * tracklet.velocity + VELOCITY_SHARE * moved
    tracklet.frame, tracklet.box = frame, box
    if len(identity) and not np.isnan(identity[0]):
        tracklet.identity = identity


def split_swapped(detections: Detections, tracklets: np.ndarray, identity_distance: float | None) -> np.ndarray:
    """Cut tracklets that passed from one person to another while two faces touched.

    A cut needs both: vectors before and after that are further apart on average than ``identity_distance``, and a frame
    between them in which the face touched another or was missing (a lone face cannot turn into somebody else; a
    profile view may look so). Returns tracklet numbers (M,), parts cut off numbered on.
    """
    numbers = tracklets.copy()
    if identity_distance is None:
        return numbers
    touching = _contact(detections)
    pending = [np.flatnonzero(numbers == number) for number in range(numbers.max(initial=-1) + 1)]
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
    """Where in ``rows`` another person begins, or None."""
    samples = np.flatnonzero(detections.identified[rows])
    vectors = detections.identity[rows[samples]]
    best, position = limit, None
    for split in range(1, len(samples)):
        between = slice(samples[split - 1], samples[split] + 1)
        distance = np.linalg.norm(vectors[:split].mean(axis=0) - vectors[split:].mean(axis=0))
        evidence = touching[rows[between]].copy()
        # A missing frame within the stretch is an occlusion: as good a place as the closest contact.
        evidence[1:][np.diff(detections.frame[rows[between]]) > 1] = 1
        if distance > best and evidence.max() > 0:
            best, position = distance, int(samples[split - 1] + max(1, evidence.argmax()))
    return position


def _contact(detections: Detections) -> np.ndarray:
    """Largest overlap (M,) of each face with another of its frame."""
    touching = np.zeros(len(detections.frame))
    for _, rows in rows_by_frame(detections.frame):
        if len(rows) > 1:
            overlap = pairwise_iou(detections.boxes[rows], detections.boxes[rows])
            np.fill_diagonal(overlap, 0)
            touching[rows] = overlap.max(axis=1)
    return touching
