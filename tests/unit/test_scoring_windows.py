"""Smoothing of files: given windows, and windows chosen on held-out trials of other folds, never on test data."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wildaffect.errors import InputError
from wildaffect.scoring import score
from wildaffect.scoring.editions import get_task, tracks
from wildaffect.scoring.smoothing import check_windows, choose_window, smooth, smooth_file, smoothed_columns
from wildaffect.tables import read_metadata

FRAMES = 240
TRIALS = ("a", "b", "c_left", "test")


@pytest.fixture
def corpus(tmp_path):
    """Slow truth, noisy predictions of two validation folds and of a test trial; the noise decides the best window."""

    def build(noise=0.5, test_noise=0.0):
        rng, time = np.random.default_rng(0), np.arange(FRAMES) / 40
        truth = {name: np.sin(time + k)[:, None] * [0.6, 0.4] for k, name in enumerate(TRIALS)}

        def table(names, level):
            values = np.concatenate([truth[name] + rng.normal(0, level, (FRAMES, 2)) for name in names]).astype(
                np.float32
            )
            keys = {"trial": np.repeat(names, FRAMES).tolist(), "frame": np.tile(np.arange(FRAMES), len(names))}
            return pa.table({**keys, "time_s": keys["frame"] / 30, "valence": values[:, 0], "arousal": values[:, 1]})

        paths = {}
        for fold, partition, names, level in (
            ("0", "validation", ["a"], noise),
            ("1", "validation", ["b", "c_left"], noise),
            ("ensemble", "test", ["test"], test_noise),
        ):
            paths[fold] = {"partition": partition, "fold": fold, "path": tmp_path / f"{fold}-{partition}.parquet"}
            pq.write_table(table(names, level), paths[fold]["path"])
        pq.write_table(table(TRIALS, 0.0), tmp_path / "va.parquet")
        return paths, {"va": tmp_path / "va.parquet"}

    return build


def run(paths, labels, of="ensemble", use=("0", "1"), window=(1, 5, 35), **more):
    output = paths[of]["path"].with_name("smoothed.parquet")
    settings = {"method": "wiener", "window": list(window), "edges": "nearest", "editions": tracks(["abaw2"])} | more
    smooth_file(paths[of]["path"], output, held_out=[paths[k] for k in use], labels=labels, **settings)
    return pq.read_table(output), read_metadata(output)["smoothing"]


def test_a_given_window_is_used_as_it_is(corpus):
    paths, _ = corpus()
    output = paths["0"]["path"].with_name("out.parquet")
    smooth_file(paths["0"]["path"], output, method="median", window=13, edges="zero")
    source = pq.read_table(paths["0"]["path"])
    assert pq.read_table(output).equals(smooth(source, "median", 13, "zero"))
    about = read_metadata(output)
    assert about["smoothing"] == {
        "method": "median",
        "edges": "zero",
        "window": 13,
        "columns": ["valence", "arousal"],
        "choice": None,
    }
    assert about["smoothed"] == read_metadata(paths["0"]["path"])


def test_validation_noise_chooses_the_window_and_the_test_file_has_no_say(corpus):
    paths, labels = corpus(noise=0.5, test_noise=0.0)
    table, about = run(paths, labels)
    assert about["window"] == 35
    choice = about["choice"]
    assert (
        choice["candidates"] == [1, 5, 35]
        and choice["folds"] == ["0", "1"]
        and choice["trials"] == ["a", "b", "c_left"]
    )
    assert choice["score"] == "0.5 ccc_valence + 0.5 ccc_arousal, abaw2"
    held_out = pa.concat_tables([pq.read_table(paths[k]["path"]) for k in ("0", "1")])
    for window, value in choice["scores"].items():
        smoothed = smooth(held_out, "wiener", int(window))
        truth = pq.read_table(labels["va"]).slice(0, 3 * FRAMES)
        assert value == pytest.approx(score(smoothed, truth, "abaw2", "va")["value"][0].as_py(), abs=1e-12)
    assert table.equals(smooth(pq.read_table(paths["ensemble"]["path"]), "wiener", 35))
    # A noisy test trial under quiet validation trials: the choice follows the validation trials alone.
    quiet, labels = corpus(noise=0.0, test_noise=0.5)
    assert run(quiet, labels)[1]["window"] == 1


def test_a_fold_is_smoothed_by_what_the_others_say(corpus):
    paths, labels = corpus()
    _, about = run(paths, labels, of="0", use=("1",))
    assert about["choice"]["folds"] == ["1"] and about["choice"]["trials"] == ["b", "c_left"]


def test_leaks_are_refused(corpus):
    paths, labels = corpus()
    with pytest.raises(InputError, match="partition test; a smoothing window is chosen on validation predictions only"):
        run(paths, labels, of="0", use=("1", "ensemble"))
    with pytest.raises(InputError, match="video 'a' is also among those that the smoothing window is for"):
        run(paths, labels, of="0", use=("0", "1"))
    with pytest.raises(InputError, match="no held-out predictions were given"):
        run(paths, labels, use=())
    table = pq.read_table(paths["0"]["path"])
    other = table.set_column(0, "trial", pa.array(["c_right"] * FRAMES))
    pq.write_table(other, paths["0"]["path"])
    with pytest.raises(InputError, match="video 'c' is also among those that the smoothing window is for"):
        run(paths, labels, of="0", use=("1",))


def test_one_target_alone_and_refusals(corpus):
    paths, labels = corpus()
    truth = {"va": pq.read_table(labels["va"])}
    held_out = [pq.read_table(paths[k]["path"]).drop_columns("arousal") for k in ("0", "1")]
    choice = choose_window(held_out, truth, tracks(["abaw4", "abaw2"]), "median", [3, 21], "nearest")
    assert choice["score"] == "1 ccc_valence, abaw2" and choice["window"] == 21
    with pytest.raises(InputError, match="no task of abaw4 fits"):
        choose_window(held_out, truth, tracks(["abaw4"]), "median", [3, 5], "nearest")
    still = [t.set_column(t.column_names.index("valence"), "valence", pa.array(np.zeros(len(t)))) for t in held_out]
    flat = {"va": truth["va"].set_column(3, "valence", pa.array(np.zeros(len(truth["va"]))))}
    with pytest.raises(InputError, match="undefined for every smoothing window"):
        choose_window(still, flat, tracks(["abaw2"]), "median", [3, 5], "nearest")


def test_held_out_trials_without_labels_choose_nothing(corpus):
    paths, labels = corpus()
    truth = {"va": pq.read_table(labels["va"]).slice(3 * FRAMES)}
    with pytest.raises(InputError, match="no held-out frame has a label of va"):
        choose_window([pq.read_table(paths["0"]["path"])], truth, tracks(["abaw2"]), "median", [3, 5], "nearest")


def test_classes_choose_by_their_own_score():
    rng, frames = np.random.default_rng(5), 300
    names = get_task("abaw2", "expr").parts[0].names
    truth = np.repeat(np.arange(6) % 3, 50)
    keys = {"trial": ["a"] * frames, "frame": np.arange(frames)}
    chances = np.eye(7)[truth] + rng.normal(0, 1, (frames, 7))
    held_out = pa.table({**keys, **dict(zip(names, chances.T, strict=True))})
    choice = choose_window(
        [held_out], {"expr": pa.table({**keys, "expression": truth})}, tracks(["abaw2"]), "median", [1, 15], "nearest"
    )
    assert choice["window"] == 15 and choice["score"] == "0.67 expr_f1 + 0.33 expr_accuracy, abaw2"
    truths = score(held_out, pa.table({**keys, "expression": truth}), "abaw2", "expr")["value"][0].as_py()
    assert choice["scores"]["1"] == pytest.approx(truths, abs=1e-12)


def test_what_is_smoothed():
    assert smoothed_columns(["trial", "frame", "time_s", "valence", "Neutral", "arousal", "source"]) == (
        "valence",
        "arousal",
    )
    assert smoothed_columns(["trial", "frame", "AU1", "AU2"]) == ("AU1", "AU2")


@pytest.mark.parametrize(
    ("window", "folds", "message"),
    [
        (8, 6, "8 is not possible; use odd"),
        (-3, 6, "-3 is not possible"),
        ([5, 8], 6, "8 is not possible"),
        ([5], 6, "leaves no choice"),
        ([5, 5, 7], 6, "leaves no choice"),
        ([5, 7], 1, "at least two folds"),
    ],
)
def test_windows_are_checked_before_anything_runs(window, folds, message):
    with pytest.raises(InputError, match=f"systems.m3t.smoothing.window.*{message}"):
        check_windows("systems.m3t.smoothing", window, folds)


def test_good_windows_pass():
    check_windows("place", 35, 0)
    check_windows("place", [1, 5, 13], 2)
