"""Imports, embeddings and bodies in the graph of jobs."""

import json
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from support.corpora import write_annotation
from support.faces import write_video
from support.media import Sound, Video, counted, write_media
from support.pipeline import TINY_RECIPE, copy_project, run_workflow, write_config
from wildaffect.faces.crops import CropFile
from wildaffect.features.bodies.table import read_bodies

FRAMES = 5
BODIES = {"source": "openpose", "path": "openpose/{video}", "first_frame": 1, "person": "first"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two clips with labels, official pictures of all frames but the last, foreign vectors and OpenPose's files."""
    project = copy_project(tmp_path_factory.mktemp("features"))
    (project / "data" / "videos").mkdir(parents=True)
    (project / "external").mkdir()
    draw = np.random.default_rng(0)
    for name, folder in (("a", "Train_Set"), ("b", "Validation_Set")):
        write_video(
            project / "data" / "videos" / f"{name}.mkv", list(draw.integers(0, 255, (FRAMES, 32, 48, 3), np.uint8))
        )
        write_annotation(project / "data" / "VA_Estimation_Challenge" / folder / f"{name}.txt", FRAMES)
        pictures, people = project / "official" / "cropped_aligned" / name, project / "openpose" / name
        pictures.mkdir(parents=True)
        people.mkdir(parents=True)
        for number in range(1, FRAMES):
            Image.fromarray(draw.integers(0, 255, (112, 112, 3), np.uint8)).save(pictures / f"{number:05}.jpg")
            person = {"pose_keypoints_2d": [10.0 * number, 20.0, 0.9] * 25}
            (people / f"{number:05}_keypoints.json").write_text(json.dumps({"people": [person]}))
        np.save(project / "external" / f"{name}.npy", draw.normal(size=(FRAMES - 1, 3)).astype(np.float32))
    return project


def config(project, **features):
    section = {
        "vggish_weights": "seeded",
        "import": {"net": {"path": "external/{trial}.npy", "columns": 3, "missing": "hold"}},
        "embeddings": {"face": {"network": "resnet18", "weights": "seeded", "crops": "arcface112"}},
        "bodies": BODIES,
    }
    values = {
        "corpus": {"layout": "affwild2", "root": "data"},
        "folds": {"scheme": "official"},
        "faces": {"source": "official", "official_root": "official"},
        "features": section | features,
        "systems": {"lfan": {"variants": ["unimodal"], "targets": ["valence"], "recipe": TINY_RECIPE}},
    }
    return write_config(project / "own.yaml", values)


def test_a_trial_is_imported_without_anything_else(project):
    outcome = run_workflow(project, config(project), "-n", "--", "results/features/import.net/a.npy")
    assert outcome.status == 0, outcome.text
    assert outcome.jobs == {"decode_frames": 1, "import_feature": 1}


def test_what_is_not_described_has_no_rule(project):
    settings = config(project)
    wanted = [
        "results/features/import.other/a.npy",
        "results/features/embed.other/a.npy",
        "results/features/mfcc40/a.npy",
    ]
    for target in wanted:
        outcome = run_workflow(project, settings, "-n", "--", target)
        assert outcome.status != 0 and "MissingRuleException" in outcome.text, outcome.text
    outcome = run_workflow(project, config(project, bodies=None), "-n", "--", "results/bodies/a.parquet")
    assert outcome.status != 0 and "MissingRuleException" in outcome.text, outcome.text


def test_pictures_of_scenes_are_cut_from_the_video_whoever_gave_the_faces(project):
    settings = config(project)
    wanted = [f"results/crops/{name}/a.arrow" for name in ("ntua_frame112", "ntua_body112", "ntua_context112")]
    whole = run_workflow(project, settings, "-n", "--", wanted[0])
    assert whole.jobs == {"decode_frames": 1, "cut_scenes": 1}, whole.text
    done = run_workflow(project, settings, "--", *wanted)
    assert done.jobs == {"decode_frames": 1, "read_official": 1, "find_bodies": 1, "cut_scenes": 3}, done.text
    assert done.status == 0, done.text
    assert all(len(CropFile(project / path)) == FRAMES for path in wanted)
    assert run_workflow(project, settings, "-n", "--", *wanted).nothing_to_do
    outcome = run_workflow(project, config(project, bodies={"source": "face_box"}), "-n")
    assert outcome.status != 0 and "and not source face_box" in outcome.text


def test_an_absent_file_ends_before_any_job(project):
    entry = {"path": "external/{trial}.parquet", "columns": ["x"]}
    outcome = run_workflow(project, config(project, **{"import": {"net": entry}}), "-n")
    assert outcome.status != 0
    assert "features.import.net: 2 files do not exist: external/a.parquet, external/b.parquet" in outcome.text
    assert "Traceback" not in outcome.text


@pytest.mark.slow
def test_everything_described_is_made_and_made_again_when_its_source_changes(project):
    settings, results = config(project), project / "results"
    done = run_workflow(project, settings, "--", "features")
    assert done.status == 0, done.text[-4000:]
    made = {name: done.jobs[name] for name in done.jobs if done.jobs[name] and ("import" in name or "embed" in name)}
    assert made == {"import_feature": 2, "describe_import": 1, "embed_crops": 2, "describe_embedding": 1}

    source = np.load(project / "external" / "a.npy")
    values = np.load(results / "features" / "import.net" / "a.npy")
    assert np.array_equal(values, source[[0, 1, 2, 3, 3]])
    report = json.loads((results / "features" / "import.net" / "reports" / "a.json").read_text())
    assert report["runs"] == [[FRAMES - 1, 1]]
    assert json.loads((results / "features" / "import.net" / "about.json").read_text())["dim"] == 3

    vectors = np.load(results / "features" / "embed.face" / "b.npy")
    assert vectors.shape == (FRAMES, 512)
    assert len(np.unique(vectors, axis=0)) == FRAMES
    bodies = read_bodies(results / "bodies" / "b.parquet", "b")
    assert bodies.found.tolist() == [True] * (FRAMES - 1) + [False]
    assert bodies.boxes[2].tolist() == [30, 20, 30, 20]

    assert run_workflow(project, settings, "-n", "--", "features").nothing_to_do
    np.save(project / "external" / "a.npy", source + 1)
    again = run_workflow(project, settings, "-n", "--", "features").jobs
    assert again == {"features": 1, "import_feature": 1}


@pytest.mark.slow
def test_variants_are_trained_on_a_network_of_speech_and_compared(project):
    """From audio to the report: the vectors of an untrained network, two seeds of one variant, and their difference."""
    rate, draw = 16_000, np.random.default_rng(1)
    for name, folder in (("c", "Train_Set"), ("d", "Validation_Set"), ("e", "Validation_Set")):
        frames = Video([k / 25 for k in range(20)], counted, rate=Fraction(25))
        write_media(
            project / "speech" / "videos" / f"{name}.mkv", frames, Sound(draw.uniform(-0.5, 0.5, (1, rate)), rate)
        )
        write_annotation(project / "speech" / "VA_Estimation_Challenge" / folder / f"{name}.txt", 20)
        (project / "speech_faces" / "cropped_aligned" / name).mkdir(parents=True)
        image = Image.fromarray(draw.integers(0, 255, (112, 112, 3), np.uint8))
        image.save(project / "speech_faces" / "cropped_aligned" / name / "00001.jpg")
    entry = {"network": "wav2vec2_base", "weights": "seeded", "layers": [1, 2], "combine": "concatenate"}
    recipe = {"window": 10, "hop": 5, "hidden": 8, "layers": 1, "epochs": 1, "inputs": ["audio_embed.own"]}
    values = {
        "results_dir": "compared",
        "corpus": {"layout": "affwild2", "root": "speech"},
        "folds": {"scheme": "official"},
        "faces": {"source": "official", "official_root": "speech_faces"},
        "features": {"vggish_weights": "seeded", "audio_embeddings": {"own": entry}},
        "systems": {
            "lfan": False,
            "sequence": {"targets": ["va"], "recipe": recipe, "variants": {"gru": {"seeds": [1, 2]}}},
        },
        "score": {"compare": 20},
    }
    settings = write_config(project / "compared.yaml", values)
    outcome = run_workflow(project, settings, "--", "report", cores=1)
    assert outcome.status == 0, outcome.text[-4000:]
    wanted = {"embed_audio": 3, "describe_audio_embedding": 1, "train_system": 2, "compare_variants": 1}
    assert {name: outcome.jobs.get(name) for name in wanted} == wanted

    results = project / "compared"
    vectors = [np.load(results / "features" / "audio_embed.own" / f"{name}.npy") for name in "cde"]
    assert all(values.shape == (20, 2 * 768) for values in vectors) and not np.allclose(vectors[0], vectors[1])
    about = json.loads((results / "features" / "audio_embed.own" / "about.json").read_text())
    assert about["dim"] == 2 * 768 and about["weights"]["name"] == "seeded"

    rows = {row["metric"]: row for row in pd.read_csv(results / "scores" / "comparisons.csv").to_dict("records")}
    row = rows["va_score"]
    assert (row["first_run"], row["second_run"]) == ("sequence/gru_seed1/va", "sequence/gru_seed2/va")
    assert (row["trials"], row["videos"], row["frames"]) == (2, 2, 40)
    scored = pd.read_csv(results / "scores" / "scores.csv").query("metric == 'va_score' and partition == 'validation'")
    assert [row["first"], row["second"]] == pytest.approx(scored.sort_values("variant")["value"].tolist())
    assert row["difference"] == pytest.approx(row["first"] - row["second"])
    page = (results / "report" / "index.html").read_text()
    assert 'id="comparisons"' in page and "sequence/gru_seed1, sequence/gru_seed2" in page
    assert run_workflow(project, settings, "-n", "--", "report").nothing_to_do
