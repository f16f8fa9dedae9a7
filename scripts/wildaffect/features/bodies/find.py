"""The table of bodies, from a video, from the JSON files that OpenPose wrote of it, or from its faces alone.

Z. Cao et al., OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, IEEE TPAMI 2021. The program's licence forbids
commercial use and it is no Python package, so it is not run here; only its output is read. Coordinates must be pixels of the
video (``--keypoint_scale 0``, the default).
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wildaffect.errors import InputError
from wildaffect.features.bodies.table import JOINTS, RULE, People, write_bodies, write_guessed_bodies
from wildaffect.integrity import foreign
from wildaffect.tables import read_metadata

# A joint below this confidence counts as not seen (NTUA spec 2.5).
SEEN = 0.1
NOTICE = "Keypoints computed with OpenPose, whose licence covers academic or non-profit, non-commercial use."


def openpose_people(folder: str | os.PathLike, frames: int, first_frame: int = 0) -> Iterator[People]:
    """People of each frame; none where a frame has no file.

    The box of a person is that of the joints with confidence 0.1 and more, the score their mean confidence.

    Args:
        folder: Folder of the files ``…<frame number>_keypoints.json``.
        frames: Number of frames of the video.
        first_frame: Number of the first frame.

    Raises:
        InputError: A folder without such files, frames that the video does not have, or files that are not OpenPose's or of another body
            model than the first.
    """
    files = _files(Path(folder), frames, first_frame)
    joints = 0
    for frame in range(frames):
        found = _read(files[frame], joints) if frame in files else people_of(np.zeros((0, joints, 3), np.float32))
        joints = found.keypoints.shape[1]
        yield found


def people_of(keypoints: np.ndarray) -> People:
    """`People` from keypoints float32 (P, K, 3)."""
    seen = keypoints[..., 2] >= SEEN
    low, high = (
        np.where(seen[..., None], keypoints[..., :2], outside) for outside in (np.float32(np.inf), np.float32(-np.inf))
    )
    boxes = np.concatenate([low.min(axis=1, initial=np.inf), high.max(axis=1, initial=-np.inf)], axis=1)
    boxes[~seen.any(axis=1)] = np.nan
    scores = (keypoints[..., 2] * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return People(boxes, scores.astype(np.float32), keypoints, seen)


def _files(folder: Path, frames: int, first_frame: int) -> dict[int, Path]:
    numbered: dict[int, Path] = {}
    for path in sorted(folder.glob("*_keypoints.json")):
        number = re.search(r"([0-9]{1,12})_keypoints\.json$", path.name)
        if number is None:
            raise InputError(f"{path}: the name has no frame number.")
        frame = int(number[1]) - first_frame
        if not 0 <= frame < frames:
            raise InputError(
                f"{path}: frame {number[1]}, but the video's frames run from {first_frame} to {frames - 1 + first_frame}. "
                "Check 'first_frame'."
            )
        if frame in numbered:
            raise InputError(f"{path}: frame {number[1]} also has {numbered[frame].name}. Keep the files of one run.")
        numbered[frame] = path
    if not numbered and frames:
        raise InputError(
            f"{folder}: has no files '…_keypoints.json'. Run OpenPose with --write_json, or correct the path."
        )
    return numbered


def _read(path: Path, joints: int) -> People:
    """People of one file; ``joints`` is the number that earlier files had, 0 if none had people."""
    with foreign(path, "a file that OpenPose wrote"):
        content = json.loads(path.read_bytes())
        people = [np.array(person["pose_keypoints_2d"], np.float32).reshape(-1, 3) for person in content["people"]]
    if not people:
        return people_of(np.zeros((0, joints, 3), np.float32))
    known = [joints] if joints else [count for count in JOINTS if count != 17]
    counts = {len(person) for person in people}
    if wrong := counts - set(known):
        raise InputError(f"{path}: a person with {min(wrong)} joints, expected {' or '.join(map(str, known))}.")
    if len(counts) > 1:
        raise InputError(
            f"{path}: people with {' and '.join(map(str, sorted(counts)))} joints, expected those of one body model."
        )
    keypoints = np.stack(people)
    if not np.isfinite(keypoints).all():
        raise InputError(f"{path}: a keypoint is not a finite number.")
    found = people_of(keypoints)
    if (found.seen.sum(axis=1) > 1).any() and keypoints[found.seen][:, :2].max() <= 1:
        raise InputError(f"{path}: coordinates are not pixels. Run OpenPose with --keypoint_scale 0.")
    return found


SOURCES = ("keypoint_rcnn", "openpose", "face_box")


def find_bodies(
    source: str,
    path: str | os.PathLike | None,
    video: str | os.PathLike,
    persons: str | os.PathLike,
    output: str | os.PathLike,
    *,
    first_frame: int = 0,
    person: str = "face",
    models_dir: str | os.PathLike = "models",
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Write the bodies of all trials of a video, see `wildaffect.features.bodies.table.write_bodies`.

    Args:
        source: ``keypoint_rcnn`` decodes the video and finds people. ``openpose`` reads OpenPose's files and does not open the video.
            ``face_box`` guesses bodies from faces.
        path: Weights of the network, folder of OpenPose's JSON files, or None.
        video: The video file.
        persons: Its table of persons.
        output: Path of the table of bodies.
        first_frame: Number of the first frame in the names of OpenPose's files.
        person: As for `wildaffect.features.bodies.table.write_bodies`.
        models_dir: Folder of model files.
        device: ``cpu`` or ``cuda``.
        threads: Threads of the decoder and of PyTorch.

    Raises:
        InputError: An unknown source, or files that cannot be used.
    """
    if source not in SOURCES:
        raise InputError(f"features.bodies.source: '{source}' is not known: use one of {', '.join(SOURCES)}.")
    if source == "face_box":
        write_guessed_bodies(persons, output, {"source": source, "weights": None, "box": RULE, "notice": ""})
        return
    if source == "openpose":
        frames = read_metadata(persons)["frames"]
        people = openpose_people(str(path), frames, first_frame)
        about: dict[str, Any] = {"weights": None, "box": "joints", "notice": NOTICE}
    else:
        # OpenPose's files are read without PyTorch.
        from wildaffect.features.bodies.keypoint_rcnn import detected_people, open_keypoint_rcnn

        network, weights = open_keypoint_rcnn(str(path), models_dir)
        view = read_metadata(persons).get("view")
        people = detected_people(network, video, view=view, device=device, threads=threads)
        about = {
            "weights": weights,
            "box": "detector",
            "notice": f"{weights['licence']}. {weights['citation']}".strip(),
        }
    write_bodies(people, persons, output, person=person, about={"source": source, **about})
