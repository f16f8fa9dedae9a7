"""Folders of runs in which folds are missing, and corpora that leave trainings without trials."""

import pytest

from support.corpora import affwild2, write_run
from wildaffect.errors import InputError
from wildaffect.workflow.instances import Instance
from wildaffect.workflow.plan import make_plan

BLOCK = {"variants": ["multimodal"]}


@pytest.fixture
def planned(tmp_path, root):
    """Plan of a corpus with a test trial, predicted with the weights of some folds of six."""
    affwild2(tmp_path, {"Train_Set": ["a", "b"], "Validation_Set": ["c"]}, [f"{name}.mp4" for name in "abct"])
    (tmp_path / "VA_test_set.txt").write_text("t\n")

    def plan(valence, recorded=(), arousal=range(6), block=None, **changes):
        runs = tmp_path / "runs"
        for target, folds in (("valence", valence), ("arousal", arousal)):
            for fold in folds:
                folder = runs / "lfan" / "multimodal" / target / f"fold{fold}"
                names = {"system": "lfan", "variant": "multimodal", "target": target, "mode": "corrected"}
                write_run(folder, **names, recipe={}, folds=list(recorded))
        base = {
            "corpus": {"root": str(tmp_path)},
            "folds": {"scheme": "official"},
            "features": {"vggish_weights": "seeded"},
        }
        base |= {"faces": {"backend": "dlib", "model": "hog"}}
        return make_plan(base | {"systems": {"lfan": BLOCK | {"trained": str(runs)} | (block or {})}} | changes)

    return plan


SOURCE = ("lfan", "multimodal", "valence")


@pytest.mark.parametrize(
    ("folds", "recorded", "missing"),
    [
        (range(6), range(6), []),
        ([0, 2, 5], range(6), [1, 3, 4]),
        ([0, 2, 5], (), [1, 3, 4]),
        ([0, 1, 2], range(6), [3, 4, 5]),
        ([1, 2], [1, 2], []),
    ],
)
def test_missing_folds_are_those_that_were_trained_together(planned, folds, recorded, missing):
    plan = planned(folds, recorded, submission={"editions": []}, arousal=[0])
    assert plan.runs.missing(*SOURCE) == missing
    notes = plan.runs.notes(Instance(*SOURCE, min(folds)))
    assert bool(notes) == bool(missing)


def test_the_note_names_the_folds(planned):
    plan = planned([0, 2], range(4), submission={"editions": []})
    assert (
        plan.runs.notes(Instance(*SOURCE, 0))
        == plan.runs.notes(Instance(*SOURCE, 2))
        == [
            "lfan/multimodal/valence is partial: the given weights are those of fold 0, 2; those of fold 1, 3 are missing."
        ]
    )


def test_a_partial_submission_is_refused_unless_allowed(planned):
    with pytest.raises(
        InputError, match=r"(?s)partial.*lfan/multimodal/valence: no weights of fold 1, 3.*allow_partial"
    ):
        planned([0, 2], range(4))
    assert planned([0, 2], range(4), submission={"allow_partial": True}).submissions.paths()
    assert planned([0, 2], range(4), block={"folds": [0, 2]}).runs.missing(*SOURCE) == []


def test_a_partial_member_makes_an_ensemble_partial(planned):
    ensembles = {"ensembles": {"one": {"members": ["lfan/multimodal"], "target": "valence"}}}
    with pytest.raises(InputError, match="lfan/multimodal/valence: no weights of fold 1"):
        planned([0, 2], range(3), arousal=range(3), score=ensembles)


def test_a_corpus_without_validation_is_refused_before_any_job(tmp_path, root):
    affwild2(tmp_path, {"Train_Set": ["a", "b"]}, ["a.mp4", "b.mp4"])
    base = {"corpus": {"root": str(tmp_path)}, "features": {"vggish_weights": "seeded"}}
    base |= {"faces": {"backend": "dlib", "model": "hog"}, "systems": {"lfan": BLOCK}}
    with pytest.raises(InputError, match=r"(?s)scheme official.*fold 0 has no validation trials of task va.*grouped"):
        make_plan(base | {"folds": {"scheme": "official"}})
    assert make_plan(base | {"folds": {"scheme": "grouped", "count": 2}}).instances


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        (
            {"systems": {"lfan": {"recipe": {"learning_rate": float("nan")}}}},
            "config.systems.lfan.recipe.learning_rate",
        ),
        (
            {"systems": {"lfan": {"recipe": {"learning_rate": float("inf")}}}},
            "config.systems.lfan.recipe.learning_rate",
        ),
        ({"training": {"seed": -1}}, "config.training.seed"),
    ],
)
def test_numbers_that_no_training_can_use_are_refused(tmp_path, changes, key):
    affwild2(tmp_path, {"Train_Set": ["a"], "Validation_Set": ["b"]}, ["a.mp4", "b.mp4"])
    with pytest.raises(InputError, match=key):
        make_plan({"corpus": {"root": str(tmp_path)}} | changes)
