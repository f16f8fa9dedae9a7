"""The scorer: joining by name, masks, editions, aggregation, intervals, refusals."""

import functools
import itertools
import math
import operator
import subprocess
import sys

import audmetric
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from wildaffect.errors import InputError
from wildaffect.scoring import score
from wildaffect.scoring.editions import editions, editions_table, find_task, get_task
from wildaffect.scoring.scorer import TRIAL_SCORES, tally_task, trial_scores
from wildaffect.scoring.tallies import tally

LENGTHS = {"b_left": 50, "a": 30, "b": 40}


def keys(lengths=LENGTHS):
    return {
        "trial": [name for name, length in lengths.items() for _ in range(length)],
        "frame": [frame for length in lengths.values() for frame in range(length)],
    }


def va_tables(seed=0, lengths=LENGTHS):
    rng = np.random.default_rng(seed)
    n = sum(lengths.values())
    truth = rng.uniform(-1, 1, (n, 2))
    predicted = np.clip(0.6 * truth + rng.normal(0.1, 0.3, (n, 2)), -1, 1)
    labels = pa.table({**keys(lengths), "valence": truth[:, 0], "arousal": truth[:, 1], "valid": np.ones(n, bool)})
    return pa.table({**keys(lengths), "valence": predicted[:, 0], "arousal": predicted[:, 1]}), labels


def values(table):
    return dict(zip(table["metric"].to_pylist(), table["value"].to_pylist(), strict=True))


def replace(table, column, array):
    return table.set_column(table.column_names.index(column), column, pa.array(array))


def test_valence_and_arousal():
    predictions, labels = va_tables()
    table = score(predictions, labels, "abaw2")
    found = values(table)
    single = {}
    for name in ("valence", "arousal"):
        truth, predicted = labels[name].to_numpy(), predictions[name].to_numpy()
        assert found[f"ccc_{name}"] == pytest.approx(audmetric.concordance_cc(truth, predicted), abs=1e-12)
        trial = np.array(labels["trial"].to_pylist())
        single[name] = {t: audmetric.concordance_cc(truth[trial == t], predicted[trial == t]) for t in LENGTHS}
        assert found[f"ccc_{name}_per_video_mean"] == pytest.approx(np.mean(list(single[name].values())), abs=1e-12)
        weighted = np.average([single[name][t] for t in LENGTHS], weights=list(LENGTHS.values()))
        assert found[f"ccc_{name}_per_video_weighted"] == pytest.approx(weighted, abs=1e-12)
    assert table["metric"][0].as_py() == "va_score"
    assert found["va_score"] == pytest.approx((found["ccc_valence"] + found["ccc_arousal"]) / 2)
    assert set(table["frames"].to_pylist()) == {120}
    rows = trial_scores(tally_task(predictions, labels, get_task("abaw2", "va"), get_task("abaw2", "va").parts))
    assert rows.schema == TRIAL_SCORES
    for row in rows.to_pylist():
        assert row["value"] == pytest.approx(single[row["metric"].removeprefix("ccc_")][row["trial"]], abs=1e-12)
        assert row["frames"] == LENGTHS[row["trial"]]


def test_columns_are_found_by_name_not_place():
    predictions, labels = va_tables()
    swapped = predictions.select(["arousal", "frame", "valence", "trial"])
    assert score(swapped, labels, "abaw2").equals(score(predictions, labels, "abaw2"))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=15)
@given(st.randoms(use_true_random=False))
def test_row_order_changes_nothing(random):
    predictions, labels = va_tables()
    shuffled = [table.take(random.sample(range(len(table)), len(table))) for table in (predictions, labels)]
    assert score(*shuffled, "abaw2").equals(score(predictions, labels, "abaw2"))


def test_pandas_and_arrow_agree():
    predictions, labels = va_tables()
    assert score(predictions.to_pandas(), labels.to_pandas(), "abaw2").equals(score(predictions, labels, "abaw2"))


@pytest.mark.parametrize("invalid", [-5.0, None, math.nan])
def test_invalid_labels_never_change_a_score(invalid):
    predictions, labels = va_tables()
    rng = np.random.default_rng(1)
    marked = rng.random(len(labels)) < 0.2
    kept = score(predictions.filter(~marked), labels.filter(~marked), "abaw2")
    arousal = [invalid if m else v for m, v in zip(marked, labels["arousal"].to_pylist(), strict=True)]
    # Only one dimension is marked: the frame must count for neither. The predictions there are absurd.
    damaged = replace(predictions, "valence", np.where(marked, 1e6, predictions["valence"].to_numpy()))
    assert values(score(damaged, replace(labels, "arousal", arousal), "abaw2")) == pytest.approx(
        values(kept), abs=1e-12
    )
    assert values(score(damaged, replace(labels, "valid", ~marked), "abaw2")) == pytest.approx(values(kept), abs=1e-12)


def test_the_ends_of_the_scale_count():
    """Labels of exactly 1 and -1 are valid; what lies beyond is not."""
    predictions, labels = va_tables()
    ends = labels["valence"].to_numpy().copy()
    ends[:10], ends[10:20], ends[20] = 1, -1, np.nextafter(1, 2)
    labels = replace(labels, "valence", ends)
    table = score(predictions, labels, "abaw2")
    assert set(table["frames"].to_pylist()) == {119}
    kept = np.arange(120) != 20
    want = audmetric.concordance_cc(ends[kept], predictions["valence"].to_numpy()[kept])
    assert values(table)["ccc_valence"] == pytest.approx(want, abs=1e-12)


def test_forgetting_the_mask_would_be_seen():
    predictions, labels = va_tables()
    lost = replace(labels, "arousal", np.where(np.arange(120) < 3, -5.0, labels["arousal"].to_numpy()))
    unmasked = audmetric.concordance_cc(lost["arousal"].to_numpy(), predictions["arousal"].to_numpy())
    assert values(score(predictions, lost, "abaw2"))["ccc_arousal"] - unmasked > 0.3


def test_undefined_trials_are_left_out_and_counted():
    predictions, labels = va_tables()
    still = np.array(labels["trial"].to_pylist()) == "a"
    same = [replace(t, "valence", np.where(still, 0.1, t["valence"].to_numpy())) for t in (predictions, labels)]
    rows = {row["metric"]: row for row in score(*same, "abaw2").to_pylist()}
    assert rows["ccc_valence_per_video_mean"]["trials"] == 2
    note = "1 trials undefined, left out: 1 because truth and prediction are the same constant"
    assert rows["ccc_valence_per_video_mean"]["note"] == rows["ccc_valence_per_video_weighted"]["note"] == note
    assert rows["ccc_valence"]["trials"] == 3


def expression_tables(classes, seed=3):
    rng = np.random.default_rng(seed)
    names = get_task("abaw2" if classes == 7 else "abaw3", "expr").parts[0].names
    truth = rng.integers(-1, classes, 120)
    probabilities = rng.dirichlet(np.ones(classes), 120) + 0.3 * np.eye(classes)[truth]
    columns = {name: probabilities[:, i].astype(np.float32) for i, name in enumerate(names)}
    labels = pa.table({**keys(), "expression": pa.array(truth, pa.int8(), mask=truth < 0)})
    return pa.table({**keys(), **dict(sorted(columns.items()))}), labels, truth, probabilities.argmax(axis=1)


@pytest.mark.parametrize(("edition", "classes"), [("abaw1", 7), ("abaw2", 7), ("abaw3", 8), ("abaw6", 8)])
def test_expressions(edition, classes):
    predictions, labels, truth, decided = expression_tables(classes)
    valid = truth >= 0
    f1 = metrics.f1_score(truth[valid], decided[valid], labels=range(classes), average="macro", zero_division=0)
    acc = metrics.accuracy_score(truth[valid], decided[valid])
    found = values(score(predictions, labels, edition))
    assert found["expr_f1"] == pytest.approx(f1)
    assert found["expr_accuracy"] == pytest.approx(acc)
    assert found["expr_score"] == pytest.approx(0.67 * f1 + 0.33 * acc if classes == 7 else f1)
    number = pa.table({**keys(), "expression": decided})
    assert values(score(number, labels, edition)) == found


@pytest.mark.parametrize(
    ("edition", "formula"), [("abaw1", "half"), ("abaw2", "half"), ("abaw3", "f1"), ("abaw8", "f1")]
)
def test_action_units(edition, formula):
    names = get_task(edition, "au").parts[0].names
    rng = np.random.default_rng(4)
    truth = rng.integers(-1, 2, (120, len(names)))
    raw = rng.random((120, len(names))).round(1)  # many values of exactly 0.5, which are off
    labels = pa.table(
        {**keys(), **{name: pa.array(truth[:, i], pa.int8(), mask=truth[:, i] < 0) for i, name in enumerate(names)}}
    )
    predictions = pa.table({**keys(), **{name: raw[:, i] for i, name in reversed(list(enumerate(names)))}})
    f1 = np.mean(
        [metrics.f1_score(t[t >= 0], p[t >= 0] > 0.5, zero_division=0) for t, p in zip(truth.T, raw.T, strict=True)]
    )
    valid = truth >= 0
    acc = ((raw > 0.5) == truth)[valid].mean()
    found = values(score(predictions, labels, edition))
    assert found["au_f1"] == pytest.approx(f1)
    assert found["au_accuracy"] == pytest.approx(acc)
    assert found["au_score"] == pytest.approx(0.5 * f1 + 0.5 * acc if formula == "half" else f1)
    assert found["au_accuracy_unit_mean"] != pytest.approx(acc, abs=1e-9)


def test_published_multitask_rerun_arithmetic():
    # A public re-run of the 2020 winner's family prints F1 .339 and accuracy .460 as score .379, AU F1 .183 and accuracy .945 as .564.
    expr, au = get_task("abaw1", "expr").score, get_task("abaw1", "au").score
    assert round(expr["expr_f1"] * 0.339 + expr["expr_accuracy"] * 0.460, 3) == 0.379
    assert round(au["au_f1"] * 0.183 + au["au_accuracy"] * 0.945, 3) == 0.564


def test_multi_task_sum_with_masks_per_task():
    va, va_labels = va_tables()
    expr, expr_labels, *_ = expression_tables(8)
    names = get_task("abaw7", "mtl").parts[2].names
    units = np.random.default_rng(5).integers(0, 2, (120, len(names)))
    labels, predictions = va_labels, va
    labels = labels.append_column("expression", expr_labels["expression"])
    for name in get_task("abaw3", "expr").parts[0].names:
        predictions = predictions.append_column(name, expr[name])
    for i, name in enumerate(names):
        labels = labels.append_column(name, pa.array(units[:, i]))
        predictions = predictions.append_column(name, pa.array(units[::-1, i].astype(float)))
    found = values(score(predictions, labels, "abaw7", "mtl"))
    parts = (values(score(predictions, labels, "abaw3", task)) for task in ("va", "expr", "au"))
    assert found["mtl_score"] == pytest.approx(
        sum(p[f"{t}_score"] for p, t in zip(parts, ("va", "expr", "au"), strict=True))
    )
    assert find_task("abaw7", labels.column_names).name == "mtl"


def test_interval_holds_the_value_and_narrows_with_trials():
    def width(trials):
        rows = values(score(*va_tables(6, {f"t{i}": 20 for i in range(trials)}), "abaw2", resamples=400, seed=1))
        assert rows["va_score_low"] < rows["va_score"] < rows["va_score_high"]
        return rows["va_score_high"] - rows["va_score_low"]

    assert width(100) < 0.5 * width(8)
    tables = va_tables()
    assert score(*tables, "abaw2", resamples=50, seed=1).equals(score(*tables, "abaw2", resamples=50, seed=1))


def test_interval_draws_trials_not_frames():
    # Trials that differ only by a common offset: resampling frames would give a narrow interval, resampling trials must not.
    rng = np.random.default_rng(7)
    lengths = {f"t{i}": 200 for i in range(6)}
    truth = np.repeat(rng.uniform(-0.8, 0.8, 6), 200) + rng.normal(0, 0.02, 1200)
    predicted = np.repeat(rng.uniform(-0.8, 0.8, 6), 200) + rng.normal(0, 0.02, 1200)
    labels = pa.table({**keys(lengths), "valence": truth, "arousal": truth})
    rows = values(
        score(pa.table({**keys(lengths), "valence": predicted, "arousal": predicted}), labels, "abaw2", resamples=300)
    )
    assert rows["ccc_valence_high"] - rows["ccc_valence_low"] > 0.4


def test_missing_rows():
    predictions, labels = va_tables()
    gone = np.arange(120) % 40 == 7
    with pytest.raises(InputError, match="3 labelled frames of 3 trials have no row, first trial 'a', frame 7"):
        score(predictions.filter(~np.isin(labels["frame"].to_numpy(), [7])), labels, "abaw2")
    allowed = score(predictions.filter(~gone), labels, "abaw2", allow_missing=True)
    assert values(allowed) == pytest.approx(values(score(predictions.filter(~gone), labels.filter(~gone), "abaw2")))
    assert f"{gone.sum()} labelled frames without prediction left out" in allowed["note"][0].as_py()
    unlabelled = replace(labels, "valid", ~gone)
    assert values(score(predictions.filter(~gone), unlabelled, "abaw2"))["va_score"] == values(allowed)["va_score"]


def broken(change):
    predictions, labels = va_tables()
    return change(predictions, labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p, y: (pa.concat_tables([p, p.slice(0, 1)]), y),
            "predictions: 1 rows are given more than once.*'b_left', frame 0",
        ),
        (lambda p, y: (p, pa.concat_tables([y, y.slice(3, 2)])), "labels: 2 rows are given more than once"),
        (lambda p, y: (p.drop_columns("arousal"), y), "predictions: column arousal missing"),
        (lambda p, y: (p, y.drop_columns("trial")), "labels: column trial missing"),
        (
            lambda p, y: (replace(p, "valence", np.full(120, np.nan)), y),
            "valence of 120 labelled frames is not a usable number",
        ),
        (lambda p, y: (replace(p, "frame", np.arange(120) - 1), y), "frame numbers must count from 0"),
        (
            lambda p, y: (replace(p, "frame", np.full(120, 1e20)), y),
            "^predictions: column frame: expected int64 values",
        ),
        (lambda p, y: (p, replace(y, "frame", ["first"] * 120)), "^labels: column frame: expected int64 values"),
        (lambda p, y: (replace(p, "valence", ["x"] * 120), y), "column valence: expected double values"),
        (lambda p, y: (p, replace(y, "valence", np.full(120, -5.0))), "nothing can be scored"),
        (lambda p, y: (p.slice(0, 0), y), "120 labelled frames of 3 trials have no row"),
    ],
)
def test_refusals(change, message):
    predictions, labels = broken(change)
    with pytest.raises(InputError, match=message):
        score(predictions, labels, "abaw2", "va")


def test_wrong_edition_is_refused():
    predictions, labels, truth, _ = expression_tables(8)
    assert (truth == 7).any()
    with pytest.raises(InputError, match="is 7; this edition knows 0 to 6"):
        score(predictions, labels, "abaw2")
    with pytest.raises(InputError, match="unknown edition 'abaw99'; choose from abaw1"):
        score(predictions, labels, "abaw99")
    with pytest.raises(InputError, match="has no task 'lsd'"):
        score(predictions, labels, "abaw2", "lsd")
    with pytest.raises(InputError, match="no task of edition abaw4 fits"):
        score(predictions, labels, "abaw4")


def test_every_edition_is_complete():
    known = editions()
    assert list(known) == [f"abaw{i}" for i in range(1, 12)]
    for tasks in known.values():
        for task in tasks.values():
            assert task.source and all(part.source for part in task.parts)
            assert task.format is None or task.format.source
            assert sum(task.score.values()) == pytest.approx(len(task.parts))
    assert get_task("abaw1", "au").columns == ("AU1", "AU2", "AU4", "AU6", "AU12", "AU15", "AU20", "AU25")
    assert "AU20" not in get_task("abaw2", "au").columns
    assert get_task("abaw8", "expr").parts[0].names[4:] == ("Happiness", "Sadness", "Surprise", "Other")
    assert get_task("abaw5", "va").format.header == "image_location,valence,arousal"


def test_the_scorer_is_light():
    code = (
        "import sys, wildaffect.scoring as s, wildaffect.scoring.results, wildaffect.scoring.fusion;"
        "import wildaffect.scoring.smoothing;"
        "import wildaffect.submission.writer, wildaffect.submission.export, wildaffect.submission.validator;"
        "import wildaffect.cli; s.score; s.au_f1;"
        "heavy = {'torch', 'sklearn', 'scipy', 'pandas', 'lightning', 'cv2', 'av'} & set(sys.modules);"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.returncode == 0, done.stderr


def test_trial_names_of_any_string_type():
    predictions, labels = va_tables()
    frame = predictions.to_pandas()
    frame["trial"] = pd.Categorical(frame["trial"])
    assert score(frame, labels, "abaw2").equals(score(predictions, labels, "abaw2"))


def test_a_trial_that_is_unknown_matches_nothing():
    # Trial and frame are one number inside: a trial without predictions must not meet rows of another one.
    labels = pa.table({**keys({"a": 2, "z": 2}), "valence": [0.1, 0.2, 0.3, 0.4], "arousal": [0.1, 0.2, 0.3, 0.4]})
    with pytest.raises(InputError, match="2 labelled frames of 1 trials have no row, first trial 'z'"):
        score(labels.slice(0, 2), labels, "abaw2")
    with pytest.raises(InputError, match="2 labelled frames of 1 trials have no row, first trial 'a'"):
        score(labels.slice(2), labels, "abaw2")


def test_a_class_without_a_number_makes_the_row_unusable():
    predictions, labels, *_ = expression_tables(7)
    fear = predictions["Fear"].to_numpy().copy()
    fear[5] = np.nan
    with pytest.raises(
        InputError, match="expression of 1 labelled frames is not a usable number, first trial 'b_left', frame 5"
    ):
        score(replace(predictions, "Fear", fear), replace(labels, "expression", np.arange(120) % 7), "abaw2")


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_shards_of_any_size_give_the_whole(cuts, seed):
    rng, frames = np.random.default_rng(seed), 200
    for part in get_task("abaw7", "mtl").parts:
        width = len(part.columns)
        if part.kind == "values":
            truth, guess = rng.uniform(-1, 1, (2, frames, width))
        else:
            truth, guess = rng.integers(0, len(part.names) if part.kind == "classes" else 2, (2, frames, width)).astype(
                float
            )
        mask = rng.random((frames, width)) < 0.8
        shards = [
            tally(part, truth[a:b], guess[a:b], mask[a:b]) for a, b in itertools.pairwise([0, *sorted(cuts), frames])
        ]
        whole, joined = tally(part, truth, guess, mask).metrics(), functools.reduce(operator.add, shards).metrics()
        assert joined.keys() == whole.keys()
        for name, value in whole.items():
            assert joined[name] == pytest.approx(value, abs=1e-12, nan_ok=True)


def notes(table):
    return dict(zip(table["metric"].to_pylist(), table["note"].to_pylist(), strict=True))


def test_predictions_far_out_of_range_are_scored_and_counted():
    predictions, labels = va_tables()
    valence = predictions["valence"].to_numpy().copy()
    valence[[3, 70]], valence[5] = (50, -7.25), 1.9
    strange = replace(predictions, "valence", valence)
    table = score(strange, labels, "abaw2", names=("mine.csv", "labels.csv"))
    assert values(table)["ccc_valence"] == pytest.approx(
        audmetric.concordance_cc(labels["valence"].to_numpy(), valence), abs=1e-12
    )
    note = "2 of 240 predictions are far outside [-1, 1] (valence: -7.25 to 50), scored as they are: mine.csv"
    assert note in notes(table)["va_score"] and note == notes(table)["ccc_valence"]
    assert not any("far outside" in text for text in notes(score(predictions, labels, "abaw2")).values())


def test_units_that_are_no_probabilities_are_counted_and_numbers_for_classes_may_be_any():
    rng = np.random.default_rng(1)
    part = get_task("abaw2", "au").parts[0]
    labels = pa.table({**keys(), **{name: rng.integers(0, 2, 120) for name in part.columns}})
    predicted = {name: rng.random(120) for name in part.names}
    predicted[part.names[1]] = np.where(np.arange(120) < 4, -3.0, 0.2)
    table = score(pa.table({**keys(), **predicted}), labels, "abaw2", "au", names=("p.csv", "l.csv"))
    assert (
        f"4 of {120 * len(part.names)} predictions are far outside [0, 1] ({part.names[1]}: -3 to -3)"
        in notes(table)["au_score"]
    )
    predictions, labels, *_ = expression_tables(7)
    logits = {
        name: 100 * predictions[name].to_numpy() - 50
        for name in predictions.column_names
        if name not in ("trial", "frame")
    }
    assert not any(
        "far" in text for text in notes(score(pa.table({**keys(), **logits}), labels, "abaw2", "expr")).values()
    )


def shifted(table, column, value):
    return replace(table, column, np.where(np.arange(len(table)) == 7, value, table[column].to_numpy()))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda p, y: (p.drop_columns("arousal"), y), "p.csv"),
        (lambda p, y: (p.slice(1), y), "p.csv"),
        (lambda p, y: (pa.concat_tables([p, p.slice(3, 2)]), y), "p.csv"),
        (lambda p, y: (shifted(p, "valence", np.nan), y), "p.csv"),
        (lambda p, y: (replace(p, "valence", ["high"] * len(p)), y), "p.csv"),
        (lambda p, y: (p, y.drop_columns("frame")), "y.csv"),
        (lambda p, y: (p, y.drop_columns("arousal")), "y.csv"),
        (lambda p, y: (p, replace(y, "valence", ["high"] * len(y))), "y.csv"),
        (lambda p, y: (p, replace(y, "valid", np.zeros(len(y), bool))), "y.csv"),
    ],
)
def test_messages_begin_with_the_file(change, name):
    with pytest.raises(InputError) as caught:
        score(*change(*va_tables()), "abaw2", "va", names=("p.csv", "y.csv"))
    assert str(caught.value).startswith(f"{name}: ")


def shown_edition(line: str) -> bool:
    """Whether the page shows the row: editions until the 11th; one more file needs no line there."""
    return line.split("|")[1].strip() in {f"abaw{i}" for i in range(1, 12)}


def test_the_documentation_shows_the_rules_as_they_are(root):
    text = (root / "docs" / "scoring.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- editions: wildaffect editions -->\n")[2].partition("<!-- end of editions -->")[0]
    rows = [line for line in editions_table().splitlines() if not line.startswith("| abaw") or shown_edition(line)]
    assert shown.strip().splitlines() == rows, "run `wildaffect editions` and put its output between the two marks"
