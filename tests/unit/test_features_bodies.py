"""Bodies: whose head is at whose face, from OpenPose's files and from a network."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models.detection import keypointrcnn_resnet50_fpn
from torchvision.ops import FrozenBatchNorm2d

from support.bodies import persons_table
from support.faces import write_video
from wildaffect.errors import InputError
from wildaffect.features.bodies import keypoint_rcnn
from wildaffect.features.bodies.find import find_bodies, openpose_people, people_of
from wildaffect.features.bodies.keypoint_rcnn import detected_people, open_keypoint_rcnn
from wildaffect.features.bodies.table import JOINTS, People, nearest, read_bodies, write_bodies
from wildaffect.tables import read_metadata

BODY25 = JOINTS[25]


def body(x, y, confidence=0.8):
    """BODY_25 joints (25, 3) of somebody whose face is centred at ``x``, ``y`` and 40 pixels wide, seen from the front."""
    places = {"nose": (0, 0), "right_eye": (-8, -5), "left_eye": (8, -5), "neck": (0, 40), "mid_hip": (0, 130)}
    places |= {"right_shoulder": (-40, 45), "left_shoulder": (40, 45)}
    joints = np.zeros((25, 3), np.float32)
    for name, (dx, dy) in places.items():
        joints[BODY25.index(name)] = x + dx, y + dy, confidence
    return joints


def face(x, y):
    return [x - 20, y - 20, x + 20, y + 20]


def write_json(folder, people, number, name="v_{:012d}_keypoints.json"):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"version": 1.3, "people": [{"pose_keypoints_2d": person.ravel().tolist()} for person in people]}
    (folder / name.format(number)).write_text(json.dumps(content))


def test_each_trial_gets_the_body_at_its_own_face(tmp_path):
    table = persons_table(
        tmp_path / "persons.parquet",
        {"v_left": [face(100, 80), None, face(104, 80)], "v_right": [face(300, 90), face(300, 90), face(304, 90)]},
    )
    write_json(tmp_path / "json", [body(300, 92), body(100, 82)], 0)
    write_json(tmp_path / "json", [body(102, 80), body(302, 90)], 1)
    write_json(tmp_path / "json", [body(600, 80), body(304, 90)], 2)
    find_bodies("openpose", tmp_path / "json", tmp_path / "no.mp4", table, tmp_path / "out.parquet")
    left, right = (read_bodies(tmp_path / "out.parquet", trial) for trial in ("v_left", "v_right"))
    assert left.found.tolist() == [True, False, False]
    assert right.found.tolist() == [True, True, True]
    assert left.boxes[0].tolist() == [60, 77, 140, 212]
    assert np.isnan(left.boxes[1:]).all() and np.isnan(left.keypoints[1:]).all()
    assert np.array_equal(right.keypoints[1], body(302, 90))
    assert right.joints == BODY25
    about = read_metadata(tmp_path / "out.parquet")
    assert about["trials"] == {"v_left": {"faces": 2, "found": 1}, "v_right": {"faces": 3, "found": 3}}
    assert (about["source"], about["box"], about["person"]) == ("openpose", "joints", "face")


def test_the_first_of_the_list_as_published(tmp_path):
    table = persons_table(tmp_path / "persons.parquet", {"v": [face(100, 80), None, face(100, 80), face(100, 80)]})
    write_json(tmp_path / "json", [body(300, 92), body(100, 82)], 1)
    write_json(tmp_path / "json", [body(300, 92)], 2)
    write_json(tmp_path / "json", [], 3)
    write_json(tmp_path / "json", [body(300, 92, confidence=0.05), body(100, 82)], 4)
    find_bodies("openpose", tmp_path / "json", "", table, tmp_path / "out.parquet", first_frame=1, person="first")
    got = read_bodies(tmp_path / "out.parquet", "v")
    assert got.found.tolist() == [True, True, False, False]
    assert got.keypoints[0, 0, 0] == 300


def test_joints_that_are_not_seen_move_neither_box_nor_head():
    unsure = body(100, 80)
    unsure[BODY25.index("right_ear")] = 5000, 5000, 0.09
    people = people_of(unsure[None])
    assert people.boxes[0].tolist() == [60, 75, 140, 210]
    assert people.scores[0] == pytest.approx(0.8)
    assert nearest(people, np.array(face(100, 80), np.float32)) == 0
    headless = body(100, 80)
    headless[[BODY25.index(name) for name in ("nose", "right_eye", "left_eye")], 2] = 0
    assert nearest(people_of(headless[None]), np.array(face(100, 80), np.float32)) is None


@given(st.floats(0, 200), st.floats(0, 6.28))
def test_heads_are_within_reach_of_a_face_up_to_a_share_of_its_side(distance, angle):
    centre = np.mean([[0, 0], [-8, -5], [8, -5]], axis=0)
    people = people_of(body(*(np.array([300, 300]) + distance * np.array([np.cos(angle), np.sin(angle)])))[None])
    off = abs(distance - 0.6 * 40)
    if off > 0.1:
        found = nearest(people, np.array(face(*(np.array([300, 300]) + centre)), np.float32))
        assert (found == 0) == (distance < 0.6 * 40)


def test_frame_numbers_are_the_last_in_the_name(tmp_path):
    write_json(tmp_path, [body(50, 50)], 2, "clip_30fps_{:05d}_keypoints.json")
    got = list(openpose_people(tmp_path, 4, 1))
    assert [len(people.boxes) for people in got] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a file that OpenPose wrote"),
        ('{"people": [{}]}', "not a file that OpenPose wrote .KeyError"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "not a file that OpenPose wrote"),
        (json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 51}]}), "17 joints, expected 18 or 25"),
        (json.dumps({"people": [{"pose_keypoints_2d": [0.5] * 75}]}), "--keypoint_scale 0"),
        (json.dumps({"people": [{"pose_keypoints_2d": [float("nan")] * 75}]}), "not a finite number"),
    ],
)
def test_files_that_openpose_did_not_write_are_named(tmp_path, text, message):
    (tmp_path / "v_000_keypoints.json").write_text(text)
    with pytest.raises(InputError, match=rf"v_000_keypoints\.json: .*{message}"):
        list(openpose_people(tmp_path, 3))


def test_folders_that_do_not_fit_the_video(tmp_path):
    with pytest.raises(InputError, match="has no files"):
        list(openpose_people(tmp_path, 3))
    assert list(openpose_people(tmp_path, 0)) == []
    write_json(tmp_path, [], 3)
    with pytest.raises(
        InputError, match=r"frame 000000000003, but the video's frames run from 0 to 2\. Check 'first_frame'"
    ):
        list(openpose_people(tmp_path, 3))
    assert len(list(openpose_people(tmp_path, 3, 1))) == 3
    write_json(tmp_path, [], 3, "other_{:d}_keypoints.json")
    with pytest.raises(InputError, match="Keep the files of one run"):
        list(openpose_people(tmp_path, 3, 1))


def test_body_models_must_not_change(tmp_path):
    write_json(tmp_path, [body(50, 50)], 0)
    write_json(tmp_path, [body(50, 50)[:18]], 1)
    with pytest.raises(InputError, match="18 joints, expected 25"):
        list(openpose_people(tmp_path, 2))


class Squares(nn.Module):
    """Stands in for torchvision's network: a person wherever a picture is red, another wherever it is green."""

    def forward(self, pictures):
        assert not self.training and len(pictures) == 1
        found = []
        for channel in (0, 1):
            rows, columns = torch.nonzero(pictures[0][channel] > 0.5, as_tuple=True)
            if len(rows):
                found.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        boxes = torch.tensor(found, dtype=torch.float32).reshape(-1, 4)
        joints = torch.ones(len(boxes), 17, 3)
        joints[:, :5, :2] = boxes[:, None, :2] + 20  # the head, 20 pixels into the body's box
        return [{"boxes": boxes, "scores": torch.full((len(boxes),), 0.9), "keypoints": joints,
                 "keypoints_scores": torch.full((len(boxes), 17), 5.0)}]  # fmt: skip


def test_a_network_on_a_video(tmp_path):
    pictures = [np.zeros((120, 200, 3), np.uint8) for _ in range(4)]
    for frame, picture in enumerate(pictures[:3]):
        picture[10:90, 20 + frame : 60 + frame, 1] = 255
        picture[10:90, 120:160, 0] = 255
    video = write_video(tmp_path / "v.mkv", pictures)
    table = persons_table(tmp_path / "persons.parquet", {"v": [face(41 + frame, 31) for frame in range(4)]})
    people = detected_people(Squares(), video)
    write_bodies(people, table, tmp_path / "out.parquet", about={"source": "stand-in"})
    got = read_bodies(tmp_path / "out.parquet", "v")
    assert got.found.tolist() == [True, True, True, False]
    assert got.boxes[:3].tolist() == [[20 + frame, 10, 60 + frame, 90] for frame in range(3)]
    assert got.joints == JOINTS[17]
    assert (got.keypoints[:3, :, 2] == 5).all()


@pytest.mark.parametrize("frames", [2, 5])
def test_tables_and_people_of_different_lengths(tmp_path, frames):
    table = persons_table(tmp_path / "persons.parquet", {"v": [None] * 3})
    nobody = People(*(np.zeros(shape, np.float32) for shape in ((0, 4), (0,), (0, 17, 3), (0, 17))))
    with pytest.raises(InputError, match="has 3 frames"):
        write_bodies([nobody] * frames, table, tmp_path / "out.parquet", about={})
    assert not (tmp_path / "out.parquet").exists()


def test_videos_without_frames_or_people(tmp_path):
    for frames in (0, 2):
        table = persons_table(tmp_path / f"{frames}.parquet", {"v": [None] * frames})
        nobody = People(*(np.zeros(shape, np.float32) for shape in ((0, 4), (0,), (0, 17, 3), (0, 17))))
        write_bodies([nobody] * frames, table, tmp_path / "out.parquet", about={})
        got = read_bodies(tmp_path / "out.parquet", "v")
        assert got.found.tolist() == [False] * frames
        assert got.boxes.shape == (frames, 4)
        with pytest.raises(InputError, match="no trial 'w'"):
            read_bodies(tmp_path / "out.parquet", "w")


def test_weights_that_are_absent_or_of_another_network(tmp_path):
    with pytest.raises(InputError, match="no such model file"):
        find_bodies("keypoint_rcnn", tmp_path / "none.pth", "", tmp_path / "p", tmp_path / "o")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: not weights of KeypointRCNN"):
        find_bodies("keypoint_rcnn", tmp_path / "other.pth", "", tmp_path / "p", tmp_path / "o")
    with pytest.raises(InputError, match="'dance' is not known"):
        find_bodies("dance", tmp_path, "", tmp_path / "p", tmp_path / "o")


@pytest.mark.slow
def test_like_torchvisions_own_network(tmp_path, monkeypatch):
    """The same weights in torchvision's constructor give the same maps; the published file's are used without the guard."""
    torch.manual_seed(0)
    reference = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    torch.save(reference.state_dict(), tmp_path / "w.pth")
    network, about = open_keypoint_rcnn(str(tmp_path / "w.pth"), tmp_path)
    network.eval()
    picture = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        want, got = reference.backbone(picture), network.backbone(picture)
        assert all(torch.allclose(want[level], got[level], rtol=1e-3, atol=1e-4) for level in want)
    guards = {layer.eps for layer in network.modules() if isinstance(layer, FrozenBatchNorm2d)}
    assert guards == {1e-5}
    monkeypatch.setattr(keypoint_rcnn, "COCO_V1", about["sha256"][:8])
    network, _ = open_keypoint_rcnn(str(tmp_path / "w.pth"), tmp_path)
    assert {layer.eps for layer in network.modules() if isinstance(layer, FrozenBatchNorm2d)} == {0.0}
