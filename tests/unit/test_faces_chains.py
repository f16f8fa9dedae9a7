"""From a published image file or a frame to what a network is given: each original's own calls, written out, give the same pixels."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import get_sampling
from skimage.data import astronaut
from torchvision.transforms import functional

from support.faces import face, scene, write_detections, write_frames, write_video
from wildaffect.faces.alignment import ARCFACE
from wildaffect.faces.crops import CropFile
from wildaffect.faces.cutting import cut_crops, resize_crops
from wildaffect.faces.official import pack_official
from wildaffect.faces.options import TrackingOptions
from wildaffect.faces.persons import assign_persons
from wildaffect.faces.tables import read_trial
from wildaffect.faces.templates import get_template
from wildaffect.features.bodies.find import find_bodies
from wildaffect.features.scenes import cut_scenes
from wildaffect.systems.m3t.data import SIDE

PORTRAIT = astronaut()[20:200, 120:360]
FIRST = np.array([0])


@pytest.fixture(scope="module", params=[(112, "4:2:0", 90), (112, "4:4:4", 95), (128, "4:2:2", 80)], ids=str)
def organisers(request, tmp_path_factory):
    """Image 1 of trial v in both folders: aligned, a square as large as asked for; boxes, 97 x 133. Their crops by template."""
    side, subsampling, quality = request.param
    root = tmp_path_factory.mktemp("official")
    write_frames(root / "f.parquet", 1)
    for kind, part in (("cropped_aligned", PORTRAIT[:side, 60 : 60 + side]), ("cropped", PORTRAIT[:133, 70:167])):
        (root / kind / "v").mkdir(parents=True)
        Image.fromarray(part).save(root / kind / "v/00001.jpg", quality=quality, subsampling=subsampling)
    crops = {name: root / f"{name}.arrow" for name in ("arcface112", "m3t256", "cnu224")}
    pack_official(root, root / "f.parquet", "v", {get_template(name): path for name, path in crops.items()})
    for name in ("lfan48", "cnu_aligned224"):
        crops[name] = root / f"{name}.arrow"
        resize_crops(crops["arcface112"], get_template(name), crops[name])
    shown = {name: CropFile(path).read(FIRST)[0] for name, path in crops.items()}
    return root / "cropped_aligned/v/00001.jpg", root / "cropped/v/00001.jpg", shown, crops


def test_lfan_of_the_organisers_images(organisers):
    """LFAN spec 2.3: opened and shrunk by Pillow, kept as an array."""
    aligned, _, shown, _ = organisers
    with Image.open(aligned) as image:
        np.testing.assert_array_equal(shown["lfan48"], np.array(image.resize((48, 48), Image.Resampling.BICUBIC)))


def test_ntua_of_the_organisers_images(organisers):
    """NTUA spec 2.4, 2.7: opened by Pillow, resized by torchvision."""
    aligned, _, shown, _ = organisers
    with Image.open(aligned) as image:
        np.testing.assert_array_equal(
            shown["arcface112"], np.array(functional.resize(image.convert("RGB"), [112, 112]))
        )


def test_cnu_of_the_organisers_images(organisers):
    """CNU_ADL spec 2.1, 4: opened by OpenCV as BGR, resized without antialiasing, whatever the shape."""
    aligned, box, shown, _ = organisers
    for name, path in (("cnu224", box), ("cnu_aligned224", aligned)):
        image = cv2.resize(cv2.imread(str(path)), (224, 224), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(shown[name][..., ::-1], image)


def test_m3t_of_the_organisers_images(organisers):
    """M3T spec 2.1: images of 112 pixels, opened by OpenCV, are what the network sees. It cuts and halves ours (spec 2.3)."""
    aligned, _, shown, _ = organisers
    image = cv2.imread(str(aligned), cv2.IMREAD_COLOR_RGB)
    if len(image) != SIDE:
        pytest.skip("the original takes images of 112 pixels alone")
    cut = shown["m3t256"][16:240, 16:240]
    np.testing.assert_array_equal(cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), image)


def test_the_organisers_files_are_stored_as_they_are(organisers):
    """No template costs more than the download, and nothing is lost; the small one is an image of its own."""
    aligned, box, _, crops = organisers
    for name, path in (("arcface112", aligned), ("m3t256", aligned), ("cnu_aligned224", aligned), ("cnu224", box)):
        assert CropFile(crops[name]).stored(0) == path.read_bytes()
    assert CropFile(crops["lfan48"]).stored(0)[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("mode", "ending"), [("RGB", "png"), ("P", "png"), ("CMYK", "jpg"), ("RGB", "bmp"), ("L", "jpg")]
)
def test_images_of_other_kinds_lose_nothing_either(tmp_path, mode, ending):
    write_frames(tmp_path / "f.parquet", 1)
    folder = tmp_path / "cropped_aligned" / "v"
    folder.mkdir(parents=True)
    Image.fromarray(PORTRAIT[:112, :112]).convert(mode).save(folder / f"00001.{ending}")
    pack_official(tmp_path, tmp_path / "f.parquet", "v", {get_template("arcface112"): tmp_path / "c.arrow"})
    with Image.open(folder / f"00001.{ending}") as image:
        np.testing.assert_array_equal(CropFile(tmp_path / "c.arrow").read(FIRST)[0], np.asarray(image.convert("RGB")))


@pytest.fixture(scope="module")
def detected(tmp_path_factory):
    """A lossless video of one frame with a face, its crops, and how its landmarks go to the ArcFace points by OpenCV."""
    folder = tmp_path_factory.mktemp("detected")
    frame = np.ascontiguousarray(PORTRAIT)
    write_video(folder / "v.mkv", [frame] * 2)
    write_frames(folder / "f.parquet", 2)
    detections, _ = scene(face(np.arange(2), 105, 105, 90))
    write_detections(folder / "d.parquet", detections, 2)
    persons = folder / "p.parquet"
    assign_persons(folder / "d.parquet", folder / "f.parquet", {"v": "main"}, persons, options=TrackingOptions())
    names = ("arcface112", "tsav112", "lfan48", "cnu_aligned224")
    cut_crops(folder / "v.mkv", persons, "v", {get_template(name): folder / name for name in names})
    points = read_trial(persons, "v").points5[0].astype(np.float64)
    ends = np.concatenate([[[x, -y, 1, 0], [y, x, 0, 1]] for x, y in points])
    a, b, x, y = np.linalg.lstsq(ends, ARCFACE.ravel(), rcond=None)[0]
    return folder, frame, np.array([[a, -b, x], [b, a, y]])


def through_jpeg(path, image, **options):
    Image.fromarray(image).save(path, quality=95, **options)
    with Image.open(path) as file:
        return np.array(file)


def test_tsav_of_a_frame(detected, tmp_path):
    """TSAV spec 2.3, 2.6: warped with a bicubic filter and a black border, written with quality 95 and else an encoder's defaults."""
    folder, frame, matrix = detected
    warped = cv2.warpAffine(frame, matrix, (112, 112), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    crops = CropFile(folder / "tsav112")
    shown = crops.read(FIRST)[0]
    np.testing.assert_array_equal(shown, through_jpeg(tmp_path / "i.jpg", warped))
    cv2.imwrite(str(tmp_path / "o.jpg"), warped[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    np.testing.assert_array_equal(shown, cv2.imread(str(tmp_path / "o.jpg"), cv2.IMREAD_COLOR_RGB))
    (tmp_path / "s.jpg").write_bytes(crops.stored(0))
    with Image.open(tmp_path / "s.jpg") as image:
        assert get_sampling(image) == 2  # 4:2:0
    (tmp_path / "a.jpg").write_bytes(CropFile(folder / "arcface112").stored(0))
    with Image.open(tmp_path / "a.jpg") as image:
        assert get_sampling(image) == 0  # 4:4:4


def test_lfan_and_cnu_of_a_frame(detected, tmp_path):
    """One lossy pass, our JPEG of 112 pixels in the place of the organisers'; then the originals' own calls."""
    folder, frame, matrix = detected
    warped = cv2.warpAffine(frame, matrix, (112, 112), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    jpeg = through_jpeg(tmp_path / "i.jpg", warped, subsampling="4:4:4")
    shown = {name: CropFile(folder / name).read(FIRST)[0] for name in ("arcface112", "lfan48", "cnu_aligned224")}
    np.testing.assert_array_equal(shown["arcface112"], jpeg)
    small = Image.fromarray(jpeg).resize((48, 48), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(shown["lfan48"], np.array(small))
    np.testing.assert_array_equal(shown["cnu_aligned224"], cv2.resize(jpeg, (224, 224)))


@pytest.mark.parametrize(
    ("joints", "hidden"),
    [
        ([[50, 20], [70, 60]], (10, 70, 50, 70)),  # the specification's example
        ([[-40, 90], [60, 230]], (55, 180, 0, 61)),  # reaches out to the left and below: margins of 1 and 35
        ([[190, 60], [290, -20]], (0, 80, 189, 240)),
    ],
)
def test_ntua_of_a_frame(tmp_path, joints, hidden):
    """NTUA spec 2.5 to 2.7: the frame with the person of OpenPose's file black, squeezed by torchvision, and no JPEG behind it."""
    keypoints = np.zeros((25, 3))
    keypoints[:2, :2], keypoints[:2, 2] = joints, 0.9
    keypoints[2] = [5, 5, 0.05]  # not confident enough to count
    (tmp_path / "v.mkv_openpose_body25/json").mkdir(parents=True)
    people = {"people": [{"pose_keypoints_2d": keypoints.ravel().tolist()}]}
    (tmp_path / "v.mkv_openpose_body25/json/00001_keypoints.json").write_text(json.dumps(people))
    frame = np.ascontiguousarray(PORTRAIT)
    write_video(tmp_path / "v.mkv", [frame])
    write_frames(tmp_path / "f.parquet", 1)
    detections, _ = scene(face(FIRST, 105, 105, 90))
    write_detections(tmp_path / "d.parquet", detections, 1)
    persons, bodies = tmp_path / "p.parquet", tmp_path / "b.parquet"
    assign_persons(tmp_path / "d.parquet", tmp_path / "f.parquet", {"v": "main"}, persons, options=TrackingOptions())
    source = tmp_path / "v.mkv_openpose_body25/json"
    find_bodies("openpose", source, tmp_path / "v.mkv", persons, bodies, first_frame=1, person="first")
    wanted = {get_template(f"ntua_{kind}112"): tmp_path / kind for kind in ("frame", "context")}
    cut_scenes(tmp_path / "v.mkv", tmp_path / "f.parquet", bodies, "v", wanted)
    masked = frame.copy()
    top, bottom, left, right = hidden
    masked[top:bottom, left:right] = 0
    for kind, image in (("frame", frame), ("context", masked)):
        expected = np.array(functional.resize(Image.fromarray(image), [112, 112]))
        np.testing.assert_array_equal(CropFile(tmp_path / kind).read(FIRST)[0], expected, kind)
