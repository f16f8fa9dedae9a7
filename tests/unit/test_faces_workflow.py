"""The face rules in the workflow: official pictures, derived templates, overlays on demand."""

import csv
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from support.corpora import write_annotation
from support.faces import write_video
from support.pipeline import TINY_RECIPE, copy_project, run_workflow, write_config
from wildaffect.faces.crops import CropFile
from wildaffect.faces.persons import PERSONS_SCHEMA
from wildaffect.media.frames import write_frame_table
from wildaffect.tables import read_metadata, read_table

pytestmark = pytest.mark.slow
FRAMES = 12


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The workflow, two short clips of the portrait, labels, and official pictures for all but two frames of each."""
    project = copy_project(tmp_path_factory.mktemp("faces"))
    videos = project / "data" / "videos"
    videos.mkdir(parents=True)
    face = astronaut()[:256, 80:400]
    for name, folder in (("a", "Train_Set"), ("b", "Validation_Set")):
        write_video(videos / f"{name}.mkv", [np.roll(face, 2 * step, axis=1) for step in range(FRAMES)])
        write_annotation(project / "data" / "VA_Estimation_Challenge" / folder / f"{name}.txt", FRAMES)
        pictures = project / "official" / "cropped_aligned" / name
        pictures.mkdir(parents=True)
        for number in range(1, FRAMES - 1):
            Image.fromarray(face[60:172, 90:202]).save(pictures / f"{number:05}.jpg")
    return project


BODIES = {"bodies": {"source": "face_box"}}


def config(project, features=None, **faces):
    values = {
        "corpus": {"layout": "affwild2", "root": "data"},
        "folds": {"scheme": "official"},
        "faces": faces,
        "features": {"vggish_weights": "seeded"} | (features or {}),
        "systems": {"lfan": {"variants": ["unimodal"], "targets": ["valence"], "recipe": TINY_RECIPE}},
    }
    return write_config(project / "own.yaml", values)


def test_official_pictures_become_the_same_files(project):
    """Persons, crops, contact sheets and the audit, without a detector and without its model."""
    settings = config(project, source="official", official_root="official")
    wanted = ["faces", "results/corpus/audit.csv"]
    done = run_workflow(project, settings, "--", *wanted)
    assert done.status == 0, done.text
    assert {
        name: done.jobs[name] for name in ("read_official", "pack_official", "resize_crops", "draw_contact_sheet")
    } == {
        "read_official": 2,
        "pack_official": 2,
        "resize_crops": 2,
        "draw_contact_sheet": 2,
    }
    assert not {"detect_faces", "assign_persons", "cut_crops"} & set(done.jobs)
    rows = read_table(project / "results/faces/a/persons.parquet", PERSONS_SCHEMA)
    assert rows["source"].to_pylist() == ["detected"] * (FRAMES - 2) + ["none"] * 2
    crops = CropFile(project / "results/crops/lfan48/a.arrow")
    assert crops.valid.tolist() == [True] * (FRAMES - 2) + [False] * 2
    assert crops.size == 48
    assert (project / "results/faces/sheets/b.jpg").stat().st_size > 1000
    with (project / "results/corpus/audit.csv").open(newline="") as handle:
        assert not [row for row in csv.DictReader(handle) if row["finding"] in ("no_face", "low_face_coverage")]
    assert run_workflow(project, settings, "-n", *wanted).nothing_to_do


def test_alignments_of_tsav_are_cut_from_the_videos(project):
    """Trial b's crop is a known square of the frame; a has an alignment too, and nothing is detected."""
    archive = project / "tsav"
    archive.mkdir()
    (archive / "video_info.txt").write_text("b,VA,val,main\na,VA,train,main\n")
    matrix, points = np.array([[1.0, 0, -90], [0, 1.0, -60]]), np.full((68, 2), 50.0)
    for entry in ("001_AU0__EX0__VA1_", "002_AU0__EX0__VA1v"):
        content = {"frame": [matrix] * (FRAMES - 1) + [None], "mask": [points] * (FRAMES - 1) + [None]}
        (archive / f"{entry}_alignment_mask.pkl").write_bytes(pickle.dumps(content))
    shutil.rmtree(project / "results", ignore_errors=True)
    settings = config(project, source="tsav", official_root="tsav")
    wanted = "results/crops/tsav112/b.arrow"
    done = run_workflow(project, settings, "--", wanted)
    assert done.status == 0, done.text
    assert done.jobs == {"decode_frames": 1, "read_alignments": 1, "cut_crops": 1}
    crops = CropFile(project / wanted)
    assert crops.valid.tolist() == [True] * (FRAMES - 1) + [False]
    face = np.roll(astronaut()[:256, 80:400], 2 * 3, axis=1)[60:172, 90:202]
    assert np.abs(crops.read(np.array([3]))[0].astype(int) - face).mean() < 3
    (archive / "002_AU0__EX0__VA1v_alignment_mask.pkl").unlink()
    refused = run_workflow(project, settings, "-n", "--", wanted)
    assert refused.status != 0 and "1 of 2 trials have no alignment" in refused.text and "'b'" in refused.text


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        ({"source": "official"}, "official_root: None is no folder that holds cropped_aligned"),
        ({"source": "official", "official_root": "nowhere"}, "nowhere is no folder"),
        ({"source": "official", "official_root": "official", "overrides": "o.csv"}, "overrides"),
        ({"source": "detect", "model": "d.onnx", "options": {"follow": {"evry": 3}}}, "evry"),
    ],
)
def test_what_cannot_work_is_said_before_any_job(project, faces, message):
    outcome = run_workflow(project, config(project, **faces), "-n", "faces")
    assert outcome.status != 0
    assert message in outcome.text


@pytest.mark.parametrize("sheets", [False, True])
def test_what_is_named_together_comes_from_one_job_with_the_same_bytes(project, sheets):
    """Faces, scenes and sounds; a sheet and resized crops with their source or by jobs of their own."""
    templates, sounds = ["arcface112", "m3t256", "lfan48"], ["mfcc39", "tsav_mel"]
    scenes = ["ntua_frame112", "ntua_context112"]
    faces = {"backend": "dlib", "model": "hog", "options": {"max_side": 0, "identity": False}}
    names = [f"results/crops/{template}/a.arrow" for template in templates + scenes]
    names += [f"results/features/{sound}/a.npy" for sound in sounds] + ["results/faces/sheets/a.jpg"]
    shutil.rmtree(project / "results", ignore_errors=True)
    settings = config(project, features=BODIES, **faces)
    apart = run_workflow(project, settings, "--", *names)
    assert apart.status == 0, apart.text
    single = {"cut_crops": 2, "resize_crops": 1, "draw_contact_sheet": 1, "cut_scenes": 2, "extract_features": 2}
    assert {rule: apart.jobs[rule] for rule in single} == single and not [n for n in apart.jobs if "together" in n]
    before = {name: (project / name).read_bytes() for name in names}
    for made in ("crops", "features", "faces/sheets"):
        shutil.rmtree(project / "results" / made)
    together = ["m3t256", "arcface112", *scenes] + (["lfan48", "sheets"] if sheets else [])
    settings = config(project, features=BODIES | {"single_pass": sounds}, **faces, single_pass=together)
    done = run_workflow(project, settings, "--", *names)
    assert done.status == 0, done.text
    rules = {"cut_crops_together", "cut_scenes_together", "extract_features_together"}
    assert {rule: done.jobs.get(rule) for rule in rules} == dict.fromkeys(rules, 1)
    assert {*single} & {*done.jobs} == (set() if sheets else {"resize_crops", "draw_contact_sheet"})
    assert {name: (project / name).read_bytes() for name in names} == before
    assert (project / "results/features/mfcc39/valid/a.npy").is_file()
    assert run_workflow(project, settings, "-n", "--", *names).nothing_to_do


def test_overlays_are_made_when_asked_for_and_only_then(project):
    settings = config(project, backend="dlib", model="hog", options={"max_side": 0, "identity": False})
    shutil.rmtree(project / "results", ignore_errors=True)
    planned = run_workflow(project, settings, "-n", "all")
    assert planned.status == 0, planned.text
    assert planned.jobs["cut_crops"] == planned.jobs["resize_crops"] == 2
    assert "draw_overlay" not in planned.jobs
    done = run_workflow(project, settings, "--", "overlays")
    assert done.status == 0, done.text
    assert done.jobs["draw_overlay"] == 2
    overlay = project / "results/faces/overlays/a.mp4"
    write_frame_table(overlay, project / "f.parquet")
    assert read_metadata(project / "f.parquet")["frames"] == FRAMES
