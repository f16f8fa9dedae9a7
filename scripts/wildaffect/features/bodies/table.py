"""The body of the person that each trial shows, frame by frame, for streams of the body or of the scene without it (NTUA spec 2.5, 2.6).

People are found frame by frame; the one that belongs to a trial is the one whose head lies where the trial's face is. Boxes are kept as
found, without margins.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.errors import InputError
from wildaffect.faces.tables import SCORED_BOX, TrialFaces, read_boxes, read_trial
from wildaffect.tables import read_metadata, read_table, write_table

BODIES = pa.schema(
    [
        ("trial", pa.string()),
        ("frame", pa.int32()),
        ("found", pa.bool_()),
        *SCORED_BOX,
        ("keypoints", pa.list_(pa.float32())),  # x, y, confidence of each joint in turn; the metadata names the joints
    ]
)
_FACE = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")
_RIGHT_LEFT = ("neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist")
_LEGS = ("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")
_FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
_PAIRS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
# By their number: COCO's own skeleton, OpenPose's COCO and OpenPose's BODY_25.
JOINTS = {
    17: ("nose", *(f"{side}_{part}" for part in _PAIRS for side in ("left", "right"))),
    18: ("nose", *_RIGHT_LEFT, *_LEGS, *_FACE[1:]),
    25: ("nose", *_RIGHT_LEFT, "mid_hip", *_LEGS, *_FACE[1:], *_FEET),
}
# A head belongs to a face if their centres are no further apart than this, in sides of the face's box.
REACH = 0.6


@dataclass(frozen=True)
class People:
    """Everybody in one frame (P people, K joints, K a key of `JOINTS`), in pixels of the upright frame.

    Attributes:
        boxes: float32 (P, 4), NaN where unknown.
        scores: float32 (P,).
        keypoints: x, y, confidence, float32 (P, K, 3).
        seen: Joints that were found, bool (P, K).
    """

    boxes: np.ndarray
    scores: np.ndarray
    keypoints: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True)
class Bodies:
    """One trial's body.

    Attributes:
        found: bool (N,).
        boxes: float32 (N, 4), NaN where not found.
        keypoints: x, y, confidence, float32 (N, K, 3), NaN where not found.
        joints: Names of the K joints; none if bodies were guessed from faces.
    """

    found: np.ndarray
    boxes: np.ndarray
    keypoints: np.ndarray
    joints: tuple[str, ...]

    def box_in(self, frame: int, width: int, height: int) -> np.ndarray:
        """Box float64 (4,) in a frame of this size. A guess ends at its border, most of it may lie outside; what was found does not."""
        box = self.boxes[frame].astype(float)
        return box if self.joints else box.clip(0, [width, height] * 2)


def write_bodies(
    people: Iterable[People],
    persons: str | os.PathLike,
    output: str | os.PathLike,
    *,
    person: str = "face",
    about: Mapping[str, Any],
) -> None:
    """Give each trial its body and write a row per trial and frame (schema `BODIES`).

    A person of whom no joint is seen counts as not found. Metadata: ``about``, ``joints``, ``person``, ``frames`` and per trial ``faces``
    (frames with a face) and ``found``.

    Args:
        people: One entry per decoded frame.
        persons: Table of persons of the video.
        output: Path of the table of bodies.
        person: ``face`` takes the person whose head is nearest to the trial's face, none where none is near or the frame has no face;
            ``first`` takes the first of the list whatever the trial, as the NTUA code does (spec 2.5).
        about: Metadata.

    Raises:
        InputError: ``people`` has not as many frames as ``persons``.
    """
    facts = read_metadata(persons)
    faces = {trial: read_trial(persons, trial) for trial in facts["trials"]}
    chosen = {trial: _Column(facts["frames"]) for trial in faces}
    count = joints = 0
    for count, found in enumerate(people, 1):
        if count > facts["frames"]:
            break
        joints = found.keypoints.shape[1] if len(found.boxes) else joints
        for trial, face in faces.items():
            box = face.boxes[count - 1]
            index = (0 if len(found.boxes) else None) if person == "first" else nearest(found, box)
            if index is not None and not np.isnan(found.boxes[index]).any():
                chosen[trial].put(count - 1, found, index)
    if count != facts["frames"]:
        raise InputError(
            f"{persons}: has {facts['frames']} frames, but people were looked for in {count}. Run the face stage again."
        )
    _write(output, faces, chosen, {**about, "joints": list(JOINTS.get(joints, ())), "person": person, "frames": count})


def write_guessed_bodies(persons: str | os.PathLike, output: str | os.PathLike, about: Mapping[str, Any]) -> None:
    """Write a table like `write_bodies`, with bodies guessed from the faces alone: no joints, the face's score.

    Args:
        persons: Table of persons of the video.
        output: Path of the table of bodies.
        about: Metadata.
    """
    facts = read_metadata(persons)
    faces = {trial: read_trial(persons, trial) for trial in facts["trials"]}
    chosen = {trial: _Column(facts["frames"]) for trial in faces}
    for trial, face in faces.items():
        boxes = body_boxes(face.boxes)
        for frame in np.flatnonzero(face.valid):
            person = People(
                boxes[[frame]], face.scores[[frame]], np.zeros((1, 0, 3), np.float32), np.zeros((1, 0), bool)
            )
            chosen[trial].put(frame, person, 0)
    _write(output, faces, chosen, {**about, "joints": [], "person": "face", "frames": facts["frames"]})


def read_bodies(path: str | os.PathLike, trial: str) -> Bodies:
    """One trial's rows; `InputError` if the table has no such trial."""
    facts = read_metadata(path)
    table = read_table(path, BODIES)
    if trial not in facts["trials"]:
        raise InputError(f"{path}: has no trial {trial!r}. Delete the file and run again.")
    table = table.filter(pc.equal(table["trial"], trial))
    found = table["found"].to_numpy()
    keypoints = np.full((len(found), len(facts["joints"]), 3), np.nan, np.float32)
    values = table["keypoints"].combine_chunks().drop_null().flatten().to_numpy()
    keypoints[found] = values.reshape(found.sum(), *keypoints.shape[1:])
    boxes = read_boxes(table)
    return Bodies(found, boxes.astype(np.float32), keypoints, tuple(facts["joints"]))


def nearest(people: People, face: np.ndarray) -> int | None:
    """Index of the person whose head is at a face.

    Args:
        people: People of one frame. The head is the mean of the nose, eyes and ears that are seen.
        face: Box of the face (4,), NaN for none.

    Returns:
        The index, or None where nobody is within reach.
    """
    if not len(people.boxes) or np.isnan(face).any():
        return None
    names = JOINTS[people.keypoints.shape[1]]
    head = [names.index(name) for name in _FACE]
    seen = people.seen[:, head]
    points = np.where(seen[..., None], people.keypoints[:, head, :2], 0).sum(axis=1)
    middle = (face[:2] + face[2:]) / 2
    side = np.sqrt(np.prod(face[2:] - face[:2]))
    distance = np.full(len(points), np.inf)
    known = seen.any(axis=1)
    distance[known] = np.linalg.norm(points[known] / seen[known].sum(axis=1, keepdims=True) - middle, axis=1)
    best = int(distance.argmin())
    return best if distance[best] <= REACH * side else None


def _write(
    output: str | os.PathLike,
    faces: Mapping[str, TrialFaces],
    chosen: Mapping[str, "_Column"],
    about: Mapping[str, Any],
) -> None:
    trials = {
        trial: {"faces": int(face.valid.sum()), "found": int(chosen[trial].found.sum())}
        for trial, face in faces.items()
    }
    parts = [BODIES.empty_table(), *(column.table(trial) for trial, column in chosen.items())]
    write_table(output, pa.concat_tables(parts), BODIES, {**about, "trials": trials})


class _Column:
    """The body of one trial in every frame, filled in as frames come."""

    def __init__(self, frames: int) -> None:
        self.found = np.zeros(frames, bool)
        self._boxes = np.full((frames, 4), np.nan, np.float32)
        self._scores = np.full(frames, np.nan, np.float32)
        self._keypoints: list[np.ndarray | None] = [None] * frames

    def put(self, frame: int, people: People, index: int) -> None:
        self.found[frame] = True
        self._boxes[frame], self._scores[frame] = people.boxes[index], people.scores[index]
        self._keypoints[frame] = people.keypoints[index].astype(np.float32).ravel()

    def table(self, trial: str) -> pa.Table:
        sides = (pa.array(self._boxes[:, side], mask=np.isnan(self._boxes[:, side])) for side in range(4))
        columns = [
            pa.array([trial] * len(self.found), pa.string()),
            pa.array(np.arange(len(self.found), dtype=np.int32)),
            pa.array(self.found),
            *sides,
            pa.array(self._scores, mask=np.isnan(self._scores)),
            pa.array(self._keypoints, pa.list_(pa.float32())),
        ]
        return pa.Table.from_arrays(columns, schema=BODIES)


ACROSS, DOWN = 3.0, 6.0
RULE = "guessed from the face's box: 3 of its sides wide, 6 high, from its top downwards"


def body_boxes(faces: np.ndarray) -> np.ndarray:
    """Boxes of bodies float32 (N, 4) from those of faces (N, 4), NaN where these are; they may reach out of the image."""
    x0, y0, x1, y1 = np.asarray(faces, np.float64).T
    side, middle = np.sqrt((x1 - x0) * (y1 - y0)), (x0 + x1) / 2
    half = side * ACROSS / 2
    return np.stack([middle - half, y0, middle + half, y0 + DOWN * side], axis=1).astype(np.float32)
