"""Features computed elsewhere: what is accepted, what is filled and said, what is refused."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildaffect.config import parse
from wildaffect.errors import InputError
from wildaffect.features.imported import Import, describe_import, fill, import_feature, imported_feature, spec
from wildaffect.features.store import read_valid

TIMES = np.arange(6) / 25


def imported(tmp_path, entry, trial="v1", video="v1", times=TIMES):
    out, report = tmp_path / "out" / f"{trial}.npy", tmp_path / "out" / f"{trial}.json"
    import_feature(imported_feature("net", entry), trial, video, times, out, report)
    return np.load(out), json.loads(report.read_text())


def table(path, **columns):
    pd.DataFrame(columns).to_parquet(path)
    return str(path)


def npy(path, values):
    np.save(path, values)
    return str(path)


def test_npy_per_trial(tmp_path):
    values = np.random.default_rng(0).normal(size=(6, 3))
    npy(tmp_path / "v1_left.npy", values)
    got, report = imported(tmp_path, {"path": str(tmp_path / "{trial}.npy"), "columns": 3}, trial="v1_left")
    assert got.dtype == np.float32
    assert np.array_equal(got, values.astype(np.float32))
    assert report["rows"] == report["frames"] == 6
    assert report["missing"] == 0
    assert report["runs"] == []
    assert len(report["sha256"]) == 64
    assert read_valid(tmp_path / "out" / "v1_left.npy").all()


def test_rows_that_were_filled_are_not_valid(tmp_path):
    values = np.ones((5, 2))
    values[2, 1] = np.nan
    path = npy(tmp_path / "v1.npy", values)
    imported(tmp_path, {"path": path.replace("v1", "{trial}"), "columns": 2, "missing": "hold"})
    assert read_valid(tmp_path / "out" / "v1.npy").tolist() == [True, True, False, True, True, False]


def test_one_table_for_all_in_any_order_of_rows(tmp_path):
    path = table(
        tmp_path / "all.parquet",
        clip=["v2", *["v1"] * 6, "v2"],
        number=[1, 3, 1, 2, 6, 5, 4, 2],
        AU01=[9, 2, 0, 1, 5, 4, 3, 9],
        AU12=[9.0, 20, 0, 10, 50, 40, 30, 9],
        note=["text"] * 8,
    )
    entry = {"path": path, "columns": ["AU12", "AU01"], "key": "clip", "frame": "number", "first_frame": 1}
    got, _ = imported(tmp_path, entry)
    assert got.tolist() == [[10.0 * k, k] for k in range(6)]


def test_a_table_of_videos_serves_its_trials(tmp_path):
    path = table(tmp_path / "all.parquet", video=["v1"] * 6, frame=range(6), a=range(6))
    got, _ = imported(tmp_path, {"path": path, "columns": ["a"], "key": "video"}, trial="v1_right")
    assert got[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("rule", "want"),
    [("zero", [0, 1, 0, 0, 4, 0]), ("hold", [1, 1, 1, 1, 4, 4]), ("interpolate", [1, 1, 2, 3, 4, 4])],
)
def test_missing_frames_are_filled_by_the_rule_and_told(tmp_path, rule, want):
    path = table(tmp_path / "v1.parquet", frame=[4, 1, 3, 5], a=[4.0, 1.0, np.nan, 7.0], b=[4.0, 1.0, 3.0, np.nan])
    entry = {"path": str(tmp_path / "{video}.parquet"), "columns": ["a", "b"], "missing": rule}
    got, report = imported(tmp_path, entry)
    assert got.tolist() == [[value, value] for value in want]
    assert report["file"] == path
    assert (report["rows"], report["missing"], report["rule"]) == (2, 4, rule)
    assert report["runs"] == [[0, 1], [2, 2], [5, 1]]


def test_interpolation_runs_in_time_not_in_frames(tmp_path):
    npy(tmp_path / "v1.npy", np.array([[0.0], [np.nan], [10.0]]))
    entry = {"path": str(tmp_path / "{trial}.npy"), "columns": 1, "missing": "interpolate"}
    got, _ = imported(tmp_path, entry, times=np.array([0.0, 0.9, 1.0]))
    assert got[:, 0] == pytest.approx([0, 9, 10])


def test_short_npy_is_filled_only_when_asked(tmp_path):
    path = npy(tmp_path / "v1.npy", np.array([[1.0], [2.0]]))
    entry = {"path": str(tmp_path / "{trial}.npy"), "columns": 1}
    with pytest.raises(InputError, match=r"v1\.npy: 4 of 6 frames have no values, the first is frame 2"):
        imported(tmp_path, entry)
    got, report = imported(tmp_path, entry | {"missing": "hold"})
    assert got[:, 0].tolist() == [1, 2, 2, 2, 2, 2]
    assert report["runs"] == [[2, 4]]
    assert report["file"] == path


@pytest.mark.parametrize("rule", ["zero", "hold", "interpolate"])
def test_a_trial_without_any_vector_becomes_zeros(tmp_path, rule):
    table(tmp_path / "all.parquet", trial=["other"], frame=[0], a=[1.0])
    entry = {"path": str(tmp_path / "all.parquet"), "columns": ["a"], "key": "trial", "missing": rule}
    got, report = imported(tmp_path, entry)
    assert not got.any()
    assert report["rows"] == 0
    assert report["runs"] == [[0, 6]]
    got, _ = imported(tmp_path, entry, times=np.zeros(0))
    assert got.shape == (0, 1)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.sampled_from(["zero", "hold", "interpolate"]))
def test_filling_never_touches_what_is_there(present, rule):
    present = np.array(present)
    values = np.where(present[:, None], np.random.default_rng(0).normal(size=(len(present), 2)), np.nan).astype("f4")
    filled = fill(values, present, np.arange(len(present)) / 30, rule, "file")
    assert np.isfinite(filled).all()
    assert np.array_equal(filled[present], values[present])
    if present.any() and rule != "zero":
        assert filled.min() >= values[present].min()
        assert filled.max() <= values[present].max()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"frame": [0, 0], "a": [1.0, 2.0]}, "frame 0 more than once"),
        ({"frame": [0, 6], "a": [1.0, 2.0]}, r"has frame 6, but the video's frames run from 0 to 5"),
        ({"frame": [-1], "a": [1.0]}, "has frame -1"),
        ({"frame": [0], "b": [1.0]}, "column 'a' is missing; it has frame, b"),
        ({"frame": [0], "a": ["x"]}, "not a readable table of numbers"),
        ({"frame": [0], "a": [np.inf]}, "infinite value at frame 0 of trial v1"),
        ({"frame": [0.5], "a": [1.0]}, "not a readable table of numbers"),
    ],
)
def test_bad_tables_are_refused_by_name(tmp_path, content, message):
    table(tmp_path / "v1.parquet", **content)
    entry = {"path": str(tmp_path / "{trial}.parquet"), "columns": ["a"], "missing": "zero"}
    with pytest.raises(InputError, match=rf"v1\.parquet: .*{message}"):
        imported(tmp_path, entry)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((6, 4)), r"holds float64 \(6, 4\), expected numbers \(frames, 3\)"),
        (np.zeros(6), "expected numbers"),
        (np.zeros((6, 3), complex), "expected numbers"),
        (np.zeros((7, 3)), "7 rows, but the video has 6 frames"),
        (np.full((6, 3), -np.inf), "infinite value"),
        (np.array([[{}]]), "not a readable .npy file"),
    ],
)
def test_bad_arrays_are_refused_by_name(tmp_path, values, message):
    np.save(tmp_path / "v1.npy", values, allow_pickle=True)
    with pytest.raises(InputError, match=rf"v1\.npy: .*{message}"):
        imported(tmp_path, {"path": str(tmp_path / "{trial}.npy"), "columns": 3, "missing": "zero"})


def test_absent_and_damaged_files(tmp_path):
    entry = {"path": str(tmp_path / "{trial}.parquet"), "columns": ["a"]}
    with pytest.raises(InputError, match=r"v1\.parquet: the file of feature import\.net for trial v1 is missing"):
        imported(tmp_path, entry)
    (tmp_path / "v1.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match=r"v1\.parquet: not a readable table"):
        imported(tmp_path, entry)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "a.npy"}, "'columns' is missing"),
        ({"path": "{trial}.npy", "columns": 2, "colour": "red"}, "colour"),
        ({"path": "{trial}.csv", "columns": ["a"]}, r"\.parquet or \.npy"),
        ({"path": "{trial}.parquet", "columns": 3}, "listed by name"),
        ({"path": "all.parquet", "columns": ["a"]}, "one file for all needs 'key'"),
        ({"path": "all.npy", "columns": 2, "key": "trial"}, "one file for all needs 'key'"),
        ({"path": "{trial}.npy", "columns": 0}, "0 is too small"),
        ({"path": "{trial}.npy", "columns": ["a", "a"]}, "'a' is named twice"),
        (
            {"path": "{trial}.npy", "columns": 2, "missing": "guess"},
            "'guess' is not possible; known: hold, interpolate, refuse, zero",
        ),
    ],
)
def test_contradictory_descriptions_are_refused(entry, message):
    with pytest.raises(InputError, match=rf"import\.net.*: .*{message}"):
        parse(Import, entry, "features.import.net")


def test_the_registry_entry_and_the_description(tmp_path):
    entry = {"path": "x/{trial}.npy", "columns": 512, "missing": "hold", "licence": "MIT", "citation": "Somebody"}
    found = spec(imported_feature("senet", entry))
    describe_import(imported_feature("senet", entry), tmp_path / "about.json")
    about = json.loads((tmp_path / "about.json").read_text())
    assert (about["id"], about["dim"], about["synchronisation"]["rule"]) == ("import.senet", 512, "frame")
    assert about["parameters"]["missing"] == "hold"
    assert found.id == "import.senet"
    assert found.dim == 512
    assert found.columns[:2] == ("senet0", "senet1")
    assert found.rows_per_second is None
    assert "MIT" in found.notice
    assert "Somebody" in found.notice


def lfan_folder(tmp_path, marks, rows):
    """LFAN's preprocessed folder of one trial: rows of frames with a label only."""
    folder = tmp_path / "npy_data" / "v1"
    folder.mkdir(parents=True)
    np.save(folder / "mfcc.npy", rows)
    lists = {"Train_Set": {"v1": marks, "other": [1]}, "Validation_Set": {}}
    (tmp_path / "labeled_frame_indices.pkl").write_bytes(pickle.dumps(lists, 2))
    return {
        "path": str(tmp_path / "npy_data" / "{trial}" / "mfcc.npy"),
        "columns": rows.shape[1],
        "missing": "zero",
        "kept": str(tmp_path / "labeled_frame_indices.pkl"),
    }


@pytest.mark.parametrize("kind", [list, np.array])
def test_rows_of_kept_frames_go_where_they_belong(tmp_path, kind):
    """Frames 1 and 4 had no label; the seventh label row has no frame."""
    rows = np.array([[1.0, 10], [3, 30], [4, 40], [6, 60], [7, 70]])
    got, report = imported(tmp_path, lfan_folder(tmp_path, kind([1, 0, 1, 1, 0, 1, 1]), rows))
    np.testing.assert_array_equal(got, [[1, 10], [0, 0], [3, 30], [4, 40], [0, 0], [6, 60]])
    assert report["runs"] == [[1, 1], [4, 1]]


@pytest.mark.parametrize(
    ("marks", "trial", "message"),
    [
        ([1, 1, 0], "v1", "keeps 2 frames of trial v1, but there are 3 rows"),
        ([1, 1, 1], "v2", "0 lists of kept frames"),
    ],
)
def test_kept_frames_that_do_not_fit_the_rows_are_refused(tmp_path, marks, trial, message):
    entry = lfan_folder(tmp_path, marks, np.ones((3, 2)))
    (tmp_path / "npy_data" / "v1").rename(tmp_path / "npy_data" / trial)
    with pytest.raises(InputError, match=message):
        imported(tmp_path, entry, trial=trial)


def test_kept_frames_are_not_for_tables():
    with pytest.raises(InputError, match=r"'kept' is for \.npy files"):
        parse(Import, {"path": "a/{trial}.parquet", "columns": ["x"], "kept": "k.pkl"}, "features.import.net")
