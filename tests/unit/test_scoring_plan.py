"""Ensembles, smoothing, samples and the leakage guard as the configuration decides them, before any job starts."""

import pytest

from support.corpora import affwild2, touch, write_annotation
from support.lists import listed_files
from wildaffect.errors import InputError
from wildaffect.workflow.plan import make_plan

BASE = {"faces": {"backend": "dlib", "model": "hog"}, "features": {"vggish_weights": "seeded"}}


@pytest.fixture
def planned(tmp_path, root):
    """Plan of a small corpus in which two persons share video s and two test persons share t."""
    train = [*(f"v{i}" for i in range(6)), "s_left", "s_right"]
    videos = [*(f"v{i}.mp4" for i in range(9)), "s.mp4", "t.mp4"]
    affwild2(tmp_path, {"Train_Set": train, "Validation_Set": ["v6", "v7"]}, videos)
    (tmp_path / "VA_test_set.txt").write_text("v8\nt_left\nt_right\n")

    def plan(systems=None, **changes):
        base = {"corpus": {"root": str(tmp_path)}, "folds": {"scheme": "grouped", "count": 3}}
        return make_plan(base | BASE | {"systems": systems or {"lfan": {}}} | changes)

    return plan


def ensembles(**blocks):
    return {"score": {"ensembles": blocks}}


BOTH = {"members": ["lfan/unimodal", "lfan/multimodal"]}


def test_an_ensemble_is_scored_submitted_and_exported_like_a_variant(planned):
    plan = planned(**ensembles(both=BOTH))
    own = [path for path in plan.outputs.validation() if "/ensemble/" in path]
    assert own == [f"results/predictions/ensemble/both/va/fold{k}/validation.parquet" for k in range(3)]
    assert plan.outputs.tests("ensemble") == ["results/predictions/ensemble/both/va/ensemble/test.parquet"]
    assert "results/submissions/abaw2/ensemble/both/va.json" in plan.submissions.paths()
    assert "results/exports/ensemble/both" in plan.outputs.exports()
    assert plan.submissions.predictions("abaw2", "ensemble", "both", "va") == plan.outputs.tests("ensemble")
    assert plan.outputs.member_predictions("both", "fold1", "validation") == [
        f"results/predictions/lfan/{variant}/{target}/fold1/validation.parquet"
        for variant in ("unimodal", "multimodal")
        for target in ("valence", "arousal")
    ]
    assert plan.outputs.fusion("ensemble", "both") == {"method": "mean", "clip": "late", "weights": None}


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (
            {"ensembles": {"both": {"members": ["lfan/unimodel"]}}},
            "config.score.ensembles.both: no member 'lfan/unimodel'",
        ),
        ({"ensembles": {"both": {}}}, "config.score.ensembles.both: 'members' is missing"),
        ({"ensembles": {"both": BOTH | {"methud": "mean"}}}, "unknown key 'methud'; did you mean 'method'"),
        ({"ensembles": {"Both Of": BOTH}}, "'Both Of' does not match"),
        ({"ensembles": {"both": BOTH | {"target": "vaa"}}}, "'vaa' is not possible; did you mean 'va'"),
        (
            {"ensembles": {"both": BOTH | {"smoothing": {"method": "wiener", "window": 4}}}},
            "both.smoothing.window: 4 is not possible",
        ),
        ({"bootstrap": -1}, "config.score.bootstrap"),
    ],
)
def test_mistakes_in_ensembles_are_named(planned, score, message):
    with pytest.raises(InputError, match=message):
        planned(score=score)


def test_smoothing_changes_what_is_scored_and_keeps_the_predictions(planned):
    plain = planned()
    assert all("/smoothed/" not in path for path in plain.predictions() + plain.outputs.tests())
    plan = planned({"lfan": {"variants": ["multimodal"], "smoothing": {"method": "wiener", "window": 35}}})
    assert plan.outputs.validation() == [
        f"results/smoothed/lfan/multimodal/{target}/fold{k}/validation.parquet"
        for target in ("valence", "arousal")
        for k in range(3)
    ]
    # Folds are fused first, then smoothed: the test predictions of single folds stay as they are.
    assert all(path.startswith("results/predictions/") for path in plan.runs.tests())
    assert plan.outputs.tests() == [
        f"results/smoothed/lfan/multimodal/{target}/ensemble/test.parquet" for target in ("valence", "arousal")
    ]
    assert plan.outputs.choosing(("lfan", "multimodal", "valence"), "ensemble") == {"held_out": [], "labels": []}
    assert plan.outputs.smoothing("lfan", "multimodal") == {
        "method": "wiener",
        "window": 35,
        "edges": "nearest",
    }
    assert plan.outputs.choosing_editions("lfan", "multimodal") == []


def test_a_window_is_chosen_on_validation_predictions_of_other_folds_only(planned):
    plan = planned({"lfan": {"variants": ["multimodal"], "smoothing": {"method": "wiener", "window": [1, 13, 35]}}})
    folder = "results/predictions/lfan/multimodal/valence"
    for part, folds in (("ensemble", (0, 1, 2)), ("fold0", (1, 2)), ("fold2", (0, 1))):
        found = plan.outputs.choosing(("lfan", "multimodal", "valence"), part)
        assert found["held_out"] == [f"{folder}/fold{k}/validation.parquet" for k in folds]
        assert found["labels"] == ["results/labels/va.parquet"]
    assert plan.outputs.choosing_editions("lfan", "multimodal") == ["abaw2"]
    one = {"lfan": {"folds": [0], "smoothing": {"method": "wiener", "window": [1, 13]}}}
    with pytest.raises(InputError, match=r"config\.systems.lfan.smoothing.window.*at least two folds"):
        planned(one)


def test_a_sample_is_read_for_one_edition(planned, tmp_path):
    sample = tmp_path / "sample.txt"
    sample.write_text("v8,40\n")
    plan = planned(submission={"samples": {"va": str(sample)}})
    assert plan.submissions.sample("va") == [str(sample)] and plan.submissions.sample("expr") == []
    with pytest.raises(InputError, match=r"submission\.samples\.va: .*nowhere\.txt does not exist"):
        planned(submission={"samples": {"va": str(tmp_path / "nowhere.txt")}})
    with pytest.raises(InputError, match=r"name exactly one in submission\.editions"):
        planned(submission={"samples": {"va": str(sample)}, "editions": ["abaw2", "abaw5"]})


def test_submissions_of_every_track_that_is_predicted(planned):
    plan = planned(submission={"editions": ["abaw2", "abaw5", "abaw7"]})
    assert [path.split("/")[2] for path in plan.submissions.paths()] == ["abaw2", "abaw2", "abaw5", "abaw5"]
    assert [trial.trial for trial in plan.submissions.trials("abaw2", "va")] == ["t_left", "t_right", "v8"]
    assert listed_files(plan.inputs, plan.inputs.submission_lists("frames", "abaw2", "va")) == [
        "results/media/t/frames.parquet",
        "results/media/v8/frames.parquet",
    ]
    assert plan.submissions.trials("abaw7", "compound") == plan.submissions.trials("abaw7", "mtl") == []


def test_persons_of_one_video_never_separate(planned):
    plan = planned()
    for parts in plan.folds.divisions.values():
        homes = {trial: part for part, names in parts.items() for trial in names}
        if "s_left" in homes:
            assert homes["s_left"] == homes["s_right"]


def test_training_on_a_held_out_video_is_refused_unless_declared(tmp_path, root):
    names = [f"v{i}" for i in range(5)]
    affwild2(
        tmp_path,
        {"Train_Set": [*names, "s_left"], "Validation_Set": ["v5", "s_right"]},
        [*(f"v{i}.mp4" for i in range(6)), "s.mp4"],
    )
    raw = {"corpus": {"root": str(tmp_path)}, "systems": {"lfan": {}}, **BASE}
    with pytest.raises(
        InputError,
        match=r"task va, fold 0: 1 videos are both trained on and held out, first 's'(.|\n)*allow_shared_videos: true",
    ):
        make_plan(raw | {"folds": {"scheme": "official"}})
    plan = make_plan(raw | {"folds": {"scheme": "official", "allow_shared_videos": True}})
    assert plan.instances


def test_training_on_a_held_out_subject_is_refused_unless_declared(tmp_path, root):
    rows = [f"v{i}.mp4,a.txt,{'validation' if i > 3 else 'train'},s{i % 5}" for i in range(6)]
    touch(*(tmp_path / f"v{i}.mp4" for i in range(6)))
    write_annotation(tmp_path / "a.txt", 2)
    (tmp_path / "trials.csv").write_text("\n".join(["media,annotation_va,partition_va,subject", *rows]) + "\n")
    raw = {**BASE, "corpus": {"root": str(tmp_path), "layout": "table"}, "systems": {"lfan": {}}}
    folds = {"scheme": "grouped", "count": 2}
    with pytest.raises(InputError, match="fold 0: 1 videos or subjects are both trained on and held out, first 'v0'"):
        make_plan(raw | {"folds": folds})
    assert make_plan(raw | {"folds": folds | {"allow_shared_videos": True}}).instances
    text = (tmp_path / "trials.csv").read_text()
    (tmp_path / "trials.csv").write_text(text.replace("validation,s0", "validation,s9"))
    assert make_plan(raw | {"folds": folds}).instances


def test_official_validation_labels_are_trained_on_only_by_a_scheme_that_says_so(planned):
    official = {"v6", "v7"}
    assert not official & set(planned(folds={"scheme": "official"}).folds.divisions["va", 0]["train"])
    rotated = planned().folds.divisions
    assert not official & set(rotated["va", 0]["train"])
    assert official <= set(rotated["va", 1]["train"])
    for fold in range(3):
        assert not set(rotated["va", fold]["train"]) & {"v8", "t_left", "t_right"}
