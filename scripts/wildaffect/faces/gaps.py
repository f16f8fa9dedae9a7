"""Fill the frames between a person's detections, within honest limits."""

from itertools import pairwise

import numpy as np

from wildaffect.faces.tables import Detections, TrialFaces, areas, centres

# A face that reappears further away than this many box sides was not followed in between (a missed cut, say).
FARTHEST_MOVE = 1.0


def fill_gaps(
    detections: Detections,
    tracks: np.ndarray,
    chosen: np.ndarray,
    cuts: list[int],
    blocked: np.ndarray,
    interpolate: int,
    hold: int,
) -> TrialFaces:
    """Rows of every frame from ``chosen`` (detection row per frame (N,), -1 none).

    A gap of at most ``interpolate`` frames between two detections of one track is filled linearly, unless a cut lies in
    it or the face moved too far; then up to ``hold`` frames on each side of what is left repeat the nearest detection of
    their shot. Frames in ``blocked`` (N,) stay empty.
    """
    count = len(chosen)
    frames = np.flatnonzero(chosen >= 0)
    shots = np.searchsorted(np.asarray(cuts, int), np.arange(count), side="right")
    source = np.where(chosen >= 0, "detected", "none").astype("<U12")
    # Each frame's value is a blend of two detection rows: (1 - share) * before + share * after.
    before, after, share = chosen.copy(), chosen.copy(), np.zeros(count)
    for start, stop in pairwise(frames):
        inside = np.arange(start + 1, stop)
        if not len(inside) or len(inside) > interpolate or blocked[inside].any() or shots[start] != shots[stop]:
            continue
        if tracks[chosen[start]] == tracks[chosen[stop]] and _near(detections, chosen[start], chosen[stop]):
            source[inside], before[inside], after[inside] = "interpolated", chosen[start], chosen[stop]
            share[inside] = (inside - start) / (stop - start)
    for frame in frames if hold else ():
        for step in (1, -1):
            held = frame + step * np.arange(1, hold + 1)
            held = held[(held >= 0) & (held < count)]
            free = (source[held] == "none") & ~blocked[held] & (shots[held] == shots[frame])
            held = held[np.logical_and.accumulate(free)]
            source[held], before[held], after[held] = "held", chosen[frame], chosen[frame]
    return _blend(detections, tracks, source, before, after, share)


def _near(detections: Detections, first: int, second: int) -> bool:
    boxes = detections.boxes[[first, second]]
    moved = np.linalg.norm(np.diff(centres(boxes), axis=0))
    return moved <= FARTHEST_MOVE * np.sqrt(areas(boxes).max())


def _blend(detections, tracks, source, before, after, share) -> TrialFaces:
    filled = before >= 0

    def blend(values):
        out = np.full((len(source), *values.shape[1:]), np.nan, np.float32)
        weight = share[filled].reshape(-1, *([1] * (values.ndim - 1)))
        out[filled] = (1 - weight) * values[before[filled]] + weight * values[after[filled]]
        return out

    scores = np.full(len(source), np.nan, np.float32)
    detected = source == "detected"
    scores[detected] = detections.scores[before[detected]]
    track = np.full(len(source), -1)
    track[filled] = tracks[before[filled]]
    return TrialFaces(
        source, track, blend(detections.boxes), scores, blend(detections.points5), blend(detections.points68)
    )
