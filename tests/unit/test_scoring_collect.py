"""Scores of all runs: folds, pooled folds, ensembles, pairs of targets, editions that do not fit."""

import csv

import audmetric
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wildaffect.errors import InputError
from wildaffect.scoring.editions import get_task, tracks
from wildaffect.scoring.fusion import fuse_files
from wildaffect.scoring.results import SCORE_COLUMNS, TRIAL_COLUMNS, score_predictions
from wildaffect.tables import read_metadata

TRIALS = ("t0", "t1", "t2", "t3")
LENGTH = 40


def rows_of(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def corpus(tmp_path):
    """Labels of four trials (t3 is the test trial), and a function that writes predictions."""
    rng = np.random.default_rng(0)
    truth = {name: rng.uniform(-1, 1, (LENGTH, 2)) for name in TRIALS}
    labels = pa.table(
        {
            "trial": np.repeat(TRIALS, LENGTH),
            "frame": pa.array(np.tile(np.arange(LENGTH), len(TRIALS)), pa.int32()),
            "valence": pa.array(np.concatenate([truth[name][:, 0] for name in TRIALS]).astype(np.float32)),
            "arousal": pa.array(np.concatenate([truth[name][:, 1] for name in TRIALS]).astype(np.float32)),
            "valid": np.ones(LENGTH * len(TRIALS), bool),
        }
    )
    pq.write_table(labels, tmp_path / "va.parquet")

    def predict(target, fold, partition, trials, seed, system="lfan"):
        noise = np.random.default_rng(seed)
        columns = ("valence", "arousal") if target == "va" else (target,)
        values = {}
        for name in columns:
            column = ("valence", "arousal").index(name)
            values[name] = np.concatenate(
                [0.7 * truth[t][:, column] + noise.normal(0, 0.3, LENGTH) for t in trials]
            ).astype(np.float32)
        path = tmp_path / f"{system}-{target}-{fold}-{partition}.parquet"
        keys = {"trial": np.repeat(trials, LENGTH), "frame": np.tile(np.arange(LENGTH), len(trials))}
        pq.write_table(pa.table({**keys, **values, "source": ["model"] * LENGTH * len(trials)}), path)
        return {"system": system, "variant": "v", "target": target, "fold": fold, "partition": partition, "path": path}

    return tmp_path, labels, predict


def find(rows, **wanted):
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def value(rows, **wanted):
    (row,) = find(rows, **wanted)
    return float(row["value"])


def concordance(labels, paths, name):
    table = pa.concat_tables([pq.read_table(path) for path in paths]).to_pandas()
    both = table.merge(labels.to_pandas(), on=["trial", "frame"], suffixes=("_p", ""))
    return audmetric.concordance_cc(both[name].astype(float), both[f"{name}_p"].astype(float))


def test_folds_pools_ensembles_and_pairs(corpus):
    folder, labels, predict = corpus
    entries = [
        predict(target, fold, partition, trials, seed=10 * fold + seed)
        for seed, target in enumerate(("arousal", "valence"))
        for fold in range(3)
        for partition, trials in (("validation", [f"t{fold}"]), ("test", ["t3"]))
    ]
    for target in ("arousal", "valence"):
        members = [e["path"] for e in entries if (e["target"], e["partition"]) == (target, "test")]
        fuse_files(members, folder / f"{target}-ensemble.parquet", "mean", "late")
        entries.append(
            {
                **entries[0],
                "target": target,
                "fold": "ensemble",
                "partition": "test",
                "path": folder / f"{target}-ensemble.parquet",
            }
        )
    score_predictions(
        entries,
        {"va": folder / "va.parquet"},
        tracks(["abaw2"]),
        folder / "s" / "scores.csv",
        folder / "s" / "trials.csv",
    )
    rows = rows_of(folder / "s" / "scores.csv")
    assert tuple(rows[0]) == SCORE_COLUMNS

    for target in ("valence", "arousal"):
        by_fold = {e["fold"]: e["path"] for e in entries if (e["target"], e["partition"]) == (target, "validation")}
        metric = f"ccc_{target}"
        for fold, path in by_fold.items():
            expected = concordance(labels, [path], target)
            for named in (target, "va"):
                assert value(
                    rows, target=named, fold=str(fold), partition="validation", metric=metric
                ) == pytest.approx(expected)
        pooled = concordance(labels, by_fold.values(), target)
        for named in (target, "va"):
            assert value(rows, target=named, fold="cross-validation", metric=metric) == pytest.approx(pooled)
        assert not find(rows, target=target, metric="va_score")

    tests = [
        pq.read_table(e["path"])["valence"].to_numpy()
        for e in entries
        if (e["target"], e["partition"]) == ("valence", "test") and e["fold"] != "ensemble"
    ]
    truth = labels["valence"].to_numpy()[-LENGTH:].astype(float)
    fused = audmetric.concordance_cc(truth, np.mean(tests, axis=0, dtype=np.float64))
    assert value(rows, target="valence", fold="ensemble", partition="test", metric="ccc_valence") == pytest.approx(
        fused, abs=1e-6
    )
    assert fused > max(audmetric.concordance_cc(truth, test.astype(float)) for test in tests)
    pair = [value(rows, target="va", fold="ensemble", metric=f"ccc_{name}") for name in ("valence", "arousal")]
    assert value(rows, target="va", fold="ensemble", metric="va_score") == pytest.approx(np.mean(pair))

    assert [
        (row["frames"], row["trials"]) for row in find(rows, target="va", fold="cross-validation", metric="va_score")
    ] == [("120", "3")]
    trials = rows_of(folder / "s" / "trials.csv")
    assert tuple(trials[0]) == TRIAL_COLUMNS
    single = value(trials, target="va", fold="cross-validation", trial="t1", metric="ccc_valence")
    assert single == value(rows, target="valence", fold="1", partition="validation", metric="ccc_valence")


def test_output_does_not_depend_on_the_order_of_inputs(corpus):
    folder, _, predict = corpus
    entries = [
        predict("va", fold, "validation", [f"t{fold}"], fold, system) for fold in range(3) for system in ("m3t", "tsav")
    ]
    texts = []
    for name, order in (("a", entries), ("b", entries[::-1])):
        score_predictions(
            order,
            {"va": folder / "va.parquet"},
            tracks(["abaw1", "abaw2"]),
            folder / f"{name}.csv",
            folder / f"{name}t.csv",
            resamples=50,
        )
        texts.append(((folder / f"{name}.csv").read_text(), (folder / f"{name}t.csv").read_text()))
    assert texts[0] == texts[1]
    rows = rows_of(folder / "a.csv")
    keys = [tuple(row[name] for name in SCORE_COLUMNS[:7]) for row in rows]
    assert len(set(keys)) == len(keys)
    low, score, high = (
        value(rows, system="tsav", fold="cross-validation", edition="abaw2", metric=f"va_score{end}")
        for end in ("_low", "", "_high")
    )
    assert low <= score <= high


def test_fused_files_keep_the_schema_and_name_their_members(corpus):
    folder, _, predict = corpus
    paths = [predict("valence", fold, "test", ["t3"], fold)["path"] for fold in range(3)]
    fuse_files(paths, folder / "out" / "test.parquet", "ccc_centring", "late")
    fused = pq.read_table(folder / "out" / "test.parquet")
    assert fused.schema.remove_metadata().equals(pq.read_schema(paths[0]).remove_metadata())
    about = read_metadata(folder / "out" / "test.parquet")
    assert about["fusion"] == {"method": "ccc_centring", "clip": "late", "weights": None} and len(about["members"]) == 3
    mean = np.mean([pq.read_table(path)["valence"].to_numpy() for path in paths], axis=0)
    assert np.ptp(fused["valence"].to_numpy() - mean) < 1e-6
    (folder / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"broken\.parquet: not a readable Parquet table"):
        fuse_files([folder / "broken.parquet"], folder / "out" / "test.parquet")


def test_unlabelled_partitions_give_no_rows(corpus):
    folder, labels, predict = corpus
    pq.write_table(labels.slice(0, 3 * LENGTH), folder / "va.parquet")
    entries = [predict("va", 0, "test", ["t3"], 1), predict("va", 0, "validation", ["t0"], 2)]
    score_predictions(entries, {"va": folder / "va.parquet"}, tracks(["abaw2"]), folder / "s.csv", folder / "t.csv")
    assert {row["partition"] for row in rows_of(folder / "s.csv")} == {"validation"}


def test_multi_task_predictions_and_editions_that_do_not_fit(tmp_path):
    rng = np.random.default_rng(5)
    keys = {"trial": ["a"] * 60, "frame": np.arange(60)}
    units8, units12 = (get_task(edition, "au").columns for edition in ("abaw1", "abaw2"))
    va = rng.uniform(-1, 1, (2, 60))
    classes = get_task("abaw2", "expr").parts[0].names
    expression = rng.integers(0, 7, 60)
    units = {name: rng.integers(0, 2, 60) for name in units8}
    pq.write_table(pa.table({**keys, "valence": va[0], "arousal": va[1]}), tmp_path / "va.parquet")
    pq.write_table(pa.table({**keys, "expression": expression}), tmp_path / "expr.parquet")
    pq.write_table(pa.table({**keys, **units}), tmp_path / "au.parquet")
    hot = {name: (expression == i).astype(float) for i, name in enumerate(classes)}
    pq.write_table(pa.table({**keys, "valence": va[0], "arousal": va[1], **hot, **units}), tmp_path / "p.parquet")
    entry = {
        "system": "tsav",
        "variant": "v",
        "target": "mtl",
        "fold": 0,
        "partition": "validation",
        "path": tmp_path / "p.parquet",
    }
    labels = {task: tmp_path / f"{task}.parquet" for task in ("va", "expr", "au")}
    score_predictions([entry], labels, tracks(["abaw1", "abaw2", "abaw4"]), tmp_path / "s.csv", tmp_path / "t.csv")
    rows = rows_of(tmp_path / "s.csv")
    for task in ("va", "expr", "au"):
        assert value(rows, edition="abaw1", metric=f"{task}_score") == pytest.approx(1.0)
    (unscored,) = find(rows, edition="abaw2", metric="au_score")
    assert unscored["value"] == "" and unscored["frames"] == "0"
    assert all(name in unscored["note"] for name in set(units12) - set(units8))
    (unscored,) = find(rows, edition="abaw4", metric="mtl_score")
    assert "Other" in unscored["note"]
    assert {row["metric"] for row in rows_of(tmp_path / "t.csv")} >= {"ccc_valence", "expr_f1", "au_f1"}


def test_refusals(corpus):
    folder, _, predict = corpus
    labels, out = {"va": folder / "va.parquet"}, (folder / "s.csv", folder / "t.csv")
    entry = predict("va", 0, "validation", ["t0"], 1)
    with pytest.raises(InputError, match="lfan/v/va/0/validation are given twice"):
        score_predictions([entry, entry], labels, tracks(["abaw2"]), *out)
    with pytest.raises(InputError, match="unknown edition"):
        score_predictions([entry], labels, tracks(["abaw0"]), *out)
    overlapping = [entry, predict("va", 1, "validation", ["t0"], 2)]
    with pytest.raises(InputError, match=r"cross-validation.*given more than once"):
        score_predictions(overlapping, labels, tracks(["abaw2"]), *out)
    table = pq.read_table(entry["path"])
    pq.write_table(table.slice(1), entry["path"])
    with pytest.raises(
        InputError,
        match=r"lfan/v/va/0/validation, edition abaw2: .*1 labelled frames of 1 trials have no row, first trial 't0', frame 0",
    ):
        score_predictions([entry], labels, tracks(["abaw2"]), *out)
    assert not out[0].exists()


def test_a_trial_that_was_never_predicted_is_noticed(corpus):
    folder, _, predict = corpus
    entry = predict("valence", 0, "validation", ["t0"], 1)
    folds = [
        {"task": "va", "fold": 0, "trial": trial, "partition": partition, "scheme": "official"}
        for trial, partition in (
            ("t0", "validation"),
            ("t1", "validation"),
            ("t2", "train"),
            ("unlabelled", "validation"),
        )
    ]
    pq.write_table(pa.Table.from_pylist(folds), folder / "folds.parquet")
    arguments = ([entry], {"va": folder / "va.parquet"}, tracks(["abaw2"]), folder / "s.csv", folder / "t.csv")
    with pytest.raises(
        InputError, match="lfan/v/valence/0/validation: 1 labelled trials were not predicted, first 't1'"
    ):
        score_predictions(*arguments, folds=folder / "folds.parquet")
    pq.write_table(pa.Table.from_pylist([folds[0], *folds[2:]]), folder / "folds.parquet")
    score_predictions(*arguments, folds=folder / "folds.parquet")


def test_what_a_target_predicts_follows_from_its_columns(corpus):
    folder, _, predict = corpus
    entries = [predict("va", 0, "validation", ["t0"], 1) | {"target": "anything"}]
    score_predictions(entries, {"va": folder / "va.parquet"}, tracks(["abaw2"]), folder / "s.csv", folder / "t.csv")
    assert find(rows_of(folder / "s.csv"), target="anything", metric="va_score")


def test_one_invalid_dimension_removes_the_frame_from_separate_targets_too(corpus):
    folder, labels, predict = corpus
    arousal = labels["arousal"].to_pylist()
    arousal[:10] = [-5.0] * 10
    marked = labels.drop_columns("valid").set_column(3, "arousal", pa.array(arousal, pa.float32()))
    pq.write_table(marked, folder / "va.parquet")
    score_predictions(
        [predict("valence", 0, "validation", ["t0"], 1)],
        {"va": folder / "va.parquet"},
        tracks(["abaw2"]),
        folder / "s.csv",
        folder / "t.csv",
    )
    assert {row["frames"] for row in rows_of(folder / "s.csv")} == {"30"}


def test_an_ensemble_is_no_fold_of_the_pool(corpus):
    folder, _, predict = corpus
    entries = [predict("va", fold, "validation", ["t0"], 1) for fold in (0, "ensemble")]
    score_predictions(entries, {"va": folder / "va.parquet"}, tracks(["abaw2"]), folder / "s.csv", folder / "t.csv")
    assert {row["fold"] for row in rows_of(folder / "s.csv")} == {"0", "ensemble"}


def test_an_edition_with_single_tasks_and_their_sum_names_every_metric_once(tmp_path):
    keys, rng = {"trial": ["a"] * 96, "frame": np.arange(96)}, np.random.default_rng(6)
    table = pa.table(
        {**keys, "valence": rng.uniform(-1, 1, 96), "arousal": rng.uniform(-1, 1, 96), "expression": np.arange(96) % 8}
    )
    for i, name in enumerate(get_task("abaw3", "au").columns):
        table = table.append_column(name, pa.array((np.arange(96) + i) % 2))
    pq.write_table(table, tmp_path / "all.parquet")
    entry = {
        "system": "m3t",
        "variant": "v",
        "target": "mtl",
        "fold": 0,
        "partition": "validation",
        "path": tmp_path / "all.parquet",
    }
    labels = dict.fromkeys(("va", "expr", "au"), tmp_path / "all.parquet")
    score_predictions([entry], labels, tracks(["abaw3", "abaw4"]), tmp_path / "s.csv", tmp_path / "t.csv")
    rows = rows_of(tmp_path / "s.csv")
    names = [(row["edition"], row["metric"]) for row in rows]
    assert len(set(names)) == len(names)
    assert (
        value(rows, edition="abaw3", metric="mtl_score")
        == value(rows, edition="abaw4", metric="mtl_score")
        == pytest.approx(3.0)
    )
    assert not find(rows, edition="abaw4", metric="va_score")


def test_what_is_far_out_of_range_is_noted_with_its_file(corpus):
    folder, _, predict = corpus
    entries = [predict("valence", fold, "validation", [f"t{fold}"], fold) for fold in (0, 1)]
    table = pq.read_table(entries[1]["path"])
    position = table.column_names.index("valence")
    strange = pa.array(np.where(np.arange(LENGTH) < 3, 50, table["valence"].to_numpy()).astype(np.float32))
    pq.write_table(table.set_column(position, "valence", strange), entries[1]["path"])
    score_predictions(entries, {"va": folder / "va.parquet"}, tracks(["abaw2"]), folder / "s.csv", folder / "t.csv")
    rows = find(rows_of(folder / "s.csv"), metric="ccc_valence")
    found = {row["fold"]: row["note"] for row in rows}
    assert found["0"] == "" and found["1"].startswith("3 of 40 predictions are far outside [-1, 1] (valence: ")
    assert found["1"].endswith(f"to 50), scored as they are: {entries[1]['path']}")
    assert found["cross-validation"].startswith("3 of 80 predictions")


def test_messages_name_the_file(corpus):
    folder, _, predict = corpus
    entry = predict("valence", 0, "validation", ["t0"], 1)
    table = pq.read_table(entry["path"])
    broken = table.set_column(table.column_names.index("valence"), "valence", pa.array([None] * LENGTH, pa.float32()))
    pq.write_table(broken, entry["path"])
    with pytest.raises(
        InputError, match=rf"lfan/v/valence/0/validation, edition abaw2: {entry['path']}: valence of 40"
    ):
        score_predictions([entry], {"va": folder / "va.parquet"}, tracks(["abaw2"]), folder / "s.csv", folder / "t.csv")
