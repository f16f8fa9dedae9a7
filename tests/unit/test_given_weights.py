"""Given weights are compared with the configuration before any job: what they are of, and what their inputs were made from."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from support.corpora import affwild2, touch, write_run
from wildaffect.errors import InputError
from wildaffect.files import sha256
from wildaffect.systems.headers import read_header
from wildaffect.workflow.given import initial_weights
from wildaffect.workflow.plan import make_plan

FACES = {"backend": "dlib", "model": "hog"}
LFAN = {"system": "lfan", "variant": "multimodal", "target": "valence", "mode": "corrected"}
BLOCK = {"variants": ["multimodal"], "targets": ["valence"]}


@pytest.fixture
def films(tmp_path, root):
    touch(tmp_path / "films" / "a.mp4")
    (tmp_path / "networks").mkdir()
    for name in ("vggish", "other", "detector"):
        (tmp_path / "networks" / name).write_text(name)
    return tmp_path


def config(films: Path, **changes) -> dict:
    base = {
        "results_dir": str(films / "results"),
        "corpus": {"layout": "folder", "root": str(films / "films")},
        "faces": FACES,
        "features": {"vggish_weights": str(films / "networks" / "vggish")},
        "folds": {"scheme": "official"},
        "systems": {"lfan": BLOCK | {"trained": str(films / "earlier" / "runs")}},
    }
    return base | changes


def trained(films: Path, fold: int = 0, change=lambda record: None, **raw) -> Path:
    """Weights with the record that a training by ``raw`` would write, changed by ``change``."""
    folder = films / "earlier" / "runs" / "lfan" / "multimodal" / "valence" / f"fold{fold}"
    affwild2(films / "labelled", {"Train_Set": ["x", "y"], "Validation_Set": ["z"]}, ["x.mp4", "y.mp4", "z.mp4"])
    labelled = {
        "corpus": {"root": str(films / "labelled")},
        "systems": {"lfan": BLOCK},
        "folds": {"scheme": "official"},
    }
    plan = make_plan(config(films, **labelled, **raw))
    record = {**LFAN, "recipe": {}, **plan.inputs.origin(plan.instances[0]).record()}
    change(record)
    return write_run(folder, **json.loads(json.dumps(record)))


def refused(raw: dict) -> str:
    with pytest.raises(InputError) as caught:
        make_plan(raw)
    return str(caught.value)


def test_the_same_inputs_are_accepted_wherever_their_files_lie(films):
    trained(films)
    moved = films / "networks" / "vggish"
    moved = moved.rename(moved.with_name("renamed"))
    plan = make_plan(config(films, features={"vggish_weights": str(moved)}))
    assert plan.inputs.origin(plan.instances[0]).made_from["features"]["vggish128"]["weights"] == sha256(moved)


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {"features": {"vggish_weights": "seeded"}},
            ["features.vggish128.weights: trained on SHA-256 ", ", here seeded"],
        ),
        ({"faces": FACES | {"model": "cnn"}}, ["faces.model.name: trained on hog, here cnn"]),
        ({"faces": FACES | {"options": {"threshold": 0.5}}}, ["faces.options.threshold: trained on 0.0, here 0.5"]),
        ({"faces": FACES | {"tracking": {"interpolate": 0}}}, ["faces.tracking.interpolate: trained on 15, here 0"]),
    ],
)
def test_every_difference_is_refused_with_both_values_and_the_cure(films, changes, lines):
    weights = trained(films)
    message = refused(config(films, **changes))
    assert message.startswith(f"given weights:\n{weights}: ")
    assert all(line in message for line in lines), message
    assert f"config.systems.lfan.accept_inputs: [{lines[0].partition(':')[0]}]" in message


def test_other_content_under_the_same_name_is_a_difference(films):
    trained(films)
    (films / "networks" / "vggish").write_text("trained further")
    assert "features.vggish128.weights: trained on SHA-256" in refused(config(films))


def test_several_differences_are_named_together_and_each_must_be_accepted(films):
    trained(films)
    raw = config(films, faces=FACES | {"options": {"threshold": 0.5, "upsample": 1}, "tracking": {"hold": 3}})
    message = refused(raw)
    names = ["faces.options.threshold", "faces.options.upsample", "faces.tracking.hold"]
    assert all(f"{name}: trained on" in message for name in names)
    block = raw["systems"]["lfan"]
    block["accept_inputs"] = names[:1]
    assert "faces.options.upsample: trained" in refused(raw) and "faces.options.threshold: trained" not in refused(raw)
    block["accept_inputs"] = ["faces.options", "faces.tracking.hold"]
    assert len(make_plan(raw).instances) == 1
    block["accept_inputs"] = ["faces.opt", "faces.tracking.hold"]
    assert "faces.options.upsample" in refused(raw)


def test_a_changed_template_is_a_difference(films):
    trained(films, change=lambda record: record["made_from"]["crops"]["lfan48"].update(size=64))
    assert "crops.lfan48.size: trained on 64, here 48" in refused(config(films))


def test_what_one_side_lacks_is_a_difference(films):
    trained(films, change=lambda record: record["made_from"]["features"].pop("mfcc39"))
    assert "features.mfcc39.columns: trained on nothing, here 39" in refused(config(films))


def test_parameters_of_a_computation_are_compared_but_not_versions_of_libraries(films):
    def change(record):
        mfcc = record["made_from"]["features"]["mfcc39"]
        assert "opensmile" not in mfcc
        mfcc["hop_s"] = 0.02

    trained(films, change=change)
    message = refused(config(films))
    assert "features.mfcc39.hop_s: trained on 0.02, here 0.01" in message and message.count("trained on") == 2


def test_what_decides_only_how_fast_a_detector_is_does_not_count(films, tmp_path):
    network = films / "networks" / "det.onnx"
    network.write_bytes(b"\x08 a network")
    faces = {"backend": "retinaface", "model": str(network)}
    trained(films, faces=faces | {"options": {"batch": 4}})
    assert make_plan(config(films, faces=faces | {"options": {"batch": 1}})).instances
    network.write_bytes(b"\x08 another network")
    assert "faces.model.detector: trained on SHA-256" in refused(config(films, faces=faces))


def test_many_folds_with_the_same_difference_are_one_message(films):
    for fold in range(3):
        trained(films, fold)
    message = refused(config(films, faces=FACES | {"model": "cnn"}))
    assert message.count("faces.model.name: trained") == 1 and "(and 2 more)" in message


def test_runs_of_earlier_versions_and_published_weights_are_not_compared(films):
    weights = trained(films, change=lambda record: [record.pop(key) for key in ("made_from", "corpus", "folds")])
    assert make_plan(config(films, faces=FACES | {"model": "cnn"})).instances
    weights.with_name("run.json").unlink()
    assert make_plan(config(films)).instances


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": "faithful"}, "its run.json says mode faithful, but corrected was asked for"),
        ({"variant": "unimodal"}, "its run.json says variant unimodal, but multimodal was asked for"),
        ({"best_epoch": None}, "its run.json says that no epoch had a score"),
    ],
)
def test_weights_of_something_else_are_refused_by_their_record(films, change, words):
    trained(films, change=lambda record: record.update(change))
    assert words in refused(config(films))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"made_from": "x"}', '{"recipe": [1]}', '{"folds": 3}', "null and void", "\xff"]
)
def test_a_damaged_record_is_named(films, text):
    record = trained(films).with_name("run.json")
    record.write_text(text, encoding="latin-1")
    assert str(record) in refused(config(films))


@pytest.mark.parametrize(
    "head",
    [
        "[]",
        "1",
        "{}",
        '{"a": 1}',
        '{"a": {"shape": [1]}}',
        '{"a": {"shape": [Infinity], "data_offsets": [0, 4]}}',
        "[" * 99_999,
    ],
)
def test_heads_that_are_none_are_refused(tmp_path, head):
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head.encode() + bytes(4))
    with pytest.raises(InputError, match=r"w\.safetensors: .*no complete"):
        read_header(path)


def test_weights_without_record_say_themselves_what_they_are_of(films):
    weights = write_run(films / "alone", **(LFAN | {"target": "arousal"}))
    weights.with_name("run.json").unlink()
    assert "these are weights of target arousal, but valence was asked for" in refused(
        config(films, systems={"lfan": BLOCK | {"trained": str(weights)}})
    )


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[:-1], lambda b: b[:20], lambda b: b + b"x", lambda b: b"\xff" * 50]
)
def test_damaged_weights_are_refused_before_any_job(films, damage):
    weights = trained(films)
    weights.write_bytes(damage(weights.read_bytes()))
    message = refused(config(films))
    assert str(weights) in message and "no complete .safetensors file" in message
    initial = {"backbone": {"weights": str(weights)}}
    labelled = {"corpus": {"root": str(films / "labelled")}, "systems": {"lfan": BLOCK | {"recipe": initial}}}
    message = refused(config(films, **labelled))
    assert str(weights) in message and "config.systems.lfan.recipe.backbone.weights" in message


def test_the_head_of_a_file_says_what_is_in_it(films):
    shapes, about = read_header(write_run(films / "run", **LFAN))
    assert shapes == {"w": (1,)} and about == LFAN


def test_weights_that_lie_alone_are_compared_by_their_head(films):
    weights = trained(films)
    record = json.loads(weights.with_name("run.json").read_text())
    alone = films / "alone.safetensors"
    save_file({"w": np.zeros(1, np.float32)}, alone, {"wildaffect": json.dumps(record)})
    systems = {"lfan": BLOCK | {"trained": str(alone)}}
    assert make_plan(config(films, systems=systems)).instances
    assert "faces.model.name: trained on hog, here cnn" in refused(
        config(films, systems=systems, faces=FACES | {"model": "cnn"})
    )


def test_initial_weights_that_are_absent_are_refused_before_any_job(films):
    affwild2(films / "labelled", {"Train_Set": ["x", "y"], "Validation_Set": ["z"]}, ["x.mp4", "y.mp4", "z.mp4"])
    block = BLOCK | {"recipe": {"backbone": {"weights": "no/such.pth"}}}
    message = refused(config(films, corpus={"root": str(films / "labelled")}, systems={"lfan": block}))
    assert "no/such.pth: config.systems.lfan.recipe.backbone.weights: no such file" in message


def test_initial_weights_of_another_system_are_refused_before_any_job(films):
    affwild2(films / "labelled", {"Train_Set": ["x", "y"], "Validation_Set": ["z"]}, ["x.mp4", "y.mp4", "z.mp4"])
    weights = write_run(films / "other", **(LFAN | {"system": "m3t"}))
    block = BLOCK | {"recipe": {"backbone": {"weights": str(weights)}}}
    raw = config(films, corpus={"root": str(films / "labelled")}, systems={"lfan": block})
    assert "these are weights of m3t, which lfan cannot start from" in refused(raw)
    write_run(films / "other", **LFAN)
    assert make_plan(raw).instances


def test_numbers_are_no_files():
    assert list(initial_weights({"loss_weights": {"va": 1.0}, "visual_weights": "v.pth", "weights": None})) == [
        ("visual_weights", "v.pth")
    ]


def test_the_kind_of_the_organisers_images_is_recorded(films):
    touch(*(films / "official" / "cropped_aligned" / trial / "00001.jpg" for trial in ("x", "y", "z")))
    faces = {"source": "official", "official_root": str(films / "official")}
    recipe = {"variants": ["unimodal"], "targets": ["valence"]}
    affwild2(films / "labelled", {"Train_Set": ["x", "y"], "Validation_Set": ["z"]}, ["x.mp4", "y.mp4", "z.mp4"])
    plan = make_plan(config(films, faces=faces, corpus={"root": str(films / "labelled")}, systems={"lfan": recipe}))
    made_from = plan.inputs.origin(plan.instances[0]).made_from
    assert made_from["faces"] == {"source": "official", "images": {"arcface112": "cropped_aligned", "lfan48": None}}
