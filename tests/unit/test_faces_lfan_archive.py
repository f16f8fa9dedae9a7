"""Face images from LFAN's preprocessed folder, made here as its specification describes it."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from wildaffect.errors import InputError
from wildaffect.faces.lfan_archive import files, read_images

FRAMES = 7


def write(root: Path, marks: list[int], images: np.ndarray, **lists) -> Path:
    """A folder of one trial whose frames with mark 1 have rows in ``images``; ``lists`` are further files by name."""
    folder = root / "npy_data" / "v1"
    folder.mkdir(parents=True)
    np.save(folder / "frame.npy", images)
    lists["labeled_frame_indices"] = {"Train_Set": {"v1": marks, "v2": [1]}, "Validation_Set": {}}
    for name, content in lists.items():
        (root / f"{name}.pkl").write_bytes(pickle.dumps(content, 2))
    return folder


def images_of(levels: list[int], dtype=np.uint8) -> np.ndarray:
    return np.broadcast_to(np.array(levels, dtype)[:, None, None, None], (len(levels), 48, 48, 3))


def levels_of(folder: Path, count: int = FRAMES) -> tuple[dict[int, int], int]:
    found, beyond = read_images(folder, count)
    return {frame: int(image[0, 0, 0]) for frame, image in found.items()}, beyond


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_rows_are_of_the_frames_that_have_a_label(tmp_path, dtype):
    """Frames 1 and 4 have none; a black image stands for one that is missing; the eighth frame is beyond the video."""
    folder = write(tmp_path, [1, 0, 1, 1, 0, 1, 1, 1], images_of([10, 30, 0, 60, 70, 80], dtype))
    assert levels_of(folder) == ({0: 10, 2: 30, 5: 60, 6: 70}, 1)


def test_a_list_of_images_tells_black_ones_from_missing_ones(tmp_path):
    folder = write(
        tmp_path, [1, 1, 0, 1], images_of([0, 0, 30]),
        available_frame_indices={"Train_Set": {"v1": np.array([1, 0, -1, 1])}},
        dataset_info={"partition": {"Train_Set": {"v1": np.int64(3)}, "Test_Set": {}}},
    )  # fmt: skip
    assert levels_of(folder) == ({0: 0, 3: 30}, 0)
    assert len(files(folder)) == 4


@pytest.mark.parametrize(
    ("marks", "images", "lists", "message"),
    [
        ([1, 1], images_of([1, 2, 3]), {}, "keeps 2 frames of trial v1, but there are 3 rows"),
        ([1], images_of([300], np.int16), {}, "values from 300 to 300"),
        ([1], images_of([-1], np.int16), {}, "values from -1 to -1"),
        ([1], np.zeros((1, 40, 40, 3), np.uint8), {}, r"\(1, 40, 40, 3\), expected"),
        ([1], images_of([1], np.float32), {}, "holds float32"),
        ([1, 1], images_of([1, 2]), {"dataset_info": {"partition": {"Train_Set": {"v1": 3}}}}, "says 3 rows"),
        ([1, 1], images_of([1, 2]), {"available_frame_indices": {"Train_Set": {"v1": [1]}}}, "has 1 frames"),
        ([1], images_of([1]), {"available_frame_indices": {"Train_Set": {}}}, "0 lists"),
        ([1], images_of([1]), {"dataset_info": Path("x")}, "asks for pathlib"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, marks, images, lists, message):
    folder = write(tmp_path, marks, images, **lists)
    with pytest.raises(InputError, match=message):
        read_images(folder, FRAMES)
