"""Detection in video: scan the whole image now and then, and look for known faces where they were in between.

A network's landmarks waver by a few percent of the distance between the eyes when a face is moved or scaled under its
grid. So that following gives what scanning gives,

* a window is cut out of the same scaled image that a scan sees, at a whole number of the network's strides, with so much
  around the face that the window's edge matters little;
* a face that fills most of the scaled image, where a window saves nothing, is searched every few frames only; optical
  flow from both neighbouring searches says where it was in between, unless the two disagree: then it is searched after all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import cv2
import numpy as np

from wildaffect.faces.detectors.scrfd import Found, Scanner, empty, fitted_size, join, select
from wildaffect.faces.options import FollowOptions
from wildaffect.faces.tables import pairwise_iou

# The face has about this size, in pixels, in the grey images that flow is computed on.
SIDE = 128
# They show this much around it, as a fraction of its size on each side: room to move.
MARGIN = 0.3
# Positions followed: a square grid of this many over the inner part of the box.
GRID = 8
INNER = (0.1, 0.9)
WINDOW = (15, 15)
LEVELS = 2
# A face was followed if at least this fraction of the positions moves alike (to one pixel), and its size changes by less than this.
LEAST_AGREEMENT = 0.5
MOST_GROWTH = 1.25
# What a part of the face does beside that (a mouth that opens) is the mean over the positions about this near, as a fraction of the
# face's size; a position moves no further than so many pixels beside the rest, else it was mistaken.
NEAR = 0.1
MOST_BESIDE = 3.0
LEAST_WEIGHT = 0.3
# Marks carried from one search to the next are believed if they end within this fraction of the distance between the eyes.
TRUST = 0.02

# Searches an image near marks (k, 2): the marks found, or None.
Search = Callable[[np.ndarray, np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class _Step:
    frame: int
    row: int
    image: np.ndarray
    grey: np.ndarray
    marks: np.ndarray


class FlowSegment:
    """One face from a frame in which the network found it to the next such frame.

    Marks are points (k, 2) in image pixels, the last two the corners of its box. ``trusted`` is false once `close` found that flow
    missed what the face did.
    """

    def __init__(self, frame: int, image: np.ndarray, marks: np.ndarray):
        low, high = marks[-2:]
        size = max(high - low)
        margin = MARGIN * size
        limit = np.array(image.shape[1::-1])
        self._low = np.clip(np.floor(low - margin), 0, limit - 2).astype(int)
        self._high = np.clip(np.ceil(high + margin), self._low + 2, limit).astype(int)
        self._scale = min(1.0, SIDE / size)
        self.trusted = True
        self._steps = [_Step(frame, -1, image, self._grey(image), marks)]

    def advance(self, frame: int, row: int, image: np.ndarray) -> np.ndarray | None:
        """Marks in the next frame's image, or None if the face could not be followed; ``row``: whose result this is."""
        last, grey = self._steps[-1], self._grey(image)
        marks = self._moved(last.grey, grey, last.marks)
        if marks is not None:
            self._steps.append(_Step(frame, row, image, grey, marks))
        return marks

    @property
    def motion(self) -> float:
        """How far the marks have moved on average since the first search, as a fraction of the distance between the eyes."""
        return eye_distances(self._steps[-1].marks, self._steps[0].marks)

    def close(self, frame: int, image: np.ndarray, marks: np.ndarray, search: Search) -> dict[int, np.ndarray]:
        """Final marks by row of the frames before ``frame``, where the network found ``marks`` again.

        Followed forward from the first search and backward from this one, blended by nearness in time; only forward from
        where the way back is lost. If the way forward does not lead to what the network found, the face did what flow does
        not see: then the image in the middle is searched as well, and the frames on both sides follow from it.
        """
        steps = [step for step in self._steps if step.frame < frame]
        return self._between([*steps, _Step(frame, -1, image, self._grey(image), marks)], search)

    def _between(self, chain: list[_Step], search: Search) -> dict[int, np.ndarray]:
        """Final marks of the steps between the first and the last, whose marks are the network's."""
        if len(chain) < 3:
            return {}
        forward, backward = self._carried(chain), self._carried(chain[::-1])[::-1]
        if forward[-1] is None or eye_distances(forward[-1], chain[-1].marks) > TRUST:
            self.trusted = False
            middle = len(chain) // 2
            found = search(chain[middle].image, chain[middle].marks)
            if found is not None:
                step = replace(chain[middle], marks=found)
                left = self._between([*chain[:middle], step], search)
                return {step.row: found} | left | self._between([step, *chain[middle + 1 :]], search)
        final, first, length = {}, chain[0].frame, chain[-1].frame - chain[0].frame
        for step, ahead, back in zip(chain[1:-1], forward[1:-1], backward[1:-1], strict=True):
            fraction = (step.frame - first) / length
            ahead = step.marks if ahead is None else ahead
            final[step.row] = ahead if back is None else (1 - fraction) * ahead + fraction * back
        return final

    def _carried(self, chain: list[_Step]) -> list[np.ndarray | None]:
        """The marks of the first step carried through all of them; None from where they are lost."""
        marks = [chain[0].marks]
        for before, after in pairwise(chain):
            marks.append(None if marks[-1] is None else self._moved(before.grey, after.grey, marks[-1]))
        return marks

    def _grey(self, image: np.ndarray) -> np.ndarray:
        part = image[self._low[1] : self._high[1], self._low[0] : self._high[0]]
        side = np.maximum(np.round(self._scale * np.array(part.shape[1::-1])), 1).astype(int)
        return cv2.cvtColor(cv2.resize(part, side.tolist(), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)

    def _moved(self, before: np.ndarray, after: np.ndarray, marks: np.ndarray) -> np.ndarray | None:
        """Marks moved by the shift, turn and scale that most of the face agrees on, points also as the positions near them beside
        that; None without agreement."""
        fractions = np.linspace(*INNER, GRID)
        grid = np.stack(np.meshgrid(fractions, fractions), axis=-1).reshape(-1, 2)
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
    """Mean distance of the first five points of (k, 2) marks, as a fraction of the reference's distance between the eyes."""
    apart = np.linalg.norm(marks[:5] - reference[:5], axis=1).mean()
    return float(apart / np.linalg.norm(reference[0] - reference[1]))


# A face found again overlaps its last position by this much.
SAME_FACE = 0.3
# Around a small face a window keeps at least this many pixels of the scaled image.
LEAST_MARGIN = 64
# A face that was lost is looked for at its position in this many more frames; where there is no face for longer, only each
# IDLE-th image is scanned.
PATIENCE = 15
IDLE = 3
# A face that did what flow does not see is searched in each of this many frames before flow is tried again: the least at
# first, twice as many each time it happens again.
RESTLESS = (3, 12)
# Flow carries a face no further than this fraction of the distance between its eyes.
MOST_MOTION = 0.06


@dataclass
class _Target:
    """A face being followed: last box (4,) and score, the scan size it was found at, the flow since its last search.

    ``restless``: frames for which it is searched without flow; ``back_off``: how many the next time flow fails.
    """

    box: np.ndarray
    score: float
    size: int
    flow: FlowSegment | None = None
    since_search: int = 0
    missed: int = 0
    restless: int = 0
    back_off: int = RESTLESS[0]


class Follower:
    """Follows the faces of one video; call with its images in order, then `correct` what was returned."""

    def __init__(self, scanner: Scanner, options: FollowOptions):
        self._scanner, self._options = scanner, options
        self._targets: list[_Target] = []
        self._final: dict[int, np.ndarray] = {}
        self._frame, self._since_scan, self._rows = -1, 0, 0
        self._empty = 0

    def __call__(self, image: np.ndarray, new_shot: bool) -> Found:
        """Faces of the next image (uint8 RGB (H, W, 3)); ``new_shot``: a camera cut lies before it."""
        self._frame += 1
        self._since_scan += 1
        if new_shot:
            self._targets, self._empty = [], 0
        if self._empty > PATIENCE and self._since_scan < min(IDLE, self._options.every):
            return empty()
        found = None
        if self._since_scan < self._options.every and any(not target.missed for target in self._targets):
            found = self._follow(_View(self._scanner, image))
        if found is None or any(target.missed == 1 for target in self._targets):
            found = self._scan(image)
        self._rows += len(found.boxes)
        return found

    def correct(self, boxes: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (M, 4) and points (M, 5, 2) of all faces returned so far, in that order, flow seen from both sides."""
        boxes, points = boxes.copy(), points.copy()
        for row, marks in self._final.items():
            points[row], boxes[row] = marks[:5], marks[5:].ravel()
        return boxes, points

    def _scan(self, image: np.ndarray) -> Found:
        """Search the whole image; a face at the position of a known one is that one."""
        self._since_scan = 0
        found = self._scanner.scan([image])[0]
        self._empty = 0 if len(found.boxes) else self._empty + 1
        before, self._targets = self._targets, []
        overlap = pairwise_iou(np.array([target.box for target in before]).reshape(-1, 4), found.boxes)
        for row in range(len(found.boxes)):
            best = int(overlap[:, row].argmax()) if before else -1
            known = best >= 0 and overlap[best, row] >= SAME_FACE
            if known:
                self._close(before[best], image, _marks(found, row))
                overlap[best] = 0
                before[best].missed = 0
            self._targets.append(self._target(found, row, image, before[best] if known else None))
        # A face that is still missed is looked for a little longer at its last position.
        self._targets += [target for target in before if 0 < target.missed <= PATIENCE]
        return found

    def _follow(self, view: "_View") -> Found:
        """Look for every target at its position; those that are not there count as missed once more."""
        parts = [empty()]
        for index, target in enumerate(self._targets):
            target.since_search += 1
            found = None
            if target.flow is not None and target.since_search < self._options.key:
                found = self._flow(target, target.flow, view.image, sum(len(part.boxes) for part in parts))
            if found is None:
                found = view.near(target.box, target.size, self._options.margin)
                if len(found.boxes):
                    self._close(target, view.image, _marks(found, 0))
                    self._targets[index] = self._target(found, 0, view.image, target)
            if not len(found.boxes) or pairwise_iou(found.boxes, join(parts).boxes).max(initial=0) > self._scanner.nms:
                self._targets[index] = target
                target.missed += 1
                continue
            parts.append(found)
        self._targets = [target for target in self._targets if target.missed <= PATIENCE]
        return join(parts)

    def _target(self, found: Found, row: int, image: np.ndarray, before: _Target | None) -> _Target:
        """A face just searched; ``before``: what was known of it."""
        target = _Target(found.boxes[row], float(found.scores[row]), int(found.sizes[row]))
        if before is not None:
            target.restless, target.back_off = max(0, before.restless - 1), before.back_off
            if before.flow is not None and before.flow.trusted:
                target.back_off = RESTLESS[0]
            elif before.flow is not None:
                target.restless, target.back_off = before.back_off, min(2 * before.back_off, RESTLESS[1])
        *_, scale = fitted_size(image, target.size)
        if not target.restless and scale * max(target.box[2:] - target.box[:2]) >= self._options.large:
            target.flow = FlowSegment(self._frame, image, _marks(found, row))
        return target

    def _flow(self, target: _Target, flow: FlowSegment, image: np.ndarray, position: int) -> Found | None:
        """The face carried to this image; None where it cannot be, or moved so far that a search is due."""
        marks = flow.advance(self._frame, self._rows + position, image)
        if marks is None or flow.motion > MOST_MOTION:
            return None
        target.box = marks[5:].ravel().astype(np.float32)
        return Found(target.box[None], np.float32([target.score]), np.float32(marks[None, :5]), np.array([target.size]))

    def _close(self, target: _Target, image: np.ndarray, marks: np.ndarray) -> None:
        if target.flow is not None and not target.missed:
            self._final |= target.flow.close(self._frame, image, marks, partial(self._search, target.size))

    def _search(self, size: int, image: np.ndarray, marks: np.ndarray) -> np.ndarray | None:
        """What the network finds at the position of ``marks`` in an earlier image."""
        found = _View(self._scanner, image).near(marks[5:].ravel(), size, self._options.margin)
        return _marks(found, 0) if len(found.boxes) else None


class _View:
    """One image of the video, scaled once for all windows cut out of it."""

    def __init__(self, scanner: Scanner, image: np.ndarray):
        self.image = image
        self._scanner = scanner
        self._fitted: dict[int, tuple[np.ndarray, float]] = {}

    def near(self, position: np.ndarray, size: int, margin: float) -> Found:
        """The face near its last position, a box (4,), from the image as a scan at ``size`` sees it; none or one."""
        if size not in self._fitted:
            self._fitted[size] = self._scanner.fit(self.image, size)
        canvas, scale = self._fitted[size]
        multiple, limit = self._scanner.network.multiple, np.array(canvas.shape[1::-1])
        box = position * scale
        around = max(margin * max(box[2:] - box[:2]), LEAST_MARGIN)
        low = np.clip((box[:2] - around) // multiple * multiple, 0, limit - multiple).astype(int)
        high = np.clip(-((-box[2:] - around) // multiple) * multiple, low + multiple, limit).astype(int)
        window = canvas[low[1] : high[1], low[0] : high[0]]
        found = self._scanner.placed(self._scanner.network(window[None])[0], scale, low, size)
        overlap = pairwise_iou(found.boxes, position[None])[:, 0]
        return select(found, [int(overlap.argmax())]) if overlap.max(initial=0) >= SAME_FACE else empty()


def _marks(found: Found, row: int) -> np.ndarray:
    """Five points and the two corners of a face (7, 2)."""
    return np.concatenate([found.points[row], found.boxes[row].reshape(2, 2)]).astype(np.float64)
