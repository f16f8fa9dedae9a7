"""Alignments and face tracks that others published, read without executing anything."""

import os
import pickle

import numpy as np
import pytest

from support.faces import write_frames
from wildaffect.errors import InputError
from wildaffect.faces.alignment import crop_transform, map_points
from wildaffect.faces.landmarks import LandmarkMasks, draw_landmarks
from wildaffect.faces.tables import read_trial
from wildaffect.faces.templates import get_template
from wildaffect.faces.tsav_alignment import read_alignments
from wildaffect.faces.tsav_archive import alignment_files, entry_names
from wildaffect.pickles import read_pickle
from wildaffect.tables import read_metadata

INFO = """\
video28,VA,train,main
b,VA,train,left
b,VA,train,right
b,EX,val,left
a,AU,test,main
a-1,VA,val,right
video3,EX,train,main
"""


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "video_info.txt").write_text(INFO)
    return tmp_path


def test_entries_are_numbered_in_the_order_of_the_two_batches(archive):
    """'a-1.mp4' is before 'a.mp4'; video28 begins the second batch; a lone position that is not main is named."""
    assert entry_names(archive / "deep" / "video_info.txt") == {
        ("a-1", "right"): "001_AU0__EX0__VA1v_right",
        ("a", "main"): "002_AU1t_EX0__VA0_",
        ("b", "left"): "003_AU0__EX1v_VA1__left",
        ("b", "right"): "004_AU0__EX0__VA1__right",
        ("video3", "main"): "005_AU0__EX1__VA0_",
        ("video28", "main"): "006_AU0__EX0__VA1_",
    }
    path = archive / "deep" / "004_AU0__EX0__VA1__right_alignment_mask.pkl"
    path.touch()
    (archive / "deep" / "007_AU0__EX0__VA1__alignment_mask.pkl").touch()
    assert alignment_files(archive) == {("b", "right"): path}


def test_a_list_of_another_form_is_refused(archive, tmp_path):
    (archive / "deep" / "video_info.txt").write_text("a,VA,train\n")
    with pytest.raises(InputError, match="line 1"):
        alignment_files(archive)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"holds no video_info\.txt"):
        alignment_files(tmp_path / "none")


ANGLE, SCALE = 0.3, 0.8
FORWARD = np.array(
    [
        [SCALE * np.cos(ANGLE), -SCALE * np.sin(ANGLE), -60.0],
        [SCALE * np.sin(ANGLE), SCALE * np.cos(ANGLE), -90.0],
    ]
)
MASK = np.stack([np.linspace(20, 90, 68), 56 + 30 * np.sin(np.arange(68))], axis=1)


def take(folder, content, frames=5, protocol=2):
    (folder / "v.pkl").write_bytes(pickle.dumps(content, protocol))
    write_frames(folder / "f.parquet", frames)
    read_alignments(
        {"v": folder / "v.pkl"}, folder / "f.parquet", {"v": "main"}, folder / "p.parquet", folder / "d.parquet"
    )
    return folder / "p.parquet"


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_crops_and_masks_are_those_of_the_authors(tmp_path, protocol):
    content = {"frame": [FORWARD, None, FORWARD * 1.5, None, FORWARD], "mask": [MASK, None, MASK + 1, None, MASK - 3]}
    persons = take(tmp_path, content, protocol=protocol)
    rows = read_trial(persons, "v")
    assert rows.source.tolist() == ["detected", "none", "detected", "none", "detected"]
    assert set(rows.quality[rows.valid]) == {"good"}
    for frame in (0, 2, 4):
        ours = crop_transform(get_template("tsav112"), rows.points5[frame], rows.boxes[frame])
        np.testing.assert_allclose(ours, content["frame"][frame], atol=1e-3)
        np.testing.assert_allclose(map_points(ours, rows.points68[frame]), content["mask"][frame], atol=1e-3)
    masks = LandmarkMasks(persons, "v").read(np.arange(5))
    np.testing.assert_array_equal(masks[0], draw_landmarks(MASK))
    assert masks[1].max() == 0
    assert read_metadata(persons)["trials"]["v"]["coverage"] == pytest.approx(0.6)


@pytest.mark.parametrize(("given", "frames", "beyond"), [(7, 5, 2), (5, 5, 0), (3, 5, 0)])
def test_a_frame_or_two_more_or_fewer_are_no_other_video(tmp_path, given, frames, beyond):
    persons = take(tmp_path, {"frame": [FORWARD] * given, "mask": [MASK] * given}, frames)
    assert read_trial(persons, "v").valid.tolist() == [True] * min(given, frames) + [False] * (frames - given)
    assert read_metadata(persons)["trials"]["v"]["pictures_beyond"] == beyond


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"frame": [FORWARD] * 8, "mask": [MASK] * 8}, "8 frames, but the video has 5"),
        ({"frame": [FORWARD] * 5}, "not one of TSAV's alignments"),
        ({"frame": [FORWARD] * 5, "mask": [MASK[:5]] * 5}, "not one of TSAV's alignments"),
        ({"frame": [FORWARD[:, :2]] * 5, "mask": [MASK] * 5}, "not one of TSAV's alignments"),
        ({"frame": [FORWARD * 0] * 5, "mask": [MASK] * 5}, "cannot be inverted"),
        ([1, 2], "not one of TSAV's alignments"),
    ],
)
def test_files_of_another_form_or_video_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        take(tmp_path, content)
    assert not (tmp_path / "p.parquet").exists()


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"frame": [x]}, lambda x: np.array([x], object)])
def test_nothing_in_a_pickle_is_executed(tmp_path, wrap):
    (tmp_path / "v.pkl").write_bytes(pickle.dumps(wrap(Hostile(tmp_path / "made"))))
    with pytest.raises(InputError, match=r"asks for posix\.mkdir"):
        read_pickle(tmp_path / "v.pkl")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("code", [b"cbuiltins\neval\n(S'1'\ntR.", b"cnumpy\nload\n(S'x'\ntR.", b"", b"\x80\x05garbage"])
def test_other_pickles_are_refused_in_words(tmp_path, code):
    (tmp_path / "v.pkl").write_bytes(code)
    with pytest.raises(InputError, match=r"v\.pkl: not a pickle file of numbers and arrays"):
        read_pickle(tmp_path / "v.pkl")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_numbers_and_arrays_of_every_protocol_are_read(tmp_path, protocol):
    values = {"a": np.arange(6.0).reshape(2, 3).T, 3: [np.int64(7), None, "text", (1.5, True)], "b": np.float32(2)}
    (tmp_path / "v.pkl").write_bytes(pickle.dumps(values, protocol))
    read = read_pickle(tmp_path / "v.pkl")
    np.testing.assert_array_equal(read["a"], values["a"])
    assert read[3] == values[3] and read["b"] == 2
