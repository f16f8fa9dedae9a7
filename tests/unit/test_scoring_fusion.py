"""Fusion of folds, joining of targets, smoothing."""

import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from support.golden import read_golden
from wildaffect.errors import InputError
from wildaffect.scoring.fusion import agreement, ccc_centring, ccc_centring_published, fuse, join_targets
from wildaffect.scoring.smoothing import median, savitzky_golay, smooth, wiener

STACKS = st.tuples(st.integers(1, 6), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-2, 2, width=32))
)


def table(values, trials=("b", "a"), source=None, name="valence"):
    values = np.asarray(values, float)
    each = len(values) // len(trials)
    columns = {
        "trial": np.repeat(trials, each),
        "frame": pa.array(np.tile(np.arange(each), len(trials)), pa.int32()),
        "time_s": np.tile(np.arange(each) / 30, len(trials)),
        name: values.astype(np.float32),
        "source": source or ["model"] * len(values),
    }
    return pa.table(columns)


def test_ccc_centring_golden():
    golden = read_golden("losses.json")["lfan_ccc_centring"]
    folds = np.array(golden["predictions_6_folds_x_24"])
    assert agreement(folds) == pytest.approx(golden["agreement"], abs=1e-9)
    for rule in (ccc_centring, ccc_centring_published):
        assert rule(folds) == pytest.approx(golden["fused"], abs=1e-9)
    shift = golden["weighted_mean"] - np.mean(golden["fold_means"])
    assert ccc_centring(folds) == pytest.approx(folds.mean(axis=0) + shift, abs=1e-9)
    names = [np.stack([fold, fold[::-1]]).ravel() for fold in folds]
    fused = fuse([table(values) for values in names], "ccc_centring", "late")
    assert fused["valence"].to_numpy()[:24] == pytest.approx(golden["fused"], abs=1e-6)
    assert fused["valence"].to_numpy()[24:] == pytest.approx(golden["fused"][::-1], abs=1e-6)


@settings(deadline=None)
@given(STACKS)
def test_ccc_centring_is_the_mean_plus_a_constant_within_the_members_means(stack):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fused = ccc_centring(stack)
    offset = fused - stack.mean(axis=0)
    assert offset == pytest.approx(np.full(offset.shape, offset[0]), abs=1e-9)
    assert stack.mean(axis=1).min() - 1e-9 <= fused.mean() <= stack.mean(axis=1).max() + 1e-9


def test_the_published_rule_has_no_bound():
    """Random members, of which many disagree; the common level by hand."""
    rng = np.random.default_rng(4)
    for _ in range(50):
        stack = rng.normal(rng.normal(size=(4, 1)), 1, (4, 9))
        pairs = np.array([[published_ccc(one, other) for other in stack] for one in stack])
        weights = (pairs.sum(axis=1) - pairs.diagonal()) / 3
        level = (weights * stack.mean(axis=1)).sum() / weights.sum()
        means = stack.mean(axis=1)
        assert ccc_centring_published(stack).mean() == pytest.approx(level)
        bounded = level if means.min() <= level <= means.max() else means.mean()
        assert ccc_centring(stack).mean() == pytest.approx(bounded)


def published_ccc(x, y):
    """Variances by n - 1 and the covariance by n (LFAN spec 6.2)."""
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    return 2 * covariance / (x.var(ddof=1) + y.var(ddof=1) + (x.mean() - y.mean()) ** 2)


def test_agreements_that_add_up_to_nothing_keep_the_mean():
    stack = np.array([[1.0, 1.0], [3.0, 3.0]])
    assert (ccc_centring_published(stack) == 2).all() and (ccc_centring(stack) == 2).all()


def test_one_fold_passes_through():
    assert (ccc_centring(np.array([[0.3, -2.0]])) == [0.3, -2.0]).all()
    assert (ccc_centring_published(np.array([[0.3, -2.0]])) == [0.3, -2.0]).all()
    assert fuse([table([0.5, 2.0])], "ccc_centring", "late")["valence"].to_pylist() == [0.5, 1.0]


def test_clipping_early_and_late_differ():
    tables = [table([3.0, 0.5]), table([0.0, 0.5])]
    assert fuse(tables, "mean", "early")["valence"].to_pylist() == [0.5, 0.5]
    assert fuse(tables, "mean", "late")["valence"].to_pylist() == [1.0, 0.5]
    assert fuse(tables, "mean", "none")["valence"].to_pylist() == [1.5, 0.5]
    assert fuse(tables, "weighted", "none", [1, 3])["valence"].to_pylist() == [0.75, 0.5]


def test_members_are_matched_by_trial_and_frame():
    first = table(np.arange(12) / 12)
    second = table(np.arange(12) / 6, source=["no_face"] + ["model"] * 11)
    order = np.random.default_rng(0).permutation(12)
    fused = fuse([first, second.take(order)])
    assert fused.select(["trial", "frame", "time_s"]).equals(first.select(["trial", "frame", "time_s"]))
    assert fused["valence"].to_numpy() == pytest.approx(np.arange(12) / 8)
    assert fused["source"].to_pylist() == ["mixed"] + ["model"] * 11


def test_targets_are_joined_by_trial_and_frame():
    valence = table(np.arange(12) / 12)
    arousal = table(-np.arange(12) / 12, name="arousal").take(np.random.default_rng(1).permutation(12))
    joined = join_targets({"valence": valence, "arousal": arousal})
    assert (joined["arousal"].to_numpy() == -joined["valence"].to_numpy()).all()
    assert joined["trial"].equals(valence["trial"]) and joined["frame"].equals(valence["frame"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: fuse([]), "nothing to fuse"),
        (lambda t: fuse([t, t.slice(1)]), "the frames differ, first missing: trial 'b', frame 0"),
        (lambda t: fuse([t.slice(1), t]), "the frames differ"),
        (lambda t: fuse([t, pa.concat_tables([t, t])]), "given more than once"),
        (
            lambda t: fuse([t, t.rename_columns(["trial", "frame", "time_s", "arousal", "source"])]),
            "not in all predictions",
        ),
        (lambda t: fuse([t], "median"), "choose from mean, weighted, ccc_centring"),
        (lambda t: fuse([t], clip="twice"), "none, early, late"),
        (lambda t: fuse([t, t], "weighted"), "weights are for"),
        (lambda t: fuse([t, t], "weighted", weights=[1, -1]), "must not be negative"),
        (lambda t: fuse([t, t], "mean", weights=[1, 1]), "weights are for"),
        (
            lambda t: fuse([t.rename_columns(["trial", "frame", "time_s", "Fear", "source"])], "ccc_centring"),
            "for valence and arousal",
        ),
        (lambda t: join_targets({"valence": t, "arousal": t}), "predictions of arousal: column arousal missing"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call(table(np.arange(6) / 6))


@pytest.mark.parametrize(
    ("name", "filtered", "window"), [("wiener_35", wiener, 35), ("wiener_13", wiener, 13), ("median_13", median, 13)]
)
def test_smoothing_golden(name, filtered, window):
    golden = read_golden("post/m3t.json")
    assert filtered(np.array(golden["sequence"]), window, "zero") == pytest.approx(golden[name], abs=1e-6)
    interior = slice(window, -window)
    inside = filtered(np.array(golden["sequence"]), window, "nearest")[interior]
    assert np.corrcoef(inside, np.array(golden[name])[interior])[0, 1] > 0.99


@pytest.mark.parametrize("filtered", [wiener, median, savitzky_golay])
@pytest.mark.parametrize("length", [1, 2, 20, 100])
def test_constants_stay_constant_with_repeated_edges(filtered, length):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert filtered(np.full(length, 0.5), 13, "nearest") == pytest.approx(np.full(length, 0.5), abs=1e-12)


def test_zero_edges_pull_the_ends_down():
    assert wiener(np.full(100, 0.5), 35, "zero")[0] < 0.45
    assert np.isfinite(wiener(np.full(10, 0.0), 35, "zero")).all()


def test_smoothing_works_within_trials_in_frame_order():
    values = np.concatenate([np.sin(np.arange(60) / 9), 5 + np.cos(np.arange(60) / 9)])
    tidy = table(values, trials=("b", "a"))
    order = np.random.default_rng(2).permutation(120)
    for method in ("wiener", "median", "savitzky_golay"):
        whole = smooth(tidy, method, 7)
        assert smooth(tidy.take(order), method, 7).equals(whole.take(order))
        assert np.abs(whole["valence"].to_numpy() - values).max() < 0.3
        assert whole.drop_columns("valence").equals(tidy.drop_columns("valence"))
    noisy = values + np.random.default_rng(3).normal(0, 0.2, 120)
    smoothed = smooth(table(noisy, trials=("b", "a")), "savitzky_golay", 15)["valence"].to_numpy()
    assert np.mean((smoothed - values) ** 2) < 0.4 * np.mean((noisy - values) ** 2)


@pytest.mark.parametrize(
    ("method", "window", "edges"),
    [("mean", 7, "zero"), ("wiener", 8, "zero"), ("wiener", -1, "zero"), ("median", 7, "wrap")],
)
def test_smoothing_refuses_unknown_settings(method, window, edges):
    with pytest.raises(InputError, match="smoothing"):
        smooth(table(np.zeros(20)), method, window, edges)
    with pytest.raises(InputError, match="a number in every row"):
        smooth(table(np.full(20, np.nan)), "wiener", 7)


@pytest.mark.parametrize("method", ["wiener", "median", "savitzky_golay"])
def test_a_window_of_one_leaves_values_as_they_are(method):
    values = table(np.random.default_rng(4).normal(0, 1, 40))
    assert smooth(values, method, 1).equals(values)
