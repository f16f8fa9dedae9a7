"""Detection in video: scan the whole image now and then, and look for known faces near where they were in between.

A network's landmarks waver by a few percent of the distance between the eyes when a face is moved or scaled under its
grid, and nothing but the network itself says how. So that following gives what scanning gives,

* a window is cut out of the same scaled image that a scan sees, at a whole number of the network's strides: the network gets
  the same pixels at the same positions;
* the image is scanned after all where the window's edge or a second candidate leaves it open what a scan would give, where a
  face is lost, and where the windows would be nearly as large as the image.
"""

from dataclasses import dataclass

import numpy as np

from wildaffect.faces.detectors.scrfd import Candidates, Found, Scanner, empty, fitted_size, join, select
from wildaffect.faces.options import FollowOptions
from wildaffect.faces.tables import pairwise_iou

# A face found again overlaps its last position by this much.
SAME_FACE = 0.3
# Windows are searched if they have less than this fraction of the pixels of a scan: each costs a little beside its pixels.
WORTHWHILE = 0.85
# A window shows this much around a face that has less than so many pixels, and around a larger one, in pixels of the scaled image. A face
# that moved nearer to the window's edge than that by more than SLACK may be found elsewhere in a scan.
SMALL = 160
MARGINS = (64, 48)
SLACK = 16
# Of two candidates of one face whose scores differ by less, a scan may take the other; that matters if their landmarks differ by
# more than this fraction of the distance between the eyes.
LEAST_LEAD = 0.02
ALIKE = 0.018
# A face that was lost is looked for at its position in this many more frames; where there is no face for longer, only each
# IDLE-th image is scanned.
PATIENCE = 15
IDLE = 3


@dataclass
class _Target:
    """A face being followed: last box (4,), the scan size it was found at, frames since it was seen."""

    box: np.ndarray
    size: int
    missed: int = 0


class Follower:
    """Follows the faces of one video; call with its images in order."""

    def __init__(self, scanner: Scanner, options: FollowOptions):
        self._scanner, self._options = scanner, options
        self._targets: list[_Target] = []
        self._since_scan, self._empty = 0, 0
        self._in_vain, self._rest = 0, 0

    def __call__(self, image: np.ndarray, new_shot: bool) -> Found:
        """Faces of the next image (uint8 RGB (H, W, 3)); ``new_shot``: a camera cut lies before it."""
        self._since_scan += 1
        if new_shot:
            self._targets, self._empty = [], 0
        if self._empty > PATIENCE and self._since_scan < min(IDLE, self._options.every):
            return empty()
        if self._rest or self._since_scan >= self._options.every or all(target.missed for target in self._targets):
            self._rest = max(0, self._rest - 1)
            return self._scan(image)
        found = self._follow(image)
        # Windows that are searched in vain cost as much again, so they rest for longer each time in a row.
        self._in_vain = self._in_vain + 1 if found is None else 0
        self._rest = max(0, self._in_vain - 1)
        return self._scan(image) if found is None else found

    def _scan(self, image: np.ndarray) -> Found:
        """Search the whole image; a face at the position of a known one is that one."""
        self._since_scan = 0
        found = self._scanner.scan([image])[0]
        self._empty = 0 if len(found.boxes) else self._empty + 1
        before = np.array([target.box for target in self._targets]).reshape(-1, 4)
        gone = pairwise_iou(before, found.boxes).max(axis=1, initial=0) < SAME_FACE
        # A face that is still missed is looked for a little longer at its last position.
        missed = [target for target, lost in zip(self._targets, gone, strict=True) if lost and target.missed]
        self._targets = [_Target(box, int(size)) for box, size in zip(found.boxes, found.sizes, strict=True)] + missed
        return found

    def _follow(self, image: np.ndarray) -> Found | None:
        """Look for every target at its position; None if the image is to be scanned."""
        windows = [_Window.around(target, image, self._scanner) for target in self._targets]
        height, width = self._scanner.canvas(image, self._scanner.sizes[0])
        if sum(window.area for window in windows) > WORTHWHILE * height * width:
            return None
        fitted = {size: self._scanner.fit(image, size)[0] for size in {target.size for target in self._targets}}
        parts = [empty()]
        for target, window in zip(self._targets, windows, strict=True):
            found = window.search(fitted[target.size], target, self._scanner)
            if found is None:
                return None
            if not len(found.boxes) or pairwise_iou(found.boxes, join(parts).boxes).max(initial=0) > self._scanner.nms:
                target.missed += 1
                if target.missed == 1:
                    return None
                continue
            target.box, target.missed = found.boxes[0], 0
            parts.append(found)
        self._targets = [target for target in self._targets if target.missed <= PATIENCE]
        return join(parts)


@dataclass(frozen=True)
class _Window:
    """Part of a scaled image: its corners (2,) in whole strides of the network, the size (2,) and the scale of that image, and how far
    from the window's edges, where these are not the image's, a face must lie."""

    low: np.ndarray
    high: np.ndarray
    limit: np.ndarray
    scale: float
    margin: int

    @classmethod
    def around(cls, target: _Target, image: np.ndarray, scanner: Scanner) -> "_Window":
        """The window around the last position of a face."""
        multiple, limit = scanner.network.multiple, np.array(scanner.canvas(image, target.size)[::-1])
        *_, scale = fitted_size(image, target.size)
        box = target.box * scale
        margin = MARGINS[int(max(box[2:] - box[:2]) >= SMALL)]
        low = np.clip((box[:2] - margin) // multiple * multiple, 0, limit - multiple).astype(int)
        high = np.clip(-((-box[2:] - margin) // multiple) * multiple, low + multiple, limit).astype(int)
        return cls(low, high, limit, scale, margin - SLACK)

    @property
    def area(self) -> int:
        """Pixels."""
        return int(np.prod(self.high - self.low))

    def search(self, fitted: np.ndarray, target: _Target, scanner: Scanner) -> Found | None:
        """The target in the scaled image, none or one face; None if a scan may see it elsewhere."""
        window = fitted[self.low[1] : self.high[1], self.low[0] : self.high[0]]
        candidates = scanner.network(window[None])[0]
        found = scanner.placed(candidates, self.scale, self.low, target.size)
        overlap = pairwise_iou(found.boxes, target.box[None])[:, 0]
        if overlap.max(initial=0) < SAME_FACE:
            return empty()
        face = select(found, [int(overlap.argmax())])
        box = face.boxes[0] * self.scale
        cut = ((box[:2] - self.low < self.margin) & (self.low > 0)) | (
            (self.high - box[2:] < self.margin) & (self.high < self.limit)
        )
        return None if cut.any() or _contested(face, candidates, self.low, self.scale) else face


def _contested(face: Found, candidates: Candidates, corner: np.ndarray, scale: float) -> bool:
    """Whether another candidate of the window is nearly as sure of this face and sees it elsewhere."""
    points = (candidates.points + corner) / scale
    apart = np.linalg.norm(points - face.points[0], axis=2).mean(axis=1)
    rivals = (
        (candidates.scores > face.scores[0] - LEAST_LEAD)
        & (apart > ALIKE * np.linalg.norm(face.points[0, 0] - face.points[0, 1]))
        & (pairwise_iou((candidates.boxes + np.tile(corner, 2)) / scale, face.boxes)[:, 0] >= SAME_FACE)
    )
    return bool(rivals.any())
