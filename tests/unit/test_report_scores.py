"""From the tidy score file to tables."""

import math

import pandas as pd
import pytest

from wildaffect.errors import InputError
from wildaffect.report.scores import read_scores, read_trial_scores, score_tables
from wildaffect.scoring.editions import editions

RUN = {"system": "s", "variant": "v", "target": "va", "partition": "validation"}


def scores(tmp_path, rows):
    shared = RUN | {"edition": "abaw2", "frames": 10, "trials": 2, "note": ""}
    pd.DataFrame([shared | row for row in rows]).to_csv(tmp_path / "scores.csv", index=False)
    return score_tables(read_scores(tmp_path / "scores.csv"), editions())


def test_ranked_metrics_first_and_per_video_ones_last(tmp_path):
    names = ["ccc_valence_per_video_mean", "va_score_low", "ccc_valence", "va_score", "ccc_valence_per_video_weighted"]
    tables = scores(tmp_path, [{"metric": name, "fold": 0, "value": 0.5} for name in names])
    order = ["va_score", "ccc_valence", names[0], names[4], "va_score_low"]
    assert [table.metric for table in tables] == order
    assert [table.ranked for table in tables] == [True, False, False, False, False]
    assert [table.per_video for table in tables] == [False, False, True, True, False]
    assert "weighted by frames" in tables[3].note
    assert "every trial counting the same" in tables[2].note


def test_folds_sort_by_number_and_undefined_ones_leave_the_mean(tmp_path):
    values = {"10": 0.3, "2": 0.1, "0": math.nan, "cross-validation": 0.9, "ensemble": 0.8}
    (table,) = scores(tmp_path, [{"metric": "va_score", "fold": f, "value": v} for f, v in values.items()])
    (row,) = table.rows
    assert table.folds == ["0", "2", "10"]
    assert row.mean == pytest.approx(0.2)
    assert row.deviation == pytest.approx(math.sqrt(0.02))
    assert row.best == 0.9


def test_one_fold_has_no_deviation(tmp_path):
    (table,) = scores(tmp_path, [{"metric": "va_score", "fold": 0, "value": 0.3}])
    assert table.rows[0].deviation is None
    assert table.rows[0].mean == 0.3


def test_rows_are_sorted_best_first_with_undefined_last(tmp_path):
    values = {"a": math.nan, "b": 0.1, "c": 0.7}
    (table,) = scores(
        tmp_path, [{"metric": "va_score", "fold": 0, "value": v, "variant": n} for n, v in values.items()]
    )
    assert [row.variant for row in table.rows] == ["c", "b", "a"]


def test_remarks_are_kept_with_their_folds(tmp_path):
    formula, lost = "0.5 ccc_valence + 0.5 ccc_arousal", "3 trials undefined, left out"
    rows = [{"fold": 0, "note": f"{formula}; {lost}"}, {"fold": 1, "note": formula}]
    (table,) = scores(tmp_path, [row | {"metric": "va_score", "value": 0.1} for row in rows])
    assert table.formula == formula
    assert table.rows[0].notes == [f"{lost} (fold 0)"]


def test_the_same_score_twice_is_an_error(tmp_path):
    with pytest.raises(InputError, match="s/v/va, validation, va_score more than once"):
        scores(tmp_path, [{"metric": "va_score", "fold": 0, "value": value} for value in (0.1, 0.2)])


def test_trial_scores_come_from_where_the_trace_comes_from(tmp_path):
    rows = [
        {"fold": 10, "value": 0.1},
        {"fold": 2, "value": 0.2},
        {"fold": "ensemble", "partition": "test", "value": 0.3},
        {"fold": 0, "partition": "train", "value": 0.9},
        {"fold": 1, "partition": "test", "value": 0.4, "trial": "b"},
        {"fold": "ensemble", "partition": "test", "value": 0.5, "trial": "b"},
        {"fold": 1, "metric": "other", "value": 0.6, "trial": "c"},
    ]
    table = pd.DataFrame([RUN | {"trial": "a", "metric": "ccc_valence", "frames": 5} | row for row in rows])
    table.to_csv(tmp_path / "trials.csv", index=False)
    found = read_trial_scores(tmp_path / "trials.csv", ("ccc_valence", "ccc_arousal"))
    assert found == {("s/v/va", "a"): {"ccc_valence": 0.2}, ("s/v/va", "b"): {"ccc_valence": 0.5}}
