"""Both detectors, the detection table, cuts."""

import importlib.util
import json
import shutil
import subprocess
import sys
from fractions import Fraction

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from skimage.data import astronaut

from support.faces import write_detector, write_video
from support.media import Video, join, write_media
from wildaffect.config import parse
from wildaffect.errors import InputError
from wildaffect.faces.detect import DETECTIONS_SCHEMA, CutFinder, FaceWatch, detect_faces
from wildaffect.faces.detectors import BACKENDS, Faces, detector_options, open_detector
from wildaffect.faces.options import DETECTORS, DlibOptions, RetinaFaceOptions, TrackingOptions
from wildaffect.faces.persons import assign_persons
from wildaffect.faces.tables import read_detections
from wildaffect.media.frames import write_frame_table
from wildaffect.tables import read_metadata, read_table

KNOWN_BOX = [555.58, 46.05, 772.49, 354.85]
# Where the portrait's eyes, nose and mouth corners are, read off the picture by eye.
PORTRAIT_POINTS = np.array([[203, 101.5], [246, 103], [223, 127], [202, 140], [246, 140]])


@pytest.fixture(scope="module")
def portrait():
    return astronaut()


@pytest.fixture(scope="module")
def hog():
    return open_detector("dlib", "hog", DlibOptions(max_side=384, threshold=0.5), "cpu", 2)


@pytest.fixture
def known_picture(shared):
    return cv2.imread(str(shared / "realdata" / "face_with_known_boxes.jpg"), cv2.IMREAD_COLOR_RGB)


def scrfd(shared, **options):
    return open_detector("retinaface", str(shared / "models" / "det_500m.onnx"), RetinaFaceOptions(**options), "cpu", 1)


def test_retinaface_known_box(shared, known_picture):
    (faces,) = scrfd(shared, det_sizes=(640,)).find([known_picture])
    np.testing.assert_allclose(faces.boxes, [KNOWN_BOX], atol=0.02)
    np.testing.assert_allclose(faces.scores, [0.7786], atol=1e-3)
    assert faces.points68 is None
    left_eye, right_eye, nose, left_mouth, right_mouth = faces.points5[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_retinaface_second_size_adds_faces_and_changes_none(shared, known_picture):
    """At 640 a face that fills the picture is lost; the smaller size finds it, and leaves others' boxes alone."""
    both, fine = scrfd(shared), scrfd(shared, det_sizes=(640,))
    np.testing.assert_array_equal(both.find([known_picture])[0].boxes, fine.find([known_picture])[0].boxes)
    close = cv2.resize(known_picture[46:355, 555:772], (632, 900))
    assert len(fine.find([close])[0].boxes) == 0
    (found,) = both.find([close])
    assert len(found.boxes) == 1
    width, height = found.boxes[0, 2:] - found.boxes[0, :2]
    assert width * height > 0.8 * 632 * 900


@pytest.mark.parametrize("scale", [0.3, 1, 2.5])
def test_both_detectors_find_the_portrait_at_any_size(shared, hog, portrait, scale):
    picture = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    detectors = [scrfd(shared)] + (
        [hog] if scale >= 1 else [open_detector("dlib", "hog", DlibOptions(upsample=1), "cpu", 1)]
    )
    for detector in detectors:
        faces = detector.find([picture])[0]
        best = faces.scores.argmax()
        assert np.linalg.norm(faces.points5[best] / scale - PORTRAIT_POINTS, axis=1).max() < 5


def test_dlib_landmarks_come_from_the_full_picture(hog, portrait):
    """Detection at 384 pixels of a picture twice the portrait's size: landmarks as precise as at full size."""
    full = open_detector("dlib", "hog", DlibOptions(max_side=0, identity=False), "cpu", 1)
    large = cv2.resize(portrait, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    shrunk, direct = hog.find([large])[0], full.find([large])[0]
    best = direct.scores.argmax()
    error = np.linalg.norm(shrunk.points68[0] - direct.points68[best], axis=1).mean()
    assert error < 0.05 * (direct.boxes[best, 2] - direct.boxes[best, 0])
    np.testing.assert_allclose(shrunk.points5[0, 2], shrunk.points68[0, 30])


def test_dlib_identity_tells_people_apart(shared, hog, portrait, known_picture):
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    vectors = []
    for picture in (portrait, mirrored, known_picture):
        (faces,) = hog.find([picture])
        vectors.append(hog.identify(picture, faces, int(faces.scores.argmax())))
    first, same, other = vectors
    assert first.shape == (128,)
    assert np.linalg.norm(first - same) < hog.identity < np.linalg.norm(first - other)


def test_padding_between_rows_changes_nothing(shared, portrait):
    """Decoded images have it where their rows are no multiple of what libswscale likes."""
    padded = np.pad(portrait, ((0, 0), (0, 8), (0, 0)))[:, : portrait.shape[1]]
    assert not padded.flags.c_contiguous
    dlib = open_detector("dlib", "hog", DlibOptions(max_side=0), "cpu", 1)
    for detector in (dlib, scrfd(shared)):
        (plain,), (found,) = detector.find([portrait]), detector.find([padded])
        assert len(plain.boxes)
        np.testing.assert_array_equal(found.boxes, plain.boxes)
        np.testing.assert_array_equal(found.points5, plain.points5)
    faces = dlib.find([portrait])[0]
    np.testing.assert_array_equal(dlib.identify(padded, faces, 0), dlib.identify(portrait, faces, 0))


@pytest.mark.slow
def test_dlib_cnn_agrees_with_hog(hog, portrait):
    cnn = open_detector("dlib", "cnn", DlibOptions(max_side=384, identity=False), "cpu", 1)
    found, reference = cnn.find([portrait])[0], hog.find([portrait])[0]
    assert len(found.boxes) == 1
    assert np.linalg.norm(found.points5[0] - reference.points5[0], axis=1).max() < 10


def test_threads_change_nothing(hog, portrait):
    single = open_detector("dlib", "hog", DlibOptions(max_side=384, threshold=0.5, identity=False), "cpu", 1)
    pictures = [np.roll(portrait, 9 * step, axis=1) for step in range(3)]
    for one, many in zip(single.find(pictures), hog.find(pictures), strict=True):
        np.testing.assert_array_equal(one.boxes, many.boxes)
        np.testing.assert_array_equal(one.points68, many.points68)


def test_no_face_is_no_row_never_the_picture(shared, hog):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    for detector in (hog, scrfd(shared)):
        for faces in detector.find([noise, np.zeros((240, 320, 3), np.uint8)]):
            assert faces.boxes.shape == (0, 4)
            assert faces.scores.shape == (0,)
            assert faces.points5.shape == (0, 5, 2)


def constant_model(path, side, output):
    """An ONNX model that ignores its picture (1, 3, side, side) and returns ``output``."""
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(output[None].astype(np.float32))),
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
        helper.make_node("Constant", [], ["z"], value=numpy_helper.from_array(np.float32(0))),
        helper.make_node("Mul", ["m", "z"], ["n"]),
        helper.make_node("Add", ["c", "n"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, side, side])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, len(output)])]
    graph = helper.make_graph(nodes, "constant", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@pytest.mark.filterwarnings("ignore:.*estimate.*:FutureWarning")
def test_model_pack_gives_landmarks_and_identity(shared, known_picture, tmp_path):
    """A pack folder with the real detector and two stand-in networks of the published input and output shapes."""
    pack = tmp_path / "buffalo_s"
    pack.mkdir()
    shutil.copy(shared / "models" / "det_500m.onnx", pack)
    mesh = np.random.default_rng(0).uniform(-0.5, 0.5, (1103, 3))
    constant_model(pack / "1k3d68.onnx", 192, mesh.ravel())
    constant_model(pack / "w600k_mbf.onnx", 112, np.array([3.0, 0, 4.0]))
    detector = open_detector("retinaface", "buffalo_s", RetinaFaceOptions(det_sizes=(640,)), "cpu", 1, tmp_path)
    (faces,) = detector.find([known_picture])
    # The landmark network sees a square 1.5 times the box's longer side; its output -1..1 spans that square.
    middle = (faces.boxes[0, :2] + faces.boxes[0, 2:]) / 2
    half = 0.75 * (faces.boxes[0, 2:] - faces.boxes[0, :2]).max()
    np.testing.assert_allclose(faces.points68[0], middle + mesh[-68:, :2] * half, atol=0.05)
    np.testing.assert_allclose(detector.identify(known_picture, faces, 0), [0.6, 0, 0.8], atol=1e-6)
    assert detector.identity is not None
    assert set(detector.about["files"]) == {"det_500m.onnx", "1k3d68.onnx", "w600k_mbf.onnx"}


def test_missing_models_say_where_they_belong(tmp_path):
    with pytest.raises(InputError, match=r"buffalo_l/det_10g\.onnx"):
        open_detector("retinaface", "buffalo_l", RetinaFaceOptions(), "cpu", 1, tmp_path)
    with pytest.raises(InputError, match="models_dir"):
        open_detector("retinaface", "buffalo_l", RetinaFaceOptions(), "cpu", 1)
    with pytest.raises(InputError, match="buffalo_x"):
        open_detector("retinaface", "buffalo_x", RetinaFaceOptions(), "cpu", 1, tmp_path)
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"bad\.onnx"):
        open_detector("retinaface", str(tmp_path / "bad.onnx"), RetinaFaceOptions(), "cpu", 1)


def test_unknown_settings_are_refused():
    with pytest.raises(InputError, match="opencv"):
        open_detector("opencv", "", DlibOptions(), "cpu", 1)
    with pytest.raises(InputError, match="max_size"):
        parse(DlibOptions, {"max_size": 3}, "faces.options")
    with pytest.raises(InputError, match="haar"):
        open_detector("dlib", "haar", DlibOptions(), "cpu", 1)


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this machine has CUDA")
def test_cuda_is_never_replaced_by_the_cpu(shared):
    with pytest.raises(InputError, match="CUDAExecutionProvider"):
        open_detector("retinaface", str(shared / "models" / "det_500m.onnx"), RetinaFaceOptions(), "cuda", 1)
    with pytest.raises(InputError, match="CUDA"):
        open_detector("dlib", "hog", DlibOptions(), "cuda", 1)


def test_dlib_weights_missing_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="face_recognition_models"):
        open_detector("dlib", "hog", DlibOptions(), "cpu", 1)


@pytest.fixture(scope="module")
def cut_video(tmp_path_factory, portrait):
    """Portrait for 9 frames, a landscape of noise for 4, the portrait again."""
    folder = tmp_path_factory.mktemp("video")
    face = portrait[:256, 80:400]
    noise = np.random.default_rng(0).integers(120, 256, face.shape, np.uint8)
    write_video(folder / "v.mkv", [face] * 9 + [noise] * 4 + [face] * 5)
    write_frame_table(folder / "v.mkv", folder / "f.parquet")
    return folder


def detect(folder, output, **options):
    settings = {"max_side": 0, "threshold": 0.5, "identity_every": 4} | options
    detect_faces(
        folder / "v.mkv",
        folder / "f.parquet",
        output,
        backend="dlib",
        model="hog",
        options=DlibOptions(**settings),
        device="cpu",
        threads=1,
    )
    return output


def test_detection_table(cut_video, tmp_path):
    path = detect(cut_video, tmp_path / "d.parquet")
    found, about = read_detections(path), read_metadata(path)
    assert found.frame.tolist() == [*range(9), *range(13, 18)]
    assert about["cuts"] == [9, 13]
    assert about["frames"] == 18
    assert about["frames_with_face"] == 14
    assert (about["width"], about["height"]) == (320, 256)
    assert about["provider"] == "cpu"
    assert len(about["files"]["shape_predictor_68_face_landmarks.dat"]) == 64
    assert "no commercial use" in about["licence"]
    # New face, every fourth frame after that, anew after each cut.
    assert found.frame[found.identified].tolist() == [0, 4, 8, 13, 17]
    assert found.vectors.shape[1] == 128
    assert np.linalg.norm(found.points5[0] - (PORTRAIT_POINTS - [80, 0]), axis=1).max() < 5


def test_detection_without_identity(cut_video, tmp_path):
    path = detect(cut_video, tmp_path / "d.parquet", identity=False)
    assert not read_detections(path).identified.any()
    assert read_metadata(path)["identity_distance"] is None


@pytest.mark.slow
def test_detection_is_repeatable(cut_video, tmp_path):
    first, second = detect(cut_video, tmp_path / "a.parquet"), detect(cut_video, tmp_path / "b.parquet")
    assert first.read_bytes() == second.read_bytes()


def test_frame_table_of_another_video_is_refused(cut_video, tmp_path, portrait):
    write_video(tmp_path / "v.mkv", [portrait[:256, 80:400]] * 3)
    shutil.copy(cut_video / "f.parquet", tmp_path)
    with pytest.raises(InputError, match="3 frames decoded"):
        detect(tmp_path, tmp_path / "d.parquet", identity=False)
    assert not (tmp_path / "d.parquet").exists()


def test_unreadable_video_gives_an_empty_table(tmp_path):
    (tmp_path / "v.mkv").write_bytes(b"not a video")
    write_frame_table(tmp_path / "v.mkv", tmp_path / "f.parquet")
    path = detect(tmp_path, tmp_path / "d.parquet", identity=False)
    assert len(read_table(path, DETECTIONS_SCHEMA)) == 0
    assert read_metadata(path)["frames"] == 0


def test_cuts_are_told_from_motion_and_light(portrait):
    """A cut stands out; a pan, noise and a slow fade to black do not."""
    rng = np.random.default_rng(0)
    finder = CutFinder()
    pan = [np.roll(portrait, 8 * step, axis=1) for step in range(12)]
    noisy = [np.clip(pan[-1] + rng.normal(0, 25, portrait.shape), 0, 255).astype(np.uint8) for _ in range(6)]
    fade = [(pan[-1] * share).astype(np.uint8) for share in np.linspace(1, 0, 20)]
    other = [255 - portrait] * 3
    assert not any(finder(picture) for picture in pan + noisy + fade)
    assert [finder(picture) for picture in other] == [True, False, False]


def test_a_flicker_is_no_row_of_cuts_and_a_small_start_of_motion_is_none(portrait):
    """A cut needs both: a large difference, and one that is large beside the motion just before."""
    finder = CutFinder()
    flicker = [portrait, 255 - portrait] * 6
    assert [finder(picture) for picture in flicker] == [False, True] + [False] * 10
    finder = CutFinder()
    still, moved = [portrait] * 9, np.roll(portrait, 6, axis=1)
    assert not any(finder(picture) for picture in [*still, moved])


def slide(seed: int) -> np.ndarray:
    """A picture of large coloured patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    return cv2.resize(patches, (320, 180), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("each", [1, 2, 3, 5])
def test_every_slide_begins_with_a_cut_however_short_it_is(each):
    finder = CutFinder()
    found = [finder(picture) for number in range(20) for picture in [slide(number)] * each]
    assert np.flatnonzero(found).tolist() == list(range(each, 20 * each, each))


def test_two_slides_in_turn_are_cuts_and_shaking_is_none(portrait):
    finder = CutFinder()
    assert [finder(slide(k % 2)) for k in range(12)] == [False] + [True] * 11
    finder = CutFinder()
    shifts = np.random.default_rng(0).integers(0, 60, (30, 2))
    shaken = [portrait[y : y + 400, x : x + 400] for x, y in shifts]
    found = [finder(picture) for picture in shaken]
    assert sum(found[1:]) <= 1  # the first shake stands out from nothing


class Passport:
    """Faces at one position before one background; the vector of each is its grey level."""

    batch, identity, about = 4, 0.5, {}

    def search(self):
        return self

    def find(self, images, new_shots):
        boxes, points = np.array([[100.0, 40, 200, 160]], np.float32), np.ones((1, 5, 2), np.float32)
        return [Faces(boxes, np.ones(1, np.float32), points, None) for _ in images]

    def identify(self, image, faces, row):
        return np.array([image[100, 150, 0] // 60], np.float32)


@pytest.mark.parametrize(("grey", "cuts"), [((30, 130, 200), [10, 20]), ((130, 140, 175), [])])
def test_where_much_changes_and_all_faces_are_other_peoples_it_is_a_cut(tmp_path, monkeypatch, grey, cuts):
    """The whole image changes too little for a cut; in the second case the person stays and the light changes."""
    pictures = []
    for level in grey:
        picture = np.full((180, 320, 3), 90, np.uint8)
        picture[40:160, 110:190] = level
        pictures += [picture] * 10
    write_video(tmp_path / "v.mkv", pictures)
    write_frame_table(tmp_path / "v.mkv", tmp_path / "f.parquet")
    monkeypatch.setattr("wildaffect.faces.detect.open_detector", lambda *_: Passport())
    detect_faces(
        tmp_path / "v.mkv", tmp_path / "f.parquet", tmp_path / "d.parquet",
        backend="dlib", model="hog", options=DlibOptions(identity_every=100),
    )  # fmt: skip
    assert read_metadata(tmp_path / "d.parquet")["cuts"] == cuts


@pytest.mark.parametrize("each", [1, 3])
def test_portraits_before_one_background_are_cuts_without_identity(tmp_path, monkeypatch, each):
    """The image changes too little for a cut, the faces do not."""
    pictures = []
    for number in range(8):
        picture = np.full((360, 640, 3), 200, np.uint8)
        picture[40:160, 100:200] = cv2.resize(slide(number), (100, 120))
        pictures += [picture] * each
    write_video(tmp_path / "v.mkv", pictures)
    write_frame_table(tmp_path / "v.mkv", tmp_path / "f.parquet")
    faces = Passport()
    faces.identity = None
    monkeypatch.setattr("wildaffect.faces.detect.open_detector", lambda *_: faces)
    detect_faces(
        tmp_path / "v.mkv", tmp_path / "f.parquet", tmp_path / "d.parquet",
        backend="dlib", model="hog", options=DlibOptions(),
    )  # fmt: skip
    assert read_metadata(tmp_path / "d.parquet")["cuts"] == list(range(each, 8 * each, each))


def test_a_face_that_moves_turns_or_flickers_is_not_replaced(portrait):
    """Of two faces one may be replaced, as where somebody passes; an empty or outside box is nobody."""
    watch = FaceWatch()
    box = np.array([[150.0, 40, 300, 200]], np.float32)
    for step in range(8):
        assert not watch(np.roll(portrait, 12 * step, axis=1), box + 12 * step * np.array([1, 0, 1, 0]))
    for share in (1, 0.5, 1, 0.3):
        assert not watch((portrait * share).astype(np.uint8), box)
    assert not watch(255 - portrait, box)
    two = np.concatenate([box, box + 200 * np.array([1, 0, 1, 0])])
    other = portrait.copy()
    other[40:200, 350:500] = cv2.resize(slide(1), (150, 160))
    watch(portrait, two)
    assert not watch(other, two)
    assert not watch(portrait, np.array([[-50.0, -50, -10, -10], [10, 10, 10, 10]], np.float32))
    assert not watch(portrait, np.zeros((0, 4), np.float32))


def test_the_only_face_goes_on_where_the_image_is_turned(tmp_path, portrait):
    """A recording that goes on upright after a phone was turned: the face is then larger and elsewhere, and its vector is not known."""
    head, parts = cv2.resize(portrait[:200, 120:320], (360, 360)), []
    for name, size, start in (("lying", (360, 640), (0, 140)), ("upright", (640, 360), (140, 0))):
        image = np.full((*size, 3), 120, np.uint8)
        image[start[0] : start[0] + 360, start[1] : start[1] + 360] = head
        shown = Video([index / 25 for index in range(10)], lambda _, image=image: image, rate=Fraction(25))
        parts.append(write_media(tmp_path / f"{name}.h264", shown, container="h264"))
    video = join(tmp_path / "turned.h264", parts)
    frames, detections = tmp_path / "f.parquet", tmp_path / "d.parquet"
    write_frame_table(video, frames)
    detect_faces(video, frames, detections, backend="dlib", model="hog", options=DlibOptions(identity=False))
    about = read_metadata(detections)
    assert (about["frames_with_face"], about["cuts"], about["continued"]) == (20, [], [10])
    assign_persons(detections, frames, {"turned": "main"}, tmp_path / "p.parquet", options=TrackingOptions())
    assert read_metadata(tmp_path / "p.parquet")["trials"]["turned"]["detected"] == 20


def test_a_turned_phone_loses_no_face(shared, tmp_path):
    video = shared / "cases" / "phone_turned.webm"
    frames, detections = tmp_path / "f.parquet", tmp_path / "d.parquet"
    write_frame_table(video, frames)
    model = str(shared / "models" / "det_2.5g.onnx")
    detect_faces(video, frames, detections, backend="retinaface", model=model, options=RetinaFaceOptions())
    assign_persons(detections, frames, {"phone": "main"}, tmp_path / "p.parquet", options=TrackingOptions())
    assert read_metadata(tmp_path / "p.parquet")["trials"]["phone"]["detected"] == 50


def test_another_face_or_a_second_one_does_not_go_on(portrait):
    box, turned = np.array([[150.0, 40, 300, 200]], np.float32), np.array([[20.0, 20, 95, 100]], np.float32)
    small = cv2.resize(portrait, None, fx=0.5, fy=0.5)[:, 55:]
    other = small.copy()
    other[20:100, 20:95] = cv2.resize(slide(1), (75, 80))
    for image, boxes, goes_on in (
        (small, turned, True),
        (other, turned, False),
        (small, np.concatenate([turned, turned + 100]), False),
        (small, np.zeros((0, 4), np.float32), False),
    ):
        watch = FaceWatch()
        watch(portrait, box)
        assert watch.continues(image, boxes) == goes_on


@pytest.mark.parametrize("shape", [(3, 5000), (5000, 3), (1, 900), (2, 2)])
def test_extreme_shapes_have_no_face(tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    network = write_detector(tmp_path / "m.onnx", 9)
    for backend, model, options in (
        ("dlib", "hog", DlibOptions(identity=False)),
        ("retinaface", str(network), RetinaFaceOptions(threshold=0.999)),
    ):
        (faces,) = open_detector(backend, model, options, "cpu", 1).find([image])
        assert len(faces.boxes) == 0
    assert not CutFinder()(image)


@pytest.mark.parametrize(
    ("options", "longer", "expected"),
    [
        (RetinaFaceOptions(), 3840, 96),
        (RetinaFaceOptions(det_sizes=(1920, 640)), 3840, 32),
        (DlibOptions(), 3840, 480),
        (DlibOptions(), 320, 80),
        (DlibOptions(max_side=0, upsample=1), 3840, 40),
    ],
)
def test_the_smallest_face_follows_from_the_scaling(options, longer, expected):
    assert options.smallest_face(longer) == expected


PEAK = """
import re, sys
sys.path[:0] = sys.argv[1:3]
from wildaffect.faces.detect import detect_faces
from wildaffect.faces.options import RetinaFaceOptions
from wildaffect.media.frames import write_frame_table
video, model, folder = sys.argv[3:]
write_frame_table(video, folder + "/f.parquet")
options = RetinaFaceOptions(det_sizes=(256,), threshold=0.999)
detect_faces(video, folder + "/f.parquet", folder + "/d.parquet", backend="retinaface", model=model, options=options)
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_memory_does_not_grow_with_the_video(tmp_path, portrait, root):
    """Ten times the pictures (440 MB of them decoded) cost no more than a tenth more memory."""
    model = write_detector(tmp_path / "m.onnx", 9)
    peaks = []
    for count in (60, 600):
        write_video(tmp_path / "v.mkv", [np.roll(portrait, 3 * step, axis=0) for step in range(count)])
        paths = [root / "scripts", root / "tests", tmp_path / "v.mkv", model, tmp_path]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PEAK, *map(str, paths)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_options_of_a_job_are_those_of_the_plan(backend):
    options = DETECTORS[backend]()
    assert detector_options(backend, json.loads(json.dumps(options.plain()))) == options
    assert [*DETECTORS] == [*BACKENDS]
