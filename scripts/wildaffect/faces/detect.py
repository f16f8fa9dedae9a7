"""Detect every face of every frame; camera cuts decide where identity vectors are computed anew."""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from wildaffect.errors import InputError
from wildaffect.faces.detectors import Faces, open_detector
from wildaffect.faces.options import DetectionOptions
from wildaffect.faces.tables import DETECTIONS_SCHEMA, pairwise_iou, points_column
from wildaffect.media.decode import decode, prefetch
from wildaffect.media.frames import read_frames
from wildaffect.progress import counted
from wildaffect.tables import write_table

SIDE = 32
# A large image is subsampled so that its shorter side keeps at least this many rows or columns.
LEAST_READ = 160
# Mean absolute difference of the small images, as a fraction of the full grey range. On real clips hard cuts lie above
# 0.1 and fast motion, hand-held cameras and codec pulses below 0.07.
DIFFERENCE = 0.08
# A cut also stands out from the motion just before it ...
TIMES_RECENT = 3.0
RECENT = 8
# ... or, where one follows the other (slides, a fast montage), shows other colours (fraction of the pixels that would have to change
# theirs) in another arrangement (correlation of the small images): flicker keeps the arrangement, motion and shaking the colours.
# Of pairs of portraits and of frames of different clips 98 % do both, of shaken and flickering images 1 %.
OTHER_COLOURS = 0.2
SAME_ARRANGEMENT = 0.8
COLOUR_STEPS = 6


class CutFinder:
    """Finds hard camera cuts in the successive images of a video; a dissolve changes too little from frame to frame.

    Called with each image in order. It keeps one thinned image and a few numbers.

    Attributes:
        doubtful: Whether the last image changed so much that other people may be in view, if it was no cut.
    """

    def __init__(self):
        self._previous: tuple[np.ndarray, np.ndarray] | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)
        self.doubtful = False

    def __call__(self, image: np.ndarray) -> bool:
        """Decide whether an image, RGB uint8 (H, W, 3), starts a new shot; the first one does not."""
        step = max(1, min(image.shape[:2]) // LEAST_READ)
        thinned = np.ascontiguousarray(image[::step, ::step])
        small = cv2.resize(thinned, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        before, self._previous = self._previous, (small, thinned)
        if before is None:
            return False
        difference = float(np.abs(small - before[0]).mean())
        usual = float(np.median(self._recent)) if self._recent else 0.0
        self._recent.append(difference)
        stands_out = difference >= TIMES_RECENT * usual
        self.doubtful = difference >= (DIFFERENCE / 2 if stands_out else DIFFERENCE)
        return difference >= DIFFERENCE and (
            stands_out or (_arrangement(small, before[0]) < SAME_ARRANGEMENT and _recoloured(thinned, before[1]))
        )


def _arrangement(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation, without its sign, of two small images' brightness; 0 if one has a single brightness."""
    a, b = (image.mean(axis=2).ravel() - image.mean() for image in (first, second))
    spread = float(np.linalg.norm(a) * np.linalg.norm(b))
    return abs(float(a @ b)) / spread if spread else 0.0


def _recoloured(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two images uint8 differ in how often they show which colour."""
    step = 256 // COLOUR_STEPS + 1
    weights = COLOUR_STEPS ** np.arange(3)
    counts = [np.bincount((image // step @ weights).ravel(), minlength=COLOUR_STEPS**3) for image in (first, second)]
    a, b = (count / count.sum() for count in counts)
    return float(np.abs(a - b).sum()) / 2 >= OTHER_COLOURS


# A face that overlaps one of the frame before by this much counts as the same one for the schedule.
SAME_POSITION = 0.4
# Rows and columns of a face that are looked at.
FACE_READ = 2 * SIDE


class FaceWatch:
    """Notices that all faces are replaced at their positions while the image around them stays, as in portraits before one background.

    Of 3,302 faces of successive frames of six real clips none looks replaced, of 14 pairs of portraits before one background all do.

    Attributes:
        doubtful: Whether the last faces may have been replaced.
    """

    def __init__(self):
        self._image = np.zeros((1, 1, 3), np.uint8)
        self._boxes = np.zeros((0, 4), np.float32)
        self.doubtful = False

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> bool:
        """Decide whether all faces (boxes (n, 4)) of the next image that overlap one of the image before show another face."""
        overlap = pairwise_iou(boxes, self._boxes)
        known = np.flatnonzero(overlap.max(axis=1, initial=0) >= SAME_POSITION)
        pairs = []
        for row in known:
            now = _patch(image, boxes[row])
            # A face moves and the boxes of some detectors jump: where it was, and where it is now, was another face.
            pairs += [(now, _patch(self._image, box)) for box in (self._boxes[overlap[row].argmax()], boxes[row])]
        self._image, self._boxes = image, boxes
        self.doubtful = bool(pairs) and all(_rearranged(*pair) for pair in pairs)
        return self.doubtful and all(_recoloured(*pair) for pair in pairs)

    def continues(self, image: np.ndarray, boxes: np.ndarray) -> bool:
        """Decide whether the only face of the next image is the only one of the image before, wherever it is and however large."""
        if len(boxes) != 1 or len(self._boxes) != 1:
            return False
        pair = _patch(image, boxes[0]), _patch(self._image, self._boxes[0])
        return not (_rearranged(*pair) and _recoloured(*pair))


def _rearranged(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two patches differ clearly in what is where."""
    return _arrangement(first, second) < SAME_ARRANGEMENT and _difference(first, second) >= DIFFERENCE


def _patch(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """A box of an image as uint8 (SIDE, SIDE, 3); black where it is outside."""
    x0, y0, x1, y1 = np.clip(box.round().astype(int), 0, [*image.shape[1::-1]] * 2)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((SIDE, SIDE, 3), np.uint8)
    step = max(1, min(x1 - x0, y1 - y0) // FACE_READ)
    return cv2.resize(np.ascontiguousarray(image[y0:y1:step, x0:x1:step]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(np.float32) - second).mean()) / 255


def detect_faces(
    video: str | os.PathLike,
    frames: str | os.PathLike,
    output: str | os.PathLike,
    *,
    backend: str,
    model: str,
    options: DetectionOptions,
    device: str = "cpu",
    threads: int = 1,
    models_dir: Path | None = None,
) -> None:
    """Find the faces of every frame of a video and write them, frames ascending; a frame without a face has no row.

    Identity vectors, which are slow, are computed where a face appears (or after a cut) and then once in ``options.identity_every``
    frames, five times as often while two faces touch. Where much of the image or of all faces changes they are computed too, and if all
    faces then are other people's, it is a cut. Metadata: about the detector, ``frames`` (decoded), ``frames_with_face``, ``cuts`` (first
    frames of new shots), ``continued`` (frames where the image changed its size or was turned, with one face before and after, which looks
    the same: no cut, though that face is elsewhere), ``width``, ``height``, ``smallest_face`` (about the smallest that could be found,
    in pixels), ``identity_distance`` (see `wildaffect.faces.detectors`).

    Args:
        video: The video.
        frames: Its frame table.
        output: Table to write (`wildaffect.faces.tables.DETECTIONS_SCHEMA`).
        backend: ``retinaface`` or ``dlib``.
        model: As for `wildaffect.faces.detectors.open_detector`.
        options: Those of the backend.
        device: ``cpu`` or ``cuda``.
        threads: Threads of the decoder and of the detector, each.
        models_dir: Folder of model packs.

    Raises:
        InputError: If the video no longer has the frames of the table, and where the detector cannot be opened.
    """
    about = read_frames(frames).about
    detector = open_detector(backend, model, options, device, threads, models_dir)
    schedule, search = IdentitySchedule(options.identity_every), detector.search()
    watch = FaceWatch()
    rows, cuts, continued, decoded = _Rows(), [], [], 0
    changed = {change["frame"] for change in about.get("changes", [])[1:]}
    # While a batch is searched the next one is decoded.
    images = (
        prefetch(_with_cuts(video, threads, about.get("view")), max(2, detector.batch)) if about["frames"] else iter(())
    )
    for batch in _batches(counted(images, about["frames"], "frames"), detector.batch):
        shown, new_shots, doubts = map(list, zip(*batch, strict=True))
        for image, new_shot, doubtful, faces in zip(
            shown, new_shots, doubts, search.find(shown, new_shots), strict=True
        ):
            stays = decoded in changed and watch.continues(image, faces.boxes)
            if stays:
                continued.append(decoded)
            new_shot = (watch(image, faces.boxes) | new_shot) and not stays
            if new_shot:
                schedule.forget()
            vectors: list[np.ndarray | None] = [None] * len(faces.boxes)
            if detector.identity is not None:
                doubtful |= watch.doubtful
                due = schedule.due(faces.boxes, anew=doubtful)
                vectors = [detector.identify(image, faces, row) if due[row] else None for row in range(len(due))]
                new_shot |= schedule.learn(vectors) > detector.identity and doubtful
            if new_shot:
                cuts.append(decoded)
            rows.add(decoded, faces, vectors)
            decoded += 1
        del batch, shown, image  # the decoder's next images need the memory
    if decoded != about["frames"]:
        raise InputError(
            f"{video}: {decoded} frames decoded, {frames} lists {about['frames']}. Make the frame table again."
        )
    table = rows.table()
    metadata = detector.about | {
        "identity_distance": detector.identity,
        "identity_every": options.identity_every,
        "frames": decoded,
        "frames_with_face": len(table["frame"].unique()),
        "cuts": cuts,
        "continued": continued,
        "width": about["width"],
        "height": about["height"],
        "smallest_face": options.smallest_face(max(about["width"] or 1, about["height"] or 1)),
    }
    write_table(output, table, DETECTIONS_SCHEMA, metadata)


def _with_cuts(
    video: str | os.PathLike, threads: int, view: Mapping[str, Any] | None
) -> Iterator[tuple[np.ndarray, bool, bool]]:
    """Yield the images of a video, and whether a new shot begins, or may begin, with each."""
    is_cut = CutFinder()
    for _, image in decode(Path(video), threads, view):
        yield image, is_cut(image), is_cut.doubtful


class IdentitySchedule:
    """Chooses which faces of successive frames get an identity vector: new ones, and known ones from time to time."""

    def __init__(self, every: int):
        self._every = every
        self.forget()

    def forget(self) -> None:
        """Treat every face of the next frame as new."""
        self._boxes, self._ages = np.zeros((0, 4), np.float32), np.zeros(0, int)
        self._known: list[np.ndarray | None] = []

    def due(self, boxes: np.ndarray, *, anew: bool = False) -> np.ndarray:
        """Choose among the boxes (n, 4) of the next frame, ``anew``: all; bool (n,)."""
        ages = np.full(len(boxes), self._every)
        known: list[np.ndarray | None] = [None] * len(boxes)
        if len(self._boxes):
            overlap = pairwise_iou(boxes, self._boxes)
            seen = overlap.max(axis=1, initial=0) >= SAME_POSITION
            before = overlap.argmax(axis=1)
            ages[seen] = self._ages[before[seen]] + 1
            known = [self._known[before[row]] if seen[row] else None for row in range(len(boxes))]
        touching = (pairwise_iou(boxes, boxes) > 0).sum(axis=1) > 1
        due = anew | (ages >= np.where(touching, max(1, self._every // 5), self._every))
        self._boxes, self._ages, self._known = boxes, np.where(due, 0, ages), known
        return due

    def learn(self, vectors: list[np.ndarray | None]) -> float:
        """Remember the vectors of the faces last asked about.

        Returns:
            The smallest distance of one of them from the vector known before at its position; 0 if there is none.
        """
        pairs = [
            (new, old) for new, old in zip(vectors, self._known, strict=True) if new is not None and old is not None
        ]
        self._known = [old if new is None else new for new, old in zip(vectors, self._known, strict=True)]
        return min((float(np.linalg.norm(new - old)) for new, old in pairs), default=0.0)


def _batches(items: Iterator, size: int) -> Iterator[list]:
    while batch := list(islice(items, size)):
        yield batch
        batch = None


class _Rows:
    """The columns of the table as they grow: numbers only, a few hundred bytes for each face."""

    def __init__(self):
        self._frame: list[int] = []
        self._faces: list[Faces] = []
        self._vectors: list[np.ndarray | None] = []

    def add(self, frame: int, faces: Faces, vectors: list[np.ndarray | None]) -> None:
        """Append the faces of one frame."""
        if len(faces.boxes):
            self._frame += [frame] * len(faces.boxes)
            self._faces.append(faces)
            self._vectors += vectors

    def table(self) -> pa.Table:
        """Make the table of all rows."""
        if not self._frame:
            return DETECTIONS_SCHEMA.empty_table()
        boxes, points5 = (np.concatenate([getattr(f, name) for f in self._faces]) for name in ("boxes", "points5"))
        dense = [faces.points68 for faces in self._faces]
        known = dense[0] is not None  # a detector gives 68 points always or never
        columns = [
            pa.array(self._frame, pa.int32()),
            *(pa.array(boxes[:, side].astype(np.float32)) for side in range(4)),
            pa.array(np.concatenate([f.scores for f in self._faces]).astype(np.float32)),
            points_column(points5),
            points_column(np.concatenate(dense))
            if known
            else pa.nulls(len(boxes), DETECTIONS_SCHEMA.field("points68").type),
            pa.array(self._vectors, pa.list_(pa.float32())),
        ]
        return pa.Table.from_arrays(columns, schema=DETECTIONS_SCHEMA)
