"""Tables for statistics of two small trials, every number worked out by hand."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from wildaffect.config import parse
from wildaffect.errors import InputError
from wildaffect.faces import quality
from wildaffect.tables import write_table
from wildaffect.tabulation import write
from wildaffect.tabulation.segments import Segment, read_segments, speech_turns, windows
from wildaffect.tabulation.values import Values
from wildaffect.tabulation.write import Inputs, write_tables
from wildaffect.training.predict import predictions_schema
from wildaffect.workflow.plan import PARTS, make_plan, needed_parts
from wildaffect.workflow.settings import Tables

TIMES = {"a": [0.0, 0.5, 1.0, 2.0], "b": [0.0, 1.0, 2.0]}
SHOWN = {"a": [0.5, 0.5, 1.0, 1.0], "b": [1.0, 1.0, 1.0]}
VALENCE = {"a": [0.1, 0.3, 0.9, -0.5], "b": [0.2, 0.4, -0.6]}
FACE = {"a": ["detected", "detected", "held", "detected"], "b": ["none", "detected", "detected"]}
SPEAKING = {"a": [0, 1, 1, 0], "b": [0, 0, 0]}


def settings(**changes):
    return parse(Tables, {"window_s": 2, "thresholds": {"valence": [0.05, 0.25]}, **changes}, "tables").plain()


def predict(path, trials, values=VALENCE, column="valence"):
    schema = predictions_schema([column])
    rows = [
        {"trial": name, "frame": k, "time_s": TIMES[name][k], column: values[name][k],
         "source": "no_face" if FACE[name][k] == "none" else "model"}
        for name in trials
        for k in range(len(TIMES[name]))
    ]  # fmt: skip
    write_table(path, pa.Table.from_pylist(rows, schema=schema), schema)
    return path


def entry(path, partition="test", system="lfan", target="valence"):
    return {
        "system": system,
        "variant": "unimodal",
        "target": target,
        "partition": partition,
        "fold": "0",
        "path": path,
    }


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Stand-ins of the files of earlier stages; both trials show one subject."""
    monkeypatch.setattr(
        write, "read_frames",
        lambda video: SimpleNamespace(times=np.array(TIMES[video]), table=pa.table({"duration_s": SHOWN[video]})),
    )  # fmt: skip
    monkeypatch.setattr(
        write, "read_trial",
        lambda video, trial: SimpleNamespace(source=np.array(FACE[trial]), quality=np.where(np.array(FACE[trial]) == "none", "", "good")),
    )  # fmt: skip
    monkeypatch.setattr(write, "absent_trials", lambda video: set())
    monkeypatch.setattr(write, "open_array", lambda video: np.array([SPEAKING[video]] * 2, np.float32).T * [0.75, 1])
    monkeypatch.setattr(write, "read_valid", lambda video: np.arange(len(TIMES[video])) != (3 if video == "a" else -1))
    files = {}
    for name, count in (("a", 4), ("b", 3)):
        measured = {"yaw": 0, "pitch": 0, "roll": 0, "face_px": 100, "sharpness": 300, "brightness": 120}
        rows = [{"trial": name, "frame": k, **(measured if FACE[name][k] != "none" else {})} for k in range(count)]
        files[name] = tmp_path / f"{name}.parquet"
        write_table(files[name], pa.Table.from_pylist(rows, schema=quality.SCHEMA), quality.SCHEMA)
    return Inputs(
        video_of={"a": "a", "b": "b"}, frames={"a": "a", "b": "b"}, persons={"a": "a", "b": "b"}, quality=files,
        predictions=[entry(predict(tmp_path / "p.parquet", ["a", "b"]))], speech={"a": "a", "b": "b"},
        subjects={"a": "Ann", "b": "Ann"},
    )  # fmt: skip


def written(folder, inputs, **changes):
    paths = [folder / name for name in ("frames", "videos.csv", "segments.csv", "columns.md", "columns.json")]
    write_tables(*paths, inputs, settings(**changes))
    frames = [row for trial in "ab" for row in csv.DictReader((folder / "frames" / f"{trial}.csv").open())]
    return frames, *(list(csv.DictReader((folder / name).open())) for name in ("videos.csv", "segments.csv"))


def test_frames(tmp_path, inputs):
    frames, _, _ = written(tmp_path / "t", inputs)
    columns = (
        "trial",
        "person",
        "frame",
        "time_s",
        "valence",
        "source",
        "face",
        "yaw",
        "speech",
        "trusted",
        "distrust",
    )
    assert [tuple(row[name] for name in columns) for row in frames[:5]] == [
        ("a", "Ann", "0", "0", "0.1", "model", "detected", "0", "0", "1", ""),
        ("a", "Ann", "1", "0.5", "0.3", "model", "detected", "0", "1", "1", ""),
        ("a", "Ann", "2", "1", "0.9", "model", "held", "0", "1", "0", "held"),
        # There was no audio any more: nothing is known of speech.
        ("a", "Ann", "3", "2", "-0.5", "model", "detected", "0", "", "1", ""),
        # Without a face nothing was measured, and the value of a black image is none.
        ("b", "Ann", "0", "0", "", "no_face", "none", "", "0", "0", "no_face"),
    ]
    assert [row["speech_probability"] for row in frames[:4]] == ["0", "0.75", "0.75", ""]


def test_who_is_not_in_the_video_is_in_no_table(tmp_path, inputs, monkeypatch):
    monkeypatch.setattr(write, "absent_trials", lambda video: {"b"})
    paths = [tmp_path / name for name in ("frames", "videos.csv", "segments.csv", "columns.md", "columns.json")]
    write_tables(*paths, inputs, settings())
    assert [path.name for path in paths[0].iterdir()] == ["a.csv"]
    for path in paths[1:3]:
        assert {row["trial"] for row in csv.DictReader(path.open())} == {"a"}


def test_videos(tmp_path, inputs):
    """Trial a: 0.1, 0.3 and -0.5 are trusted, shown for 0.5, 0.5 and 1 s."""
    _, (a, b), _ = written(tmp_path / "t", inputs)
    counts = (
        "frames",
        "seconds",
        "faces",
        "coverage",
        "trusted_frames",
        "trusted_s",
        "frames_held",
        "frames_no_face",
        "speech_s",
    )
    assert [a[name] for name in counts] == ["4", "3", "4", "1", "3", "2", "1", "0", "1.5"]
    assert [b[name] for name in counts] == ["3", "3", "2", "0.666666667", "2", "2", "0", "1", "0"]
    # Mean -0.1/3; squared distances 0.017778 + 0.111111 + 0.217778 = 0.346667, halved; quantiles between -0.5, 0.1 and 0.3.
    assert float(a["valence_mean"]) == pytest.approx(-0.1 / 3, abs=1e-7)
    assert float(a["valence_sd"]) == pytest.approx(np.sqrt(0.34666667 / 2), abs=1e-7)
    assert [float(a[f"valence_q{q}"]) for q in ("05", "25", "50", "75", "95")] == pytest.approx(
        [-0.44, -0.2, 0.1, 0.2, 0.28]
    )
    assert [float(a[f"valence_above_{limit}_s"]) for limit in ("0.05", "0.25")] == [1.0, 0.5]
    assert (a["valence_n"], b["valence_n"], a["person"]) == ("3", "2", "Ann")


def test_segments(tmp_path, inputs):
    path = tmp_path / "own.csv"
    path.write_text("video,start_s,end_s,label\na,0.5,2,question\na,2.5,9,\n")
    given = Inputs(**{**inputs.__dict__, "segments": path})
    _, _, rows = written(tmp_path / "t", given)
    shown = [
        tuple(row[n] for n in ("trial", "kind", "segment", "label", "start_s", "end_s", "frames", "trusted_frames"))
        for row in rows
    ]
    assert shown == [
        ("a", "window", "0", "", "0", "2", "3", "2"),
        ("a", "window", "1", "", "2", "3", "1", "1"),
        ("a", "speech", "0", "", "0.5", "2", "2", "1"),
        ("a", "given", "0", "question", "0.5", "2", "2", "1"),
        ("a", "given", "1", "", "2.5", "9", "0", "0"),
        ("b", "window", "0", "", "0", "2", "2", "1"),
        ("b", "window", "1", "", "2", "3", "1", "1"),
    ]
    first, empty = rows[0], rows[4]
    assert (first["valence_mean"], first["valence_q50"], first["valence_above_0.05_s"]) == ("0.2", "0.2", "1")
    assert (empty["coverage"], empty["valence_mean"], empty["valence_n"], empty["valence_sd"]) == ("", "", "0", "")
    assert rows[1]["valence_sd"] == "", "one value has no deviation"


@pytest.mark.parametrize(
    ("baseline", "expected"),
    # Ann's trusted values: 0.1, 0.3, -0.5 and 0.4, -0.6. Median 0.1; mean -0.06; squared distances 0.852, so sd sqrt(0.852 / 4).
    [
        ("median", [0.0, 0.2, 0.8, -0.6, None, 0.3, -0.7]),
        ("zscore", [v and (v + 0.06) / np.sqrt(0.852 / 4) for v in (0.1, 0.3, 0.9, -0.5, None, 0.4, -0.6)]),
        # In the first 1.5 s of both videos: 0.1, 0.3 and 0.4.
        ("opening", [v and v - 0.8 / 3 for v in (0.1, 0.3, 0.9, -0.5, None, 0.4, -0.6)]),
    ],
)
def test_baselines_are_those_of_the_person(tmp_path, inputs, baseline, expected):
    frames, videos, _ = written(tmp_path / "t", inputs, baseline=baseline, baseline_s=1.5)
    for row, value in zip(frames, expected, strict=True):
        assert (
            row["valence_relative"] == ""
            if value is None
            else float(row["valence_relative"]) == pytest.approx(value, abs=1e-6)
        )
    trusted = [expected[k] for k in (0, 1, 3)]
    assert float(videos[0]["valence_relative_mean"]) == pytest.approx(np.mean(trusted), abs=1e-6)
    assert baseline in json.loads((tmp_path / "t" / "columns.json").read_text())["tables"]["frames"][7]["meaning"]


def test_the_dictionary_describes_every_column_and_no_other(tmp_path, inputs):
    for changes in ({}, {"baseline": "median"}):
        written(tmp_path / "t", inputs, **changes)
        described = json.loads((tmp_path / "t" / "columns.json").read_text())["tables"]
        text = (tmp_path / "t" / "columns.md").read_text()
        for table, path in (("frames", "frames/a.csv"), ("videos", "videos.csv"), ("segments", "segments.csv")):
            header = (tmp_path / "t" / path).read_text().splitlines()[0].split(",")
            assert [column["name"] for column in described[table]] == header
            assert all(column["meaning"] and column["missing"] for column in described[table])
            assert all(f"| {name} |".replace("_", "\\_") in text for name in header)
        assert "turned by more than 45 degrees" in text


def test_names_of_values(tmp_path):
    """Where two predict a column, system and variant say which; where one does, nothing is added."""
    entries = [
        entry(predict(tmp_path / "1.parquet", ["a"])),
        entry(predict(tmp_path / "2.parquet", ["b"]), system="m3t"),
        entry(predict(tmp_path / "3.parquet", ["a"], column="arousal"), target="arousal"),
    ]
    values = Values(entries)
    assert [*values.columns] == ["arousal", "lfan.unimodal.valence", "m3t.unimodal.valence"]
    found, source = values.of("b", 3)
    assert np.isnan(found["lfan.unimodal.valence"]).all() and source.tolist() == ["no_face", "model", "model"]
    assert found["m3t.unimodal.valence"][1:] == pytest.approx([0.4, -0.6]) and np.isnan(
        found["m3t.unimodal.valence"][0]
    )


def test_held_out_predictions_come_before_those_of_test_trials(tmp_path):
    other = {name: [value + 0.5 for value in part] for name, part in VALENCE.items()}
    test = entry(predict(tmp_path / "test.parquet", ["a", "b"], other))
    held_out = entry(predict(tmp_path / "held.parquet", ["a"]), partition="validation")
    values = Values([test, held_out])
    assert values.of("a", 4)[0]["valence"] == pytest.approx(VALENCE["a"])
    assert values.of("b", 3)[0]["valence"][1] == pytest.approx(0.9)


def test_predictions_of_other_frames_are_refused(tmp_path):
    with pytest.raises(InputError, match="trial a has not the 5 frames"):
        Values([entry(predict(tmp_path / "p.parquet", ["a"]))]).of("a", 5)


def test_windows_and_turns():
    assert windows(3.0, 1.5) == [Segment("window", 0.0, 1.5), Segment("window", 1.5, 3.0)]
    assert windows(0.3, 0.1)[-1].end_s == pytest.approx(0.3) and len(windows(0.3, 0.1)) == 3
    times, shown = np.array([0.0, 0.1, 0.2, 0.4]), np.array([0.1, 0.1, 0.2, 0.1])
    assert speech_turns(times, shown, np.array([True, False, True, True])) == [
        Segment("speech", 0.0, 0.1), Segment("speech", 0.2, 0.5)
    ]  # fmt: skip
    assert speech_turns(times, shown, np.zeros(4, bool)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trial,start_s\na,1\n", "column 'end_s' is missing"),
        ("trial,start_s,end_s\nc,1,2\n", "line 2: the corpus has no trial 'c'"),
        ("video,start_s,end_s\nc,1,2\n", "line 2: the corpus has no video 'c'"),
        ("label,start_s,end_s\nx,1,2\n", "names neither a trial nor a video"),
        ("trial,video,start_s,end_s\na,b,1,2\n", "'a' is no trial of the video 'b', but of 'a'"),
        ("video,start_s,end_s\nb,3,2\n", "from 3 to 2 s has no length"),
        ("trial,start_s,end_s\na,2,2\n", "has no length"),
        ("trial,start_s,end_s\na,-1,2\n", "before frame 0"),
        ("trial,start_s,end_s\na,one,2\n", "are seconds"),
        ("trial,start_s,end_s\na,1,nan\n", "are seconds|no length"),
    ],
)
def test_segments_that_cannot_be_used(tmp_path, text, said):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_segments(path, {"a": "a", "b_left": "b", "b_right": "b"})


def test_a_video_stands_for_all_its_trials(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("video;start_s;end_s;label\nb;1;2.5;hello\n")
    found = read_segments(path, {"a": "a", "b_left": "b", "b_right": "b"})
    assert found["b_left"] == found["b_right"] == [Segment("given", 1.0, 2.5, "hello")] and len(found) == 2


def test_planning_checks_what_tables_need(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_text("video")
    (tmp_path / "own.csv").write_text("trial,start_s,end_s\nz,1,2\n")
    config = {
        "corpus": {"layout": "folder", "root": str(tmp_path)},
        "results_dir": str(tmp_path / "results"),
        "faces": {"backend": "dlib", "model": "hog"},
        "models_dir": str(tmp_path / "models"),
        "systems": {"fer2013": {"trained": str(tmp_path / "own.csv")}},
        "tables": {
            "segments": str(tmp_path / "own.csv"),
            "thresholds": {"Hapiness": [0.5], "fer2013.mini_xception.Anger": [0.1]},
        },
    }
    monkeypatch.setattr("wildaffect.models._packaged", lambda entry: None)
    assert needed_parts(["tables"]) == (*PARTS, "tables") and "tables" not in needed_parts([])
    make_plan(config)
    said = r"(?s)silero-vad==6\.2\.3.*tables\.speech: false.*tables\.segments: .*no trial 'z'"
    with pytest.raises(InputError, match=said) as caught:
        make_plan(config, needed_parts(["tables"]))
    assert "no system of this run predicts 'Hapiness'; did you mean 'Happiness'?" in str(caught.value)
    assert "Anger'" not in str(caught.value)
    own = {"network": "wavlm_base", "weights": "none.pth", "layers": [1]}
    with pytest.raises(InputError, match=r"none\.pth not found") as caught:
        make_plan(config | {"features": {"audio_embeddings": {"own": own}}}, needed_parts(["features", "tables"]))
    assert str(caught.value).count("none.pth") == 1


def test_a_video_without_frames_has_empty_tables(tmp_path, inputs, monkeypatch):
    for known in (TIMES, SHOWN, VALENCE, FACE, SPEAKING):
        monkeypatch.setitem(known, "b", [])
    write_table(inputs.quality["b"], quality.SCHEMA.empty_table(), quality.SCHEMA)
    given = Inputs(**{**inputs.__dict__, "predictions": [entry(predict(tmp_path / "one.parquet", ["a"]))]})
    frames, videos, segments = written(tmp_path / "t", given, baseline="median")
    assert {row["trial"] for row in frames} == {row["trial"] for row in segments} == {"a"}
    assert (videos[1]["trial"], videos[1]["frames"], videos[1]["coverage"], videos[1]["valence_mean"]) == (
        "b",
        "0",
        "",
        "",
    )
    assert (tmp_path / "t" / "frames" / "b.csv").read_text().count("\n") == 1
