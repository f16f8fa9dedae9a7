"""Training and predicting M3T from files: learning, resuming, rows of the predictions, given weights, errors."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from support.m3t import TINY, Corpus
from support.runs import predict, predictions, train, train_in_two_parts
from wildaffect import systems
from wildaffect.corpus.label_spaces import EXPRESSIONS7 as EXPRESSIONS
from wildaffect.errors import InputError
from wildaffect.scoring import ccc
from wildaffect.systems.m3t.checkpoint import VARIANTS
from wildaffect.systems.m3t.spec import OUTPUTS

MODES = ("corrected", "faithful")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus):
    """Record and folder of a short training on both tasks in each mode."""
    return {mode: (train(**corpus.train_arguments(mode, mode=mode)), corpus.folder / mode / "run") for mode in MODES}


@pytest.mark.parametrize("mode", MODES)
def test_it_learns_from_sound(corpus, mode):
    recipe = TINY | {"epochs": 8, "windows_per_epoch": 16}
    arguments = {"variant": "audio", "mode": mode, "recipe": recipe}
    record = train(**corpus.train_arguments(f"heard-{mode}", **arguments))
    assert record["best_score"] > 0.7
    table = predictions(corpus, corpus.folder / f"heard-{mode}" / "run", "heard.parquet", trials=["t4"])
    assert ccc(corpus.valence["t4"], table["valence"].to_numpy()) > 0.6
    likely = table[list(EXPRESSIONS)].to_numpy().argmax(axis=1)
    truth = np.select([corpus.valence["t4"] > 0.2, corpus.valence["t4"] < -0.2], [4, 5], 0)
    if mode == "corrected":  # as published, the sound is not scaled, which takes more epochs than this
        assert (likely == truth).mean() > 0.7 > np.bincount(truth).max() / len(truth)


@pytest.mark.slow
def test_it_learns_from_pictures(corpus):
    recipe = TINY | {"epochs": 10, "windows_per_epoch": 24, "face_vectors": "zeros"}
    record = train(**corpus.train_arguments("seen", variant="visual_mtl", target="va", recipe=recipe))
    assert record["best_score"] > 0.7


@pytest.mark.parametrize("mode", MODES)
def test_files_of_a_run(trained, mode):
    record, folder = trained[mode]
    assert record == json.loads((folder / "run.json").read_text())
    assert record["selection"] == {"faithful": "ccc_mixed", "corrected": "ccc"}[mode] and record["epochs_run"] == 2
    assert record["data"]["train"]["samples"] == 3 * TINY["windows_per_epoch"]
    assert record["recipe"]["face_vectors"] == "import.senet"
    statistics = json.loads((folder / "stats.json").read_text())
    assert statistics["train"] == statistics["validation"]
    assert list(statistics["train"]) == ([] if mode == "faithful" else ["m3t_mel"])
    assert set(load_file(folder / "model.safetensors")) == set(
        systems.build_model("m3t", "audiovisual_mtl").state_dict()
    )


@pytest.mark.parametrize("mode", MODES)
def test_one_row_per_frame(trained, corpus, mode):
    table = predictions(corpus, trained[mode][1], f"{mode}.parquet")
    assert list(table) == ["trial", "frame", "time_s", *OUTPUTS, "source"]
    assert table.groupby("trial", sort=False).size().to_dict() == corpus.lengths
    assert np.isfinite(table[list(OUTPUTS)].to_numpy()).all()
    assert set(table.loc[table["frame"] == 7, "source"]) == {"no_face"}
    assert set(table.loc[table["frame"] != 7, "source"]) == {"model"}
    assert np.allclose(table[list(EXPRESSIONS)].sum(axis=1), 1, atol=1e-5) == (mode == "corrected")


@pytest.mark.parametrize("mode", MODES)
def test_predictions_reproduce_the_validation_score(trained, corpus, mode):
    """Two paths to one number: the epoch's validation, and the stored weights over the stored table."""
    record, folder = trained[mode]
    recipe = record["recipe"] | {"stride": TINY["validation_stride"]}
    table = predictions(corpus, folder, "check.parquet", trials=["t3", "t4"], recipe=recipe)
    known = table["frame"].to_numpy() != 5
    truth = np.concatenate([corpus.valence[name] for name in ("t3", "t4")])
    form = {"variant": "mixed"} if mode == "faithful" else {}
    scores = [
        ccc((sign * truth)[known], table[name].to_numpy(float)[known], **form)
        for sign, name in ((1, "valence"), (-1, "arousal"))
    ]
    assert np.mean(scores) == pytest.approx(record["best_score"], abs=1e-5)


def test_predictions_need_neither_labels_nor_company(trained, corpus):
    folder = trained["corrected"][1]
    every = predictions(corpus, folder, "every.parquet")
    alone = predictions(corpus, folder, "alone.parquet", trials=["t1"], labels=None, cache_mib=0, recipe={"batch": 3})
    want = every[every["trial"] == "t1"]
    np.testing.assert_allclose(alone[list(OUTPUTS)], want[list(OUTPUTS)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_trains_and_predicts(corpus, variant):
    recipe = TINY | {"epochs": 1, "windows_per_epoch": 2, "cutout": True, "augment": True, "resample": True}
    features = {"features": corpus.features}
    if variant == "visual_mtl":
        recipe |= {"face_vectors": "zeros", "arousal_vectors": "import.tcae", "arousal_columns": 5}
        features = {"features": {"import.tcae": corpus.features["import.tcae"]}}
    record = train(**corpus.train_arguments(variant, variant=variant, target="va", recipe=recipe, **features))
    table = predictions(corpus, corpus.folder / variant / "run", "v.parquet", trials=["t0"], **features)
    assert list(table) == ["trial", "frame", "time_s", "valence", "arousal", "source"]
    assert len(table) == corpus.lengths["t0"] and np.isfinite(table["valence"]).all()
    assert (table["source"] == "no_face").sum() == (not variant.startswith("audio") or "visual" in variant)
    assert record["parameters"] > 0


def test_interrupted_training_ends_with_the_same_files(trained, corpus):
    arguments = corpus.train_arguments("parts")
    train_in_two_parts(arguments)
    first, second = trained["corrected"][1], arguments["output"]
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    histories = [pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (first, second)]
    pd.testing.assert_frame_equal(*histories)


def test_a_lone_checkpoint_of_the_original_predicts_in_faithful_mode(corpus, tmp_path):
    """As downloaded weights would: a dict with ``state_dict``, no run record; structure and vectors come from the recipe."""
    recipe = {key: TINY[key] for key in ("face_columns", "network", "window", "stride", "validation_stride")}
    model = systems.build_recipe("m3t", "audiovisual_mtl", "va", "faithful", recipe).model()
    torch.save({"state_dict": model.state_dict(), "epoch": 3}, tmp_path / "m3t_mtl.pt")
    what = {"system": "m3t", "variant": "audiovisual_mtl", "target": "va", "recipe": recipe, "trials": ["t0"]}
    predict(tmp_path / "m3t_mtl.pt", mode="faithful", output=tmp_path / "p.parquet", **what, **corpus.inputs())
    assert len(pd.read_parquet(tmp_path / "p.parquet")) == corpus.lengths["t0"]
    with pytest.raises(InputError, match=r"need the statistics of their training data"):
        predict(tmp_path / "m3t_mtl.pt", mode="corrected", output=tmp_path / "p.parquet", **what, **corpus.inputs())
    what["recipe"] = recipe | {"face_columns": 5}
    with pytest.raises(InputError, match=r"m3t_mtl\.pt: does not fit .*variant audiovisual_mtl with .*vectors 6"):
        predict(tmp_path / "m3t_mtl.pt", mode="faithful", output=tmp_path / "p.parquet", **what, **corpus.inputs())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"crops": {}}, "trial t0: no file given for crop m3t256"),
        ({"features": {}}, r"no file given for feature import\.senet"),
        ({"labels": {}}, "no label table given for task va"),
    ],
)
def test_what_is_missing_is_named(corpus, changes, named):
    with pytest.raises(InputError, match=named):
        train(**corpus.train_arguments("missing", **changes))
