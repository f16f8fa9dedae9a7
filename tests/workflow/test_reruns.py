"""One small run of everything, then: what is made again after which change, and nothing else."""

import copy
import shutil
from pathlib import Path

import pytest

from support.pipeline import TINY_DEMO, TINY_RECIPE, copy_project, run_workflow, write_config
from wildaffect import paths
from wildaffect.corpus.trials import TASKS, TRIALS, trials_from_table
from wildaffect.demo.plan import plan
from wildaffect.demo.render import TEST_LISTS, render_video, write_annotations
from wildaffect.tables import read_table

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


TINY = TINY_DEMO | {"corpus": {"layout": "affwild2", "root": "data"}}
TEST_LIST = TEST_LISTS["va"]


def render_corpus(root: Path) -> None:
    """The demo corpus as somebody's Aff-Wild2 copy."""
    sizes = TINY_DEMO["corpus"]["demo"]
    videos = plan(sizes["subjects"], sizes["seconds"], sizes["seed"])
    for video in videos:
        render_video(video, sizes["seed"], root / "videos" / video.media)
    write_annotations(videos, sizes["seed"], root)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """Project copy and configuration of a finished run."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    render_corpus(project / "data")
    config = write_config(project / "tiny.yaml", TINY)
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
    changed = copy.deepcopy(TINY)
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
        *(f"labels/{task}.parquet" for task in TASKS),
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
    for part in ("results", "data"):
        shutil.copytree(finished[0] / part, clone / part)  # keeps time stamps, as rsync -a does
    outcome = run_workflow(clone, write_config(clone / "tiny.yaml", TINY), "-n")
    assert outcome.nothing_to_do, outcome.text[-3000:]


def test_a_comment_and_a_docstring_do_nothing(finished, edit):
    edit("scripts/wildaffect/faces/tracking.py", "import numpy as np\n", "import numpy as np  # a remark\n")
    edit("scripts/assign_persons.py", '"""', '"""Once more: ')
    edit("scripts/wildaffect/systems/lfan/model.py", '"""', '"""To be read: ')
    assert planned(finished) == {}


def test_the_tracker_reruns_persons_and_what_follows(finished, edit):
    edit("scripts/wildaffect/faces/tracking.py", "LEAST_OVERLAP = 0.", "LEAST_OVERLAP = 0.1")
    jobs = planned(finished)
    assert {"assign_persons", "cut_crops", "draw_contact_sheet", "train_system", "build_report"} <= set(jobs)
    assert not {
        "render_demo_video",
        "decode_frames",
        "extract_audio",
        "detect_faces",
        "extract_features",
        "join_labels",
    } & set(jobs)


def test_a_learning_rate_retrains_and_nothing_before(finished):
    recipe = TINY_RECIPE | {"learning_rate": 2e-3}
    jobs = planned(finished, systems={"lfan": TINY["systems"]["lfan"] | {"recipe": recipe}})
    assert set(jobs) == {"train_system", *AFTER_TRAINING}
    assert jobs["train_system"] == 4


def test_excluded_ranges_rerun_the_labels_of_their_tasks_and_what_reads_them(finished):
    trials = trials_from_table(read_table(finished[0] / "results" / paths.TRIALS, TRIALS))
    labelled = next(trial for trial in trials if trial.labelled("va"))
    unlabelled = next(trial for trial in trials if not any(map(trial.labelled, TASKS)))
    table = finished[0] / "ranges.csv"
    table.write_text(f"trial,start_s,end_s\n{unlabelled.trial},0,1\n")
    assert planned(finished, labels={"exclude": "ranges.csv"}) == {}
    table.write_text(f"trial,start_s,end_s\n{labelled.trial},0,1\n")
    jobs = planned(finished, labels={"exclude": "ranges.csv"})
    assert jobs["join_labels"] == sum(map(labelled.labelled, TASKS))
    assert set(jobs) <= {"join_labels", "audit_corpus", "train_system", *AFTER_TRAINING}
    assert {"train_system", "audit_corpus"} <= set(jobs)


def test_a_test_video_more_is_processed_and_nothing_is_trained_again(finished):
    project, config = finished
    videos = sorted((project / "data/videos").iterdir())
    extra, listed = project / "data/videos/extra.mp4", project / "data" / TEST_LIST
    names = listed.read_text()
    try:
        shutil.copy(videos[0], extra)
        listed.write_text(names + "extra\n")
        jobs = run_workflow(project, config, "-n").jobs
    finally:
        extra.unlink()
        listed.write_text(names)
    each = (
        "decode_frames",
        "extract_audio",
        "detect_faces",
        "assign_persons",
        "cut_crops",
        "resize_crops",
        "draw_contact_sheet",
    )
    assert {rule: jobs[rule] for rule in each} == dict.fromkeys(each, 1)
    assert jobs["extract_features"] == 2 and jobs["predict_system"] == 4, (
        "two features; test trials of two targets and folds"
    )
    assert not {"train_system", "join_labels", "list_members"} & set(jobs)


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
        block = TINY["systems"]["lfan"]
        added = planned(finished, systems={"lfan": block, "twin": block})
        assert added["train_system"] == 4 and "extract_features" not in added and "cut_crops" not in added
        edit("scripts/wildaffect/systems/lfan/model.py", "import torch\n", "import torch\n\nCHANGED = 1\n")
        reasons = run_workflow(
            project, write_config(project / "two.yaml", TINY | {"systems": {"lfan": block, "twin": block}}), "-n"
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
    """A plain folder and a trained run give a CSV per video; a broken file is told; a video added later is the only one processed."""
    project, _ = finished
    films = tmp_path / "my films"
    films.mkdir()
    videos = sorted((project / "data/videos").iterdir())
    shutil.copy(videos[0], films / "first film.v1.mp4")
    (films / "empty.mp4").touch()
    settings = {
        **TINY,
        "results_dir": "own results",
        "corpus": {"layout": "folder", "root": str(films)},
        "systems": {"lfan": {"variants": ["multimodal"], "trained": "results/runs"}},
    }
    config = write_config(project / "own.yaml", settings)
    outcome = run_workflow(project, config)
    assert outcome.status == 1 and "empty: unreadable_video" in outcome.text, outcome.text[-4000:]
    assert "train_system" not in outcome.jobs and "join_labels" not in outcome.jobs
    assert (project / "own results/report/index.html").is_file()
    exported = project / "own results/exports/lfan/multimodal/first film.v1.csv"
    header, first, *_ = exported.read_text().splitlines()
    assert header.replace('"', "") == "frame,time_s,valence,arousal,source" and first.startswith("0,0")

    settings["corpus"]["accept_findings"] = ["unreadable_video"]
    config = write_config(project / "own.yaml", settings)
    accepted = run_workflow(project, config)
    assert accepted.status == 0, accepted.text[-4000:]
    assert not {"decode_frames", "detect_faces", "predict_system"} & set(accepted.jobs)

    shutil.copy(videos[1], films / f"Zweiter Film ä{videos[1].suffix}")
    added = run_workflow(project, config, "-n").jobs
    each = ("decode_frames", "extract_audio", "detect_faces", "assign_persons", "draw_contact_sheet")
    assert {rule: added[rule] for rule in each} == dict.fromkeys(each, 1)
    assert added["cut_crops"] == added["resize_crops"] == 1 and added["extract_features"] == 2
    (films / "first film.v1.mp4").touch()
    assert run_workflow(project, config, "-n").jobs == added, "a newer time stamp alone must not redo a video"


def test_weights_of_a_run_serve_the_same_inputs_elsewhere_and_no_others(finished):
    project, _ = finished
    block = {"variants": ["multimodal"], "trained": "results/runs"}
    other = {key: TINY[key] for key in ("faces", "features")} | {
        "results_dir": "elsewhere",
        "corpus": {"layout": "folder", "root": "data/videos"},
        "systems": {"lfan": block},
    }
    outcome = run_workflow(project, write_config(project / "other.yaml", other), "-n")
    assert outcome.status == 0 and outcome.jobs["predict_system"] == 4, outcome.text[-3000:]
    faces = {"backend": "dlib", "model": "hog", "options": {"max_side": 480}, "tracking": {"interpolate": 3}}
    outcome = run_workflow(project, write_config(project / "other.yaml", other | {"faces": faces}), "-n")
    assert outcome.status != 0 and "Job stats" not in outcome.text
    assert "faces.options.max_side: trained on 320, here 480" in outcome.text
    assert "faces.tracking.interpolate: trained on 15, here 3" in outcome.text
    accepted = {"lfan": block | {"accept_inputs": ["faces"]}}
    outcome = run_workflow(
        project, write_config(project / "other.yaml", other | {"faces": faces, "systems": accepted}), "-n"
    )
    assert outcome.status == 0, outcome.text[-3000:]
