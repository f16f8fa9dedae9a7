"""Streaming mean and standard deviation against NumPy on everything at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildaffect.features import statistics
from wildaffect.features.statistics import column_statistics, moments, scalar_statistics


def parts(sizes, offset, seed):
    draw = np.random.default_rng(seed)
    return [(draw.normal(offset, [1, 0.01, 100], (n, 3))).astype(np.float32) for n in sizes]


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.sampled_from([0.0, 1e4, -3e5]), st.integers(0, 99))
def test_like_numpy_for_any_division(sizes, offset, seed):
    arrays = parts(sizes, offset, seed)
    values = np.concatenate(arrays).astype(np.float64)
    if len(values) < 2:
        return
    got = column_statistics(arrays)
    assert np.allclose(got["mean"], values.mean(axis=0), rtol=1e-12)
    std = values.std(axis=0, ddof=1)
    assert np.allclose(got["std"], np.where(std > 1e-6, std, 1), rtol=1e-7)
    got = scalar_statistics(arrays)
    assert got["mean"] == pytest.approx(values.mean(), rel=1e-12)
    assert got["std"] == pytest.approx(values.std(ddof=1), rel=1e-7)


def test_pieces_do_not_show_and_rows_can_be_chosen(monkeypatch):
    values = parts([1000], 1e4, 0)[0]
    rows = np.r_[3:400, 700:999]
    monkeypatch.setattr(statistics, "_PIECE", 50)
    for chosen, want in ((None, values), (rows, values[rows])):
        got = moments(values, chosen)
        assert got.count == len(want)
        assert np.allclose(got.mean, want.astype(float).mean(axis=0), rtol=1e-12)
        assert np.allclose(got.deviation(), want.astype(float).std(axis=0, ddof=1), rtol=1e-9)


def test_one_pass_does_not_lose_digits():
    values = np.tile(np.array([[1e8 + 0.5], [1e8 - 0.5]]), (500, 1))
    assert column_statistics([values])["std"][0] == pytest.approx(np.std(values, ddof=1), rel=1e-9)


def test_columns_that_never_vary_are_only_centred():
    got = column_statistics([np.full((7, 2), 0.1, np.float32), np.full((3, 2), 0.1, np.float32)])
    assert got["std"] == [1.0, 1.0]
    assert got["mean"] == pytest.approx([np.float32(0.1)] * 2)


def test_empty_arrays_and_single_rows():
    assert column_statistics([np.zeros((0, 2)), np.array([[1.0, 2.0]])]) == {"mean": [1.0, 2.0], "std": [1.0, 1.0]}
    with pytest.raises(ValueError, match="no arrays"):
        column_statistics([])
