"""Fill the frames in which a person was not detected, from the detections before and after."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wildaffect.faces.tables import (
    DETECTED,
    HELD,
    INTERPOLATED,
    NONE,
    SOURCE_TYPE,
    Detections,
    TrialFaces,
    areas,
    at_rows,
    centres,
)

# A face that reappears further away than this many box sides has not moved there (a missed cut, say).
FARTHEST_MOVE = 1.0


@dataclass(frozen=True)
class Blend:
    """Which detections a person's face in each of N frames is made of: (1 - ``fraction``) of ``before`` and ``fraction`` of ``after``.

    Attributes:
        before: Row of a detection (N,), -1 where there is no face.
        after: The same.
        fraction: 0 to below 1 (N,).
    """

    before: np.ndarray
    after: np.ndarray
    fraction: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Rows (n,) of the detections whose values `of` needs, some twice, -1 among them."""
        return np.append(self.before, self.after[self.fraction > 0])

    def of(self, values: np.ndarray) -> np.ndarray:
        """Values (N, …) of every frame from those (n, …) of `rows`, which are overwritten."""
        values, later = np.split(values, [len(self.before)])
        between = self.fraction > 0
        weight = self.fraction[between].reshape(-1, *([1] * (values.ndim - 1)))
        values[between] = (1 - weight) * values[between] + weight * later
        return values


def fill_gaps(
    detections: Detections,
    tracks: np.ndarray,
    chosen: np.ndarray,
    cuts: list[int],
    blocked: np.ndarray,
    interpolate: int,
    hold: int,
) -> tuple[TrialFaces, Blend]:
    """Make the rows of every frame from the detections of one person.

    A short gap between two detections of one track is interpolated linearly, unless a cut lies in it or the face moved too far. In what
    remains, frames beside a detection of their shot repeat it.

    Args:
        detections: All detections of the video.
        tracks: Track number (M,) of each.
        chosen: Row of the person's detection in each frame (N,), -1 where there is none.
        cuts: First frames of new shots.
        blocked: Bool (N,): frames that stay empty.
        interpolate: Longest gap in frames that is interpolated.
        hold: Frames on each side of a longer gap that repeat the nearest detection.

    Returns:
        The person's face in each of the N frames, without the 68 points (0 of them), and the blend that makes these.
    """
    count = len(chosen)
    frames = np.flatnonzero(chosen >= 0)
    shots = np.searchsorted(np.asarray(cuts, int), np.arange(count), side="right")
    source = np.where(chosen >= 0, DETECTED, NONE).astype(SOURCE_TYPE)
    before, after, fraction = chosen.copy(), chosen.copy(), np.zeros(count)
    for start, stop in pairwise(frames):
        inside = np.arange(start + 1, stop)
        if not len(inside) or len(inside) > interpolate or blocked[inside].any() or shots[start] != shots[stop]:
            continue
        if tracks[chosen[start]] == tracks[chosen[stop]] and _near(detections, chosen[start], chosen[stop]):
            source[inside], before[inside], after[inside] = INTERPOLATED, chosen[start], chosen[stop]
            fraction[inside] = (inside - start) / (stop - start)
    for frame in frames if hold else ():
        for step in (1, -1):
            held = frame + step * np.arange(1, hold + 1)
            held = held[(held >= 0) & (held < count)]
            free = (source[held] == NONE) & ~blocked[held] & (shots[held] == shots[frame])
            held = held[np.logical_and.accumulate(free)]
            source[held], before[held], after[held] = HELD, chosen[frame], chosen[frame]
    blend = Blend(before, after, fraction)
    boxes, points5 = (blend.of(at_rows(values, blend.rows)) for values in (detections.boxes, detections.points5))
    scores = at_rows(detections.scores, np.where(source == DETECTED, before, -1))
    track = np.full(count, -1)
    track[before >= 0] = tracks[before[before >= 0]]
    return TrialFaces(source, track, boxes, scores, points5, np.zeros((count, 0, 2), np.float32)), blend


def _near(detections: Detections, first: int, second: int) -> bool:
    boxes = detections.boxes[[first, second]]
    moved = np.linalg.norm(np.diff(centres(boxes), axis=0))
    return moved <= FARTHEST_MOVE * np.sqrt(areas(boxes).max())
