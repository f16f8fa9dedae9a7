"""Training and predicting NTUA from files: learning, resuming, rows of the predictions, what the workflow plans for it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file
from snakemake.utils import update_config

from support.corpora import touch, write_annotation
from support.lists import training_files
from support.ntua import FRAMES_OF, TINY, Corpus, labels_of
from support.runs import predict, train, train_in_two_parts
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.scoring.fusion import fuse
from wildaffect.systems.ntua.spec import SPEC
from wildaffect.systems.toolbox import task_scores
from wildaffect.workflow.plan import make_plan

CASES = [
    ("visual", "va", "corrected"),
    ("visual", "expr", "faithful"),
    ("aural", "va", "faithful"),
    ("face", "expr", "corrected"),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(tmp_path_factory.mktemp("corpus"))


def run(corpus, name, variant, target, mode, **changes):
    arguments = corpus.train_arguments(name, variant=variant, target=target, mode=mode, **changes)
    return train(**arguments), arguments["output"]


@pytest.fixture(scope="module")
def trained(corpus):
    """Record and folder of a short training of each case."""
    return {case: run(corpus, "-".join(case), *case) for case in CASES}


def predictions(corpus, folder, name, **changes):
    record = json.loads((folder / "run.json").read_text())
    what = {key: record[key] for key in ("system", "variant", "target", "mode", "recipe")}
    arguments = {**what, "trials": corpus.trials, "labels": corpus.labels, **corpus.inputs()} | changes
    predict(folder / "model.safetensors", output=corpus.folder / name, **arguments)
    return pd.read_parquet(corpus.folder / name)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["corrected", "faithful"])
@pytest.mark.parametrize("variant", ["visual", "aural", "face"])
def test_it_learns(corpus, variant, mode, tmp_path):
    """Far above what a constant reaches, which is 0, on held-out frames."""
    corpus = Corpus(tmp_path, fps=1) if variant == "aural" else corpus
    recipe = TINY | {"epochs": 12}
    record, _ = run(corpus, f"long-{variant}-{mode}", variant, "va", mode, recipe=recipe)
    history = pd.read_csv(corpus.folder / f"long-{variant}-{mode}" / "run" / "history.csv")
    assert record["best_score"] == history["val_criterion"].max() > 0.6
    assert history["train_loss"].iloc[-1] < 0.6 * history["train_loss"][0]


@pytest.mark.slow
def test_it_learns_expressions(corpus):
    record, _ = run(corpus, "long-expr", "visual", "expr", "corrected", recipe=TINY | {"epochs": 12})
    assert record["best_score"] > 0.67 * 1.6 / 7 + 0.33 * 0.8  # the majority class reaches 0.67 * 0.67 / 7 + 0.33 * 0.5


def test_files_of_a_run(trained):
    record, folder = trained["visual", "va", "corrected"]
    assert record == json.loads((folder / "run.json").read_text())
    assert record["selection"] == "criterion" and record["epochs_run"] == 2
    assert record["data"]["train"] == {"trials": 3, "frames": 160, "samples": 8 + 7 + 7}
    assert record["data"]["validation"] == {"trials": 1, "frames": 57, "samples": 8}
    assert set(load_file(folder / "model.safetensors")) == set(
        systems.build_model("ntua", "visual", **TINY["network"]).state_dict()
    )
    faithful = trained["visual", "expr", "faithful"][0]
    assert faithful["data"]["train"]["samples"] == 8 + 6 + 6  # 57 and 47 labelled frames


@pytest.mark.parametrize("case", CASES)
def test_one_row_per_frame(trained, corpus, case):
    variant, target, _ = case
    columns = list(SPEC.targets[target].columns)
    table = predictions(corpus, trained[case][1], f"{'-'.join(case)}.parquet")
    assert list(table) == ["trial", "frame", "time_s", *columns, "source"]
    assert table.groupby("trial", sort=False).size().to_dict() == FRAMES_OF
    assert np.isfinite(table[columns].to_numpy()).all()
    seen = table["frame"] != 2 if variant != "aural" else table["frame"] >= 0
    assert set(table.loc[seen, "source"]) == {"model"} and set(table.loc[~seen, "source"]) <= {"no_face"}
    if target == "expr":
        np.testing.assert_allclose(table[columns].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_predictions_reproduce_the_validation_score(trained, corpus, case):
    """Two paths to one number: the epoch's validation, and the stored weights over the stored table."""
    record, folder = trained[case]
    table = predictions(corpus, folder, "check.parquet", trials=["c"])
    truth = labels_of(corpus.valence["c"])[case[1]]
    values = table[list(SPEC.targets[case[1]].columns)].to_numpy(float)
    got = task_scores(case[1], truth, values)
    if case[2] == "corrected" or case[1] == "va":
        assert got["criterion"] == pytest.approx(record["best_score"], abs=1e-5)
    else:  # its F1 is the mean over fewer classes
        assert record["best_score"] >= got["criterion"]


@pytest.mark.parametrize("case", [CASES[0], CASES[2]])
def test_interrupted_training_ends_with_the_same_files(trained, corpus, case):
    variant, target, mode = case
    arguments = corpus.train_arguments(f"parts-{variant}", variant=variant, target=target, mode=mode)
    train_in_two_parts(arguments)
    first, second = trained[case][1], arguments["output"]
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_training_ends_after_epochs_without_a_new_best(corpus):
    recipe = TINY | {"epochs": 9, "patience": 2, "learning_rate": 1e-12, "network": TINY["network"], "batch": 64}
    record, _ = run(corpus, "early", "face", "expr", "corrected", recipe=recipe)
    assert record["epochs_run"] - record["best_epoch"] == 3 and record["epochs_run"] < 9


def test_modalities_are_fused_late(trained, corpus):
    """Means of values; of probabilities, whose rows still sum to one, although one member was trained in the other mode."""
    members = [
        predictions(corpus, trained[case][1], f"m{number}.parquet", trials=["c"]) for number, case in enumerate(CASES)
    ]
    fused = fuse([members[0], members[2]]).to_pandas()
    np.testing.assert_allclose(fused["valence"], (members[0]["valence"] + members[2]["valence"]) / 2, atol=1e-6)
    fused = fuse([members[1], members[3]]).to_pandas()
    np.testing.assert_allclose(fused[list(SPEC.targets["expr"].columns)].sum(axis=1), 1, atol=1e-5)


@pytest.fixture
def plan(tmp_path, root):
    """The plan of a corpus annotated for both tracks."""
    touch(*(tmp_path / "batch1" / f"{video}.mp4" for video in "abz"))
    for folder, header, row in (
        ("VA_Set", "valence,arousal", "0.1,0.2"),
        ("EXPR_Set", "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise", "0"),
    ):
        for name, trial in (("Training_Set", "a"), ("Validation_Set", "b")):
            write_annotation(tmp_path / "annotations" / folder / name / f"{trial}.txt", 3, header, row)
    for name in ("va", "expr"):
        (tmp_path / f"{name}_test_set.txt").write_text("z\n")

    def make(block, bodies=None, **changes):
        raw = {
            "corpus": {"root": str(tmp_path)},
            "faces": {"backend": "dlib", "model": "hog"},
            "folds": {"scheme": "official"},
            "features": {"vggish_weights": "seeded", "bodies": bodies},
            "systems": {"ntua": block},
        }
        return make_plan(raw | changes)

    return make


def test_what_a_job_reads(plan):
    made = plan({}, {"source": "face_box"})
    assert made.inputs.templates() == ["arcface112", "ntua_body112", "ntua_context112"] and made.inputs.features() == [
        "ntua_mel"
    ]
    files = {i.variant: training_files(made.inputs, i) for i in made.instances}
    assert {Path(path).parent.name for path in files["visual"]["crops"]} == set(made.inputs.templates())
    assert not files["aural"]["crops"] and not files["visual"]["features"] and not files["visual"]["persons"]
    fewer = plan({"recipe": {"streams": ["face"]}})
    assert fewer.inputs.templates() == ["arcface112"]  # and nobody has to look for bodies
    faithful = plan({"mode": "faithful"}, {"source": "face_box"})
    assert faithful.inputs.templates() == ["arcface112", "ntua_context112", "ntua_frame112"]


def test_only_the_visual_variant_needs_bodies(plan):
    plan({"variants": ["aural", "face"]})
    with pytest.raises(InputError, match=r"features\.bodies: crops ntua_body112, ntua_context112 show a person's body"):
        plan({"variants": ["visual"]})


def test_both_tracks_and_the_fusion_of_modalities_are_submitted(plan):
    members = ["ntua/visual", "ntua/aural"]
    ensembles = {
        "both": {"members": members, "target": "va", "clip": "late"},
        "classes": {"members": members, "target": "expr", "clip": "none"},
    }
    made = plan({}, {"source": "face_box"}, score={"ensembles": ensembles})
    paths = made.submissions.paths()
    assert {path.removeprefix("results/submissions/abaw2/") for path in paths} == {
        *(f"ntua/{variant}/{task}.json" for variant in ("visual", "aural", "face") for task in ("va", "expr")),
        "ensemble/both/va.json",
        "ensemble/classes/expr.json",
    }


def test_the_demo_of_this_system_is_planned(root):
    """The overlay that ships with the system: the variants that need bodies have a source of them, and are fused."""
    config = yaml.safe_load((root / "config.yaml").read_text())
    for name in ("demo.yaml", "demo_ntua.yaml"):
        update_config(config, yaml.safe_load((root / "config" / name).read_text()))
    made = make_plan(config | {"systems": {"ntua": config["systems"]["ntua"]}})
    assert [instance.key for instance in made.instances] == [
        f"ntua/{variant}/{target}/fold{fold}"
        for variant in ("visual", "aural")
        for target in ("va", "expr")
        for fold in range(3)
    ]
    assert "ntua_context112" in made.inputs.templates()
    assert made.outputs.ensembles["ntua"].members == ((("ntua", "visual", "va"),), (("ntua", "aural", "va"),))
