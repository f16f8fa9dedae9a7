"""Repair of timestamps and regularity of frame times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect.media.timestamps import durations, longest_increasing, regularity, repair_ticks


def repaired(stamps: list[int | None], step: float = 10) -> tuple[list[float], list[str]]:
    known = np.array([stamp is not None for stamp in stamps], bool)
    ticks, rules = repair_ticks(np.array([stamp or 0 for stamp in stamps], np.int64), known, step)
    return ticks.tolist(), rules.tolist()


def test_sound_stamps_stay_as_they_are():
    assert repaired([0, 7, 30, 31]) == ([0, 7, 30, 31], ["", "", "", ""])


def test_missing_stamps_are_placed_between_their_neighbours():
    assert repaired([0, None, None, 30, 40]) == ([0, 10, 20, 30, 40], ["", "missing", "missing", "", ""])


def test_missing_stamps_at_the_ends_follow_the_typical_step():
    ticks, rules = repaired([None, None, 20, 40, 60, None], step=999)
    assert ticks == [-20, 0, 20, 40, 60, 80]
    assert rules == ["missing", "missing", "", "", "", "missing"]


def test_the_second_of_two_equal_stamps_is_moved():
    assert repaired([0, 10, 10, 30, 40]) == ([0, 10, 20, 30, 40], ["", "", "duplicate", "", ""])


def test_equal_stamps_at_the_end_go_on_by_a_step():
    assert repaired([0, 10, 20, 20]) == ([0, 10, 20, 30], ["", "", "", "duplicate"])


@pytest.mark.parametrize("wild", [7000, 5])
def test_one_wild_stamp_does_not_move_the_others(wild):
    ticks, rules = repaired([0, 10, 20, wild, 40, 50, 60, 70])
    assert ticks == [0, 10, 20, 30, 40, 50, 60, 70]
    assert [rule != "" for rule in rules] == [False, False, False, True, False, False, False, False]
    assert rules[3] == "out_of_order"


@pytest.mark.parametrize("stamps", [[0, 10, 20, 30, 10**12], [-(10**12), 0, 10, 20, 30]])
def test_incredible_jumps_are_not_trusted(stamps):
    ticks, rules = repair_ticks(np.array(stamps), np.ones(5, bool), 1, longest=1000)
    assert np.diff(ticks).tolist() == [10] * 4
    assert sorted(rules) == ["", "", "", "", "out_of_order"]


def test_long_still_pictures_are_trusted():
    assert repaired([0, 10, 20, 5000, 5010])[0] == [0, 10, 20, 5000, 5010]


def test_without_any_stamp_the_given_step_counts():
    assert repaired([None, None, None], step=2.5) == ([0, 2.5, 5], ["missing"] * 3)
    assert repaired([]) == ([], [])


@given(st.lists(st.one_of(st.none(), st.integers(-1000, 1000)), max_size=40), st.floats(0.5, 50))
def test_repaired_times_always_increase_and_trusted_ones_never_move(stamps, step):
    ticks, rules = repaired(stamps, step)
    assert (np.diff(ticks) > 0).all()
    for stamp, tick, rule in zip(stamps, ticks, rules, strict=True):
        if rule == "":
            assert tick == stamp
        if stamp is None:
            assert rule == "missing"


@given(st.lists(st.integers(-30, 30), max_size=10))
def test_longest_increasing_is_as_long_as_brute_force_says(values):
    mask = longest_increasing(np.array(values, np.int64))
    assert (np.diff(np.array(values)[mask]) > 0).all() if values else len(mask) == 0
    best = [0] * len(values)
    for index, value in enumerate(values):
        best[index] = 1 + max((best[before] for before in range(index) if values[before] < value), default=0)
    assert mask.sum() == max(best, default=0)


def test_durations_end_sensibly():
    times = np.array([0, 0.04, 0.08, 0.2])
    assert durations(times, 0.04, 1)[:3] == pytest.approx([0.04, 0.04, 0.12])
    assert durations(times, 0.04, 1)[3] == 0.04
    assert durations(times, 60.0, 1)[3] == pytest.approx(0.04)  # a nonsense claim: the median instead
    assert durations(times, None, 1)[3] == pytest.approx(0.04)
    assert durations(np.zeros(1), None, 0.5).tolist() == [0.5]
    assert durations(np.zeros(0), None, 0.5).tolist() == []


def test_regularity_of_rates():
    exact = np.arange(300) / 29.97
    assert regularity(exact) == (False, pytest.approx(0, abs=1e-9))
    assert not regularity(np.round(exact, 3))[0]  # milliseconds of Matroska
    assert not regularity(np.round(np.arange(600) / 120, 3))[0]
    missing_one = np.delete(exact, 150)
    variable, jitter = regularity(missing_one)
    assert variable
    assert jitter == pytest.approx(0.5 / 29.97, rel=0.02)  # half a frame: the average rate splits the error
    assert regularity(np.array([0, 0.1])) == (False, 0.0)


def test_jitter_is_the_error_of_index_times_average_period():
    times = np.array([0, 0.1, 0.2, 0.3, 0.8])
    assert regularity(times) == (True, pytest.approx(0.3))  # frame 3 at 0.3, 3 * 0.2 = 0.6
