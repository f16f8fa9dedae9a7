"""Training and predicting CNU_ADL from files: learning, resuming, stored vectors, rows of the predictions."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from support.cnu_adl import NETWORK, TINY, Corpus, small_checkpoint, write_keras
from support.runs import predict, train
from support.tsav import FRAMES_OF, labels_of
from wildaffect import systems
from wildaffect.faces.crops import CropFile
from wildaffect.features.embeddings import embed_crops
from wildaffect.features.vggface import prepared
from wildaffect.systems.cnu_adl.keras_files import load_face
from wildaffect.systems.cnu_adl.recipe import scores
from wildaffect.systems.cnu_adl.spec import COLUMNS

MODES = ("corrected", "faithful")
OUTPUTS = [*COLUMNS["expr"], *COLUMNS["va"]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus):
    """Record and folder of a short training on both tasks in each mode."""
    return {mode: (train(**corpus.train_arguments(mode, mode=mode)), corpus.folder / mode / "run") for mode in MODES}


def predictions(corpus, run, name, **changes):
    record = json.loads((run / "run.json").read_text())
    what = {key: record[key] for key in ("system", "variant", "target", "mode", "recipe")}
    arguments = {**what, "trials": corpus.trials, "labels": corpus.labels, **corpus.inputs()} | changes
    predict(run / "model.safetensors", output=corpus.folder / name, **arguments)
    return pd.read_parquet(corpus.folder / name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "mode"), [("image", "corrected"), ("frames_stat", "faithful"), ("stat_bilstm", "corrected")]
)
def test_it_learns_both_tasks(corpus, variant, mode):
    changes = {"epochs": 6, "frames_per_epoch": None, "batch": 16, "chunk": 2, "balance": False, "learning_rate": 5e-3}
    name = f"long-{variant}"
    record = train(**corpus.train_arguments(name, variant=variant, mode=mode, recipe=TINY | changes))
    history = pd.read_csv(corpus.folder / name / "run" / "history.csv")
    assert record["best_score"] == history["val_criterion"].max() > 0.7
    assert history["train_loss"].iloc[-1] < 0.5 * history["train_loss"][0]
    assert {"val_expr_score", "val_expr_legacy", "val_va_score", "val_va_score_both"} <= set(history)


@pytest.mark.parametrize("mode", MODES)
def test_files_of_a_run(trained, mode):
    record, folder = trained[mode]
    assert record == json.loads((folder / "run.json").read_text())
    assert record["selection"] == "criterion" and record["epochs_run"] == 2
    history = pd.read_csv(folder / "history.csv")
    assert np.isfinite(history[["train_loss", "val_loss", "val_expr_score", "val_expr_legacy", "val_va_score"]]).all(
        axis=None
    )
    model = systems.build_model("cnu_adl", "frames_stat", **NETWORK)
    assert set(load_file(folder / "model.safetensors")) == set(model.state_dict())


@pytest.mark.parametrize("mode", MODES)
def test_one_row_per_frame(trained, corpus, mode):
    table = predictions(corpus, trained[mode][1], f"{mode}.parquet")
    assert list(table) == ["trial", "frame", "time_s", *OUTPUTS, "source"]
    assert table.groupby("trial", sort=False).size().to_dict() == FRAMES_OF
    assert np.isfinite(table[OUTPUTS].to_numpy()).all()
    assert set(table.loc[table["frame"] == 2, "source"]) == {"no_face"}
    assert np.allclose(table[OUTPUTS[:7]].sum(axis=1), 1, atol=1e-5)
    gap = table[table["trial"] == "a"].set_index("frame").loc[1:3]
    np.testing.assert_allclose(
        gap.loc[2, ["valence", "arousal"]].astype(float), gap.loc[[1, 3], ["valence", "arousal"]].mean(), atol=1e-6
    )


@pytest.mark.parametrize("mode", MODES)
def test_predictions_reproduce_the_validation_score(corpus, mode):
    """Two paths to one number: the epoch's validation, and the stored weights over the stored table."""
    recipe = TINY | {"epochs": 1, "validation_stride": 1}
    record = train(**corpus.train_arguments(f"score-{mode}", mode=mode, recipe=recipe))
    table = predictions(corpus, corpus.folder / f"score-{mode}" / "run", "score.parquet", trials=["c"])
    labels = labels_of(corpus.valence["c"])
    rows = np.ones(FRAMES_OF["c"], bool)
    if mode == "faithful":
        rows = ~np.isnan(labels["expr"][:, 0]) & ~np.isnan(labels["va"][:, 0])
        rows[2] = False
    found = {task: table[list(COLUMNS[task])].to_numpy(float)[rows] for task in COLUMNS}
    assert scores({task: labels[task][rows] for task in COLUMNS}, found)["criterion"] == pytest.approx(
        record["best_score"], abs=1e-5
    )


def test_predictions_need_neither_labels_nor_company(trained, corpus, tmp_path):
    folder = trained["corrected"][1]
    every = predictions(corpus, folder, "every.parquet")
    alone = tmp_path / "weights.safetensors"
    alone.write_bytes((folder / "model.safetensors").read_bytes())
    predict(
        alone, system="cnu_adl", variant="frames_stat", target="mtl", mode="corrected", recipe=TINY, trials=["b_right"],
        output=tmp_path / "p.parquet", cache_mib=0, **corpus.inputs(),
    )  # fmt: skip
    got, want = pd.read_parquet(tmp_path / "p.parquet"), every[every["trial"] == "b_right"]
    np.testing.assert_allclose(got[OUTPUTS], want[OUTPUTS], rtol=1e-4, atol=1e-5)


class Stop(Exception):
    pass


@pytest.mark.parametrize("mode", MODES)
def test_interrupted_training_ends_with_the_same_files(trained, corpus, mode):
    arguments = corpus.train_arguments(f"parts-{mode}", mode=mode)

    def stop(row):
        if row["epoch"] == 0:
            raise Stop

    with pytest.raises(Stop):
        train(**arguments, report=stop)
    assert train(**arguments)["resumed_at"] == [1]
    first, second = trained[mode][1], arguments["output"]
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_training_starts_from_a_keras_file(corpus, tmp_path):
    """Frozen layers end as the file has them."""
    write_keras(tmp_path / "face.h5", small_checkpoint("image"))
    network = NETWORK | {"units": [1, 2, 1, 1]}
    recipe = TINY | {
        "epochs": 1,
        "face_weights": str(tmp_path / "face.h5"),
        "face_training": "upper",
        "network": network,
    }
    record = train(**corpus.train_arguments("keras", variant="image", recipe=recipe))
    assert record["initial_weights"][0]["file"] == str(tmp_path / "face.h5")
    state = load_file(corpus.folder / "keras" / "run" / "model.safetensors")
    kernel = small_checkpoint("image")["conv3_1_3x3"]["conv3_1_3x3/kernel"]
    np.testing.assert_array_equal(state["face.conv3_1.middle.conv.weight"], kernel.transpose(3, 2, 0, 1))


@pytest.mark.parametrize("variant", ["frames_stat", "image"])
def test_stored_vectors_of_a_frozen_network_give_what_running_it_gives(corpus, tmp_path, variant):
    """A training without a face network goes through, and the same heads say the same on vectors as on pictures."""
    write_keras(tmp_path / "face.h5", small_checkpoint("frames_stat"))
    network = NETWORK | {"units": [1, 2, 1, 1], "image_pooling": 1}
    short = TINY | {"epochs": 1, "frames_per_epoch": 16, "network": network}
    frozen = short | {"face_training": "none", "face_weights": str(tmp_path / "face.h5")}
    stored = short | {"face_features": "embed.cnu"}
    face = systems.build_model("cnu_adl", "frames_stat", **network).face
    load_face(face, tmp_path / "face.h5")
    paths = {name: tmp_path / f"{name}.npy" for name in corpus.trials}
    for name, path in paths.items():
        embed_crops(face, prepared, CropFile(corpus.crops["cnu224"][name]), path)
    tables = {}
    for name, recipe, features in (("run", frozen, {}), ("stored", stored, {"embed.cnu": paths})):
        inputs = {"variant": variant, "target": "va", "features": features}
        folder = f"{variant}-{name}"
        train(**corpus.train_arguments(folder, recipe=recipe, **inputs))
        tables[name] = predictions(corpus, corpus.folder / folder / "run", f"{folder}.parquet", features=features)
    state = load_file(corpus.folder / f"{variant}-stored" / "run" / "model.safetensors")
    assert not [name for name in state if name.startswith("face.")]
    assert tables["run"][["valence", "arousal"]].std().min() > 1e-4
    assert (tables["run"]["source"] == tables["stored"]["source"]).all()
    # The two trainings draw other heads, as one draws a face network before them; so one set of heads is compared.
    whole = systems.build_model("cnu_adl", variant, **network)
    load_face(whole.face, tmp_path / "face.h5")
    cut = systems.build_model("cnu_adl", variant, **network, with_face=False)
    cut.heads.load_state_dict(whole.heads.state_dict())
    rows = np.arange(8)
    block = torch.from_numpy(np.lib.stride_tricks.sliding_window_view(rows, 4).copy())[None]
    with torch.inference_mode():
        picture = torch.from_numpy(CropFile(corpus.crops["cnu224"]["c"]).read(rows))[None]
        vectors = torch.from_numpy(np.load(paths["c"])[rows])[None]
        torch.testing.assert_close(
            whole.eval()(block, picture), cut.eval()(block, vectors=vectors), rtol=1e-4, atol=1e-5
        )
