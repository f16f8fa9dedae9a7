"""Names of result files read back."""

from pathlib import Path

from wildaffect.corpus.trials import TRIALS, Trial, trials_table
from wildaffect.paths import by_folder, by_stem, by_video, prediction_entries, run_folders, samples_by_trial
from wildaffect.tables import write_table


def test_names_with_dots_and_spaces_come_back_whole():
    assert by_video(["r/media/film 1.v2/frames.parquet"]) == {"film 1.v2": Path("r/media/film 1.v2/frames.parquet")}
    assert by_stem(["r/labels/va.parquet"]) == {"va": Path("r/labels/va.parquet")}
    found = by_folder(["r/crops/lfan48/a.b.arrow", "r/crops/tsav112/a.b.arrow"])
    assert {folder: list(files) for folder, files in found.items()} == {"lfan48": ["a.b"], "tsav112": ["a.b"]}


def test_prediction_entries():
    fold, ensemble = prediction_entries(
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
    assert run_folders(["r/runs/lfan/unimodal/valence/fold0/run.json"])[0]["path"] == Path(
        "r/runs/lfan/unimodal/valence/fold0"
    )


def test_two_trials_share_the_files_of_their_video(tmp_path):
    trials = [Trial("v_left", "v", "v.mp4", "left"), Trial("v_right", "v", "v.mp4", "right"), Trial("w", "w", "w.mp4")]
    write_table(tmp_path / "trials.parquet", trials_table(trials), TRIALS)
    files = samples_by_trial(
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
    files = samples_by_trial(tmp_path / "trials.parquet", [], [], paths)
    assert files["features"]["import.net"] == {"v": Path(paths[0]), "v_left": Path(paths[1])}
