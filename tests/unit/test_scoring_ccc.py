"""Concordance correlation: golden values, other libraries, merging, undefined cases."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from support.golden import read_golden
from wildaffect.scoring.ccc import Moments, ccc, ccc_with_reason, concordance

NUMBERS = st.floats(-1, 1, allow_nan=False, width=32)
PAIRS = st.integers(2, 40).flatmap(lambda n: arrays(np.float64, (2, n), elements=NUMBERS))


@pytest.mark.parametrize(
    ("variant", "name"),
    [("population", "population"), ("sample", "sample"), ("mixed", "mixed_population_cov_sample_var")],
)
def test_golden(variant, name):
    cases = read_golden("losses.json")["single_sequence"]
    assert len(cases) >= 6
    for case in cases.values():
        assert ccc(case["y"], case["p"], variant=variant) == pytest.approx(case["plain_ccc"][name], abs=1e-12)


def test_other_libraries():
    audmetric, torch = pytest.importorskip("audmetric"), pytest.importorskip("torch")
    from torchmetrics.functional import concordance_corrcoef

    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 1, 500)
    prediction = 0.6 * truth + rng.normal(0.1, 0.2, 500)
    assert ccc(truth, prediction) == pytest.approx(audmetric.concordance_cc(truth, prediction), abs=1e-12)
    sample = concordance_corrcoef(torch.tensor(prediction), torch.tensor(truth)).item()
    assert ccc(truth, prediction, variant="sample") == pytest.approx(sample, abs=1e-12)
    assert abs(ccc(truth, prediction) - sample) > 1e-6


def test_by_hand():
    # Means 1 and 2, variances 2/3 and 8/3, covariance 4/3: 2 * 4/3 / (10/3 + 1).
    assert ccc([0, 1, 2], [0, 2, 4]) == pytest.approx(8 / 13)
    assert ccc(np.arange(8), np.arange(8), variant="mixed") == pytest.approx(7 / 8)


@settings(deadline=None)
@given(PAIRS, st.data())
def test_masked_rows_never_matter(pair, data):
    truth, prediction = pair
    mask = data.draw(arrays(bool, truth.shape))
    junk = np.where(mask, truth, -5.0), np.where(mask, prediction, np.nan)
    kept = ccc(truth[mask], prediction[mask])
    assert ccc(*junk, mask) == pytest.approx(kept, abs=1e-12, nan_ok=True)


@settings(deadline=None)
@given(PAIRS, st.data())
def test_any_order_and_any_shards(pair, data):
    truth, prediction = pair
    whole = Moments.of(truth, prediction)
    order = np.array(data.draw(st.permutations(range(truth.size))))
    cuts = sorted(data.draw(st.lists(st.integers(0, truth.size), max_size=5)))
    shards = [Moments.of(truth[part], prediction[part]) for part in np.split(order, cuts)]
    merged = sum(shards[1:], shards[0])
    assert int(merged.count) == truth.size
    for name in ("mean_truth", "mean_prediction", "squares_truth", "squares_prediction", "products"):
        assert getattr(merged, name) == pytest.approx(getattr(whole, name), abs=1e-12)


def test_shards_of_a_large_corpus_agree_to_1e_12():
    rng = np.random.default_rng(1)
    truth = rng.normal(0.3, 0.05, 300_000).astype(np.float32)
    prediction = (truth * 0.7 + rng.normal(0.2, 0.05, 300_000)).astype(np.float32)
    shards = [Moments.of(t, p) for t, p in zip(np.array_split(truth, 97), np.array_split(prediction, 97), strict=True)]
    merged = sum(shards[1:], shards[0])
    assert merged.ccc() == pytest.approx(ccc(truth, prediction), abs=1e-12)


def test_repeating_is_concatenating():
    rng = np.random.default_rng(2)
    a, b = (Moments.of(*rng.normal(size=(2, 9))) for _ in range(2))
    drawn = a.repeated(np.array([0, 1, 3])) + b.repeated(np.array([0, 2, 1]))
    assert math.isnan(drawn.ccc()[0])
    assert drawn.ccc()[1] == pytest.approx((a + b + b).ccc(), abs=1e-12)
    assert drawn.ccc()[2] == pytest.approx((b + a + a + a).ccc(), abs=1e-12)


@pytest.mark.parametrize(
    ("truth", "prediction", "mask", "variant", "reason"),
    [
        ([], [], None, "population", "no valid frames"),
        ([0.1, 0.2], [0.1, 0.2], [False, False], "population", "no valid frames"),
        ([0.1] * 7, [0.1] * 7, None, "population", "same constant"),
        ([0.5], [0.4], None, "sample", "one frame"),
        ([0.5, 0.1], [0.4, np.nan], None, "population", "not finite"),
    ],
)
def test_undefined_has_a_reason(truth, prediction, mask, variant, reason):
    result = ccc_with_reason(truth, prediction, mask, variant)
    assert math.isnan(result.value)
    assert reason in result.reason


def test_constants_are_exact_whatever_their_rounding():
    # 0.1 has no exact binary form; a mean over many copies must not leave a tiny variance behind, merged or not.
    for constant in (0.1, 1 / 3, -0.7):
        one = Moments.of(np.full(1001, constant), np.full(1001, constant))
        assert math.isnan(one.ccc())
        assert math.isnan((one + one).ccc())
    assert ccc(np.full(1000, 0.1), np.linspace(-1, 1, 1000)) == 0.0
    assert ccc(np.full(9, 0.1), np.full(9, 0.2)) == 0.0
    assert concordance(Moments.of([0.5], [0.25])).value == 0.0


def test_truth_and_prediction_need_one_shape():
    with pytest.raises(ValueError, match="one shape"):
        ccc([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="one shape"):
        ccc([1, 2, 3], [1, 2, 3], [True])
    with pytest.raises(ValueError, match="variant"):
        ccc([1, 2], [1, 2], variant="biased")
