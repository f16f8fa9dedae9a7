"""Real clips with generated labels through the whole workflow, once with each face backend."""

import csv
import os
import shutil

import numpy as np
import pyarrow as pa
import pytest

from support.corpora import write_annotation
from support.pipeline import TINY_RECIPE, copy_project, run_workflow, write_config
from wildaffect.faces.crops import CropFile
from wildaffect.faces.persons import PERSONS_SCHEMA
from wildaffect.tables import read_metadata, read_table

# Clip, trials with their partition, and annotation rows; the clips decode to the number of frames in the comment.
CLIPS = {
    "visualvoice_interview.mp4": (
        {"visualvoice_interview_left": "Train_Set", "visualvoice_interview_right": "Train_Set"},
        439,
    ),  # 438
    "openface_default.wmv": ({"openface_default": "Train_Set"}, 288),  # 288
    "grid_bbaf2n.mpg": ({"grid_bbaf2n": "Train_Set"}, 70),  # 75
    "facerecognition_short_hamilton.mp4": ({"facerecognition_short_hamilton": "Validation_Set"}, 275),  # 275
    "pyfeat_face_noface.mov": ({"pyfeat_face_noface": "Validation_Set"}, 169),  # 169
    "decord_corrupted.mp4": ({"decord_corrupted": "Train_Set"}, 300),  # 49
}
TEST_TRIAL = "pyfeat_no_face"
BACKENDS = {
    "retinaface": lambda shared: {"backend": "retinaface", "model": str(shared / "models" / "det_500m.onnx")},
    "dlib": lambda shared: {"backend": "dlib", "model": "hog", "options": {"identity_every": 60}},
}


@pytest.fixture(scope="module", params=sorted(BACKENDS))
def run(request, shared, tmp_path_factory):
    """A finished run over real clips and two broken files; the results can be kept with WILDAFFECT_KEEP=<folder>."""
    project = copy_project(tmp_path_factory.mktemp(request.param))
    data = project / "data"
    (data / "videos").mkdir(parents=True)
    for clip, (trials, rows) in CLIPS.items():
        shutil.copy(shared / "realdata" / "videos" / clip, data / "videos" / clip)
        wave = np.sin(np.linspace(0, 9, rows))
        for trial, folder in trials.items():
            path = data / "VA_Estimation_Challenge" / folder / f"{trial}.txt"
            write_annotation(path, 0)
            path.write_text("valence,arousal\n" + "".join(f"{v:.3f},{-v:.3f}\n" for v in wave))
    shutil.copy(shared / "realdata" / "videos" / f"{TEST_TRIAL}.mp4", data / "videos")
    (data / "Valence_Arousal_Estimation_Challenge_test_set_release.txt").write_text(f"{TEST_TRIAL}\n")
    (data / "videos" / "zero.mp4").touch()
    (data / "videos" / "not a video.avi").write_text("just words\n" * 100)
    for name in ("zero", "not a video"):
        write_annotation(data / "VA_Estimation_Challenge" / "Train_Set" / f"{name}.txt", 100)
    config = {
        "corpus": {"layout": "affwild2", "root": "data"},
        "folds": {"scheme": "official"},
        "faces": BACKENDS[request.param](shared),
        "features": {"vggish_weights": "seeded"},
        "systems": {"lfan": {"variants": ["multimodal"], "recipe": TINY_RECIPE}},
    }
    outcome = run_workflow(project, write_config(project / "clips.yaml", config))
    assert outcome.status == 1, outcome.text[-6000:]
    assert "zero: unreadable_video" in outcome.text and "not a video: unreadable_video" in outcome.text
    assert (project / "results" / "report" / "index.html").is_file(), outcome.text[-6000:]
    if os.environ.get("WILDAFFECT_KEEP"):
        shutil.copytree(project / "results", f"{os.environ['WILDAFFECT_KEEP']}/{request.param}", dirs_exist_ok=True)
    return request.param, project / "results"


pytestmark = [pytest.mark.slow, pytest.mark.shared, pytest.mark.timeout(1800)]


def test_every_anomaly_is_one_line_of_the_audit(run):
    _, results = run
    with (results / "corpus" / "audit.csv").open() as handle:
        findings = {(row["video"], row["trial"], row["finding"]): row for row in csv.DictReader(handle)}
    expected = {
        ("zero", "", "unreadable_video"),
        ("not a video", "", "unreadable_video"),
        ("decord_corrupted", "", "truncated_video"),
        ("decord_corrupted", "decord_corrupted", "label_rows_far_off"),
        ("visualvoice_interview", "visualvoice_interview_left", "label_rows_one_more"),
        ("grid_bbaf2n", "grid_bbaf2n", "label_rows_fewer"),
        ("facerecognition_short_hamilton", "", "audio_early"),
        ("pyfeat_face_noface", "", "variable_frame_rate"),
        ("pyfeat_face_noface", "", "audio_late"),
        ("pyfeat_no_face", "pyfeat_no_face", "no_face"),
    }
    assert expected <= set(findings)
    assert findings["zero", "", "unreadable_video"]["severity"] == "error"


def test_left_and_right_keep_their_sides(run):
    _, results = run
    persons = read_table(results / "faces" / "visualvoice_interview" / "persons.parquet", PERSONS_SCHEMA).to_pandas()
    centre = (persons.x0 + persons.x1) / 2
    left = centre[persons.trial == "visualvoice_interview_left"].to_numpy()
    right = centre[persons.trial == "visualvoice_interview_right"].to_numpy()
    both = ~np.isnan(left) & ~np.isnan(right)
    assert both.mean() > 0.95 and (left[both] < right[both]).all()


def test_faces_are_found_where_there_are_some(run):
    _, results = run
    facts = {}
    for path in (results / "faces").glob("*/persons.parquet"):
        facts |= read_metadata(path)["trials"]
    assert facts["openface_default"]["coverage"] > 0.95
    assert facts["grid_bbaf2n"]["coverage"] > 0.95
    assert 0.2 < facts["pyfeat_face_noface"]["coverage"] < 0.8
    assert facts["pyfeat_no_face"]["coverage"] == 0


def test_crops_hold_a_face_in_the_middle(run):
    """dlib finds a face in most crops of a clear clip, near the place that the template puts it."""
    import dlib

    detector = dlib.get_frontal_face_detector()
    _, results = run
    crops = CropFile(results / "crops" / "arcface112" / "openface_default.arrow")
    rows = np.flatnonzero(crops.valid)[::40]
    found = [detector(picture, 1) for picture in crops.read(rows)]
    centres = [(box.center().x, box.center().y) for boxes in found for box in boxes[:1]]
    assert len(centres) >= 0.7 * len(rows)
    assert np.abs(np.median(centres, axis=0) - [56, 60]).max() < 12


def test_predictions_have_a_row_per_frame_and_say_what_was_seen(run):
    _, results = run
    table = read_table(
        results / "predictions/lfan/multimodal/valence/ensemble/test.parquet",
        pa.schema([("trial", pa.string()), ("source", pa.string())]),
    ).to_pandas()
    assert len(table) == 95 and set(table.source) == {"no_face"}
    assert len((results / f"submissions/abaw2/lfan/multimodal/va/{TEST_TRIAL}.txt").read_text().splitlines()) == 96


def test_report_is_complete(run):
    _, results = run
    page = (results / "report" / "index.html").read_text()
    for text in ("visualvoice_interview_left", "unreadable_video", '.jpg"', "seeded"):
        assert text in page
