"""The table of bodies, from a video, from OpenPose's files of it, or from its faces alone."""

import os
from typing import Any

from wildaffect.errors import InputError
from wildaffect.features.bodies.openpose import NOTICE, openpose_people
from wildaffect.features.bodies.table import RULE, write_bodies, write_guessed_bodies
from wildaffect.tables import read_metadata

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
        people = detected_people(network, video, device=device, threads=threads)
        about = {
            "weights": weights,
            "box": "detector",
            "notice": f"{weights['licence']}. {weights['citation']}".strip(),
        }
    write_bodies(people, persons, output, person=person, about={"source": source, **about})
