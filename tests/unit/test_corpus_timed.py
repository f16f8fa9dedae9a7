"""Corpora of other tools: BIDS datasets and audformat databases as people have them, and what is wrong with them."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from wildaffect.corpus.labels import LabelRules, label_table
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.timed import Segments, middles
from wildaffect.errors import InputError

CLASSES = ["Neutral", "Anger", "Happiness"]


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode())


@pytest.fixture
def bids(tmp_path):
    """Two participants, one with two sessions; labels of one recording; an audio file, and a derivative."""
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    for name in (
        "sub-01/ses-1/beh/sub-01_ses-1_task-talk_audiovideo.mp4",
        "sub-01/ses-2/beh/sub-01_ses-2_task-talk_video.mkv",
    ):
        touch(tmp_path / name)
    touch(tmp_path / "sub-02/beh/sub-02_task-talk_audio.wav")
    touch(tmp_path / "sub-02/beh/sub-02_task-talk_video.mp4")
    touch(tmp_path / "derivatives/x/sub-01/beh/sub-01_task-talk_video.mp4")
    (tmp_path / "participants.tsv").write_text(
        "participant_id\tage\tpartition\nsub-01\tn/a\tvalidation\nsub-02\t30\tn/a\n"
    )
    events = tmp_path / "sub-01/ses-1/beh/sub-01_ses-1_task-talk_events.tsv"
    events.write_text("onset\tduration\ttrial_type\temotion\n0.5\t1\tx\tHappiness\n1.5\t0.5\tx\tn/a\n3\t1\tx\tAnger\n")
    return tmp_path


def test_a_dataset_of_others(bids):
    found = scan_corpus("bids", bids, None, "abaw2")
    assert [(t.trial, t.subject, t.partition_va, t.partition_expr) for t in found.trials] == [
        ("sub-01_ses-1_task-talk", "sub-01", "validation", "validation"),
        ("sub-01_ses-2_task-talk", "sub-01", "validation", "validation"),
        ("sub-02_task-talk", "sub-02", "test", "test"),
    ]
    assert [(finding.finding, finding.detail) for finding in found.findings] == [
        ("other_files", "sub-02/beh/sub-02_task-talk_audio.wav: has no video that is read")
    ]
    times = {trial.video: np.arange(5.0) for trial in found.trials}
    table, _ = label_table("expr", found.trials, bids, times, LabelRules(), CLASSES)
    # The middles are 0.5, 1.5, 2.5, 3.5 and 4.5 s.
    assert table["expression"].to_pylist() == [2, None, None, 1, None]
    # Half a second of audio before the video: frames are later on the clock of the file.
    starts = dict.fromkeys(times, 0.5)
    table, _ = label_table("expr", found.trials, bids, times, LabelRules(), CLASSES, starts)
    assert table["expression"].to_pylist() == [2, None, 1, None, None]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("dataset_description.json", None, "corpus.layout: bids needs"),
        ("participants.tsv", "id\nsub-01\n", r"participants.tsv, line 1: .* expected participant_id"),
        ("participants.tsv", "participant_id\tpartition\nsub-01\n", "line 2: 1 values where 2"),
        ("participants.tsv", "participant_id\tpartition\nsub-02\tdev\n", "partition is 'dev'"),
    ],
)
def test_a_wrong_dataset_is_named(bids, file, text, message):
    if text is None:
        (bids / file).unlink()
    else:
        (bids / file).write_text(text)
    with pytest.raises(InputError, match=message):
        scan_corpus("bids", bids, None, "abaw2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("duration\tonset\temotion\n1\t0\tAnger\n", "expected the columns onset and duration"),
        ("onset\tduration\temotion\nsoon\t0\tAnger\n", "line 2: 'soon' is no number of seconds"),
        ("onset\tduration\temotion\n0\t1\tRage\n", "'rage' is not a label"),
    ],
)
def test_wrong_events_are_named(bids, text, message):
    events = bids / "sub-01/ses-1/beh/sub-01_ses-1_task-talk_events.tsv"
    events.write_text(text)
    found = scan_corpus("bids", bids, None, "abaw2")
    times = {trial.video: np.arange(5.0) for trial in found.trials}
    with pytest.raises(InputError, match=message):
        label_table("expr", found.trials, bids, times, LabelRules(), CLASSES)


@pytest.fixture
def database(tmp_path):
    """Emotions of whole files in one table, valence and arousal of segments in another, and predictions that are no labels."""
    for name in ("talk/a.mp4", "talk/b.mp4", "c.wav"):
        touch(tmp_path / name)
    header = {
        "name": "x",
        "raters": {"gold": {"type": "human"}, "net": {"type": "machine"}},
        "splits": {"dev": {"type": "dev"}},
        "tables": {
            "emotion": {"type": "filewise", "columns": {"emotion": {"rater_id": "gold"}}},
            "affect": {
                "type": "segmented", "split_id": "dev",
                "columns": {"valence": {"rater_id": "gold"}, "arousal": {"rater_id": "gold"}},
            },
            "net": {"type": "filewise", "columns": {"valence": {"rater_id": "net"}, "arousal": {"rater_id": "net"}}},
        },
    }  # fmt: skip
    (tmp_path / "db.yaml").write_text(yaml.safe_dump(header))
    (tmp_path / "db.emotion.csv").write_text("file,emotion\ntalk/a.mp4,Anger\nc.wav,Anger\n")
    segments = pd.DataFrame(
        {
            "file": ["talk/b.mp4"] * 2,
            "start": pd.to_timedelta([0, 1.5], unit="s"),
            "end": pd.to_timedelta([1.5, None], unit="s"),
            "valence": [0.5, -0.5],
            "arousal": [0.25, np.nan],
        }
    )
    segments.to_parquet(tmp_path / "db.affect.parquet")
    (tmp_path / "db.net.csv").write_text("file,valence,arousal\ntalk/a.mp4,0,0\n")
    return tmp_path


def test_a_database_of_others(database):
    found = scan_corpus("audformat", database, None, "abaw2")
    a, b = found.trials
    assert (a.trial, a.media, a.clip_expr, a.partition_expr, a.partition_va, a.annotation_va) == (
        "a", "talk/a.mp4", "Anger", "train", None, None,
    )  # fmt: skip
    assert (b.annotation_va, b.partition_va, b.partition_expr) == ("db.affect.parquet", "validation", None)
    table, _ = label_table("va", found.trials, database, {"b": np.array([0.0, 1.0, 2.0])}, LabelRules(), CLASSES)
    assert table["valence"].to_pylist() == [0.5, -0.5, -0.5]
    assert table["arousal"].to_pylist() == [0.25, None, None]
    assert table["valid"].to_pylist() == [True, False, False]


def test_wrong_databases_are_named(database):
    (database / "db.net.csv").rename(database / "db.net.pkl")
    with pytest.raises(InputError, match="pickles are not read"):
        scan_corpus("audformat", database, None, "abaw2")
    (database / "db.net.csv").write_text("path\nx\n")
    with pytest.raises(InputError, match="no column 'file'"):
        scan_corpus("audformat", database, None, "abaw2")
    (database / "db.net.csv").write_text("file,valence,arousal\n../x.mp4,0,0\n")
    with pytest.raises(InputError, match="no path of a media file below"):
        scan_corpus("audformat", database, None, "abaw2")
    (database / "db.yaml").write_text("[1]")
    with pytest.raises(InputError, match="not the header"):
        scan_corpus("audformat", database, None, "abaw2")
    with pytest.raises(InputError, match=r"corpus\.layout: audformat needs"):
        scan_corpus("audformat", database / "talk", None, "abaw2")


def test_middles_and_rows():
    assert middles(np.array([0.0, 1.0, 3.0])).tolist() == [0.5, 2.0, 4.0]
    assert middles(np.array([2.0])).tolist() == [2.0]
    segments = Segments(np.array([0.0, 1.0, 4.0]), np.array([1.0, 2.0, 5.0]), {})
    assert segments.at(np.array([-1, 0, 1, 2, 4.5, 5])).tolist() == [-1, 0, 1, -1, 2, -1]
