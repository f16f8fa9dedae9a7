"""Which analysis row a video frame gets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect.features.audio.ntua_mel import first_columns
from wildaffect.features.audio.tsav_mel import published_ranges
from wildaffect.features.frames import by_index, by_patch, by_time, hop_samples, patch_count

RATES = [23.976, 24.0, 25.0, 29.97, 30.0, 30000 / 1001, 50.0, 60.0, 14.0, 7.5]


PUBLISHED_RATES = [
    7.5, 10.0, 12.0, 12.5, 14.985, 15.0, 15.452, 18.0, 20.0, 23.976, 24000 / 1001, 24.0,
    25.0, 29.97, 30000 / 1001, 30.0, 47.952, 48.0, 50.0, 59.94, 60000 / 1001, 60.0,
]  # fmt: skip


def constant(frames, fps):
    return np.arange(frames) / fps


def test_first_rows_of_the_published_rules():
    assert by_index(constant(8, 30), 30.0, 998).tolist() == [0, 3, 7, 10, 13, 17, 20, 23]
    assert by_index(constant(5, 25), 25.0, 998).tolist() == [0, 4, 8, 12, 16]
    assert by_patch(constant(8, 30), 30.0, 1003).tolist() == [0, 3, 7, 10, 13, 17, 20, 23]


def test_ten_seconds_give_301_patches_at_30_and_251_at_25():
    rows = 1 + (11 * 16000 - 400) // 160  # with the tail of one second
    assert rows == 1098
    assert patch_count(rows - 95, 30.0) == 301
    assert patch_count(rows - 95, 25.0) == 251


@given(st.integers(1, 400), st.sampled_from(RATES), st.integers(1, 2000))
def test_index_rule_is_pythons_round_half_to_even(frames, fps, rows):
    expected = [min(round(i / fps / 0.01), rows - 1) for i in range(frames)]
    assert by_index(constant(frames, fps), fps, rows).tolist() == expected


@given(st.integers(1, 400), st.sampled_from(RATES), st.integers(1, 2000))
def test_patches_fit_and_the_last_one_repeats(frames, fps, rows):
    starts = by_patch(constant(frames, fps), fps, rows)
    count = patch_count(rows, fps)
    assert starts.min() >= 0
    assert starts.max() <= rows - 1
    assert starts[: min(count, frames)].tolist() == [round((1 / fps) * 100.0 * i) for i in range(min(count, frames))]
    assert (starts[count:] == starts[min(count, frames) - 1]).all()


@given(st.lists(st.floats(0, 500, width=32), min_size=1, max_size=50), st.integers(1, 60000))
def test_time_rule_takes_the_nearest_row_that_exists(times, rows):
    times = np.sort(np.array(times, float))
    chosen = by_time(times, None, rows)
    distance = np.abs(chosen / 100 - times)
    assert (chosen >= 0).all()
    assert (chosen < rows).all()
    inside = times * 100 <= rows - 1
    assert (distance[inside] <= 0.005 + 1e-9).all()
    assert (chosen[~inside] >= rows - 2).all()


@pytest.mark.parametrize("fps", RATES)
def test_rules_agree_at_a_constant_rate_up_to_rounding(fps):
    times = constant(500, fps)
    assert np.abs(by_time(times, None, 10**6) - by_index(times, fps, 10**6)).max() <= 1
    assert np.abs(by_time(times, None, 10**6) - by_patch(times, fps, 10**6)).max() <= 1


def test_only_the_time_rule_follows_a_pause_of_the_camera():
    times = np.array([0.0, 0.04, 0.08, 5.0, 5.04])
    assert by_time(times, None, 1000).tolist() == [0, 4, 8, 500, 504]
    assert by_index(times, 25.0, 1000).tolist() == [0, 4, 8, 12, 16]


def test_no_frames_give_no_rows():
    for rule in (by_time, by_index, by_patch):
        assert rule(np.zeros(0), 25.0, 10).shape == (0,)


@pytest.mark.parametrize("fps", PUBLISHED_RATES)
def test_published_formulas_in_their_own_order_of_operations(fps):
    """Literal evaluations in plain Python floats; another order of the same operations rounds ties of hundreds of frames elsewhere."""
    indices = range(5000)
    times = constant(5000, fps)
    hop = (1 / fps) * 100.0
    assert by_patch(times, fps, 10**6).tolist() == [round(hop * i) for i in indices]
    assert [patch_count(rows, fps) for rows in range(1, 400)] == [
        1 + int(np.floor((rows - 1) / hop)) for rows in range(1, 400)
    ]
    assert by_index(times, fps, 10**6).tolist() == [round(i / fps / 0.01) for i in indices]
    assert hop_samples(fps) == int(1 / 3 * 1 / fps * 16000)
    starts = [max(0, i / fps - 5) for i in indices]
    assert first_columns(times).tolist() == [int(start / (512 / 44100)) for start in starts]


@pytest.mark.parametrize("fps", PUBLISHED_RATES)
def test_published_ranges_of_tsav_audio(fps):
    """Start and length of the audio that is read for a frame (TSAV spec 2.9); products are cut to integers."""
    samples = 10**8
    starts, lengths = published_ranges(constant(5000, fps), samples)
    assert starts.tolist() == [int(max(i / fps * 44100 - 441000 + 220500, 0)) for i in range(5000)]
    assert lengths.tolist() == [int(min(441000, max(i / fps * 44100, 882))) for i in range(5000)]
