"""Thinning and choice of traces."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect.errors import InputError
from wildaffect.report.sources import held_out_sources
from wildaffect.report.traces import (
    POINTS_PER_PAGE,
    POINTS_PER_TRACE,
    bucket_starts,
    envelope,
    envelope_times,
    on_frames,
    points_per_trace,
    rounded,
    spans,
    trial_traces,
)


def brute_envelope(values, starts):
    """Bucket by bucket, with plain loops."""
    result = []
    for a, b in zip(starts, [*starts[1:], len(values)], strict=True):
        part = values[a:b]
        if np.isnan(part).all():
            result += [np.nan, np.nan]
            continue
        low, high = np.nanargmin(part), np.nanargmax(part)
        result += [part[i] for i in ((low, high) if low <= high else (high, low))]
    return np.array(result)


@given(
    st.lists(st.one_of(st.floats(-1, 1), st.just(float("nan"))), min_size=0, max_size=200),
    st.integers(1, 20).map(lambda n: 2 * n),
)
def test_envelope_equals_the_loop_over_buckets(values, points):
    values = np.array(values, float)
    starts = bucket_starts(len(values), points)
    thinned = envelope(values, starts)
    expected = values if len(values) <= points else brute_envelope(values, starts)
    np.testing.assert_array_equal(thinned, expected)
    assert len(thinned) <= max(points, 2)


@given(st.integers(1, 500), st.integers(1, 30).map(lambda n: 2 * n))
def test_times_ascend_and_match_the_values_in_number(frames, points):
    starts = bucket_starts(frames, points)
    times = envelope_times(np.arange(frames) * 0.04, starts)
    assert len(times) == len(envelope(np.zeros(frames), starts))
    assert np.all(np.diff(times) >= 0)


def test_a_single_outlier_survives_thinning():
    values = np.zeros(40_000)
    values[12_345] = 0.75
    starts = bucket_starts(len(values), 1000)
    thinned = envelope(values, starts)
    times = envelope_times(np.arange(len(values)) / 30, starts)
    assert len(thinned) == 1000
    assert thinned.max() == 0.75
    assert abs(times[thinned.argmax()] - 12_345 / 30) <= 80 / 30


@given(st.integers(0, 10**7))
def test_points_of_a_page_are_bounded(traces):
    points = points_per_trace(traces)
    assert 2 <= points <= POINTS_PER_TRACE
    assert points % 2 == 0
    assert traces * points <= max(POINTS_PER_PAGE, 2 * traces)


def test_spans_cover_flagged_frames_and_end_with_the_last_frame():
    bounds = np.arange(11) * 0.5
    flags = np.zeros(10, bool)
    flags[[2, 3, 9]] = True
    assert spans(flags, bounds, bucket_starts(10, 100)) == [[1.0, 2.0], [4.5, 5.0]]
    assert spans(np.zeros(0, bool), np.zeros(1), bucket_starts(0, 100)) == []


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(1, 10).map(lambda n: 2 * n))
def test_no_flagged_frame_is_lost_by_thinning(flags, points):
    flags, bounds = np.array(flags), np.arange(len(flags) + 1) * 0.04
    covered = np.zeros(len(flags), bool)
    for start, end in spans(flags, bounds, bucket_starts(len(flags), points)):
        covered |= (bounds[:-1] >= start - 1e-3) & (bounds[:-1] < end - 1e-3)
    assert np.all(covered[flags])


def test_rounded_is_json():
    assert rounded(np.array([0.12345, np.nan, -1])) == [0.123, None, -1.0]


def test_values_go_to_their_frames():
    rows = pd.DataFrame({"trial": ["a"] * 2, "frame": [3, 1], "valence": [0.3, 0.1]})
    np.testing.assert_array_equal(on_frames(rows, "valence", 5, "p"), [np.nan, 0.1, np.nan, 0.3, np.nan])
    with pytest.raises(InputError, match=r"frame 3 .* outside the 3 decoded frames"):
        on_frames(rows, "valence", 3, "p")


@pytest.fixture
def prediction_file(tmp_path):
    def write(name, trials, columns=("valence", "arousal")):
        path = tmp_path / f"{name}.parquet"
        values = dict.fromkeys(columns, np.zeros(len(trials), np.float32))
        pq.write_table(pa.table({"trial": pa.array(trials, pa.string()), **values}), path)
        return path

    return write


def test_each_trial_is_shown_from_frames_it_was_held_out_of(prediction_file):
    def entry(fold, partition, trials, **more):
        path = prediction_file(f"{fold}{partition}", trials, **more)
        return {"system": "s", "variant": "v", "target": "va", "fold": fold, "partition": partition, "path": path}

    train = entry(0, "train", ["a", "b", "c"])
    late, early = entry(10, "validation", ["a", "b"]), entry(2, "validation", ["a"])
    single, joined = entry(0, "test", ["a", "c", "d"]), entry("ensemble", "test", ["d"])
    other = entry(1, "test", ["e"], columns=("Neutral",))
    chosen = held_out_sources([train, late, early, single, joined, other], ("valence", "arousal"))
    assert {trial: found["path"] for (_, trial), found in chosen.items()} == {
        **{"a": early["path"], "b": late["path"], "c": single["path"], "d": joined["path"]}
    }


def test_traces_of_one_trial(tmp_path):
    def table(name, **columns):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table(columns), path)
        return path

    names, frame = ["a"] * 3, pa.array([0, 1, 2], pa.int32())
    entry = {"system": "s", "variant": "v", "target": "va", "fold": 2, "partition": "validation"}
    entry["path"] = table("p", trial=names, frame=frame, valence=pa.array([0.5, None, -0.25], pa.float32()))
    frames = table("f", time_s=[0.0, 0.5, 1.0], duration_s=[0.5, 0.5, 0.25])
    persons = table("x", trial=["a", "b"], frame=frame[:2], source=["detected", "none"])
    faceless = table("y", trial=names, frame=frame, source=["none", "held", "none"])
    values = pa.array([0.1, 0.2, 0.3], pa.float32())
    labels = table("l", trial=names, frame=frame, valence=values, arousal=values, valid=[True, True, False])

    traces, points = trial_traces({"a": "v", "b": "w"}, {"v": frames}, {"v": faceless, "w": persons}, labels, [entry])
    assert points == POINTS_PER_TRACE
    assert traces == {
        "a": {
            "length": 3,
            "times": [0.0, 0.5, 1.0],
            "labels": {"valence": [0.1, 0.2, None], "arousal": [0.1, 0.2, None]},
            "series": {"valence": {"s/v/va": [0.5, None, -0.25]}, "arousal": {}},
            "folds": {"s/v/va": "validation, fold 2"},
            "invalid": [[1.0, 1.25]],
            "faceless": [[0.0, 0.5], [1.0, 1.25]],
        }
    }
    with pytest.raises(InputError, match="trial table lacks: a"):
        trial_traces({"b": "w"}, {}, {}, None, [entry])
    with pytest.raises(InputError, match="No frame table for video 'v'"):
        trial_traces({"a": "v"}, {}, {}, None, [entry])
