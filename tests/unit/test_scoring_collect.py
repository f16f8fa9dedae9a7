"""Scores of all runs: folds, pooled folds, ensembles, pairs of targets, editions that do not fit."""

import csv

import audmetric
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wildaffect.errors import InputError
from wildaffect.scoring.collect import SCORE_COLUMNS, TRIAL_COLUMNS, score_predictions
from wildaffect.scoring.editions import get_task

TRIALS = ("t0", "t1", "t2", "t3")
LENGTH = 40


def rows_of(path):
    with open(path, newline="") as handle:
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
    score_predictions(
        entries, {"va": folder / "va.parquet"}, ["abaw2"], folder / "s" / "scores.csv", folder / "s" / "trials.csv"
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
        if (e["target"], e["partition"]) == ("valence", "test")
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
            ["abaw1", "abaw2"],
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


def test_fusion_is_chosen_per_system(corpus):
    folder, _, predict = corpus
    entries = [
        predict("valence", fold, "test", ["t3"], fold, system) for fold in range(4) for system in ("lfan", "m3t")
    ]
    fusion = {"lfan": {"method": "ccc_centring", "clip": "late"}}
    score_predictions(
        entries, {"va": folder / "va.parquet"}, ["abaw2"], folder / "s.csv", folder / "t.csv", fusion=fusion
    )
    rows = rows_of(folder / "s.csv")
    lfan, m3t = (value(rows, system=system, fold="ensemble", metric="ccc_valence") for system in ("lfan", "m3t"))
    assert lfan != m3t
    assert value(rows, system="lfan", fold="2", metric="ccc_valence") == value(
        rows, system="m3t", fold="2", metric="ccc_valence"
    )


def test_unlabelled_partitions_give_no_rows(corpus):
    folder, labels, predict = corpus
    pq.write_table(labels.slice(0, 3 * LENGTH), folder / "va.parquet")
    entries = [predict("va", 0, "test", ["t3"], 1), predict("va", 0, "validation", ["t0"], 2)]
    score_predictions(entries, {"va": folder / "va.parquet"}, ["abaw2"], folder / "s.csv", folder / "t.csv")
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
    score_predictions([entry], labels, ["abaw1", "abaw2", "abaw4"], tmp_path / "s.csv", tmp_path / "t.csv")
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
        score_predictions([entry, entry], labels, ["abaw2"], *out)
    with pytest.raises(InputError, match="unknown target 'emotion'"):
        score_predictions([entry | {"target": "emotion"}], labels, ["abaw2"], *out)
    with pytest.raises(InputError, match="unknown edition"):
        score_predictions([entry], labels, ["abaw0"], *out)
    overlapping = [entry, predict("va", 1, "validation", ["t0"], 2)]
    with pytest.raises(InputError, match=r"cross-validation.*given more than once"):
        score_predictions(overlapping, labels, ["abaw2"], *out)
    table = pq.read_table(entry["path"])
    pq.write_table(table.slice(1), entry["path"])
    with pytest.raises(
        InputError, match="'system': 'lfan'.*1 labelled frames of 1 trials have no row, first trial 't0', frame 0"
    ):
        score_predictions([entry], labels, ["abaw2"], *out)
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
    arguments = ([entry], {"va": folder / "va.parquet"}, ["abaw2"], folder / "s.csv", folder / "t.csv")
    with pytest.raises(InputError, match="fold 0, validation: 1 labelled trials were not predicted, first 't1'"):
        score_predictions(*arguments, folds=folder / "folds.parquet")
    pq.write_table(pa.Table.from_pylist([folds[0], *folds[2:]]), folder / "folds.parquet")
    score_predictions(*arguments, folds=folder / "folds.parquet")
