"""From a video, from what OpenPose said of it, or from its faces alone to the table of bodies."""

import os

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
    """Write the bodies of all trials of ``persons`` to ``output``, see :func:`~wildaffect.features.bodies.table.write_bodies`.

    ``source`` ``openpose``: ``path`` is the folder of its JSON files, counted from ``first_frame``; the video is not opened.
    ``keypoint_rcnn``: ``path`` is the file of the network's weights, and the video is decoded. ``face_box``: nobody is looked for, ``path``
    is None (:mod:`wildaffect.features.bodies.table`). Raises :class:`InputError` for an unknown
    source and for files that cannot be used.
    """
    if source not in SOURCES:
        raise InputError(f"features.bodies.source: '{source}' is not known: use one of {', '.join(SOURCES)}.")
    if source == "face_box":
        write_guessed_bodies(persons, output, {"source": source, "weights": None, "box": RULE, "notice": ""})
        return
    if source == "openpose":
        frames = read_metadata(persons)["frames"]
        people, about = openpose_people(path, frames, first_frame), {"weights": None, "box": "joints", "notice": NOTICE}
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
