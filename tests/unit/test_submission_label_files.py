"""Label files in the manner of TSAV's authors: folders, names, lines."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wildaffect.cli import main
from wildaffect.corpus.trials import Trial, trials_table
from wildaffect.errors import InputError
from wildaffect.submission.export import write_label_files
from wildaffect.submission.validator import validate
from wildaffect.systems.tsav.spec import OUTPUTS

HELD = {"partition_va": "validation", "partition_expr": "test", "partition_au": "validation"}
TRIALS = {
    trial.trial: trial
    for trial in (
        Trial("a", "a", "batch1/a.mp4", **HELD),
        Trial("b", "b", "b.avi", **HELD),
        Trial("b_left", "b", "b.avi", "left", **HELD),
        Trial("c_right", "c", "c.mp4", "right", partition_va="test", partition_expr="train"),
        Trial("d", "d", "d.mp4", partition_va="train"),
    )
}


@pytest.fixture
def predictions():
    """Two frames per trial: raw outputs at and just above the limits."""
    rows = []
    for name in TRIALS:
        for frame in (1, 0):  # any order
            values = dict.fromkeys(OUTPUTS, 0.5) | {"valence": 1.25 if frame else -0.12345, "arousal": 0.5}
            values |= {"AU2": 0.5001, "Fear": 0.51} if frame else {"Surprise": 7.0}
            rows.append({"trial": name, "frame": frame, **values})
    return pd.DataFrame(rows)


def test_original_names_and_lines(predictions, tmp_path):
    written = write_label_files(predictions, TRIALS, tmp_path, "original")
    held = ("a.mp4", "b.avi_main", "b.avi_left")
    assert {str(path.relative_to(tmp_path)) for path in written} == {
        *(f"val/{kind}/{name}.txt" for name in held for kind in ("VA_Set", "AU_Set")),
        *(f"test/EXPR_Set/{name}.txt" for name in ("a", "b_main", "b_left")),
        "test/VA_Set/c_right.txt",
    }
    assert (tmp_path / "val/VA_Set/a.mp4.txt").read_text() == "valence,arousal\n-0.123,0.500\n1.000,0.500\n"
    assert (tmp_path / "test/EXPR_Set/a.txt").read_text() == (
        "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise\n6\n3\n"
    )
    assert (tmp_path / "val/AU_Set/b.avi_left.txt").read_text() == (
        "AU1,AU2,AU4,AU6,AU12,AU15,AU20,AU25\n0,0,0,0,0,0,0,0\n0,1,0,0,0,0,0,0\n"
    )


def test_corrected_names_make_valid_submissions(predictions, tmp_path):
    pq.write_table(pa.Table.from_pandas(predictions), tmp_path / "p.parquet")
    pq.write_table(trials_table(TRIALS.values()), tmp_path / "trials.parquet")
    assert (
        main(["label-files", str(tmp_path / "p.parquet"), str(tmp_path / "trials.parquet"), str(tmp_path / "out")]) == 0
    )
    for task, folder, names in (
        ("va", "val/VA_Set", ["a", "b", "b_left"]),
        ("va", "test/VA_Set", ["c_right"]),
        ("expr", "test/EXPR_Set", ["a", "b", "b_left"]),
        ("au", "val/AU_Set", ["a", "b", "b_left"]),
    ):
        counts = tmp_path / "counts.csv"
        counts.write_text("".join(f"{name},2\n" for name in names))
        assert not validate(tmp_path / "out" / folder, counts, "abaw1", task), (task, folder)


def test_only_tasks_that_are_predicted(predictions, tmp_path):
    written = write_label_files(predictions[["trial", "frame", "valence", "arousal"]], TRIALS, tmp_path, "corrected")
    assert {path.parent.name for path in written} == {"VA_Set"}


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda table: table[table["frame"] == 1], "trial 'a' has frames without a prediction"),
        (lambda table: table.assign(arousal=np.nan), "trial 'a' has frames without a prediction"),
        (lambda table: table[table["trial"] == "a"].assign(trial="x"), "trial 'x' is not in the table of trials"),
        (lambda table: table[table["trial"] == "d"], "no trial is held out"),
    ],
)
def test_what_cannot_be_written_is_named(predictions, tmp_path, spoil, named):
    with pytest.raises(InputError, match=named):
        write_label_files(spoil(predictions), TRIALS, tmp_path, "original")
