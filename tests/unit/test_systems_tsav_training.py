"""Training and predicting TSAV from files: learning, resuming, several tasks, rows of the predictions, errors."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from support.runs import predict, predictions, train, train_in_two_parts, write_crops
from support.tsav import FRAMES_OF, PARTITIONS, TINY, Corpus, labels_of, points_of
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.faces.landmarks import draw_landmarks
from wildaffect.faces.persons import PERSONS_SCHEMA
from wildaffect.media.frames import FRAMES
from wildaffect.systems.toolbox import task_scores
from wildaffect.systems.tsav.spec import COLUMNS, OUTPUTS, TsavSettings
from wildaffect.systems.types import Needs
from wildaffect.tables import write_table
from wildaffect.training.inputs import JobInputs, cache_images, open_trial, partition_trials

MODES = ("corrected", "faithful")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(corpus):
    """Record and folder of a short training on all tasks in each mode."""
    return {mode: (train(**corpus.train_arguments(mode, mode=mode)), corpus.folder / mode / "run") for mode in MODES}


@pytest.mark.slow
def test_it_learns_all_tasks(corpus):
    recipe = TINY | {"epochs": 5, "frames_per_epoch": None, "batch": 16, "weight_decay": 0}
    record = train(**corpus.train_arguments("long", recipe=recipe))
    history = pd.read_csv(corpus.folder / "long" / "run" / "history.csv")
    assert record["best_score"] == history["val_criterion"].max() > history["val_criterion"][0] + 0.2
    assert history["train_loss"].iloc[-1] < 0.5 * history["train_loss"][0]
    table = predictions(corpus, corpus.folder / "long" / "run", "long.parquet", trials=["a"])
    for task, truth in labels_of(corpus.valence["a"]).items():
        scores = task_scores(task, truth, table[list(COLUMNS[task])].to_numpy(float))
        assert max(scores["criterion"], scores.get("expr_accuracy", 0)) > 0.7, scores


@pytest.mark.parametrize("mode", MODES)
def test_files_of_a_run(trained, mode):
    record, folder = trained[mode]
    assert record == json.loads((folder / "run.json").read_text())
    assert record["selection"] == "criterion" and record["epochs_run"] == 2
    assert record["data"]["train"] == {"trials": 3, "frames": 160, "samples": 160}
    assert record["data"]["validation"] == {"trials": 1, "frames": 57, "samples": 13}
    statistics = json.loads((folder / "stats.json").read_text())
    assert statistics["train"] == statistics["validation"]
    assert sum(statistics["train"]["expressions"]) <= 3 * 60
    assert set(load_file(folder / "model.safetensors")) == set(systems.build_model("tsav", "two_stream").state_dict())


@pytest.mark.parametrize("mode", MODES)
def test_one_row_per_frame(trained, corpus, mode):
    table = predictions(corpus, trained[mode][1], f"{mode}.parquet")
    assert list(table) == ["trial", "frame", "time_s", *OUTPUTS, "source"]
    assert table.groupby("trial", sort=False).size().to_dict() == FRAMES_OF
    assert np.isfinite(table[list(OUTPUTS)].to_numpy()).all()
    assert set(table.loc[table["frame"] == 2, "source"]) == {"no_face"}
    assert set(table.loc[table["frame"] != 2, "source"]) == {"model"}
    sums = table[list(OUTPUTS[:7])].sum(axis=1)
    assert np.allclose(sums, 1, atol=1e-5) == (mode == "corrected")


@pytest.mark.parametrize("mode", MODES)
def test_predictions_reproduce_the_validation_score(trained, corpus, mode):
    """Two paths to one number: the epoch's validation, and the stored weights over the stored table."""
    record, folder = trained[mode]
    recipe = record["recipe"] | {"prediction_stride": TINY["validation_stride"]}
    table = predictions(corpus, folder, "check.parquet", trials=["c"], recipe=recipe)
    criteria = [
        task_scores(task, truth, table[list(COLUMNS[task])].to_numpy(float))["criterion"]
        for task, truth in labels_of(corpus.valence["c"]).items()
    ]
    assert np.mean(criteria) == pytest.approx(record["best_score"], abs=1e-5)


def test_strided_predictions_say_so(trained, corpus):
    folder = trained["corrected"][1]
    whole = predictions(corpus, folder, "whole.parquet", trials=["a"])
    recipe = TINY | {"prediction_stride": 4}
    strided = predictions(corpus, folder, "strided.parquet", trials=["a"], recipe=recipe)
    computed = (strided["frame"] % 4 == 0) | (strided["frame"] == 59)
    assert set(strided.loc[computed, "source"]) == {"model"}
    assert set(strided.loc[~computed, "source"]) == {"interpolated"}
    columns = list(OUTPUTS)
    np.testing.assert_allclose(strided.loc[computed, columns], whole.loc[computed, columns], rtol=1e-4, atol=1e-5)
    middle = (strided.loc[4, columns] + strided.loc[8, columns]).to_numpy(float) / 2
    np.testing.assert_allclose(strided.loc[6, columns].to_numpy(float), middle, rtol=1e-4, atol=1e-5)


def test_predictions_need_neither_labels_nor_statistics_nor_company(trained, corpus, tmp_path):
    folder = trained["corrected"][1]
    every = predictions(corpus, folder, "every.parquet")
    alone = tmp_path / "weights.safetensors"
    alone.write_bytes((folder / "model.safetensors").read_bytes())
    arguments = {"variant": "two_stream", "target": "mtl", "mode": "corrected", "recipe": TINY, "trials": ["b_right"]}
    predict(alone, system="tsav", output=tmp_path / "p.parquet", cache_mib=0, **arguments, **corpus.inputs())
    got = pd.read_parquet(tmp_path / "p.parquet")
    want = every[every["trial"] == "b_right"]
    np.testing.assert_allclose(got[list(OUTPUTS)], want[list(OUTPUTS)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_interrupted_training_ends_with_the_same_files(trained, corpus, mode):
    arguments = corpus.train_arguments(f"parts-{mode}", mode=mode)
    train_in_two_parts(arguments)
    first, second = trained[mode][1], arguments["output"]
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    histories = [pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (first, second)]
    pd.testing.assert_frame_equal(*histories)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_inputs_read_as_needed_give_the_same_weights(corpus, mode):
    recipe = TINY | {"epochs": 1, "augment": True}
    for name, changes in {"cached": {}, "lazy": {"cache_mib": 0}, "workers": {"workers": 2}}.items():
        train(**corpus.train_arguments(f"{name}-{mode}", mode=mode, recipe=recipe, **changes))
    files = [corpus.folder / f"{name}-{mode}" / "run" / "model.safetensors" for name in ("cached", "lazy", "workers")]
    assert len({path.read_bytes() for path in files}) == 1


@pytest.mark.parametrize("target", ["va", "expr", "au"])
def test_single_targets(corpus, target):
    recipe = TINY | {"epochs": 1, "frames_per_epoch": 8}
    record = train(**corpus.train_arguments(f"only-{target}", target=target, recipe=recipe, videos=None))
    assert record["parameters"] == sum(
        p.numel() for p in systems.build_model("tsav", "two_stream", **TINY["network"]).parameters()
    )
    table = predictions(corpus, corpus.folder / f"only-{target}" / "run", "only.parquet", trials=["d"])
    assert list(table) == ["trial", "frame", "time_s", *COLUMNS[target], "source"]
    assert len(table) == FRAMES_OF["d"]


def test_an_untrained_task_keeps_its_outputs(corpus):
    """Training on one task alone leaves the rows of the other tasks in the last layer as they were drawn."""
    recipe = TINY | {"epochs": 1, "frames_per_epoch": 16, "weight_decay": 0}
    train(**corpus.train_arguments("va", target="va", recipe=recipe))
    torch.manual_seed(3)
    initial = systems.build_model("tsav", "two_stream", **TINY["network"]).state_dict()["fc.1.weight"]
    final = load_file(corpus.folder / "va" / "run" / "model.safetensors")["fc.1.weight"]
    changed = [OUTPUTS[row] for row in range(17) if not torch.equal(initial[row], final[row])]
    assert changed == ["valence", "arousal"]


def test_nothing_held_out_by_any_task_is_trained_on(tmp_path):
    small = Corpus(tmp_path / "c")
    swapped = PARTITIONS | {"b_left": "validation", "b_right": "validation", "c": "train"}
    small.write_folds({"va": PARTITIONS, "expr": PARTITIONS, "au": swapped})
    target = systems.spec("tsav").targets["mtl"]
    got = partition_trials(small.folds, target, 0, "train", small.videos)
    assert got == {"expr": ("a",), "va": ("a",), "au": ("a",)}
    recipe = TINY | {"epochs": 1, "frames_per_epoch": 8}
    record = train(**small.train_arguments("run", recipe=recipe))
    assert record["data"]["train"]["trials"] == 1
    assert record["data"]["validation"]["trials"] == 3
    with pytest.raises(InputError, match="target mtl learns several tasks: give the source video"):
        train(**small.train_arguments("none", videos=None))


def test_landmark_drawings_come_from_the_table_of_persons(corpus):
    needs = Needs(("tsav112",), ("tsav_mel",), ("tsav112",))
    inputs = JobInputs(corpus.frames, corpus.crops, corpus.features, corpus.persons)
    trial = open_trial("b_right", inputs.of("b_right", needs), needs, {})
    drawn = trial.masks["tsav112"].read(np.arange(50))
    assert not drawn[2].any() and drawn[7].any()
    np.testing.assert_array_equal(drawn[7], draw_landmarks(points_of(50)[7]))
    (cached,) = cache_images([trial], 4096)
    np.testing.assert_array_equal(cached.masks["tsav112"].read(np.array([7, 2])), drawn[[7, 2]])
    assert cache_images([trial], 0)[0].masks is trial.masks
    (just,) = cache_images([trial], 50 * 4 * 112 * 112 // 2**20 + 1)
    assert just.masks is not trial.masks


def test_faithful_drawings_waver_by_a_few_greys_as_jpeg_makes_them(corpus):
    inputs = JobInputs(corpus.frames, corpus.crops, corpus.features, corpus.persons)
    drawn = {}
    for mode in MODES:
        needs = systems.spec("tsav").needs("two_stream", mode, TsavSettings())
        drawn[mode] = open_trial("a", inputs.of("a", needs), needs, {}).masks["tsav112"].read(np.arange(9)).astype(int)
    off = np.abs(drawn["faithful"] - drawn["corrected"])
    assert 0 < off.max() <= 8
    assert not drawn["faithful"][2].any()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"persons": {}}, "trial a: no file given for persons"),
        ({"labels": {}}, "no label table given for task expr"),
        ({"features": {}}, "no file given for feature tsav_mel"),
    ],
)
def test_what_is_missing_is_named(corpus, changes, named):
    with pytest.raises(InputError, match=named):
        train(**corpus.train_arguments("missing", **changes))


def test_units_of_another_edition_are_learnt_as_far_as_they_are_labelled(corpus, tmp_path):
    """ABAW2 labels no AU20: the others are learnt, AU20 stays as it was drawn, and the record says so."""
    path = tmp_path / "au.parquet"
    pq.write_table(pq.read_table(corpus.labels["au"]).drop_columns("AU20"), path)
    recipe = TINY | {"epochs": 1, "frames_per_epoch": 16, "weight_decay": 0}
    record = train(**corpus.train_arguments("other", target="au", recipe=recipe, labels={"au": path}))
    assert record["unlabelled"] == ["AU20"]
    assert json.loads((corpus.folder / "other" / "run" / "run.json").read_text()) == record
    torch.manual_seed(3)
    initial = systems.build_model("tsav", "two_stream", **TINY["network"]).state_dict()["fc.1.weight"]
    final = load_file(corpus.folder / "other" / "run" / "model.safetensors")["fc.1.weight"]
    changed = {OUTPUTS[row] for row in range(17) if not torch.equal(initial[row], final[row])}
    # No trial of this corpus is annotated for AU4.
    assert changed == set(COLUMNS["au"]) - {"AU20", "AU4"}


@pytest.mark.parametrize(("task", "dropped"), [("au", COLUMNS["au"]), ("expr", ("expression",)), ("va", ("arousal",))])
def test_labels_that_lack_what_a_target_learns_are_named(corpus, tmp_path, task, dropped):
    path = tmp_path / f"{task}.parquet"
    pq.write_table(pq.read_table(corpus.labels[task]).drop_columns(list(dropped)), path)
    with pytest.raises(
        InputError, match=rf"{task}\.parquet: has no labels of {dropped[0]}.*which target {task} learns"
    ):
        train(**corpus.train_arguments("other", target=task, labels={task: path}))


def test_a_video_without_frames_or_sound_is_a_trial_without_rows(trained, corpus, tmp_path):
    frames, persons = tmp_path / "frames.parquet", tmp_path / "persons.parquet"
    write_table(frames, FRAMES.empty_table(), FRAMES, {"status": "unreadable", "frames": 0})
    write_table(persons, PERSONS_SCHEMA.empty_table(), PERSONS_SCHEMA, {"trials": {"e": {}}})
    write_crops(tmp_path / "e.arrow", np.empty((0, 112, 112, 3), np.uint8), np.empty(0, bool))
    np.save(tmp_path / "mel.npy", np.empty((0, 64), np.float32))
    files = {
        "frames": corpus.frames | {"e": frames},
        "persons": corpus.persons | {"e": persons},
        "crops": {"tsav112": corpus.crops["tsav112"] | {"e": tmp_path / "e.arrow"}},
        "features": {"tsav_mel": corpus.features["tsav_mel"] | {"e": tmp_path / "mel.npy"}},
    }
    table = predictions(corpus, trained["corrected"][1], "mixed.parquet", trials=["e", "d"], **files)
    assert set(table["trial"]) == {"d"} and len(table) == FRAMES_OF["d"]
    assert predictions(corpus, trained["corrected"][1], "none.parquet", trials=["e"], labels=None, **files).empty
