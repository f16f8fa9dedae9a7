"""Scores of labels that hold for whole clips: one decision for each clip, and metrics of single trials that say nothing."""

import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from wildaffect.corpus.label_spaces import AU12, EXPRESSIONS8
from wildaffect.corpus.labels import labels_schema
from wildaffect.report.build import _compared
from wildaffect.report.scores import read_scores, score_lines, score_tables
from wildaffect.scoring.ccc import ccc
from wildaffect.scoring.editions import editions, get_task
from wildaffect.scoring.results import score_predictions
from wildaffect.scoring.scorer import score, tally_task, trial_scores
from wildaffect.tables import write_table

FRAMES = {"a": 2, "b": 3, "c": 1}
VALENCE = {"a": 0.5, "b": -0.5, "c": 0.0}
# Means 0.5, -0.2 and 0.1; a clip of three frames weighs as much as one of one.
PREDICTED = {"a": [0.25, 0.75], "b": [-0.5, 0.2, -0.3], "c": [0.1]}
RUN = {"system": "s", "variant": "v", "target": "t", "fold": "0", "partition": "validation"}


def rows_of(values: dict[str, list[float]], *names: str) -> pa.Table:
    """Columns ``names`` of equal values, in the frames of the trials."""
    trials = [trial for trial, series in values.items() for _ in series]
    frames = [frame for series in values.values() for frame in range(len(series))]
    column = [value for series in values.values() for value in series]
    return pa.table({"trial": trials, "frame": pa.array(frames, pa.int32()), **dict.fromkeys(names, column)})


def write_labels(folder: Path, task: str, columns: dict[str, dict[str, float]], kinds: dict[str, str]) -> Path:
    """A label table with constant labels: by column, then by trial."""
    rows = [
        {
            "trial": trial,
            "frame": frame,
            "time_s": frame / 25,
            **{name: values[trial] for name, values in columns.items()},
            "valid": True,
        }
        for trial, count in FRAMES.items()
        for frame in range(count)
    ]
    schema = labels_schema(task, tuple(columns))
    facts = {trial: {"kind": kind} for trial, kind in kinds.items()}
    write_table(folder / f"{task}.parquet", pa.Table.from_pylist(rows, schema=schema), schema, {"trials": facts})
    return folder / f"{task}.parquet"


def scored(folder: Path, predictions: pa.Table, labels: dict[str, Path], **options) -> tuple[dict, list[dict]]:
    """Rows of the score table by metric, and the table of trials."""
    write_table(folder / "p.parquet", predictions, predictions.schema)
    chosen = {"abaw3": editions()["abaw3"]}
    entries = [RUN | {"path": folder / "p.parquet"}]
    score_predictions(entries, labels, chosen, folder / "scores.csv", folder / "trials.csv", **options)
    tables = [list(csv.DictReader((folder / name).open())) for name in ("scores.csv", "trials.csv")]
    return {row["metric"]: row for row in tables[0]}, tables[1]


CLIPS = dict.fromkeys(FRAMES, "per_clip")


@pytest.fixture
def valence_arousal(tmp_path):
    labels = {"va": write_labels(tmp_path, "va", {"valence": VALENCE, "arousal": VALENCE}, CLIPS)}
    return scored(tmp_path, rows_of(PREDICTED, "valence", "arousal"), labels)


def test_values_of_a_clip_are_the_mean_of_its_frames(valence_arousal):
    rows, _ = valence_arousal
    # Labels 0.5, -0.5, 0: mean 0, variance 1/6. Means 0.5, -0.2, 0.1: mean 2/15, squares 0.3 / 3 - 4/225, covariance (0.25 + 0.1) / 3.
    expected = 2 * (0.35 / 3) / (0.5 / 3 + (0.30 / 3 - (2 / 15) ** 2) + (2 / 15) ** 2)
    for name in ("ccc_valence_per_clip", "ccc_arousal_per_clip", "va_score_per_clip"):
        assert float(rows[name]["value"]) == pytest.approx(expected, abs=1e-6)
        assert (rows[name]["frames"], rows[name]["trials"]) == ("6", "3")
        assert rows[name]["note"].startswith("one decision for each clip")
    frames = [(VALENCE[trial], value) for trial, series in PREDICTED.items() for value in series]
    assert float(rows["ccc_valence"]["value"]) == pytest.approx(ccc(*np.array(frames).T), abs=1e-6)
    assert not [name for name in rows if "per_video" in name and "per_clip" in name]


def test_a_trial_with_a_constant_label_has_no_ccc(valence_arousal):
    rows, trials = valence_arousal
    found = {row["trial"]: (row["value"], row["note"]) for row in trials if row["metric"] == "ccc_valence"}
    constant = ("", "not defined: the label is constant")
    assert found == {"a": constant, "b": constant, "c": ("", "not defined: there is a single frame")}
    mean = rows["ccc_valence_per_video_mean"]
    assert mean["value"] == ""
    assert (
        mean["note"]
        == "3 trials undefined, left out: 2 because the label is constant, 1 because there is a single frame"
    )


def test_the_report_says_why_instead_of_zero(valence_arousal, tmp_path):
    source = {"system": "s", "variant": "v", "target": "t", "fold": "0", "partition": "validation"}
    media = [{"trial": "a", "media": {"frames": 2, "duration_s": 0.1}}]
    (shown,) = _compared({("s/v/t", "a"): source}, media, tmp_path / "trials.csv")
    (row,) = shown["rows"]
    assert row["notes"] == dict.fromkeys(("valence", "arousal"), "not defined: the label is constant")
    assert shown["ccc"] is None and math.isnan(row["valence"])


def test_the_report_shows_scores_by_clip_after_the_ranked_ones(valence_arousal, tmp_path):
    tables = score_tables(read_scores(tmp_path / "scores.csv"), editions())
    assert [table.metric for table in tables[:2]] == ["va_score", "va_score_per_clip"]
    assert (tables[1].ranked, tables[1].per_clip) == (False, True)
    assert tables[1].note.startswith("one decision for each clip")
    assert "va_score_per_clip (abaw3, validation; one decision for each clip" in score_lines(tmp_path / "scores.csv")


def test_intervals_of_scores_by_clip_have_names_of_their_own(tmp_path):
    labels = {"va": write_labels(tmp_path, "va", {"valence": VALENCE, "arousal": VALENCE}, CLIPS)}
    rows, _ = scored(tmp_path, rows_of(PREDICTED, "valence", "arousal"), labels, resamples=20)
    low, value, high = (float(rows[f"va_score_per_clip{end}"]["value"]) for end in ("_low", "", "_high"))
    assert low <= value <= high


def test_only_trials_labelled_by_clip_are_scored_by_clip(tmp_path):
    kinds = {"a": "per_clip", "b": "equal", "c": "per_clip"}
    labels = {"va": write_labels(tmp_path, "va", {"valence": VALENCE, "arousal": VALENCE}, kinds)}
    rows, _ = scored(tmp_path, rows_of(PREDICTED, "valence", "arousal"), labels)
    # Labels 0.5, 0 and predictions 0.5, 0.1: covariance 0.05, variances 0.0625 and 0.04, means 0.05 apart.
    assert float(rows["ccc_valence_per_clip"]["value"]) == pytest.approx(0.1 / (0.0625 + 0.04 + 0.0025), abs=1e-6)
    assert rows["ccc_valence_per_clip"]["trials"] == "2"
    labels = {
        "va": write_labels(tmp_path, "va", {"valence": VALENCE, "arousal": VALENCE}, dict.fromkeys(FRAMES, "equal"))
    }
    rows, _ = scored(tmp_path, rows_of(PREDICTED, "valence", "arousal"), labels)
    assert not [name for name in rows if "per_clip" in name]


def test_the_expression_of_a_clip_has_the_largest_mean_probability(tmp_path):
    """Frames of b vote Anger, Anger, Happiness; the mean says Happiness, which is right."""
    anger, happy = EXPRESSIONS8.index("Anger"), EXPRESSIONS8.index("Happiness")
    labels = {"expr": write_labels(tmp_path, "expr", {"expression": {"a": anger, "b": happy, "c": anger}}, CLIPS)}
    leaning = {"a": [0.9, 0.9], "b": [0.55, 0.55, 0.0], "c": [0.2]}  # probability of Anger, the rest is Happiness
    table = rows_of(leaning, "Anger")
    for name in EXPRESSIONS8:
        if name != "Anger":
            rest = 1 - table["Anger"].to_numpy() if name == "Happiness" else np.zeros(len(table))
            table = table.append_column(name, pa.array(rest))
    rows, _ = scored(tmp_path, table, labels)
    assert float(rows["expr_accuracy_per_clip"]["value"]) == pytest.approx(2 / 3)
    # Anger: one hit, one miss: F1 2/3; Happiness: one hit, one false alarm: 2/3; six classes without a clip count as 0.
    assert float(rows["expr_f1_per_clip"]["value"]) == pytest.approx((2 / 3 + 2 / 3) / 8)
    assert float(rows["expr_accuracy"]["value"]) == pytest.approx(3 / 6)
    voted = pa.table({**rows_of(leaning).to_pydict(), "expression": [1, 1, 4, 1, 1, 4]})
    rows, _ = scored(tmp_path, voted.set_column(1, "frame", voted["frame"].cast(pa.int32())), labels)
    assert float(rows["expr_accuracy_per_clip"]["value"]) == pytest.approx(1 / 3)


def test_units_of_a_clip_are_decided_by_their_mean_probability(tmp_path):
    active = dict.fromkeys(AU12, dict.fromkeys(FRAMES, 0)) | {"AU1": {"a": 1, "b": 1, "c": 0}}
    labels = {"au": write_labels(tmp_path, "au", active, CLIPS)}
    rows, trials = scored(tmp_path, rows_of({"a": [0.9, 0.3], "b": [0.6, 0.6, 0.0], "c": [0.1]}, *AU12), labels)
    # a: mean 0.6 is on, b: 0.4 is off, c: off. AU1: one hit, one miss; each other unit: a false alarm.
    assert float(rows["au_f1_AU1_per_clip"]["value"]) == pytest.approx(2 / 3)
    assert float(rows["au_f1_per_clip"]["value"]) == pytest.approx(2 / 3 / 12)
    assert float(rows["au_accuracy_per_clip"]["value"]) == pytest.approx((2 + 11 * 2) / 36)
    f1 = {row["trial"]: (row["value"], row["note"]) for row in trials if row["metric"] == "au_f1"}
    assert f1["c"] == ("", "not defined: no unit is active in the labels")
    assert float(f1["a"][0]) == pytest.approx(2 / 3 / 12)


def test_a_constant_prediction_of_a_varying_label_scores_zero():
    task = get_task("abaw2", "va")
    labels = rows_of({"a": [0.0, 0.5, 1.0]}, "valence", "arousal")
    tallied = tally_task(rows_of({"a": [0.3, 0.3, 0.3]}, "valence", "arousal"), labels, task, task.parts)
    assert {(row["value"], row["note"]) for row in trial_scores(tallied).to_pylist()} == {(0.0, "")}


def test_joined_frames_keep_the_rule_of_the_edition():
    """A label that is the same everywhere: 0 over all frames joined, as the challenge's script has it."""
    labels = rows_of({"a": [0.5, 0.5], "b": [0.5, 0.5]}, "valence", "arousal")
    table = score(rows_of({"a": [0.1, 0.2], "b": [0.3, 0.2]}, "valence", "arousal"), labels, "abaw2")
    found = pd.Series(table["value"].to_pylist(), table["metric"].to_pylist())
    assert found["ccc_valence"] == 0 and math.isnan(found["ccc_valence_per_video_mean"])
