"""What a run for some targets needs, and what it must not ask for."""

import pytest

from support.corpora import affwild2, touch, write_annotation
from wildaffect.errors import InputError
from wildaffect.workflow.plan import PARTS, make_plan, needed_parts

LFAN = {"lfan": {"variants": ["multimodal"]}}


@pytest.fixture
def unlabelled(tmp_path):
    """A folder of two videos, and a configuration that names models nobody has."""
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4")
    return {
        "corpus": {"layout": "folder", "root": str(tmp_path)},
        "models_dir": str(tmp_path / "models"),
        "systems": LFAN,
    }


@pytest.mark.parametrize(
    ("targets", "parts"),
    [
        (["media"], ()),
        (["corpus", "media"], ("labels",)),
        (["faces", "features"], ("faces", "features")),
        ([], PARTS),
        (["all"], PARTS),
        (["media", "results/report/index.html"], PARTS),
    ],
)
def test_targets_need_their_parts(targets, parts):
    assert needed_parts(targets) == parts


def test_media_of_an_unlabelled_folder_need_nothing(unlabelled):
    assert make_plan(unlabelled, needed_parts(["media"])).corpus.videos == {"a": "a.mp4", "b": "b.mp4"}


def test_faces_need_the_detector_alone(unlabelled):
    with pytest.raises(InputError, match="det_10g") as caught:
        make_plan(unlabelled, needed_parts(["faces"]))
    assert "vggish" not in str(caught.value) and "trained" not in str(caught.value)
    plan = make_plan(unlabelled | {"faces": {"backend": "dlib", "model": "hog"}}, needed_parts(["faces"]))
    assert plan.inputs.templates() == ["lfan48"]


def test_features_of_the_audio_need_no_detector(unlabelled):
    with pytest.raises(InputError, match="vggish") as caught:
        make_plan(unlabelled, needed_parts(["features"]))
    assert "det_10g" not in str(caught.value) and "labels" not in str(caught.value)
    plan = make_plan(unlabelled | {"features": {"vggish_weights": "seeded"}}, needed_parts(["features"]))
    assert "mfcc39" in plan.inputs.features()


def test_everything_needs_labels_or_weights(unlabelled):
    with pytest.raises(InputError, match="no training labels"):
        make_plan(unlabelled)


def test_annotations_are_looked_at_where_labels_are_needed(tmp_path):
    affwild2(tmp_path, {"Train_Set": ["a"]}, ["a.mp4"])
    write_annotation(tmp_path / "annotations/VA_Estimation_Challenge/Train_Set/a.txt", 5, row="0,6")
    raw = {"corpus": {"root": str(tmp_path)}, "systems": {}, "folds": {"scheme": "official"}}
    assert make_plan(raw, needed_parts(["media"])).corpus.trials
    with pytest.raises(InputError, match=r"a\.txt, line 2: 6 is not between -1 and 1"):
        make_plan(raw, needed_parts(["corpus"]))
    assert make_plan(raw | {"labels": {"scale": [-10, 10]}}, needed_parts(["corpus"]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("aa_left,,0,3", "line 2: the corpus has no trial 'aa_left'; did you mean 'a_left'"),
        (",c,0,3", "line 2: the corpus has no video 'c'"),
        (",b,3,2.5", "line 2: .* from 3 to 2.5 s has no length"),
        ("", None),
    ],
)
def test_excluded_ranges_are_read_before_any_job(tmp_path, row, message):
    affwild2(tmp_path, {"Train_Set": ["a_left", "b"]}, ["a.mp4", "b.mp4"])
    table = tmp_path / "ranges.csv"
    raw = {"corpus": {"root": str(tmp_path)}, "systems": {}, "folds": {"scheme": "official"}}
    raw |= {"labels": {"exclude": str(table)}}
    if message:
        table.write_text(f"trial,video,start_s,end_s\n{row}\n")
    with pytest.raises(InputError, match=f"labels.exclude: .*ranges.csv{f', {message}' if message else ': cannot'}"):
        make_plan(raw, needed_parts(["corpus"]))
    assert make_plan(raw, needed_parts(["media"]))
    table.write_text("trial,video,start_s,end_s\na_left,,0,3\n")
    plan = make_plan(raw, needed_parts(["corpus"]))
    assert plan.raw.excluded("va") == {"a_left": [(0.0, 3.0, "")]} and plan.raw.excluded("au") == {}


def test_classes_are_those_of_the_edition_of_the_corpus(tmp_path):
    touch(tmp_path / "a.mp4")
    write_annotation(
        tmp_path / "EXPR_Set/Training_Set/a.txt", 3, "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other", "7"
    )
    raw = {"corpus": {"root": str(tmp_path), "edition": "abaw3"}, "systems": {}, "folds": {"scheme": "official"}}
    assert make_plan(raw, ["labels"]).raw.classes()[-1] == "Other"
    with pytest.raises(InputError, match="what 'Other' is called"):
        make_plan(raw | {"corpus": {"root": str(tmp_path), "edition": "abaw2"}}, ["labels"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("aa_left,0,3,,,", "line 2: there is no trial 'aa_left'; did you mean 'a_left'"),
        ("a_left,0,3,,x,1", "line 2: 'x' is not a number"),
    ],
)
def test_overrides_are_read_before_any_job(tmp_path, row, message):
    affwild2(tmp_path, {"Train_Set": ["a_left", "b"]}, ["a.mp4", "b.mp4"])
    table = tmp_path / "who.csv"
    faces = {"backend": "dlib", "model": "hog", "overrides": str(table)}
    raw = {"corpus": {"root": str(tmp_path)}, "systems": {}, "folds": {"scheme": "official"}, "faces": faces}
    head = "trial,first_frame,last_frame,track,x,y\n"
    table.write_text(f"{head}{row}\n")
    with pytest.raises(InputError, match=f"faces.overrides: .*who.csv, {message}"):
        make_plan(raw, needed_parts(["faces"]))
    assert make_plan(raw, needed_parts(["media"]))
    table.write_text(f"{head}a_left,0,3,,,\n")
    assert make_plan(raw, needed_parts(["faces"]))
