"""Detector graphs: every layout decodes as insightface decodes it, one picture or many at a time."""

from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime
import pytest
from insightface.model_zoo.retinaface import RetinaFace
from insightface.model_zoo.scrfd import SCRFD
from skimage.data import astronaut

from support.faces import write_detector
from wildaffect.config import parse
from wildaffect.errors import InputError
from wildaffect.faces.detectors import open_detector
from wildaffect.faces.detectors.scrfd import Candidates, DetectorNetwork, Scanner, best_of_overlapping
from wildaffect.faces.options import FollowOptions, RetinaFaceOptions

THRESHOLD = 0.55


def pictures(count, height=256, width=256):
    rng = np.random.default_rng(1)
    start = rng.integers(0, 200, (count, 2))
    parts = np.stack([astronaut()[y : y + height, x : x + width] for y, x in start])
    # Noise, so that no two places score the same.
    return np.clip(parts + rng.integers(-20, 20, parts.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("layout", "batched", "reader"),
    [(9, False, SCRFD), (9, False, RetinaFace), (9, True, SCRFD), (15, False, RetinaFace)],
)
def test_layouts_decode_as_insightface_does(tmp_path, layout, batched, reader):
    path = write_detector(tmp_path / "d.onnx", layout, batched)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    reference = reader(session=session)
    # Every candidate is kept: insightface's overlap counts one pixel more, so borderline boxes may stay or go.
    reference.det_thresh, reference.nms_thresh = 0.6, 1.0
    scanner = Scanner(DetectorNetwork(path, "cpu", 1, 0.6, 1), (256,), 1.0)
    for picture in pictures(2):
        boxes, points = reference.detect(np.ascontiguousarray(picture[:, :, ::-1]), input_size=(256, 256))
        (found,) = scanner.scan([picture])
        assert len(boxes) > 10
        np.testing.assert_allclose(found.scores, boxes[:, 4], atol=1e-6)
        np.testing.assert_allclose(found.boxes, boxes[:, :4], atol=1e-3)
        np.testing.assert_allclose(found.points, points, atol=1e-3)


@pytest.mark.parametrize(("layout", "batched"), [(9, False), (15, False), (9, True)])
def test_batches_change_nothing(tmp_path, layout, batched):
    path = write_detector(tmp_path / "d.onnx", layout, batched)
    single = DetectorNetwork(path, "cpu", 1, THRESHOLD, 1)
    many = DetectorNetwork(path, "cpu", 1, THRESHOLD, 4)
    assert many.batch == 4
    batch = pictures(3, 128, 256)
    for one, picture in zip(many(batch), batch, strict=True):
        (alone,) = single(picture[None])
        for name in ("boxes", "scores", "points"):
            np.testing.assert_allclose(getattr(one, name), getattr(alone, name), atol=1e-4)


@pytest.mark.shared
def test_published_file_takes_batches(shared):
    """It was exported for one picture, but nothing in it depends on that."""
    path = shared / "models" / "det_500m.onnx"
    many, single = DetectorNetwork(path, "cpu", 1, 0.3, 3), DetectorNetwork(path, "cpu", 1, 0.3, 1)
    assert many.batch == 3
    batch = np.stack([np.roll(astronaut(), 20 * step, axis=1)[:512, :480] for step in range(3)])
    for one, picture in zip(many(batch), batch, strict=True):
        np.testing.assert_allclose(one.points, single(picture[None])[0].points, atol=1e-2)
        assert len(one.boxes)


def test_scanning_in_batches_is_scanning_one_by_one(tmp_path):
    path = write_detector(tmp_path / "d.onnx", 9)
    some = list(pictures(5, 200, 310))
    one = Scanner(DetectorNetwork(path, "cpu", 1, THRESHOLD, 1), (256, 128), 0.4).scan(some)
    four = Scanner(DetectorNetwork(path, "cpu", 1, THRESHOLD, 4), (256, 128), 0.4).scan(some)
    for first, second in zip(one, four, strict=True):
        np.testing.assert_allclose(first.boxes, second.boxes, atol=1e-3)
        assert first.sizes.tolist() == second.sizes.tolist()
        assert {256, 128} >= set(first.sizes.tolist())


def test_the_network_gets_what_opencv_makes_of_the_images():
    """Bit for bit, for all values of a pixel."""
    given = []
    session = SimpleNamespace(
        get_inputs=lambda: [SimpleNamespace(name="images")],
        run=lambda _, inputs: given.append(inputs["images"]),
    )
    images = (
        np.random.default_rng(0).permutation(np.arange(2 * 64 * 96 * 3) % 256).astype(np.uint8).reshape(2, 64, 96, 3)
    )
    DetectorNetwork._run(session, images)
    expected = cv2.dnn.blobFromImages(list(images), 1 / 128, None, (127.5, 127.5, 127.5))
    assert given[0].dtype == np.float32 and given[0].tobytes() == expected.tobytes()


@pytest.mark.parametrize(("side", "searched"), [(0, [64, 32]), (15, [64, 32]), (17, [64])])
def test_an_image_with_a_large_face_is_searched_no_further(side, searched):
    """Large is a quarter of its longer side, 64 pixels; the image beside it without a face is searched at both sizes."""
    calls = []

    def network(canvases):
        calls.append((canvases.shape[2], len(canvases)))
        found = [Candidates(np.float32([[8, 8, 8 + side, 20]]), np.float32([0.9]), np.zeros((1, 5, 2), np.float32))]
        nothing = [Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))]
        return [*(found if canvases[0].any() else nothing), *nothing][: len(canvases)]

    network.multiple, network.fixed, network.batch = 32, None, 2
    bright, dark = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64, 3), np.uint8)
    both = Scanner(network, (64, 32), 0.4).scan([bright, dark])
    assert [size for size, _ in calls] == [64, 32]
    assert calls[1][1] == (2 if len(searched) == 2 else 1)
    assert set(both[0].sizes) <= {64, 32} and (64 in both[0].sizes) and not len(both[1].boxes)


def test_graphs_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="no landmarks"):
        open_detector("retinaface", str(write_detector(tmp_path / "a.onnx", 6)), RetinaFaceOptions(), "cpu", 1)
    with pytest.raises(InputError, match="no landmarks"):
        open_detector("retinaface", str(write_detector(tmp_path / "b.onnx", 10)), RetinaFaceOptions(), "cpu", 1)
    fixed = str(write_detector(tmp_path / "c.onnx", 9, side=256))
    with pytest.raises(InputError, match=r"det_sizes: \[256\]"):
        open_detector("retinaface", fixed, RetinaFaceOptions(), "cpu", 1)
    with pytest.raises(InputError, match="one image size"):
        open_detector("retinaface", fixed, RetinaFaceOptions(det_sizes=(256,), follow=FollowOptions()), "cpu", 1)
    deep = str(write_detector(tmp_path / "e.onnx", 15))
    with pytest.raises(InputError, match="multiples of 128"):
        open_detector("retinaface", deep, RetinaFaceOptions(det_sizes=(640, 288)), "cpu", 1)
    with pytest.raises(InputError, match="evry"):
        parse(RetinaFaceOptions, {"det_sizes": [640], "follow": {"evry": 3}}, "faces.options")


def test_fixed_graph_searches_its_square(tmp_path):
    detector = open_detector(
        "retinaface",
        str(write_detector(tmp_path / "c.onnx", 9, side=256)),
        RetinaFaceOptions(det_sizes=(256,)),
        "cpu",
        1,
    )
    assert len(detector.find([astronaut()[:300, :500]])) == 1


def test_best_of_overlapping_keeps_no_pair_above_the_limit():
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 60, (40, 2))
    boxes = np.hstack([corner, corner + rng.uniform(5, 40, (40, 2))])
    keep = best_of_overlapping(boxes, 0.3)
    assert keep[0] == 0
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    overlap = shared / (area[:, None] + area[None] - shared)
    np.fill_diagonal(overlap, 0)
    assert overlap[np.ix_(keep, keep)].max() <= 0.3
    dropped = set(range(40)) - set(keep)
    assert all(overlap[row, [k for k in keep if k < row]].max() > 0.3 for row in dropped)
