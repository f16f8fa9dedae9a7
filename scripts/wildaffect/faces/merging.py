"""Join tracklets of one person over the whole video."""

import numpy as np

from wildaffect.faces.columns import Detections, rows_by_frame
from wildaffect.faces.geometry import pairwise_iou

# Averages of several vectors lie closer together than single ones, so they must be nearer to count as one person.
MEAN_SHARE = 0.85
# Without identity: the face must return to the same place of the same shot within this many frames (about 5 s).
RETURN_FRAMES = 150
RETURN_OVERLAP = 0.3


def merge_tracklets(
    detections: Detections, tracklets: np.ndarray, shots: np.ndarray, identity_distance: float | None
) -> np.ndarray:
    """Track number (M,) of each detection, numbered by first appearance.

    Tracklets seen in one frame together are different people and never join. Where identity is known it decides, across
    cuts too; where it is not, a tracklet joins the one that ended at its place in the same shot. ``shots`` (M,) is the
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
        _join_by_identity(sums, samples, apart, identity_distance * MEAN_SHARE, join)
    _join_by_place(detections, tracklets, shots, parent, samples, apart, join)
    return number_by_appearance(parent[tracklets]) if count else tracklets


def number_by_appearance(labels: np.ndarray) -> np.ndarray:
    """Labels (M,) renamed 0, 1, … in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _seen_together(frame: np.ndarray, tracklets: np.ndarray, count: int) -> np.ndarray:
    apart = np.zeros((count, count), bool)
    for _, rows in rows_by_frame(frame):
        if len(rows) > 1:
            apart[np.ix_(tracklets[rows], tracklets[rows])] = True
    np.fill_diagonal(apart, False)
    return apart


def _identity_sums(detections: Detections, tracklets: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    known = detections.identified
    sums = np.zeros((count, detections.identity.shape[1]))
    np.add.at(sums, tracklets[known], detections.identity[known])
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


def _join_by_place(detections, tracklets, shots, parent, samples, apart, join) -> None:
    count = len(parent)
    order = np.argsort(tracklets, kind="stable")
    bounds = np.searchsorted(tracklets[order], np.arange(count + 1))
    first, last = order[bounds[:-1]], order[bounds[1:] - 1]
    for later in np.argsort(detections.frame[first], kind="stable"):
        waited = detections.frame[first[later]] - detections.frame[last]
        candidates = (waited > 0) & (waited <= RETURN_FRAMES) & (shots[last] == shots[first[later]])
        candidates &= ~apart[parent, parent[later]] & (parent != parent[later])
        candidates &= (samples[parent] == 0) | (samples[parent[later]] == 0)
        overlap = pairwise_iou(detections.boxes[last], detections.boxes[first[[later]]])[:, 0] * candidates
        if count and overlap.max() >= RETURN_OVERLAP:
            join(parent[int(overlap.argmax())], parent[later])
