"""Training and predicting LFAN from files: learning, resuming after a kill, records, errors."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

from support.runs import TINY, Corpus, Stop, predict, predictions, train, train_in_two_parts
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.files import sha256
from wildaffect.scoring import ccc
from wildaffect.systems import build_model, load_weights
from wildaffect.training.inputs import partition_trials

LONGER = TINY | {"epochs": 12}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus):
    """Record and folder of a finished training in each mode."""
    runs = {}
    for mode in ("corrected", "faithful"):
        record = train(**corpus.train_arguments(mode, mode=mode, recipe=LONGER))
        runs[mode] = record, corpus.folder / mode / "run"
    return runs


@pytest.mark.parametrize("mode", ["corrected", "faithful"])
def test_it_learns(trained, mode):
    record, _ = trained[mode]
    assert record["best_score"] > 0.8


def test_history(trained):
    record, folder = trained["corrected"]
    history = pd.read_csv(folder / "history.csv")
    assert list(history) == [
        "epoch",
        "lr",
        "phase",
        "train_loss",
        "val_loss",
        "val_ccc",
        "val_pcc",
        "val_rmse",
        "seconds",
    ]
    assert history["epoch"].tolist() == list(range(12))
    assert history["val_ccc"].max() == record["best_score"]
    assert history["val_ccc"].idxmax() == record["best_epoch"]


def test_record(trained, corpus):
    record, folder = trained["corrected"]
    assert record == json.loads((folder / "run.json").read_text())
    assert record["recipe"]["hop"] == 20
    assert record["recipe"]["plateau_patience"] == 5
    assert record["data"]["train"] == {"trials": 3, "frames": 70 + 73 + 76, "samples": 9}
    assert record["data"]["validation"]["trials"] == 2
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    assert not list((corpus.folder / "corrected" / "state").iterdir())


def test_weights_have_the_original_keys(trained):
    _, folder = trained["corrected"]
    model = build_model("lfan", "multimodal", **TINY["backbone"])
    assert load_weights(model, folder / "model.safetensors").sha256 == sha256(folder / "model.safetensors")
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["wildaffect"])["system"] == "lfan"


def test_statistics_of_both_modes(trained, corpus):
    stored = {mode: json.loads((folder / "stats.json").read_text()) for mode, (_, folder) in trained.items()}
    assert stored["corrected"]["train"] == stored["corrected"]["validation"]
    pooled = np.concatenate([np.load(corpus.features["mfcc39"][name]) for name in ("t0", "t1", "t2")])
    np.testing.assert_allclose(stored["corrected"]["train"]["mfcc39"]["mean"], pooled.mean(axis=0), rtol=1e-4)
    kept = np.concatenate(
        [np.delete(np.load(corpus.features["mfcc39.indexed"][name]), 5, axis=0) for name in ("t3", "t4")]
    )
    assert stored["faithful"]["validation"]["mfcc39.indexed"]["mean"] == pytest.approx(float(kept.mean()), rel=1e-4)


@pytest.mark.parametrize("mode", ["corrected", "faithful"])
def test_predictions_reproduce_the_validation_score(trained, corpus, mode):
    """Two paths to one number: the epoch's validation, and the stored weights over the stored table."""
    record, folder = trained[mode]
    held_out = [name for name, part in corpus.partition.items() if part == "validation"]
    table = predictions(corpus, folder, f"{mode}.parquet", trials=held_out)
    assert list(table) == ["trial", "frame", "time_s", "valence", "source"]
    assert table.groupby("trial", sort=False).size().to_dict() == {name: corpus.lengths[name] for name in held_out}
    assert table["valence"].notna().all()
    truth = np.concatenate([corpus.valence[name] for name in held_out])
    labelled = (table["frame"] != 5).to_numpy()
    variant = "mixed" if mode == "faithful" else "population"
    assert ccc(truth[labelled], table["valence"].to_numpy()[labelled], variant=variant) == pytest.approx(
        record["best_score"], abs=1e-5
    )


def test_frames_without_face_say_so(trained, corpus):
    table = predictions(corpus, trained["corrected"][1], "sources.parquet")
    assert set(table.loc[table["frame"] == 7, "source"]) == {"no_face"}
    assert set(table.loc[table["frame"] != 7, "source"]) == {"model"}


def test_corrected_predictions_need_no_labels_and_do_not_depend_on_company(trained, corpus):
    folder = trained["corrected"][1]
    every = predictions(corpus, folder, "every.parquet")
    alone = predictions(corpus, folder, "alone.parquet", trials=["t3"], labels=None)
    want = every[every["trial"] == "t3"]["valence"].to_numpy()
    np.testing.assert_allclose(alone["valence"].to_numpy(), want, atol=1e-5)


def test_no_trials_give_an_empty_table(trained, corpus):
    predictions(corpus, trained["corrected"][1], "none.parquet", trials=[])
    assert pq.read_schema(corpus.folder / "none.parquet").names == ["trial", "frame", "time_s", "valence", "source"]


def test_weights_file_alone_is_enough_in_faithful_but_not_in_corrected(trained, corpus):
    for mode, (record, folder) in trained.items():
        lone = corpus.folder / f"lone-{mode}" / "weights.safetensors"
        lone.parent.mkdir()
        shutil.copy(folder / "model.safetensors", lone)
        what = {key: record[key] for key in ("system", "variant", "target", "mode", "recipe")}
        arguments = what | corpus.inputs() | {"trials": ["t4"], "output": lone.with_suffix(".parquet")}
        if mode == "corrected":
            with pytest.raises(InputError, match=r"stats\.json"):
                predict(lone, **arguments)
        else:
            predict(lone, **arguments)
            assert pd.read_parquet(arguments["output"])["valence"].notna().all()


def test_weights_of_something_else_are_refused(trained, corpus):
    _, folder = trained["corrected"]
    with pytest.raises(InputError, match=r"run\.json says target valence, but arousal was asked for"):
        predictions(corpus, folder, "x.parquet", target="arousal")
    what = {"system": "lfan", "variant": "multimodal", "target": "valence", "mode": "corrected", "recipe": {}}
    (corpus.folder / "elsewhere").mkdir()
    alone = shutil.copy(folder / "model.safetensors", corpus.folder / "elsewhere" / "alone.safetensors")
    with pytest.raises(InputError, match=r"alone\.safetensors: does not fit LeaderFollower"):
        predict(alone, output=corpus.folder / "x.parquet", trials=corpus.trials, **what, **corpus.inputs())


def test_a_run_folder_brings_its_recipe(trained, corpus):
    _, folder = trained["corrected"]
    asked = predictions(corpus, folder, "asked.parquet")
    unasked = predictions(corpus, folder, "unasked.parquet", recipe={})
    assert asked.equals(unasked)


@pytest.mark.parametrize("mode", ["corrected", "faithful"])
def test_interrupted_training_ends_with_the_same_files(corpus, mode):
    whole = train(**corpus.train_arguments(f"whole-{mode}", mode=mode, variant="unimodal"))
    arguments = corpus.train_arguments(f"parts-{mode}", mode=mode, variant="unimodal")
    parts = train_in_two_parts(arguments)
    assert parts["best_score"] == whole["best_score"]
    first, second = (corpus.folder / f"{name}-{mode}" / "run" / "model.safetensors" for name in ("whole", "parts"))
    assert first.read_bytes() == second.read_bytes()


def test_a_changed_job_starts_anew(corpus):
    def stop(row):
        raise Stop

    arguments = corpus.train_arguments("changed", recipe=TINY | {"epochs": 2})
    with pytest.raises(Stop):
        train(**arguments, report=stop)
    for change in ({"seed": 99}, {"code": "edited"}):
        assert train(**(arguments | change))["resumed_at"] == []
    assert train(**arguments)["resumed_at"] == [1]


def test_pictures_read_as_needed_give_the_same_weights(corpus):
    recipe = TINY | {"epochs": 1}
    train(**corpus.train_arguments("cached", recipe=recipe))
    train(**corpus.train_arguments("lazy", recipe=recipe, cache_mib=0))
    first, second = (corpus.folder / name / "run" / "model.safetensors" for name in ("cached", "lazy"))
    assert first.read_bytes() == second.read_bytes()


def test_another_seed_gives_other_weights(corpus):
    recipe = TINY | {"epochs": 1}
    scores = [train(**corpus.train_arguments(f"seed{s}", recipe=recipe, seed=s))["best_score"] for s in (1, 2)]
    assert scores[0] != scores[1]


def test_the_callers_random_state_and_threads_stay(corpus):
    torch.manual_seed(9)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    train(**corpus.train_arguments("state", recipe=TINY | {"epochs": 1}))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_a_fold_trains_on_its_own_trials(corpus):
    """Fold 1 trains on what fold 0 holds out, and the other way round."""
    record = train(**corpus.train_arguments("fold1", fold=1, recipe=TINY | {"epochs": 1}))
    assert record["fold"] == 1
    assert record["data"]["train"] == {"trials": 2, "frames": 79 + 82, "samples": 7}
    assert (record["data"]["validation"]["trials"], record["data"]["validation"]["frames"]) == (3, 70 + 73 + 76)
    pooled = np.concatenate([np.load(corpus.features["mfcc39"][name]) for name in ("t3", "t4")])
    stored = json.loads((corpus.folder / "fold1" / "run" / "stats.json").read_text())
    np.testing.assert_allclose(stored["train"]["mfcc39"]["mean"], pooled.mean(axis=0), rtol=1e-4)


def test_partitions_are_those_of_the_fold(corpus):
    target = systems.spec("lfan").targets["valence"]
    found = {
        (fold, part): partition_trials(corpus.folds, target, fold, part)["va"]
        for fold in (0, 1)
        for part in ("train", "validation")
    }
    assert found == {
        (0, "train"): ("t0", "t1", "t2"),
        (0, "validation"): ("t3", "t4"),
        (1, "train"): ("t3", "t4"),
        (1, "validation"): ("t0", "t1", "t2"),
    }


def test_data_hash_follows_labels(tmp_path):
    small = Corpus(tmp_path, train=1, validation=1, frames=20)
    recipe = TINY | {"epochs": 1, "window": 10, "hop": 10}
    first = train(**small.train_arguments("a", recipe=recipe))["data"]["sha256"]
    assert train(**small.train_arguments("b", recipe=recipe, seed=7))["data"]["sha256"] == first
    small.valence["t0"] = -small.valence["t0"]
    small._write_labels()
    assert train(**small.train_arguments("c", recipe=recipe))["data"]["sha256"] != first


def test_a_feature_of_another_length_is_named(tmp_path):
    small = Corpus(tmp_path, train=1, validation=1, frames=20)
    np.save(small.features["mfcc39"]["t1"], np.zeros((19, 39), np.float32))
    with pytest.raises(InputError, match=r"mfcc39\.npy: 19 rows, but .*frames\.parquet has 23 frames"):
        train(**small.train_arguments("run"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"fold": 4}, r"folds\.parquet: fold 4 has no train trials for va"),
        ({"labels": {}}, "no label table given for task va"),
        ({"features": {}}, r"trial t0: no file given for feature vggish128"),
        ({"target": "joy"}, "joy"),
    ],
)
def test_what_is_missing_is_named(corpus, changes, named):
    with pytest.raises(InputError, match=named):
        train(**corpus.train_arguments("missing", **changes))


def test_a_video_without_frames_is_a_trial_without_rows(trained, corpus, tmp_path):
    """An unreadable video has empty tables all the way down; its neighbours are predicted as without it."""
    empty = Corpus(tmp_path, train=1, validation=0, frames=0)
    files = {
        "frames": corpus.frames | {"t9": empty.frames["t0"]},
        "crops": {"lfan48": corpus.crops["lfan48"] | {"t9": empty.crops["lfan48"]["t0"]}},
        "features": {name: paths | {"t9": empty.features[name]["t0"]} for name, paths in corpus.features.items()},
    }
    for mode, (_, folder) in trained.items():
        mixed = predictions(corpus, folder, "mixed.parquet", trials=["t9", "t3"], **files)
        assert set(mixed["trial"]) == {"t3"}
        assert mixed["valence"].notna().all()
        assert predictions(corpus, folder, "none.parquet", trials=["t9"], labels=None, **files).empty, mode
