"""A large face carried over a few frames by optical flow, between two searches by the network."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Step:
    frame: int
    row: int
    grey: np.ndarray
    marks: np.ndarray


class FlowSegment:
    """One face from a frame in which the network found it to the next such frame.

    Marks are points (k, 2) in picture pixels, the last two the corners of its box.
    """

    def __init__(self, frame: int, picture: np.ndarray, marks: np.ndarray):
        low, high = marks[-2:]
        size = max(high - low)
        margin = MARGIN * size
        limit = np.array(picture.shape[1::-1])
        self._low = np.clip(np.floor(low - margin), 0, limit - 2).astype(int)
        self._high = np.clip(np.ceil(high + margin), self._low + 2, limit).astype(int)
        self._scale = min(1.0, SIDE / size)
        self._steps = [_Step(frame, -1, self._grey(picture), marks)]

    def advance(self, frame: int, row: int, picture: np.ndarray) -> np.ndarray | None:
        """Marks in the next frame's picture, or None if the face could not be followed; ``row``: whose result this is."""
        last, grey = self._steps[-1], self._grey(picture)
        marks = self._moved(last.grey, grey, last.marks)
        if marks is not None:
            self._steps.append(_Step(frame, row, grey, marks))
        return marks

    @property
    def motion(self) -> float:
        """How far the marks have moved on average since the first search, as a share of the distance between the eyes."""
        first, last = self._steps[0].marks, self._steps[-1].marks
        return float(np.linalg.norm(last[:5] - first[:5], axis=1).mean() / np.linalg.norm(first[0] - first[1]))

    def close(self, frame: int, picture: np.ndarray, marks: np.ndarray) -> dict[int, np.ndarray]:
        """Final marks by row of the frames before ``frame``, where the network found ``marks`` again.

        Followed forward from the first search and backward from this one, blended by nearness in time; only forward from
        where the way back is lost.
        """
        first, grey = self._steps[0].frame, self._grey(picture)
        final: dict[int, np.ndarray] = {}
        for step in reversed([step for step in self._steps[1:] if step.frame < frame]):
            marks = self._moved(grey, step.grey, marks)
            if marks is None:
                break
            share = (step.frame - first) / (frame - first)
            final[step.row] = (1 - share) * step.marks + share * marks
            grey = step.grey
        return final

    def _grey(self, picture: np.ndarray) -> np.ndarray:
        part = picture[self._low[1] : self._high[1], self._low[0] : self._high[0]]
        side = np.maximum(np.round(self._scale * np.array(part.shape[1::-1])), 1).astype(int)
        return cv2.cvtColor(cv2.resize(part, side.tolist(), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)

    def _moved(self, before: np.ndarray, after: np.ndarray, marks: np.ndarray) -> np.ndarray | None:
        """Marks moved by the shift, turn and scale that most of the face agrees on; None without agreement."""
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
        moved = ((marks - self._low) * self._scale) @ turn[:, :2].T + turn[:, 2]
        return moved / self._scale + self._low
