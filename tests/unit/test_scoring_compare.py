"""Paired comparison: the same resamples for both runs, drawn by source video."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

from wildaffect.errors import InputError
from wildaffect.report.scores import ranked_comparisons
from wildaffect.scoring import compare, score
from wildaffect.scoring.comparison import COMPARED_COLUMNS, COMPARISON, compare_variants
from wildaffect.scoring.editions import get_task, tracks
from wildaffect.scoring.tallies import draws, videos_of

FRAMES = 60


def keys(trials):
    return {"trial": np.repeat(trials, FRAMES).tolist(), "frame": np.tile(np.arange(FRAMES), len(trials))}


def runs(trials, noises, offsets=0.0, seed=0):
    """Labels, and one run per noise level; every trial has an offset that all runs share."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, (len(trials) * FRAMES, 2))
    shared = np.repeat(rng.normal(0, offsets, (len(trials), 2)), FRAMES, axis=0)
    tables = []
    for noise in noises:
        values = truth + shared + rng.normal(0, noise, truth.shape)
        tables.append(pa.table({**keys(trials), "valence": values[:, 0], "arousal": values[:, 1]}))
    return pa.table({**keys(trials), "valence": truth[:, 0], "arousal": truth[:, 1]}), *tables


def rows_of(table):
    return {row["metric"]: row for row in table.to_pylist()}


def test_values_are_those_of_the_scorer_and_the_difference_is_theirs():
    labels, first, second = runs([f"t{i}" for i in range(8)], (0.2, 0.4))
    table = compare(first, second, labels, "abaw2", resamples=50)
    assert table.schema == COMPARISON and table["metric"][0].as_py() == "va_score"
    single = [
        dict(zip(t["metric"].to_pylist(), t["value"].to_pylist(), strict=True))
        for t in (score(p, labels, "abaw2") for p in (first, second))
    ]
    for metric, row in rows_of(table).items():
        assert row["first"] == pytest.approx(single[0][metric], abs=1e-12)
        assert row["second"] == pytest.approx(single[1][metric], abs=1e-12)
        assert row["difference"] == pytest.approx(row["first"] - row["second"], abs=1e-15)
        assert row["low"] <= row["difference"] <= row["high"]
    assert row["videos"] == 8 and row["frames"] == 480


def test_by_hand_resampling_gives_the_same_interval():
    # Rows really repeated and scored again, video by video, by another library.
    rng, trials = np.random.default_rng(3), ["a", "b_left", "b_right", "c"]
    names = get_task("abaw2", "expr").parts[0].names
    truth = rng.integers(0, len(names), len(trials) * FRAMES)
    guesses = [
        np.where(rng.random(truth.size) < share, truth, rng.integers(0, len(names), truth.size)) for share in (0.6, 0.5)
    ]
    first, second, labels = (pa.table({**keys(trials), "expression": column}) for column in (*guesses, truth))
    row = rows_of(compare(first, second, labels, "abaw2", resamples=40, seed=9))["expr_f1"]
    video = np.array([name.removesuffix("_left").removesuffix("_right") for name in keys(trials)["trial"]])
    differences = []
    for times in draws(3, 40, 9):
        at = np.concatenate(
            [np.tile(np.flatnonzero(video == name), count) for name, count in zip("abc", times, strict=True)]
        )
        values = [
            f1_score(truth[at], g[at], labels=range(len(names)), average="macro", zero_division=0) for g in guesses
        ]
        differences.append(values[0] - values[1])
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])), abs=1e-12)
    assert row["first_better"] == np.mean(np.array(differences) > 0)


def test_pairing_sees_what_two_intervals_do_not():
    labels, first, second = runs([f"t{i}" for i in range(12)], (0.20, 0.35), offsets=0.8)
    row = rows_of(compare(first, second, labels, "abaw2", resamples=400))["va_score"]
    assert row["low"] > 0 and row["first_better"] > 0.97
    ends = []
    for table in (first, second):
        found = {r["metric"]: r["value"] for r in score(table, labels, "abaw2", resamples=400).to_pylist()}
        ends.append((found["va_score_low"], found["va_score_high"]))
    assert ends[0][0] < ends[1][1], "the single intervals must overlap for this to show anything"
    assert row["high"] - row["low"] < 0.5 * (ends[0][1] - ends[0][0])


def test_equal_and_exchanged_runs():
    labels, first, second = runs([f"t{i}" for i in range(6)], (0.2, 0.3))
    for row in compare(first, first, labels, "abaw2", resamples=60).to_pylist():
        assert row["difference"] == row["low"] == row["high"] == 0 and row["first_better"] == 0.5
    there, back = (
        rows_of(compare(*pair, labels, "abaw2", resamples=60)) for pair in ((first, second), (second, first))
    )
    for metric, row in there.items():
        assert (row["low"], row["high"]) == pytest.approx((-back[metric]["high"], -back[metric]["low"]), abs=1e-12)
        assert row["first_better"] == pytest.approx(1 - back[metric]["first_better"])


def test_both_persons_of_a_video_are_drawn_together():
    assert videos_of(["b_right", "a", "b", "b_left", "left_1"]) == ["a", "b", "left_1"]
    labels, first, second = runs(["a_left", "a_right"], (0.2, 0.3))
    row = compare(first, second, labels, "abaw2", resamples=30).to_pylist()[0]
    # One source video: every resample is the whole corpus, so there is nothing to vary.
    assert row["videos"] == 1 and row["low"] == pytest.approx(row["high"]) == pytest.approx(row["difference"])
    single = {r["metric"]: r for r in score(first, labels, "abaw2", resamples=30).to_pylist()}
    assert single["va_score_low"]["value"] == pytest.approx(single["va_score"]["value"])
    assert "30 resamples of 1 videos" in single["va_score_low"]["note"]


def test_frames_that_one_run_lacks_count_for_neither():
    labels, first, second = runs(["a", "b", "c"], (0.2, 0.3))
    with pytest.raises(InputError, match="second run: predictions: 10 labelled frames of 1 trials have no row"):
        compare(first, second.slice(10), labels, "abaw2")
    found = compare(
        first.slice(0, 170), second.slice(10), labels, "abaw2", allow_missing=True, resamples=20
    ).to_pylist()
    both = compare(
        first.slice(10, 160), second.slice(10, 160), labels.slice(10, 160), "abaw2", resamples=20
    ).to_pylist()
    assert [{**row, "note": ""} for row in found] == [{**row, "note": ""} for row in both]
    assert "20 label rows without both predictions left out" in found[0]["note"]
    with pytest.raises(InputError, match="nothing to compare"):
        compare(first.slice(0, 5), second.slice(10), labels, "abaw2", allow_missing=True)


def test_undefined_draws_are_left_out_and_counted():
    labels, first, second = runs(["a", "b"], (0.2, 0.3))
    still = np.repeat([True, False], FRAMES)
    tables = [
        table.set_column(2, "valence", pa.array(np.where(still, 0.5, table["valence"].to_numpy())))
        for table in (labels, first, second)
    ]
    row = rows_of(compare(*tables[1:], tables[0], "abaw2", resamples=200))["ccc_valence"]
    lost = int((draws(2, 200, 0)[:, 1] == 0).sum())
    assert lost and f"{lost} undefined and left out" in row["note"] and np.isfinite(row["low"])


@pytest.fixture
def three(tmp_path):
    """Labels of eight trials and three variants: two folds of all, two folds of all but noisier, one fold of half of them."""
    trials = [f"t{i}" for i in range(8)]
    labels, good, poor = runs(trials, (0.2, 0.5))
    pq.write_table(labels, tmp_path / "va.parquet")
    entries = []
    for variant, table, folds in (("good", good, (0, 1)), ("poor", poor, (0, 1)), ("half", good, (1,))):
        for fold in folds:
            path = tmp_path / f"{variant}{fold}.parquet"
            pq.write_table(table.slice(fold * 4 * FRAMES, 4 * FRAMES), path)
            names = {"system": "s", "variant": variant, "target": "va", "fold": fold, "partition": "validation"}
            entries.append({**names, "path": path})
    return tmp_path, entries, (labels, good, poor)


def test_all_pairs_are_compared_on_the_trials_of_both(three):
    folder, entries, (labels, good, poor) = three
    output = folder / "out.csv"
    compare_variants(entries, {"va": folder / "va.parquet"}, tracks(["abaw2"]), output, resamples=50)
    with output.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert tuple(rows[0]) == COMPARED_COLUMNS
    found = {(r["first_run"], r["second_run"]): r for r in rows if r["metric"] == "va_score"}
    assert {pair: int(row["trials"]) for pair, row in found.items()} == {
        ("s/good/va", "s/half/va"): 4,
        ("s/good/va", "s/poor/va"): 8,
        ("s/half/va", "s/poor/va"): 4,
    }
    same = found["s/good/va", "s/half/va"]
    assert float(same["difference"]) == float(same["low"]) == float(same["high"]) == 0
    want = rows_of(compare(good, poor, labels, "abaw2", resamples=50))["va_score"]
    row = found["s/good/va", "s/poor/va"]
    assert {k: float(row[k]) for k in ("first", "second", "low", "high")} == pytest.approx(
        {k: want[k] for k in ("first", "second", "low", "high")}
    )
    second = {k: t.slice(4 * FRAMES) for k, t in (("labels", labels), ("good", good), ("poor", poor))}
    want = rows_of(compare(second["good"], second["poor"], second["labels"], "abaw2", resamples=50))["va_score"]
    assert float(found["s/half/va", "s/poor/va"]["difference"]) == pytest.approx(want["difference"])


def test_a_single_variant_gives_a_table_without_rows(three):
    folder, entries, _ = three
    compare_variants(entries[:2], {"va": folder / "va.parquet"}, tracks(["abaw2"]), folder / "o.csv", resamples=5)
    assert (folder / "o.csv").read_text() == ",".join(COMPARED_COLUMNS) + "\n"


def test_the_report_shows_the_ranked_scores(three):
    folder, entries, _ = three
    compare_variants(entries, {"va": folder / "va.parquet"}, tracks(["abaw2"]), folder / "o.csv", resamples=5)
    shown = ranked_comparisons(folder / "o.csv")
    assert [row["metric"] for row in shown] == ["va_score"] * 3
    assert shown[1]["first_run"] == "s/good/va" and shown[1]["difference"] > 0 and shown[1]["videos"] == 8
