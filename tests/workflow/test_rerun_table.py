"""What reruns after which change: the table of docs/architecture.md, counted by dry runs over stand-ins of results of all systems."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.pipeline import copy_project, run_workflow, write_config
from support.standins import finish, give_everything, settings

LIBRARY = "scripts/wildaffect"
TARGETS = ("--", "all", "features")
SYSTEMS = {
    "lfan": {"variants": ["multimodal"], "targets": ["valence"]},
    "tsav": {"targets": ["va"]},
    "m3t": {"variants": ["visual_mtl"], "targets": ["va"], "recipe": {"face_vectors": "zeros"}},
    "ntua": {"variants": ["visual"], "targets": ["va"]},
    "cnu_adl": {"variants": ["image"], "targets": ["va"]},
}
AFTER_TRAINING = {"predict_system", "fuse_folds", "export_csv", "write_submission", "score_predictions"}
REPORT = {"build_report", "verify_corpus", "all"}


def configuration(folder: Path, systems: dict = SYSTEMS) -> dict:
    return settings(folder) | {"systems": systems}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """A copy of the project and the folder of its given files and results."""
    folder = tmp_path_factory.mktemp("rerun")
    give_everything(folder)
    project = copy_project(folder / "project")
    done = finish(project, write_config(folder / "config.yaml", configuration(folder)), "all", "features")
    assert done.status == 0 and done.jobs["train_system"] == len(SYSTEMS), done.text[-3000:]
    return project, folder


@pytest.fixture
def plan(finished, tmp_path) -> Callable[..., dict[str, int]]:
    """Jobs per rule that a run would make after an edit of the project, which is undone afterwards."""
    project, folder = finished
    kept = tmp_path / "kept"
    for part in ("scripts", "workflow"):
        shutil.copytree(project / part, kept / part)

    def count(systems: dict = SYSTEMS, *options: str, **sections: dict) -> dict[str, int]:
        changed = write_config(folder / "changed.yaml", configuration(folder, systems) | sections)
        outcome = run_workflow(project, changed, "-n", *options, *TARGETS)
        assert outcome.status == 0, outcome.text[-3000:]
        assert outcome.nothing_to_do or outcome.jobs
        return outcome.jobs

    yield count
    for part in ("scripts", "workflow"):
        shutil.rmtree(project / part)
        shutil.copytree(kept / part, project / part)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path.name} does not hold {old!r} any more"
    path.write_text(text.replace(old, new, 1))


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def add_feature(library: Path) -> None:
    source = (library / "features/audio/tsav_wave.py").read_text()
    (library / "features/audio/tsav_copy.py").write_text(source.replace("tsav_wave", "tsav_copy"))


def add_template(library: Path) -> None:
    source = (library / "faces/templates/arcface112.yaml").read_text()
    (library / "faces/templates/arcface64.yaml").write_text(re.sub("size: 112", "size: 64", source))


def add_edition(library: Path) -> None:
    shutil.copyfile(library / "scoring/editions/abaw2.yaml", library / "scoring/editions/abaw99.yaml")


def add_system(library: Path) -> None:
    shutil.copytree(library / "systems/lfan", library / "systems/twin")
    for path in (library / "systems/twin").glob("*.py"):
        path.write_text(path.read_text().replace("systems.lfan", "systems.twin").replace('name="lfan"', 'name="twin"'))


@pytest.mark.parametrize("add", [add_feature, add_template, add_edition, add_system])
def test_what_is_added_leaves_everything_alone(finished, plan, add):
    add(finished[0] / LIBRARY)
    assert plan() == {}


def test_a_named_variant_plans_its_own_jobs_and_retrains_nothing(plan):
    variants = {"image": {}, "second": {"base": "image", "seed": 1}}
    jobs = plan(SYSTEMS | {"cnu_adl": {"variants": variants, "targets": ["va"]}})
    assert jobs["train_system"] == 1 and set(jobs) <= AFTER_TRAINING | REPORT | {"train_system"}
    assert (jobs["predict_system"], jobs["fuse_folds"]) == (2, 1)


def test_comments_leave_everything_alone(finished, plan):
    project = finished[0]
    for pattern, comment in (
        ("*.py", "# a remark"),
        ("*.yaml", "# a remark"),
        ("*.smk", "# a remark"),
        ("*.conf", "; a remark"),
    ):
        for path in [*(project / "scripts").rglob(pattern), *(project / "workflow").rglob(pattern)]:
            append(path, f"\n{comment}\n")
    assert plan() == {}


def test_docstrings_and_descriptions_leave_everything_alone(finished, plan):
    library = finished[0] / LIBRARY
    for path in library.rglob("*.py"):
        text = path.read_text()
        path.write_text(re.sub(r'^"""', '"""Once more: ', text, count=1))
    described = library / "systems/lfan/spec.py"
    text = described.read_text()
    described.write_text(re.sub(r'^    """', '    """In other words: ', text, flags=re.MULTILINE))
    assert described.read_text().count("In other words") > 10
    assert plan() == {}


def test_words_of_errors_and_logs_leave_everything_alone(finished, plan):
    library, changed = finished[0] / LIBRARY, 0
    for path in library.rglob("*.py"):
        text = path.read_text()
        new = re.sub(r'(raise InputError\(\s*f?")', r"\1In other words: ", text)
        new = re.sub(r'(log\.(?:info|warning)\(\s*f?")', r"\1In other words: ", new)
        changed += new != text
        path.write_text(new)
    assert changed > 20
    assert plan() == {}


def test_the_tracker_reruns_persons_and_what_follows(finished, plan):
    tracker = finished[0] / LIBRARY / "faces/tracking.py"
    replace(tracker, "LEAST_OVERLAP = 0.", "LEAST_OVERLAP = 0.1")
    jobs = plan()
    assert jobs["assign_persons"] == 4 and jobs["train_system"] == len(SYSTEMS) and "cut_crops" in jobs
    assert not {"decode_frames", "extract_audio", "detect_faces", "extract_features", "join_labels"} & set(jobs)


def test_the_code_of_a_feature_reruns_it_and_the_systems_that_read_it(finished, plan):
    feature = finished[0] / LIBRARY / "features/audio/mfcc39.py"
    replace(feature, "_WINDOW = 400", "_WINDOW = 401")
    jobs = plan()
    assert jobs["extract_features"] == 4 and jobs["train_system"] == 1
    assert not {"decode_frames", "detect_faces", "assign_persons", "cut_crops"} & set(jobs)


def test_the_recipe_of_a_system_reruns_that_system(finished, plan):
    append(finished[0] / LIBRARY / "systems/lfan/recipe.py", "\n\nprint('run when it is imported')\n")
    jobs = plan()
    assert jobs["train_system"] == 1 and jobs["predict_system"] == 2
    assert set(jobs) <= {"train_system", *AFTER_TRAINING, *REPORT}


def test_a_learning_rate_reruns_that_training(plan):
    changed = SYSTEMS["lfan"] | {"recipe": {"learning_rate": 0.002}}
    jobs = plan(SYSTEMS | {"lfan": changed})
    assert jobs["train_system"] == 1 and set(jobs) <= {"train_system", *AFTER_TRAINING, *REPORT}


def test_how_samples_are_read_reruns_only_the_report_which_shows_the_configuration(plan):
    options = ("--set-threads", "train_system=16", "predict_system=9")
    assert set(plan(SYSTEMS, *options, training={"cache_mib": 1})) <= REPORT


def test_a_precision_reruns_what_computes_in_it(plan):
    trained = plan(training={"precision": "bf16"})
    assert trained["train_system"] == len(SYSTEMS) and set(trained) <= {"train_system", *AFTER_TRAINING, *REPORT}
    predicted = plan(prediction={"precision": "bf16"})
    assert "predict_system" in predicted and set(predicted) <= {*AFTER_TRAINING, *REPORT}


def test_a_default_of_a_recipe_reruns_that_training(finished, plan):
    """Given values and defaults count alike: by value."""
    replace(finished[0] / LIBRARY / "systems/lfan/spec.py", "] = 300\n", "] = 299\n")
    jobs = plan()
    assert jobs["train_system"] == 1 and set(jobs) <= {"train_system", *AFTER_TRAINING, *REPORT}


def test_a_formula_of_an_edition_reruns_scores_and_what_shows_them(finished, plan):
    replace(finished[0] / LIBRARY / "scoring/editions/abaw2.yaml", "ccc_valence: 0.5", "ccc_valence: 0.4")
    jobs = plan()
    assert "score_predictions" in jobs and set(jobs) <= {"score_predictions", "write_submission", *REPORT}


def test_one_test_video_more_concerns_that_video_and_the_tables_of_all(finished, plan):
    _, folder = finished
    names = folder / "corpus/Valence_Arousal_Estimation_Challenge_test_set_release.txt"
    before = names.read_text()
    given = [folder / "corpus/e.mp4", folder / "external/e.npy", folder / "openpose/e/1_keypoints.json"]
    given[2].parent.mkdir()
    for path in given:
        path.write_text("one more")
    names.write_text(f"{before}e\n")
    try:
        jobs = plan()
    finally:
        shutil.rmtree(given[2].parent)
        for path in given[:2]:
            path.unlink()
        names.write_text(before)
    each = ("decode_frames", "extract_audio", "detect_faces", "assign_persons", "find_bodies")
    assert {rule: jobs[rule] for rule in each} == dict.fromkeys(each, 1)
    assert not {"train_system", "join_labels", "list_members"} & set(jobs)
