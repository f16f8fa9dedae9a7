"""F1 and accuracy: scikit-learn, absent classes, masks, a published confusion matrix."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from support.published import CNU_ADL_FUSED
from wildaffect.scoring.f1 import (
    accuracy,
    au_f1,
    confusion_matrix,
    expression_f1,
    f1_per_class,
    macro_f1,
    unit_counts,
    weighted_f1,
)

CLASSES = range(8)
LABELS = st.integers(0, 7)
PAIRS = st.integers(1, 30).flatmap(lambda n: arrays(np.int64, (2, n), elements=LABELS))


@settings(deadline=None)
@given(PAIRS)
def test_against_scikit_learn(pair):
    truth, prediction = pair
    every = list(CLASSES)
    matrix = confusion_matrix(truth, prediction, CLASSES)
    assert (matrix == metrics.confusion_matrix(truth, prediction, labels=every)).all()
    expected = metrics.f1_score(truth, prediction, labels=every, average=None, zero_division=0)
    assert f1_per_class(matrix) == pytest.approx(expected)
    assert expression_f1(truth, prediction, CLASSES) == pytest.approx(expected.mean())
    weighted = metrics.f1_score(truth, prediction, labels=every, average="weighted", zero_division=0)
    assert weighted_f1(matrix) == pytest.approx(weighted)
    assert accuracy(matrix) == pytest.approx(metrics.accuracy_score(truth, prediction))


def test_asymmetric_case_tells_truth_from_prediction():
    # Per-class F1 does not change when truth and prediction are swapped; the matrix and the weights do.
    truth, prediction = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 1, 2])
    matrix = confusion_matrix(truth, prediction, range(3))
    assert matrix.tolist() == [[1, 2, 0], [0, 1, 0], [0, 1, 1]]
    assert weighted_f1(matrix) == pytest.approx(metrics.f1_score(truth, prediction, average="weighted"))
    assert weighted_f1(matrix) != pytest.approx(weighted_f1(matrix.T))
    assert macro_f1(matrix) == pytest.approx(macro_f1(matrix.T))


def test_absent_classes_count_as_zero():
    truth = np.array([0, 1, 0, 1])
    assert expression_f1(truth, truth, range(7)) == pytest.approx(2 / 7)
    assert expression_f1(truth, truth, range(2)) == 1.0


@settings(deadline=None)
@given(PAIRS, st.data())
def test_masked_rows_never_matter(pair, data):
    truth, prediction = pair
    mask = data.draw(arrays(bool, truth.shape))
    junk = np.where(mask, truth, -1)
    assert expression_f1(junk, prediction, CLASSES, mask) == pytest.approx(
        expression_f1(truth[mask], prediction[mask], CLASSES), nan_ok=True
    )


def test_label_order_is_respected():
    matrix = confusion_matrix([10, 3, 3], [3, 3, 10], [10, 3])
    assert matrix.tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize("bad", [-1, 7, 2.5, math.nan])
def test_values_outside_the_labels_are_refused(bad):
    with pytest.raises(ValueError, match="not one of the labels"):
        expression_f1([0, bad], [0, 1], range(7))
    with pytest.raises(ValueError, match="not one of the labels"):
        expression_f1([0, 1], [0, bad], range(7))


def test_units_are_masked_one_by_one():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 2, (2, 200, 12))
    mask = rng.random((200, 12)) > 0.3
    expected = [metrics.f1_score(truth[m, i], prediction[m, i], zero_division=0) for i, m in enumerate(mask.T)]
    assert au_f1(np.where(mask, truth, -1), prediction, mask) == pytest.approx(np.mean(expected))
    rows = mask[:, 0]
    assert au_f1(truth, prediction, rows) == pytest.approx(au_f1(truth[rows], prediction[rows]))
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.classification import multilabel_f1_score

    reference = multilabel_f1_score(torch.tensor(prediction), torch.tensor(truth), 12).item()
    assert au_f1(truth, prediction) == pytest.approx(reference, abs=1e-6)


def test_units_without_any_positive_count_as_zero():
    truth = np.array([[1, 0], [0, 0], [1, 0]])
    assert au_f1(truth, truth) == 0.5
    assert math.isnan(au_f1(truth, truth, np.zeros(3, bool)))
    assert unit_counts(truth, truth).tolist() == [[[1, 0], [0, 2]], [[3, 0], [0, 0]]]
    with pytest.raises(ValueError, match="frames, units"):
        au_f1([1, 0], [1, 0])


def test_published_expression_score_with_the_challenge_formula():
    # Published as 0.543 with 0.66 x weighted F1 + 0.33 x accuracy; the challenge's 0.67 x macro F1 + 0.33 x accuracy gives 0.407.
    acc, weighted, macro = accuracy(CNU_ADL_FUSED), weighted_f1(CNU_ADL_FUSED), macro_f1(CNU_ADL_FUSED)
    assert (round(acc, 4), round(weighted, 4), round(macro, 4)) == (0.5339, 0.5559, 0.3439)
    assert round(0.66 * weighted + 0.33 * acc, 3) == 0.543
    assert round(0.67 * macro + 0.33 * acc, 3) == 0.407


def test_torchmetrics_agrees_where_every_class_occurs():
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.classification import binary_f1_score, multiclass_f1_score

    rng = np.random.default_rng(11)
    truth, prediction = rng.integers(0, 8, 4000), rng.integers(0, 8, 4000)
    other = multiclass_f1_score(torch.tensor(prediction), torch.tensor(truth), num_classes=8, average="macro").item()
    assert expression_f1(truth, prediction, range(8)) == pytest.approx(other, abs=1e-6)
    units, guessed = rng.integers(0, 2, (2, 500, 12))
    single = [binary_f1_score(torch.tensor(p), torch.tensor(t)).item() for t, p in zip(units.T, guessed.T, strict=True)]
    assert au_f1(units, guessed) == pytest.approx(np.mean(single), abs=1e-6)


def test_masking_by_unit_is_not_masking_by_frame():
    # AU1 is known in every frame, AU2 in one: by units AU1 counts in full; a frame mask would throw three quarters of it away.
    truth = np.array([[1, 1], [1, -1], [0, -1], [1, -1]])
    prediction = np.array([[1, 1], [0, 1], [0, 1], [1, 0]])
    by_unit = au_f1(truth, prediction, truth != -1)
    assert by_unit == pytest.approx((2 * 2 / (2 * 2 + 0 + 1) + 1) / 2)
    whole = (truth != -1).all(axis=1)
    assert au_f1(truth[whole], prediction[whole]) == 1.0 != by_unit
