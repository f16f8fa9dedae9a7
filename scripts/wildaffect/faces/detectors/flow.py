"""A large face carried over a few frames by optical flow, between two searches by the network."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np

# The face has about this size, in pixels, in the grey pictures that flow is computed on.
SIDE = 128
# They show this much around it, as a share of its size on each side: room to move.
MARGIN = 0.3
# Places followed: a square grid of this many over the inner part of the box.
GRID = 8
INNER = (0.1, 0.9)
WINDOW = (15, 15)
LEVELS = 2
# A face was followed if at least this share of the places moves alike (to one pixel), and its size changes by less than this.
LEAST_AGREEMENT = 0.5
MOST_GROWTH = 1.25
# What a part of the face does beside that (a mouth that opens) is the mean over the places about this near, as a share of the
# face's size; a place moves no further than so many pixels beside the rest, else it was mistaken.
NEAR = 0.1
MOST_BESIDE = 3.0
LEAST_WEIGHT = 0.3
# Marks carried from one search to the next are believed if they end within this share of the distance between the eyes.
TRUST = 0.02

# Searches a picture near marks (k, 2): the marks found, or None.
Search = Callable[[np.ndarray, np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class _Step:
    frame: int
    row: int
    picture: np.ndarray
    grey: np.ndarray
    marks: np.ndarray


class FlowSegment:
    """One face from a frame in which the network found it to the next such frame.

    Marks are points (k, 2) in picture pixels, the last two the corners of its box. ``trusted`` is false once :meth:`close` found that flow
    missed what the face did.
    """

    def __init__(self, frame: int, picture: np.ndarray, marks: np.ndarray):
        low, high = marks[-2:]
        size = max(high - low)
        margin = MARGIN * size
        limit = np.array(picture.shape[1::-1])
        self._low = np.clip(np.floor(low - margin), 0, limit - 2).astype(int)
        self._high = np.clip(np.ceil(high + margin), self._low + 2, limit).astype(int)
        self._scale = min(1.0, SIDE / size)
        self.trusted = True
        self._steps = [_Step(frame, -1, picture, self._grey(picture), marks)]

    def advance(self, frame: int, row: int, picture: np.ndarray) -> np.ndarray | None:
        """Marks in the next frame's picture, or None if the face could not be followed; ``row``: whose result this is."""
        last, grey = self._steps[-1], self._grey(picture)
        marks = self._moved(last.grey, grey, last.marks)
        if marks is not None:
            self._steps.append(_Step(frame, row, picture, grey, marks))
        return marks

    @property
    def motion(self) -> float:
        """How far the marks have moved on average since the first search, as a share of the distance between the eyes."""
        return eye_distances(self._steps[-1].marks, self._steps[0].marks)

    def close(self, frame: int, picture: np.ndarray, marks: np.ndarray, search: Search) -> dict[int, np.ndarray]:
        """Final marks by row of the frames before ``frame``, where the network found ``marks`` again.

        Followed forward from the first search and backward from this one, blended by nearness in time; only forward from
        where the way back is lost. If the way forward does not lead to what the network found, the face did what flow does
        not see: then the picture in the middle is searched as well, and the frames on both sides follow from it.
        """
        steps = [step for step in self._steps if step.frame < frame]
        return self._between([*steps, _Step(frame, -1, picture, self._grey(picture), marks)], search)

    def _between(self, chain: list[_Step], search: Search) -> dict[int, np.ndarray]:
        """Final marks of the steps between the first and the last, whose marks are the network's."""
        if len(chain) < 3:
            return {}
        forward, backward = self._carried(chain), self._carried(chain[::-1])[::-1]
        if forward[-1] is None or eye_distances(forward[-1], chain[-1].marks) > TRUST:
            self.trusted = False
            middle = len(chain) // 2
            found = search(chain[middle].picture, chain[middle].marks)
            if found is not None:
                step = replace(chain[middle], marks=found)
                left = self._between([*chain[:middle], step], search)
                return {step.row: found} | left | self._between([step, *chain[middle + 1 :]], search)
        final, first, length = {}, chain[0].frame, chain[-1].frame - chain[0].frame
        for step, ahead, back in zip(chain[1:-1], forward[1:-1], backward[1:-1], strict=True):
            share = (step.frame - first) / length
            ahead = step.marks if ahead is None else ahead
            final[step.row] = ahead if back is None else (1 - share) * ahead + share * back
        return final

    def _carried(self, chain: list[_Step]) -> list[np.ndarray | None]:
        """The marks of the first step carried through all of them; None from where they are lost."""
        marks = [chain[0].marks]
        for before, after in pairwise(chain):
            marks.append(None if marks[-1] is None else self._moved(before.grey, after.grey, marks[-1]))
        return marks

    def _grey(self, picture: np.ndarray) -> np.ndarray:
        part = picture[self._low[1] : self._high[1], self._low[0] : self._high[0]]
        side = np.maximum(np.round(self._scale * np.array(part.shape[1::-1])), 1).astype(int)
        return cv2.cvtColor(cv2.resize(part, side.tolist(), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)

    def _moved(self, before: np.ndarray, after: np.ndarray, marks: np.ndarray) -> np.ndarray | None:
        """Marks moved by the shift, turn and scale that most of the face agrees on, points also as the places near them beside
        that; None without agreement."""
        shares = np.linspace(*INNER, GRID)
        grid = np.stack(np.meshgrid(shares, shares), axis=-1).reshape(-1, 2)
        low, high = (marks[-2:] - self._low) * self._scale
        start = (low + grid * (high - low)).astype(np.float32)[:, None]
        end, found, _ = cv2.calcOpticalFlowPyrLK(before, after, start, None, winSize=WINDOW, maxLevel=LEVELS)
        seen = found[:, 0] > 0
        if seen.sum() < LEAST_AGREEMENT * len(start):
            return None
        turn, agree = cv2.estimateAffinePartial2D(start[seen], end[seen], ransacReprojThreshold=1.0)
        if turn is None or agree.sum() < LEAST_AGREEMENT * len(start):
            return None
        growth = np.hypot(turn[0, 0], turn[1, 0])
        if not 1 / MOST_GROWTH < growth < MOST_GROWTH:
            return None
        marks = (marks - self._low) * self._scale
        moved, start = marks @ turn[:, :2].T + turn[:, 2], start[seen, 0]
        beside = np.clip(end[seen, 0] - (start @ turn[:, :2].T + turn[:, 2]), -MOST_BESIDE, MOST_BESIDE)
        apart = np.linalg.norm(marks[:-2, None] - start, axis=2) / (NEAR * max(high - low))
        weights = np.exp(-(apart**2) / 2)
        moved[:-2] += weights @ beside / (weights.sum(axis=1, keepdims=True) + LEAST_WEIGHT)
        return moved / self._scale + self._low


def eye_distances(marks: np.ndarray, reference: np.ndarray) -> float:
    """Mean distance of the first five points of (k, 2) marks, as a share of the reference's distance between the eyes."""
    apart = np.linalg.norm(marks[:5] - reference[:5], axis=1).mean()
    return float(apart / np.linalg.norm(reference[0] - reference[1]))
