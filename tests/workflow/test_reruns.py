"""One small run of everything, then: what is made again after which change, and nothing else."""

import copy
import shutil
from pathlib import Path

import pytest

from support.pipeline import TINY_DEMO, TINY_RECIPE, copy_project, run_workflow, write_config

AFTER_TRAINING = {
    "predict_system",
    "fuse_folds",
    "score_predictions",
    "build_report",
    "export_csv",
    "write_submission",
    "verify_corpus",
    "all",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """Project copy and configuration of a finished run."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    config = write_config(project / "tiny.yaml", TINY_DEMO)
    outcome = run_workflow(project, config)
    assert outcome.status == 0, outcome.text[-5000:]
    return project, config


@pytest.fixture
def edit(finished):
    """Change a file of the finished project for one test."""
    originals = {}

    def change(name: str, old: str, new: str) -> None:
        path = finished[0] / name
        originals.setdefault(path, path.read_text())
        assert old in path.read_text(), f"{name} does not hold {old!r} any more"
        path.write_text(path.read_text().replace(old, new, 1))

    yield change
    for path, text in originals.items():
        path.write_text(text)


def planned(finished, *arguments: str, **changes) -> dict[str, int]:
    """Jobs that a call would run with ``changes`` to the configuration."""
    project, _ = finished
    changed = copy.deepcopy(TINY_DEMO)
    for key, value in changes.items():
        changed[key] = value
    outcome = run_workflow(project, write_config(project / "changed.yaml", changed), "-n", *arguments)
    assert outcome.status == 0, outcome.text[-3000:]
    assert outcome.nothing_to_do or outcome.jobs
    return outcome.jobs


def test_everything_is_there(finished):
    results = finished[0] / "results"
    expected = [
        "corpus/trials.parquet",
        "corpus/folds.parquet",
        "corpus/audit.csv",
        "labels/va.parquet",
        "scores/scores.csv",
        "report/index.html",
        "runs/lfan/multimodal/valence/fold0/run.json",
        "predictions/lfan/multimodal/arousal/ensemble/test.parquet",
        "submissions/abaw2/lfan/multimodal/va.json",
    ]
    assert [name for name in expected if not (results / name).is_file()] == []
    trials = {path.stem for path in (results / "exports" / "lfan" / "multimodal").glob("*.csv")}
    assert (
        trials
        == {path.stem for path in (results / "submissions" / "abaw2" / "lfan" / "multimodal" / "va").glob("*.txt")}
        != set()
    )
    assert not list(results.rglob("*.partial*")), "a temporary file was left behind"
    assert not list((results / "state").rglob("*.ckpt")), "rolling training state outlived its training"


def test_a_second_run_does_nothing(finished):
    outcome = run_workflow(*finished)
    assert outcome.status == 0 and outcome.nothing_to_do and not outcome.jobs


def test_a_fresh_clone_with_the_same_results_does_nothing(finished, tmp_path):
    clone = copy_project(tmp_path / "clone")
    shutil.copytree(finished[0] / "results", clone / "results")  # keeps time stamps, as rsync -a does
    shutil.copytree(finished[0] / ".snakemake", clone / ".snakemake")
    outcome = run_workflow(clone, write_config(clone / "tiny.yaml", TINY_DEMO), "-n")
    assert outcome.nothing_to_do, outcome.text[-3000:]


def test_a_comment_and_a_docstring_do_nothing(finished, edit):
    edit("scripts/wildaffect/faces/tracking.py", "import numpy as np\n", "import numpy as np  # a remark\n")
    edit("scripts/assign_persons.py", '"""', '"""Once more: ')
    edit("scripts/wildaffect/systems/lfan/model.py", '"""', '"""To be read: ')
    assert planned(finished) == {}


def test_the_tracker_reruns_persons_and_what_follows(finished, edit):
    edit("scripts/wildaffect/faces/tracking.py", "import numpy as np\n", "import numpy as np\n\nCHANGED = 1\n")
    jobs = planned(finished)
    assert {"assign_persons", "cut_crops", "draw_contact_sheet", "train_system", "build_report"} <= set(jobs)
    assert not {
        "render_demo_video",
        "decode_frames",
        "extract_audio",
        "detect_faces",
        "extract_feature",
        "join_labels",
    } & set(jobs)


def test_a_learning_rate_retrains_and_nothing_before(finished):
    recipe = TINY_RECIPE | {"learning_rate": 2e-3}
    jobs = planned(finished, systems={"lfan": TINY_DEMO["systems"]["lfan"] | {"recipe": recipe}})
    assert set(jobs) == {"train_system", *AFTER_TRAINING}
    assert jobs["train_system"] == 4


def test_one_system_leaves_the_others_alone(finished, edit):
    """A sixth system is one folder and one block; an edit of one folder retrains that system only."""
    project, _ = finished
    folder = project / "scripts" / "wildaffect" / "systems"
    twin = folder / "twin"
    shutil.copytree(folder / "lfan", twin)
    try:
        for path in [*twin.rglob("*.py"), *twin.rglob("*.yaml")]:
            path.write_text(
                path.read_text().replace("systems.lfan", "systems.twin").replace('name="lfan"', 'name="twin"')
            )
        block = TINY_DEMO["systems"]["lfan"]
        added = planned(finished, systems={"lfan": block, "twin": block})
        assert added["train_system"] == 4 and "extract_feature" not in added and "cut_crops" not in added
        edit("scripts/wildaffect/systems/lfan/model.py", "import torch\n", "import torch\n\nCHANGED = 1\n")
        reasons = run_workflow(
            project, write_config(project / "two.yaml", TINY_DEMO | {"systems": {"lfan": block, "twin": block}}), "-n"
        )
        assert reasons.jobs["train_system"] == 8  # four of the twin that never ran, four of the edited one
        only_twin = planned(finished, systems={"lfan": False, "twin": block})
        assert only_twin["train_system"] == 4
        edit("scripts/wildaffect/systems/lfan/model.py", "\nCHANGED = 1\n", "")
        (twin / "model.py").write_text((twin / "model.py").read_text() + "\nCHANGED = 1\n")
        assert planned(finished) == {}, "an edit of one system must not touch another"
    finally:
        shutil.rmtree(twin)


def test_own_videos_with_a_trained_run(finished, tmp_path):
    """A plain folder and a trained run give a CSV per video; a video added later is the only one processed."""
    project, _ = finished
    films = tmp_path / "my films"
    films.mkdir()
    videos = sorted((project / "results/corpus/demo/videos").iterdir())
    shutil.copy(videos[0], films / "first film.v1.mp4")
    config = write_config(
        project / "own.yaml",
        {
            **TINY_DEMO,
            "results_dir": "own results",
            "corpus": {"layout": "folder", "root": str(films)},
            "systems": {"lfan": {"variants": ["multimodal"], "trained": "results/runs"}},
        },
    )
    outcome = run_workflow(project, config)
    assert outcome.status == 0, outcome.text[-4000:]
    assert "train_system" not in outcome.jobs and "join_labels" not in outcome.jobs
    exported = project / "own results/exports/lfan/multimodal/first film.v1.csv"
    header, first, *_ = exported.read_text().splitlines()
    assert header.replace('"', "") == "frame,time_s,valence,arousal,source" and first.startswith("0,0")
    shutil.copy(videos[1], films / f"Zweiter Film ä{videos[1].suffix}")
    added = run_workflow(project, config, "-n").jobs
    each = ("decode_frames", "extract_audio", "detect_faces", "assign_persons", "draw_contact_sheet")
    assert {rule: added[rule] for rule in each} == dict.fromkeys(each, 1)
    assert added["cut_crops"] == added["resize_crops"] == 1 and added["extract_feature"] == 2
    touched = films / "first film.v1.mp4"
    touched.touch()
    assert run_workflow(project, config, "-n").jobs == added, "a newer time stamp alone must not redo a video"
