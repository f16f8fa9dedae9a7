"""Configuration: one message with everything that is wrong, nothing started."""

from pathlib import Path

import pytest
import yaml

from support.corpora import affwild2, touch, write_run
from support.lists import prediction_files, training_files
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.workflow.plan import make_plan
from wildaffect.workflow.settings import complete_settings, single_pass


@pytest.fixture
def corpus(tmp_path):
    names = [f"v{i}" for i in range(9)]
    affwild2(tmp_path, {"Train_Set": names[:6], "Validation_Set": names[6:8]}, [f"{name}.mp4" for name in names])
    (tmp_path / "VA_test_set.txt").write_text("v8\n")
    return tmp_path


NO_FILES = {"faces": {"backend": "dlib", "model": "hog"}, "features": {"vggish_weights": "seeded"}}


def config(corpus, **changes):
    base = {"corpus": {"root": str(corpus)}, "folds": {"scheme": "grouped", "count": 3}, "systems": {"lfan": {}}}
    return base | NO_FILES | changes


def test_shipped_configuration_states_the_defaults(root):
    shipped = yaml.safe_load((root / "config.yaml").read_text())
    defaults = complete_settings({"systems": {"lfan": {}}})
    assert complete_settings(shipped) == defaults


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"corpus": {"layuot": "demo"}}, ["'layuot'", "'layout'"]),
        ({"corpus": {"layout": "affwild"}}, ["'affwild2'"]),
        ({"label": {}}, ["'label'", "'labels'"]),
        ({"systems": {"lfann": {}}}, ["'lfann'", "'lfan'"]),
        ({"systems": {"lfan": "false"}}, ["config.systems.lfan: 'false'", "--configfile"]),
        ({"systems": {"lfan": {"variants": ["multimodel"]}}}, ["'multimodel'", "'multimodal'"]),
        ({"systems": {"lfan": {"targets": ["valance"]}}}, ["'valance'", "'valence'"]),
        ({"systems": {"lfan": {"recipe": {"epoch": 3}}}}, ["'epoch'", "'epochs'"]),
        ({"systems": {"lfan": {"folds": [7]}}}, ["no fold [7]"]),
        ({"systems": {"lfan": {"trained": "nowhere"}}}, ["nowhere does not exist"]),
        ({"faces": {"backend": "dlib", "model": "hogg"}}, ["'hogg'", "'hog'"]),
        ({"faces": {"backend": "dlib", "model": "hog", "options": {"maxside": 1}}}, ["'maxside'", "'max_side'"]),
        ({"faces": {"backend": "retinaface", "options": {"det_size": [640]}}}, ["'det_size'", "'det_sizes'"]),
        ({"faces": {"tracking": {"interpolat": 3}}}, ["'interpolate'"]),
        (
            {"faces": {"backend": "retinaface", "model": "buffalo_l"}},
            ["models/buffalo_l/det_10g.onnx", "faces.backend: dlib"],
        ),
        ({"faces": {"backend": "retinaface", "model": "no.onnx"}}, ["no.onnx"]),
        ({"faces": {"overrides": "who.csv"}}, ["who.csv does not exist"]),
        ({"features": {"vggish_weights": "vggish"}}, ["models/vggish", "wildaffect models"]),
        ({"folds": {"count": 1}, "training": {"sead": 1}}, ["folds.count", "'sead'"]),
    ],
)
def test_mistakes_are_named_with_the_nearest_right_word(corpus, changes, messages):
    raw = config(corpus)
    for key, value in changes.items():
        raw[key] = {**raw[key], **value} if isinstance(raw.get(key), dict) and key != "systems" else value
    with pytest.raises(InputError) as caught:
        make_plan(raw)
    assert all(message in str(caught.value) for message in messages), str(caught.value)


def test_plan_lists_every_instance_and_what_it_reads(corpus):
    plan = make_plan(config(corpus))
    assert len(plan.instances) == 2 * 2 * 3
    instance = next(i for i in plan.instances if (i.variant, i.target, i.fold) == ("multimodal", "valence", 0))
    files = training_files(plan.inputs, instance)
    assert len(files["frames"]) == 8
    assert {Path(path).parent.name for path in files["features"]} == {"vggish128", "mfcc39"}
    assert {Path(path).stem for path in files["crops"]} == {f"v{i}" for i in range(8)}
    assert prediction_files(plan.inputs, instance, "test")["crops"] == ["results/crops/lfan48/v8.arrow"]
    unimodal = next(i for i in plan.instances if i.variant == "unimodal")
    assert training_files(plan.inputs, unimodal)["features"] == []


def test_unlabelled_folder_needs_weights(tmp_path):
    touch(tmp_path / "a.mp4")
    raw = NO_FILES | {"corpus": {"layout": "folder", "root": str(tmp_path)}, "systems": {"lfan": {}}}
    with pytest.raises(InputError, match="no training labels"):
        make_plan(raw)


def test_given_weights_replace_training(tmp_path):
    touch(tmp_path / "films" / "a.mp4")
    runs = tmp_path / "earlier" / "runs"
    for k in (0, 2):
        write_run(runs / "lfan" / "unimodal" / "valence" / f"fold{k}")
    block = {"variants": ["unimodal"], "targets": ["valence"], "trained": str(runs)}
    raw = NO_FILES | {"corpus": {"layout": "folder", "root": str(tmp_path / "films")}, "systems": {"lfan": block}}
    plan = make_plan(raw)
    assert [instance.fold for instance in plan.instances] == [0, 2]
    assert plan.runs.trainings() == [] and plan.outputs.scores() == [] and plan.submissions.paths() == []
    assert plan.runs.weights(plan.instances[1]) == str(runs / "lfan/unimodal/valence/fold2/model.safetensors")
    assert plan.outputs.exports() == ["results/exports/lfan/unimodal"]


def test_one_weights_file_serves_one_instance(tmp_path):
    touch(tmp_path / "films" / "a.mp4", tmp_path / "model.pth")
    block = {"variants": ["unimodal"], "targets": ["valence", "arousal"], "trained": str(tmp_path / "model.pth")}
    raw = NO_FILES | {"corpus": {"layout": "folder", "root": str(tmp_path / "films")}, "systems": {"lfan": block}}
    with pytest.raises(InputError, match="one weights file, but 2 instances"):
        make_plan(raw)
    block["targets"] = ["valence"]
    assert len(make_plan(raw).instances) == 1


def test_submissions_need_both_dimensions(corpus):
    both = make_plan(config(corpus))
    assert both.submissions.paths() == [
        "results/submissions/abaw2/lfan/unimodal/va.json",
        "results/submissions/abaw2/lfan/multimodal/va.json",
    ]
    one = make_plan(config(corpus, systems={"lfan": {"targets": ["arousal"]}}))
    assert one.submissions.paths() == []


def test_a_system_can_be_left_out(corpus):
    assert make_plan(config(corpus, systems={"lfan": False})).instances == ()


def test_systems_can_be_listed_by_name(corpus):
    listed = make_plan(config(corpus, systems=["lfan"]))
    assert listed.config == make_plan(config(corpus, systems={"lfan": {}})).config
    with pytest.raises(InputError, match="'lfann'"):
        make_plan(config(corpus, systems=["lfann"]))


def test_all_systems_are_every_folder(corpus, monkeypatch):
    monkeypatch.setattr("wildaffect.systems.available", lambda: {"lfan": ["unimodal", "multimodal"]})
    assert make_plan(config(corpus, systems=["all"])).config["systems"].keys() == {"lfan"}


def everything(corpus, **changes):
    """A configuration of all systems by their defaults, with as few replacements as possible for what nobody can ship."""
    raw = config(corpus) | {
        "systems": {name: {"targets": ["va"]} for name in systems.available() if not systems.spec(name).trained}
    }
    raw["systems"] |= {"lfan": {}, "m3t": {"targets": ["va"], "recipe": {"face_vectors": "zeros"}}}
    raw["features"] = {"vggish_weights": "seeded", "bodies": {"source": "face_box"}}
    for section, values in changes.items():
        raw[section] = raw.get(section, {}) | values
    return raw


def test_a_single_pass_makes_what_the_run_needs(corpus):
    plan = make_plan(everything(corpus, faces={"single_pass": True}, features={"single_pass": True}))
    faces, features = (plan.config[section]["single_pass"] for section in ("faces", "features"))
    assert {*faces} == {
        "sheets",
        "arcface112",
        "lfan48",
        "tsav112",
        "m3t256",
        "cnu224",
        "ntua_body112",
        "ntua_context112",
    }
    assert {*features} == {"mfcc39", "vggish128", "tsav_mel", "m3t_mel", "ntua_mel", "egemaps25"}
    assert len({*faces}) == len(faces) and len({*features}) == len(features)


def test_each_has_a_job_of_its_own_by_default(corpus):
    plan = make_plan(everything(corpus))
    assert (plan.config["faces"]["single_pass"], plan.config["features"]["single_pass"]) == ([], [])


@pytest.mark.parametrize(
    ("value", "names"),
    [(False, []), (True, ["a", "c"]), (["c", "d"], ["c", "d"]), ([], [])],
)
def test_a_single_pass_is_all_that_is_needed_or_what_is_named(value, names):
    assert single_pass(value, needed=["c", "a", "import.x"], possible=["a", "b", "c", "d"]) == names
