"""The section `features` of a configuration: one message with everything that is wrong, before any job."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from support.corpora import affwild2, touch
from wildaffect.errors import InputError
from wildaffect.faces.templates import scenes as scene_templates
from wildaffect.features.registry import configured, problems
from wildaffect.features.spec import of_trial
from wildaffect.systems.lfan import spec
from wildaffect.systems.types import Needs
from wildaffect.workflow.plan import make_plan

NAMES = ["a", "b", "b_left"]


@pytest.fixture
def plan(tmp_path, root):
    """The plan of a small corpus with a section ``features``."""
    affwild2(tmp_path, {"Train_Set": ["a", "b"], "Validation_Set": ["b_left"]}, ["a.mp4", "b.mp4"])

    def make(faces=None, **features):
        config = {
            "corpus": {"root": str(tmp_path)},
            "faces": faces or {"backend": "dlib", "model": "hog"},
            "folds": {"scheme": "official", "allow_shared_videos": True},
            "features": {"vggish_weights": "seeded", **features},
            "systems": {"lfan": {}},
        }
        return make_plan(config)

    return make


def says(plan, *messages, **features):
    with pytest.raises(InputError) as caught:
        plan(**features)
    for message in messages:
        assert message in str(caught.value), str(caught.value)


def test_imports_with_a_file_for_every_trial(plan, tmp_path):
    for name in NAMES:
        np.save(tmp_path / f"{name}.npy", np.zeros((3, 4)))
    entry = {"path": str(tmp_path / "{trial}.npy"), "columns": 4}
    made = plan(**{"import": {"net": entry}})
    assert configured(made.config["features"]) == ["import.net"]
    (tmp_path / "b_left.npy").unlink()
    says(plan, "features.import.net: 1 files do not exist", "b_left.npy", **{"import": {"net": entry}})


def test_what_a_system_reads_may_depend_on_its_recipe(plan, monkeypatch):
    def needs(variant, mode, recipe):
        return Needs(crops=(), features=(f"import.{variant}{recipe.window}",))

    monkeypatch.setattr(spec, "SPEC", replace(spec.SPEC, needs=needs))
    says(plan, "a system asks for 'import.unimodal300'", "a system asks for 'import.multimodal300'")


def test_imports_from_one_table(plan, tmp_path):
    table = str(tmp_path / "all.parquet")
    pd.DataFrame({"clip": ["a"], "frame": [0], "AU01": [0.5]}).to_parquet(table)
    entry = {"path": table, "columns": ["AU01"], "key": "clip"}
    plan(**{"import": {"au": entry}})
    says(
        plan, "column 'AU02' is missing; it has clip, frame, AU01", **{"import": {"au": entry | {"columns": ["AU02"]}}}
    )
    says(plan, "column 'trial' is missing", **{"import": {"au": entry | {"key": "trial"}}})
    says(plan, "one file for all needs 'key'", **{"import": {"au": {"path": table, "columns": ["AU01"]}}})


def test_everything_that_is_wrong_in_one_message(plan, tmp_path):
    says(
        plan,
        "features.import.net: 3 files do not exist",
        "features.embeddings.face.weights: no.pth not found",
        "features.embeddings.face.crops: unknown template 'cnu22'; did you mean 'cnu224'?",
        "features.bodies.path: body.pth not found. Put torchvision's keypointrcnn_resnet50_fpn there",
        **{"import": {"net": {"path": "nowhere/{trial}.npy", "columns": 4}}},
        embeddings={"face": {"network": "resnet18", "weights": "no.pth", "crops": "cnu22"}},
        bodies={"source": "keypoint_rcnn", "path": "body.pth"},
    )


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"import": {"net": {"path": "{trial}.npy", "colums": 4}}}, "unknown key 'colums'; did you mean 'columns'?"),
        ({"import": {"net": {"path": "{trial}.npy", "columns": 4, "missing": "zeros"}}}, "did you mean 'zero'?"),
        ({"import": {"Big Net": {"path": "{trial}.npy", "columns": 4}}}, "'Big Net' does not match"),
        ({"embeddings": {"f": {"network": "resnet5", "weights": "w", "crops": "c"}}}, "did you mean 'resnet50'?"),
        ({"bodies": {"source": "openpose", "path": "json"}}, "json must contain {video}"),
        ({"bodies": {"source": "openpose", "path": "json/{video}"}}, "2 folders do not exist, the first is json/a"),
        ({"bodies": {"source": "openpos", "path": "json/{video}"}}, "did you mean 'openpose'?"),
        ({"bodies": {"source": "openpose"}}, "config.features.bodies: 'path' is missing"),
        ({"bodies": {"source": "face_box", "person": "first"}}, "face_box guesses the body that belongs to a face"),
    ],
)
def test_mistakes_are_named(plan, features, message):
    says(plan, message, **features)


def test_features_that_nobody_describes():
    section = {"vggish_weights": "seeded", "import": {}, "audio_embeddings": {}, "bodies": None, "single_pass": []}
    section["embeddings"] = {"face50": {"network": "resnet50", "weights": "seeded", "crops": "cnu224", "onnx": None}}
    needed = ["mfcc39", "embed.face50", "embed.face5", "import.net"]
    found = problems(section, needed, {"a": "a"}, "models")
    assert len(found) == 2
    assert "'embed.face5'" in found[0] and "did you mean 'embed.face50'?" in found[0]
    assert "'import.net'" in found[1]
    assert [of_trial(feature) for feature in needed] == [False, True, True, True]


def test_the_components_are_asked_for_by_the_quantised_embedding_alone(tmp_path):
    section = {"vggish_weights": "seeded", "vggish_pca": "pca.npz", "import": {}, "embeddings": {}, "bodies": None}
    section |= {"audio_embeddings": {}, "single_pass": []}
    assert problems(section, ["vggish128", "mfcc39"], {"a": "a"}, tmp_path) == []
    (found,) = problems(section, ["vggish128_quantised"], {"a": "a"}, tmp_path)
    assert found.startswith("features.vggish_pca: pca.npz not found. Put it there")


def test_crops_of_embeddings_are_among_those_to_make(plan):
    entry = {"network": "resnet18", "weights": "seeded", "crops": "cnu224"}
    assert "cnu224" in plan(embeddings={"face": entry}).inputs.templates()
    assert "cnu224" not in plan().inputs.templates()


def test_bodies_are_not_found_by_faces_whose_places_nobody_knows(plan, tmp_path):
    for video in ("a", "b"):
        (tmp_path / "json" / video).mkdir(parents=True)
    touch(*(tmp_path / "cropped_aligned" / trial / "00001.jpg" for trial in ("a", "b", "b_left")))
    official = {"source": "official", "official_root": str(tmp_path)}
    bodies = {"source": "openpose", "path": str(tmp_path / "json" / "{video}")}
    says(plan, "features.bodies.person: face needs the places of faces", faces=official, bodies=bodies)
    guessed = {"source": "face_box"}
    says(plan, "places of faces, which faces.source official does not have", faces=official, bodies=guessed)
    plan(faces=official, bodies=bodies | {"person": "first"})
    plan(bodies=bodies)


@pytest.mark.parametrize("crops", ["ntua_body112", "ntua_context112"])
def test_whoever_shows_bodies_needs_somebody_who_finds_them(plan, crops):
    entry = {"face": {"network": "resnet18", "weights": "seeded", "crops": crops}}
    says(plan, f"features.bodies: crops {crops} show a person's body", embeddings=entry)
    assert crops in plan(embeddings=entry, bodies={"source": "face_box"}).inputs.templates()
    plan(embeddings={"face": {**entry["face"], "crops": "ntua_frame112"}})


def test_what_is_made_together_needs_all_that_one_of_it_needs(plan):
    """Weights and bodies as soon as a member is asked for, and not before."""
    faces = {"backend": "dlib", "model": "hog"}
    with pytest.raises(InputError) as caught:
        plan(single_pass=["mfcc39", "mfc39"])
    (line,) = str(caught.value).splitlines()[1:]
    assert "config.features.single_pass[1]: 'mfc39' is not possible; did you mean 'mfcc39'?" in line
    says(plan, "features.vggish_pca: ", single_pass=["mfcc39", "vggish128_quantised"])
    plan(single_pass=["egemaps23", "vggish128_quantised"])
    scenes = scene_templates()
    shown = {"face": {"network": "resnet18", "weights": "seeded", "crops": "ntua_frame112"}}
    plan(faces=faces | {"single_pass": scenes})
    says(
        plan,
        "features.bodies: crops ntua_body112, ntua_context112",
        faces=faces | {"single_pass": scenes},
        embeddings=shown,
    )
    says(
        plan,
        "faces.single_pass: lfan48 is made from arcface112, which is not named with it. Add arcface112 or leave out lfan48.",
        faces=faces | {"single_pass": ["lfan48", "m3t256"]},
    )
    says(plan, "faces.single_pass: sheets is made from arcface112", faces=faces | {"single_pass": ["sheets", "m3t256"]})
