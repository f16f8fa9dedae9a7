"""Names of result files read back."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect import paths
from wildaffect.corpus.trials import TRIALS, Trial, trials_table
from wildaffect.manifests import files_by_trial
from wildaffect.tables import write_table


def test_names_with_dots_and_spaces_come_back_whole():
    found = paths.keyed(paths.FRAMES, ["r/media/film 1.v2/frames.parquet"])
    assert found == {"film 1.v2": Path("r/media/film 1.v2/frames.parquet")}
    assert paths.keyed(paths.LABELS, ["r/labels/va.parquet"]) == {"va": Path("r/labels/va.parquet")}
    found = paths.keyed(paths.CROPS, ["r/crops/lfan48/a.b.arrow", "r/crops/tsav112/a.b.arrow"])
    assert {folder: list(files) for folder, files in found.items()} == {"lfan48": ["a.b"], "tsav112": ["a.b"]}


def test_prediction_entries():
    fold, ensemble = paths.prediction_entries(
        [
            "r/predictions/lfan/unimodal/valence/fold12/validation.parquet",
            "r/predictions/lfan/unimodal/valence/ensemble/test.parquet",
        ]
    )
    assert (fold["system"], fold["variant"], fold["target"], fold["fold"], fold["partition"]) == (
        "lfan",
        "unimodal",
        "valence",
        "12",
        "validation",
    )
    assert (ensemble["fold"], ensemble["partition"]) == ("ensemble", "test")
    (run,) = paths.entries(paths.RUN, ["r/runs/lfan/unimodal/valence/fold0/run.json"])
    assert (run["system"], run["fold"], run["path"].name) == ("lfan", "0", "run.json")


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
PATTERNS = {name: value for name, value in vars(paths).items() if name.isupper() and not name.startswith("_")}


@given(st.sampled_from(sorted(PATTERNS)), st.data())
def test_every_pattern_gives_back_what_it_was_made_of(name, data):
    pattern = PATTERNS[name]
    values = {word: data.draw(NAMES) for word in re.findall(r"{(\w+)}", pattern)}
    made = paths.at("some/results", pattern, **values)
    assert made.startswith("some/results/") and paths.wildcards(pattern, made) == values


def test_other_files_are_no_match():
    with pytest.raises(ValueError, match="is no media"):
        paths.wildcards(paths.FRAMES, "r/media/a/b/frames.parquet")
    with pytest.raises(ValueError):
        paths.wildcards(paths.FRAMES, "r/media/a/frames.parquet.old")


def test_two_trials_share_the_files_of_their_video(tmp_path):
    trials = [Trial("v_left", "v", "v.mp4", "left"), Trial("v_right", "v", "v.mp4", "right"), Trial("w", "w", "w.mp4")]
    write_table(tmp_path / "trials.parquet", trials_table(trials), TRIALS)
    files = files_by_trial(
        tmp_path / "trials.parquet",
        ["r/media/v/frames.parquet"],
        ["r/crops/lfan48/v_left.arrow", "r/crops/lfan48/v_right.arrow"],
        ["r/features/mfcc39/v.npy"],
    )
    assert files["frames"]["v_left"] == files["frames"]["v_right"] == Path("r/media/v/frames.parquet")
    assert set(files["crops"]["lfan48"]) == {"v_left", "v_right"}
    assert set(files["features"]["mfcc39"]) == {"v_left", "v_right"}


def test_features_that_show_one_person_belong_to_their_trial(tmp_path):
    trials = [Trial("v", "v", "v.mp4"), Trial("v_left", "v", "v.mp4", "left")]
    write_table(tmp_path / "trials.parquet", trials_table(trials), TRIALS)
    paths = ["r/features/import.net/v.npy", "r/features/import.net/v_left.npy"]
    files = files_by_trial(tmp_path / "trials.parquet", [], [], paths)
    assert files["features"]["import.net"] == {"v": Path(paths[0]), "v_left": Path(paths[1])}
