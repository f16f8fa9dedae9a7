"""Rows on disk and files written in blocks against plain arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildaffect.features.store import Spool, picked, pieces, save_blocks


def spooled(blocks, row=(3,)):
    spool = Spool(np.float32, row)
    for block in blocks:
        spool.append(block)
    return spool


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), max_size=6), st.integers(-20, 20), st.integers(-20, 20), st.sampled_from([(), (3,)]))
def test_slices_are_those_of_an_array(sizes, first, stop, row):
    blocks = [np.random.default_rng(k).normal(size=(n, *row)).astype(np.float32) for k, n in enumerate(sizes)]
    whole = np.concatenate([np.zeros((0, *row), np.float32), *blocks])
    spool = spooled(blocks, row)
    assert len(spool) == len(whole)
    assert np.array_equal(spool[first:stop], whole[first:stop])
    assert np.array_equal(spool[:], whole)
    assert spool[-1:].shape == whole[-1:].shape


def test_rows_can_be_added_after_some_were_read():
    spool = spooled([np.ones((4, 3))])
    assert spool[1:3].shape == (2, 3)
    spool.append(np.full((2, 3), 7))
    assert spool[3:6].tolist() == [[1, 1, 1], [7, 7, 7], [7, 7, 7]]
    with pytest.raises(ValueError, match="in order"):
        spool[::2]


def test_pieces_and_picked_rows():
    whole = np.arange(6000, dtype=np.float32).reshape(2000, 3)
    spool = spooled(pieces(whole, 7))
    assert np.array_equal(np.concatenate([*pieces(spool, 300)]), whole)
    index = np.r_[np.repeat(np.arange(1990), 3), [1999] * 500, 5]
    assert np.array_equal(np.concatenate([*picked(spool, index)]), whole[index])
    assert [*picked(spool, np.zeros(0, int))] == []


@pytest.mark.parametrize("sizes", [[], [0], [5], [1, 0, 3, 200_000]])
@pytest.mark.parametrize(("row", "dtype"), [((), np.int16), ((2,), np.float32)])
def test_blocks_become_the_file_that_numpy_would_write(tmp_path, sizes, row, dtype):
    blocks = [np.random.default_rng(k).normal(0, 9, (n, *row)).astype(dtype) for k, n in enumerate(sizes)]
    whole = np.concatenate([np.zeros((0, *row), dtype), *blocks])
    save_blocks(tmp_path / "a.npy", blocks, row, dtype)
    np.save(tmp_path / "b.npy", whole)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    if len(whole):
        assert np.array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), whole)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    def blocks():
        yield np.zeros((1, 2))
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_blocks(tmp_path / "a.npy", blocks(), (2,))
    assert not list(tmp_path.iterdir())
