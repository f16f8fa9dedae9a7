"""Trainings that cannot give a result fail with their reason and write nothing; predictions say what they rest on."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.runs import TINY, Corpus, predict, predictions, train
from wildaffect.errors import InputError
from wildaffect.scoring.fusion import fuse_files
from wildaffect.scoring.read import read_notes
from wildaffect.scoring.smoothing import smooth_file
from wildaffect.submission.export import export_csv
from wildaffect.tables import read_metadata, read_table, write_table
from wildaffect.training.origin import Origin

SHORT = TINY | {"epochs": 1}
MADE_FROM = {"faces": {"model": "hog", "options": {"upsample": 0}}, "features": {"mfcc39": {"columns": 39}}}
HERE = Origin(MADE_FROM, "affwild2", (0, 1))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(tmp_path_factory.mktemp("corpus"), train=2, validation=1, frames=45)


@pytest.fixture(scope="module")
def run(corpus):
    """Run folder of a training on inputs of known origin."""
    arguments = corpus.train_arguments("known", recipe=SHORT, origin=HERE)
    train(**arguments)
    return arguments["output"]


def copied(corpus, folder):
    """The same corpus with label tables and features that may be changed."""
    copy = Corpus(folder, train=2, validation=1, frames=45)
    assert copy.lengths == corpus.lengths
    return copy


def relabel(path, change):
    """Rewrite a label table."""
    schema = read_schema(path)
    frame = read_table(path, schema).to_pandas()
    write_table(path, pa.Table.from_pandas(change(frame), schema=schema, preserve_index=False), schema)


def read_schema(path):
    return pq.read_schema(path).remove_metadata()


def test_a_run_says_what_its_inputs_were_made_from(run):
    record = json.loads((run / "run.json").read_text())
    assert {key: record[key] for key in ("made_from", "corpus", "folds")} == {
        "made_from": MADE_FROM,
        "corpus": "affwild2",
        "folds": [0, 1],
    }
    assert record["feature_rows"] == {"vggish128": [128], "mfcc39": [39]}


def test_inputs_made_in_another_way_are_refused_in_the_job(run, corpus):
    other = Origin({**MADE_FROM, "faces": {"model": "cnn", "options": {"upsample": 0}}}, "affwild2")
    with pytest.raises(
        InputError, match=r"(?s)model\.safetensors: these weights.*faces\.model: trained on hog, here cnn"
    ):
        predictions(corpus, run, "refused.parquet", origin=other)
    assert not (corpus.folder / "refused.parquet").exists()
    with pytest.raises(InputError, match=r"faces\.model"):
        predictions(corpus, run, "refused.parquet", origin=other, accept=["faces.options", "faces.mod"])


def test_accepted_differences_stay_with_the_table_and_all_that_is_made_of_it(run, corpus, tmp_path):
    other = Origin({**MADE_FROM, "faces": {"model": "cnn", "options": {"upsample": 0}}}, "affwild2")
    plain = predictions(corpus, run, "plain.parquet", origin=HERE)
    table = predictions(corpus, run, "accepted.parquet", origin=other, accept=["faces"])
    pd.testing.assert_frame_equal(plain, table)
    accepted = corpus.folder / "accepted.parquet"
    assert read_metadata(accepted)["inputs_accepted"] == ["faces.model: trained on hog, here cnn"]
    assert read_metadata(corpus.folder / "plain.parquet")["inputs_compared"] is True
    assert read_notes(corpus.folder / "plain.parquet") == []
    (note,) = read_notes(accepted)
    assert "lfan/multimodal/valence" in note and "faces.model: trained on hog, here cnn" in note
    fuse_files([accepted, corpus.folder / "plain.parquet", accepted], tmp_path / "fused.parquet")
    smooth_file(tmp_path / "fused.parquet", tmp_path / "smooth.parquet", method="median", window=3, edges="nearest")
    assert read_notes(tmp_path / "smooth.parquet") == [note]


def test_weights_of_unknown_origin_are_said_to_be(run, corpus, tmp_path, caplog):
    lone = shutil.copytree(run, tmp_path / "lone", ignore=shutil.ignore_patterns("crc32"))
    record = json.loads((lone / "run.json").read_text())
    (lone / "run.json").write_text(json.dumps({key: value for key, value in record.items() if key != "made_from"}))
    predictions(corpus, lone, "unknown.parquet", origin=HERE)
    assert "is not recorded" in caplog.text
    assert read_metadata(corpus.folder / "unknown.parquet")["inputs_compared"] is False


def test_weights_of_the_demo_say_that_they_mean_nothing_elsewhere(corpus, tmp_path):
    arguments = corpus.train_arguments("demo", recipe=SHORT, origin=Origin(MADE_FROM, "demo"))
    train(**arguments)
    predictions(corpus, arguments["output"], "demo.parquet", origin=Origin(MADE_FROM, "demo"))
    assert read_notes(corpus.folder / "demo.parquet") == []
    predictions(corpus, arguments["output"], "people.parquet", origin=Origin(MADE_FROM, "folder"), notes=["Read this."])
    notes = read_notes(corpus.folder / "people.parquet")
    assert notes[0] == "Read this." and "rendered demo corpus" in notes[1] and "means nothing" in notes[1]
    for name in ("demo", "people"):
        export_csv(tmp_path / name, [{"target": "valence", "path": corpus.folder / f"{name}.parquet"}])
    assert list(pd.read_csv(tmp_path / "demo" / "t0.csv")) == ["frame", "time_s", "valence", "source"]
    exported = pd.read_csv(tmp_path / "people" / "t0.csv")
    assert set(exported["note"]) == {" ".join(notes)}


def test_weights_that_lie_alone_still_know_what_they_were_trained_on(corpus, tmp_path):
    arguments = corpus.train_arguments("moved", recipe=SHORT, origin=Origin(MADE_FROM, "demo", (0, 1)))
    record = train(**arguments)
    for name in ("model.safetensors", "stats.json"):
        shutil.copy(arguments["output"] / name, tmp_path / name)
    what = {key: record[key] for key in ("system", "variant", "target", "mode", "recipe")} | corpus.inputs()
    what |= {"trials": ["t2"], "output": tmp_path / "alone.parquet"}
    predict(tmp_path / "model.safetensors", **what, origin=Origin(MADE_FROM, "folder"))
    (note,) = read_notes(tmp_path / "alone.parquet")
    assert "means nothing" in note
    with pytest.raises(InputError, match=r"faces\.model: trained on hog, here nothing"):
        predict(tmp_path / "model.safetensors", **what, origin=Origin({"features": MADE_FROM["features"]}, "folder"))


@pytest.mark.parametrize(("partition", "rows"), [("validation", 51), ("train", 45 + 48)])
def test_labels_that_are_all_invalid_are_said_before_the_first_epoch(corpus, tmp_path, partition, rows):
    broken = copied(corpus, tmp_path)
    trials = [name for name, part in broken.partition.items() if part == partition]
    relabel(broken.labels["va"], lambda table: table.assign(valid=table["valid"] & ~table["trial"].isin(trials)))
    epochs = []
    with pytest.raises(
        InputError, match=rf"none of the {rows} rows of the {partition} trials has a valid label.*va\.parquet"
    ):
        train(**broken.train_arguments("x", recipe=SHORT), report=epochs.append)
    assert not epochs and not (tmp_path / "x" / "run").exists()


def test_a_rate_that_is_too_high_is_no_result(corpus):
    arguments = corpus.train_arguments("rate", recipe=SHORT | {"learning_rate": 1e30})
    with pytest.raises(InputError, match=r"learning_rate"):
        train(**arguments)
    assert not arguments["output"].exists()


def test_a_training_without_any_score_fails_each_time(corpus, monkeypatch):
    """The scores are no numbers though the losses are; what was trained is not kept as a result, run once or twice."""
    from wildaffect import systems

    lfan = type(systems.build_recipe("lfan", "multimodal", "valence", "corrected"))
    score, calls = lfan.score, []

    def scored(self, predictions, trials):
        calls.append(1)
        return score(self, predictions, trials) | ({} if len(calls) == 1 else {"ccc": float("nan")})

    monkeypatch.setattr(lfan, "score", scored)
    arguments = corpus.train_arguments("never", recipe=SHORT)
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"none of 1 epochs had a validation score \(ccc\) that is a number.*val_ccc nan"
        ):
            train(**arguments)
        assert not arguments["output"].exists()
        calls.clear()


@pytest.mark.parametrize("phase", ["training", "prediction"])
@pytest.mark.parametrize(
    ("feature", "shape", "expected"),
    [("mfcc39", (40,), r"\(39,\)"), ("mfcc39", (39, 2), r"\(39,\)"), ("vggish128", (), r"\(128,\)")],
)
def test_a_feature_of_another_width_is_named_with_its_file(corpus, run, tmp_path, phase, feature, shape, expected):
    broken = copied(corpus, tmp_path)
    path = broken.features[feature]["t1"]
    np.save(path, np.zeros((broken.lengths["t1"], *shape), np.float32))
    with pytest.raises(InputError) as caught:
        if phase == "training":
            train(**broken.train_arguments("x", recipe=SHORT))
        else:
            predictions(broken, run, "x.parquet")
    message = str(caught.value)
    assert message.startswith(f"{path}: feature {feature} of trial t1 has rows of shape {shape}")
    assert f"expected are numbers of shape {expected}".replace("\\", "") in message
