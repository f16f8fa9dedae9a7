"""What the workflow plans for LFAN by default: 24 trainings, each a job of its own, fused over the folds."""

import pytest

from support.corpora import touch, write_annotation
from wildaffect import paths
from wildaffect.workflow.plan import make_plan
from wildaffect.workflow.settings import complete_settings

TRAIN, VALIDATION = [f"t{number:02}" for number in range(10)], ["v0", "v1"]


@pytest.fixture
def plan(tmp_path, root):
    touch(*(tmp_path / "batch1" / f"{video}.mp4" for video in (*TRAIN, *VALIDATION, "z")))
    for folder, trials in (("Training_Set", TRAIN), ("Validation_Set", VALIDATION)):
        for trial in trials:
            write_annotation(
                tmp_path / "annotations" / "VA_Set" / folder / f"{trial}.txt", 3, "valence,arousal", "0.1,0.2"
            )
    (tmp_path / "va_test_set.txt").write_text("z\n")
    raw = {"corpus": {"root": str(tmp_path)}, "faces": {"backend": "dlib", "model": "hog"},
           "features": {"vggish_weights": "seeded"}, "systems": {"lfan": {}}}  # fmt: skip
    return make_plan(raw)


def test_six_folds_two_emotions_two_variants(plan):
    assert len(plan.runs.trainings()) == 24
    assert len({plan.runs.file(instance, paths.MODEL) for instance in plan.runs.trainings()}) == 24
    assert {(i.variant, i.target, i.fold) for i in plan.runs.trainings()} == {
        (variant, target, fold)
        for variant in ("unimodal", "multimodal")
        for target in ("valence", "arousal")
        for fold in range(6)
    }


def test_every_trial_is_held_out_once_and_fold_0_is_the_official_one(plan):
    some = [i for i in plan.runs.trainings() if (i.variant, i.target) == ("unimodal", "valence")]
    held_out = [plan.folds.trials_of(instance, "validation") for instance in some]
    assert sorted(name for part in held_out for name in part) == sorted(TRAIN + VALIDATION)
    assert list(held_out[0]) == VALIDATION


def test_folds_are_fused_by_centring_and_clipped_last(plan):
    assert len(plan.runs.fold_predictions("lfan", "multimodal", "valence")) == 6
    fusion = plan.outputs.fusion("lfan", "multimodal")
    assert (fusion["method"], fusion["clip"]) == ("ccc_centring", "late")
    assert len(plan.outputs.tests()) == 4


def test_both_emotions_at_once_are_trained_on_request_alone(plan):
    assert plan.config["systems"]["lfan"]["targets"] == ["valence", "arousal"]
    complete = complete_settings({"systems": {"lfan": {"targets": ["va"]}}})
    assert complete["systems"]["lfan"]["targets"] == ["va"]
