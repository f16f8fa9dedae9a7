"""The face images that LFAN's authors preprocessed: ``npy_data/<trial>/frame.npy`` and the lists that say which frames they are of.

``frame.npy`` holds the frames that ``labeled_frame_indices.pkl`` keeps, 48 x 48 RGB, uint8 or, where an image was missing, int16; a
missing image is black (LFAN spec 2.3, 2.10). ``available_frame_indices.pkl`` tells missing images from black ones, and
``dataset_info.pkl`` has the number of rows of each trial; both may be absent.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.integrity import foreign
from wildaffect.pickles import kept_frames, marks_of, read_pickle

FILE = "frame.npy"
KEPT, AVAILABLE, INFO = "labeled_frame_indices.pkl", "available_frame_indices.pkl", "dataset_info.pkl"
SIDE = 48
# A list of as many rows is checked at a time: 7 MB of images.
BLOCK = 1024


def files(folder: Path) -> list[Path]:
    """The files that the images of a trial in ``folder`` are read from; empty if it holds no array."""
    if not (folder / FILE).is_file():
        return []
    return [
        path
        for path in (folder / FILE, *(folder.parent.parent / name for name in (KEPT, AVAILABLE, INFO)))
        if path.is_file()
    ]


def read_images(folder: Path, count: int) -> tuple[dict[int, np.ndarray], int]:
    """Find the images of one trial by frame index, and count those beyond the last of ``count`` frames.

    Returns:
        Views (48, 48, 3) of the mapped file, values 0 to 255, and the count.

    Raises:
        InputError: An array of another shape or with other values, or lists that do not fit it.
    """
    path, lists = folder / FILE, folder.parent.parent
    with foreign(path, "a readable .npy file"):
        images = np.lib.format.open_memmap(path, mode="r")
    if images.shape[1:] != (SIDE, SIDE, 3) or images.dtype.kind not in "iu":
        raise InputError(
            f"{path}: holds {images.dtype} {images.shape}, expected whole numbers (frames, {SIDE}, {SIDE}, 3)."
        )
    _check_length(lists / INFO, folder.name, len(images))
    frames = kept_frames(lists / KEPT, folder.name, len(images))
    there = _there(images, path)
    if (lists / AVAILABLE).is_file():
        marks = marks_of(lists / AVAILABLE, folder.name)
        if len(marks) <= frames.max(initial=-1):
            raise InputError(
                f"{lists / AVAILABLE}: has {len(marks)} frames of trial {folder.name}, {KEPT} keeps later ones."
            )
        there = marks[frames] == 1
    found = {frame: images[row] for row, frame in enumerate(frames.tolist()) if there[row]}
    inside = {frame: image for frame, image in found.items() if frame < count}
    return inside, len(found) - len(inside)


def _there(images: np.ndarray, path: Path) -> np.ndarray:
    """Rows that are not black, bool (rows,); `InputError` for values that no image has."""
    there = np.zeros(len(images), bool)
    for first in range(0, len(images), BLOCK):
        block = images[first : first + BLOCK]
        if block.min() < 0 or block.max() > 255:
            raise InputError(f"{path}: values from {block.min()} to {block.max()}, expected 0 to 255.")
        there[first : first + BLOCK] = block.any(axis=(1, 2, 3))
    return there


def _check_length(path: Path, trial: str, rows: int) -> None:
    """`InputError` if the description of the data set has another number of rows of a trial."""
    content = read_pickle(path) if path.is_file() else {}
    partitions = content.get("partition") if isinstance(content, dict) else None
    lengths: Iterable = partitions.values() if isinstance(partitions, dict) else ()
    for told in (part[trial] for part in lengths if isinstance(part, dict) and trial in part):
        if told != rows:
            raise InputError(
                f"{path}: says {told} rows of trial {trial}, but {FILE} has {rows}. Both must be of one run."
            )
