"""What the workflow plans for TSAV: files per job, trials of several tasks, folds, fusion, submissions."""

from dataclasses import replace
from pathlib import Path

import pytest

from support.corpora import touch, write_annotation
from support.lists import training_files
from wildaffect.errors import InputError
from wildaffect.systems import build_recipe
from wildaffect.systems.tsav import spec
from wildaffect.workflow.instances import Instance, tasks_of
from wildaffect.workflow.plan import make_plan

FOLDERS = {
    "va": ("VA_Set", "valence,arousal", "0.1,0.2"),
    "expr": ("EXPR_Set", "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise", "0"),
    "au": ("AU_Set", "AU1,AU2,AU4,AU6,AU12,AU15,AU20,AU25", "0,1,0,1,0,1,0,1"),
}
TRAIN = {"va": ["a", "b_left", "e"], "expr": ["a", "c", "e"], "au": ["a", "d", "e"]}
VALIDATION = {"va": ["c"], "expr": ["b_right"], "au": ["b_left"]}


@pytest.fixture
def corpus(tmp_path):
    touch(*(tmp_path / "batch1" / f"{video}.mp4" for video in "abcdez"))
    for task, (folder, header, row) in FOLDERS.items():
        for name, trials in (("Training_Set", TRAIN[task]), ("Validation_Set", VALIDATION[task])):
            for trial in trials:
                write_annotation(tmp_path / "annotations" / folder / name / f"{trial}.txt", 3, header, row)
    (tmp_path / "va_test_set.txt").write_text("z\n")
    return tmp_path


def plan_of(corpus, block, **changes):
    raw = {"corpus": {"root": str(corpus), "edition": "abaw1"}, "faces": {"backend": "dlib", "model": "hog"},
           "folds": {"scheme": "official"}, "features": {"vggish_weights": "seeded"},
           "systems": {"tsav": block}, "submission": {"editions": ["abaw1"]}}  # fmt: skip
    return make_plan(raw | changes)


def test_a_job_reads_drawings_sound_and_the_labels_of_its_tasks(corpus):
    plan = plan_of(corpus, {"targets": ["mtl", "va"]})
    mtl, va = (next(i for i in plan.instances if i.target == target) for target in ("mtl", "va"))
    assert tasks_of(mtl) == ("expr", "va", "au") and tasks_of(va) == ("va",)
    files = training_files(plan.inputs, mtl)
    assert set(files["persons"]) == {f"results/faces/{video}/persons.parquet" for video in "abcde"}
    assert {Path(path).parent.name for path in files["features"]} == {"tsav_mel"}
    assert {Path(path).parent.name for path in files["crops"]} == {"tsav112"}
    faithful = plan_of(corpus, {"targets": ["va"], "mode": "faithful"})
    assert {Path(path).parent.name for path in training_files(faithful.inputs, va)["features"]} == {"tsav_wave"}


def test_systems_without_drawings_read_no_persons(corpus):
    plan = plan_of(corpus, {}, systems={"lfan": {"variants": ["unimodal"]}})
    assert training_files(plan.inputs, plan.instances[0])["persons"] == []


def test_several_tasks_train_on_the_union_without_what_one_holds_out(corpus):
    plan = plan_of(corpus, {"targets": ["mtl", "va", "expr"]})
    mtl, va, expr = (Instance("tsav", "two_stream", target, 0) for target in ("mtl", "va", "expr"))
    assert set(plan.folds.trials_of(mtl, "train")) == {"a", "e", "d"}  # c and both of b are held out by some task
    assert set(plan.folds.trials_of(mtl, "validation")) == {"c", "b_left", "b_right"}
    assert set(plan.folds.trials_of(va, "train")) == {"a", "b_left", "e"}
    assert set(plan.folds.trials_of(expr, "train")) == {"a", "c", "e"}
    assert plan.folds.trials_of(mtl, "test") == plan.folds.trials_of(va, "test") == ("z",)
    assert plan.folds.trials_of(expr, "test") == ()


def test_every_task_of_a_target_must_be_labelled(corpus):
    for path in (corpus / "annotations" / "AU_Set").rglob("*.txt"):
        path.unlink()
    with pytest.raises(InputError, match=r"no training labels for mtl \(it learns expr, va, au\)"):
        plan_of(corpus, {"targets": ["mtl"]})
    assert plan_of(corpus, {"targets": ["va", "expr"]}).instances


def test_classes_are_fused_by_the_mean(corpus):
    assert plan_of(corpus, {"targets": ["mtl"]}).config["systems"]["tsav"]["fusion"]["method"] == "mean"
    assert plan_of(corpus, {"targets": ["va"]}).config["systems"]["tsav"]["fusion"]["method"] == "ccc_centring"
    faithful = plan_of(corpus, {"targets": ["va"], "mode": "faithful"}).config["systems"]["tsav"]["fusion"]
    assert faithful["method"] == "ccc_centring_published"
    with pytest.raises(InputError, match=r"fusion\.method"):
        plan_of(corpus, {"targets": ["mtl"], "fusion": {"method": "ccc_centring"}})
    with pytest.raises(InputError, match="targets"):
        plan_of(corpus, {"targets": 5})


def test_submissions_of_tasks_with_test_trials(corpus):
    plan = plan_of(corpus, {"targets": ["mtl"]})
    assert plan.submissions.paths() == ["results/submissions/abaw1/tsav/two_stream/va.json"]


def test_a_variant_without_a_target_is_left_out_or_named(corpus, monkeypatch):
    monkeypatch.setattr(spec, "SPEC", replace(spec.SPEC, narrowed={"two_stream": ("va", "au")}))
    plan = plan_of(corpus, {})
    assert [instance.target for instance in plan.instances] == ["va", "au"]
    with pytest.raises(InputError, match="two_stream has none of the targets expr, mtl; it has va, au"):
        plan_of(corpus, {"targets": ["expr", "mtl"]})
    with pytest.raises(InputError, match="two_stream has no target 'mtl'; its targets are va, au"):
        build_recipe("tsav", "two_stream", "mtl", "corrected")
