"""Results written in the formats of other programs, read again by the libraries of these formats, or as a corpus."""

import csv
import gzip
import json
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wildaffect.cli import main
from wildaffect.corpus.labels import LabelRules, label_table, labels_schema
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.trials import TRIALS, Trial, trials_table
from wildaffect.export.catalogue import FORMATS
from wildaffect.export.results import Run
from wildaffect.files import sha256
from wildaffect.media.frames import FRAMES
from wildaffect.tables import read_metadata, write_table
from wildaffect.training.predict import predictions_schema

CLASSES = ["Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise"]
# Video a is of a variable rate and begins half a second after its audio; b shows two persons and has no audio.
TIMES = {"a": [0.0, 0.04, 0.1, 0.14], "b": [0.0, 0.5]}
LAST = {"a": 0.04, "b": 0.5}
START = {"a": 0.5, "b": 0.0}
VALENCE = {"a": [0.1, -0.2, None, 0.123456], "b_left": [0.5, 0.5]}
EXPRESSION = {"a": [4, 4, None, 0], "b_left": [6, 1]}
UNITS = {"a": [1, 0, None, 1]}
PREDICTED = {"a": [0.25, 0.5, 0.75, 1.25], "b_left": [-0.5, -0.25], "b_right": [0.0, 0.125]}
HAPPY = {"a": [0.9, 0.8, 0.1, 0.2], "b_left": [0.9, 0.9], "b_right": [0.1, 0.9]}
SOURCE = {"a": ["model", "model", "no_face", "model"], "b_left": ["model"] * 2, "b_right": ["model"] * 2}
PARTITION = {"a": "validation", "b_left": "train", "b_right": "test"}


def trials():
    found = [
        Trial("a", "a", "videos/a.mp4"),
        Trial("b_left", "b", "b.mkv", "left"),
        Trial("b_right", "b", "b.mkv", "right"),
    ]
    return [
        Trial(**{**vars(t), **{f"partition_{task}": PARTITION[t.trial] for task in ("va", "expr", "au")}})
        for t in found
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of a small run, written by hand."""
    root = tmp_path_factory.mktemp("export")
    folder, corpus = root / "results", root / "corpus"
    (corpus / "videos").mkdir(parents=True)
    (corpus / "videos" / "a.mp4").write_bytes(b"video a")
    (corpus / "b.mkv").write_bytes(b"video b")
    settings = {"layout": "folder", "root": str(corpus), "edition": "abaw2"}
    write_table(folder / "corpus/trials.parquet", trials_table(trials()), TRIALS, {"corpus": settings, "findings": []})
    for video, times in TIMES.items():
        shown = [*np.diff(times), LAST[video]]
        rows = [
            {"frame": k, "pts": k, "time_s": times[k], "duration_s": shown[k], "keyframe": True, "repair": ""}
            for k in range(len(times))
        ]
        about = {
            "average_rate": 20.0,
            "frames": len(times),
            "width": 64,
            "height": 48,
            "video_start_s": 0.5 + START[video],
        }
        about |= {"audio_start_s": 0.5, "audio_streams": 1} if video == "a" else {"audio_start_s": None}
        write_table(folder / f"media/{video}/frames.parquet", pa.Table.from_pylist(rows, schema=FRAMES), FRAMES, about)
    labels = {
        "va": {"valence": VALENCE, "arousal": VALENCE},
        "expr": {"expression": EXPRESSION},
        "au": {"AU12": UNITS},
    }
    for task, columns in labels.items():
        schema = labels_schema(task, [*columns])
        rows = [
            {
                "trial": trial,
                "frame": k,
                "time_s": TIMES[trial[0]][k],
                "valid": value is not None,
                **dict.fromkeys(columns, value),
            }
            for trial, values in next(iter(columns.values())).items()
            for k, value in enumerate(values)
        ]
        write_table(folder / f"labels/{task}.parquet", pa.Table.from_pylist(rows, schema=schema), schema)
    for part, partition, names in (("fold0", "validation", ["a", "b_left"]), ("ensemble", "test", ["b_right"])):
        for target, columns in (("va", ["valence"]), ("expr", ["Neutral", "Happiness"])):
            schema = predictions_schema(columns)
            values = {
                "valence": PREDICTED,
                "Happiness": HAPPY,
                "Neutral": {n: [1 - v for v in HAPPY[n]] for n in HAPPY},
            }
            rows = [
                {
                    "trial": n,
                    "frame": k,
                    "time_s": TIMES[n[0]][k],
                    "source": SOURCE[n][k],
                    **{c: values[c][n][k] for c in columns},
                }
                for n in names
                for k in range(len(PREDICTED[n]))
            ]
            path = folder / f"predictions/lfan/unimodal/{target}/{part}/{partition}.parquet"
            write_table(path, pa.Table.from_pylist(rows, schema=schema), schema, {"notes": ["Only a test."]})
    # The test prediction of one fold is no prediction of the run.
    other = folder / "predictions/lfan/unimodal/va/fold0/test.parquet"
    schema = predictions_schema(["valence"])
    rows = [{"trial": "b_right", "frame": k, "time_s": 0.5 * k, "valence": 9.0, "source": "model"} for k in range(2)]
    write_table(other, pa.Table.from_pylist(rows, schema=schema), schema)
    (folder / "scores").mkdir()
    (folder / "scores/scores.csv").write_text(
        "system,variant,target,fold,partition,edition,metric,value,frames,trials,note\n"
        "lfan,unimodal,va,0,validation,abaw2,ccc_valence,0.5,4,1,\n"
    )
    return folder


def exported(results, name, tmp_path):
    assert main(["export", str(results), "--to", name, "--output", str(tmp_path / "out")]) == 0
    return tmp_path / "out"


def test_csv(results, tmp_path):
    out = exported(results, "csv", tmp_path)
    assert sorted(path.name for path in out.iterdir()) == ["a.csv", "b_left.csv", "b_right.csv"]
    rows = list(csv.DictReader((out / "a.csv").open()))
    assert [(row["frame"], row["time_s"], row["valence"], row["source"]) for row in rows] == [
        ("0", "0", "0.25", "model"), ("1", "0.04", "0.5", "model"), ("2", "0.1", "", "no_face"), ("3", "0.14", "1.25", "model"),
    ]  # fmt: skip
    assert [row["label.expression"] for row in rows] == ["Happiness", "Happiness", "", "Neutral"]
    assert [row["label.valence"] for row in rows] == ["0.1", "-0.2", "", "0.123456"]
    assert [row["valence"] for row in csv.DictReader((out / "b_right.csv").open())] == ["0", "0.125"]


@pytest.mark.parametrize("name", ["csv", "bids"])
def test_people_who_are_not_there_are_exported_nowhere(name, results, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    third = Trial("b#3", "b", "b.mkv", "3", partition_va="test", partition_expr="test", partition_au="test")
    table = folder / "corpus/trials.parquet"
    write_table(table, trials_table([*trials(), third]), TRIALS, read_metadata(table))
    empty = pa.table({"trial": pa.array([], pa.string())})
    for video, absent in (("a", []), ("b", ["b#3"])):
        facts = {trial: {"absent": True} for trial in absent}
        write_table(folder / f"faces/{video}/persons.parquet", empty, empty.schema, {"trials": facts})
    assert [trial.trial for trial in Run(folder).trials] == ["a", "b_left", "b_right"]
    out = exported(folder, name, tmp_path)
    assert not [path for path in out.rglob("*") if "#3" in path.name or "b3" in path.name]
    assert "b#3" not in "".join(path.read_text() for path in out.rglob("*.[ct]sv"))


def test_parquet(results, tmp_path):
    table = pq.read_table(exported(results, "parquet", tmp_path) / "frames.parquet")
    assert table["trial"].to_pylist() == ["a"] * 4 + ["b_left"] * 2 + ["b_right"] * 2
    assert table["valence"].to_pylist() == [0.25, 0.5, None, 1.25, -0.5, -0.25, 0.0, 0.125]
    assert table["label.AU12"].to_pylist() == [1, 0, None, 1] + [None] * 4


def test_media_are_found_beside_the_results(results, monkeypatch):
    run = Run(results)
    run.corpus = {**run.corpus, "root": "corpus"}
    for folder in (results, results.parent):
        monkeypatch.chdir(folder)
        assert [fact["path"].is_file() for fact in run.facts()] == [True, True]


def test_elan(results, tmp_path):
    elan = pytest.importorskip("pympi.Elan", reason="the extra export is not installed")
    out = exported(results, "elan", tmp_path)
    document = elan.Eaf(str(out / "a.eaf"))
    # Times of the file, whose audio begins half a second before the video.
    assert sorted(document.get_annotation_data_for_tier("a expression")) == [
        (500, 600, "Happiness"),
        (640, 680, "Neutral"),
    ]
    assert sorted(document.get_annotation_data_for_tier("a expression (label)")) == [
        (500, 600, "Happiness"), (640, 680, "Neutral"),
    ]  # fmt: skip
    assert {"b_left expression", "b_right expression"} <= {*elan.Eaf(str(out / "b.eaf")).get_tier_names()}
    assert document.get_linked_files()[0]["MEDIA_URL"] == (results.parent / "corpus/videos/a.mp4").as_uri()
    linked = [entry["RELATIVE_LINK_URL"] for entry in document.get_secondary_linked_files()]
    assert linked == ["./a_tsconf.xml", "./a.csv"]
    series = list(csv.reader((out / "a.csv").open()))
    (source,) = ET.parse(out / "a_tsconf.xml").getroot().findall("tracksource")
    assert source.get("source-url") == (out / "a.csv").as_uri()
    columns = {
        track.get("name"): int(track.find("sample-position/pos").get("col")) for track in source.findall("track")
    }
    at = columns["a valence"]
    assert [(float(row[0]), float(row[at])) for row in series[1:]] == [(0.5, 0.25), (0.54, 0.5), (0.64, 1.25)]


def test_textgrid(results, tmp_path):
    praat = pytest.importorskip("praatio.textgrid", reason="the extra export is not installed")
    grid = praat.openTextgrid(str(exported(results, "textgrid", tmp_path) / "a.TextGrid"), includeEmptyIntervals=False)
    assert [tuple(entry) for entry in grid.getTier("a expression").entries] == [
        (0.5, pytest.approx(0.6), "Happiness"), (pytest.approx(0.64), pytest.approx(0.68), "Neutral"),
    ]  # fmt: skip
    points = [(point.time, float(point.label)) for point in grid.getTier("a valence").entries]
    assert points == [(0.5, 0.25), (pytest.approx(0.54), 0.5), (pytest.approx(0.64), 1.25)]
    assert grid.maxTimestamp == pytest.approx(0.68)


def test_croissant(results, tmp_path):
    mlc = pytest.importorskip("mlcroissant", reason="the extra export is not installed")
    out = exported(results, "croissant", tmp_path)
    dataset = mlc.Dataset(jsonld=out / "croissant.json")
    rows = list(dataset.records(record_set="frames"))
    assert [row["frames/trial"] for row in rows][::3] == [b"a", b"a", b"b_right"]
    assert [row["frames/valence"] for row in rows if row["frames/trial"] == b"b_left"] == [-0.5, -0.25]
    (video, _) = dataset.records(record_set="videos")
    assert video["videos/sha256"] == sha256(results.parent / "corpus/videos/a.mp4")


def test_ro_crate(results, tmp_path):
    rocrate = pytest.importorskip("rocrate.rocrate", reason="the extra export is not installed")
    out = exported(results, "ro-crate", tmp_path)
    crate = rocrate.ROCrate(out)
    (run,) = crate.get_by_type("CreateAction")
    assert [item["sha256"] for item in run["object"]] == [
        sha256(results.parent / "corpus" / name) for name in ("videos/a.mp4", "b.mkv")
    ]
    assert run["instrument"]["name"] == "wildaffect" and len(run["instrument"]["identifier"]) == 16
    (score,) = crate.get_by_type("PropertyValue")
    assert (score["name"], score["value"]) == ("ccc_valence (abaw2)", "0.5")
    for file in crate.get_by_type("File"):
        assert sha256(out / file.id) == file["sha256"]
    settings = json.loads((out / "configuration.json").read_text())
    assert settings["corpus"]["corpus"]["edition"] == "abaw2"
    name = "predictions/lfan/unimodal/va/ensemble/test.parquet"
    assert sha256(out / name) == sha256(results / name) and settings[name]["notes"] == ["Only a test."]


def test_audformat_database(results, tmp_path):
    audformat = pytest.importorskip("audformat", reason="the extra export is not installed")
    database = audformat.Database.load(str(exported(results, "audformat", tmp_path)))
    assert {*database.splits} == {"train", "dev", "test"}
    table = database["predictions.main"].df
    starts = table.index.get_level_values("start").total_seconds()
    assert [*starts] == pytest.approx([0.5, 0.54, 0.6, 0.64])
    assert table["valence"].tolist()[:2] == [0.25, 0.5] and np.isnan(table["valence"].iloc[2])
    assert database["labels.main"].df["expression"].tolist()[::3] == ["Happiness", "Neutral"]
    assert database["trials"].df.loc["b_right", "partition_va"] == "test"
    assert database.schemes["expression"].labels == CLASSES
    assert len(database.files) == 2 and all((tmp_path / "out" / file).is_file() for file in database.files)


def test_bids_files(results, tmp_path):
    out = exported(results, "bids", tmp_path)
    beh = out / "sub-a" / "beh"
    sidecar = json.loads((beh / "sub-a_task-video_audiovideo.json").read_text())
    assert (sidecar["StartTime"], sidecar["FrameRate"], sidecar["Duration"]) == (0.5, 20.0, pytest.approx(0.68))
    assert (beh / "sub-a_task-video_audiovideo.mp4").read_bytes() == b"video a"
    assert (out / "sub-bleft/beh/sub-bleft_task-video_video.mkv").is_file()
    name = "sub-a_task-video_recording-lfanunimodalva_physio"
    about = json.loads((beh / f"{name}.json").read_text())
    assert about["Columns"] == ["timestamp", "valence"]
    with gzip.open(beh / f"{name}.tsv.gz", "rt") as handle:
        assert [line.split() for line in handle][1:3] == [["0.540000000", "0.5"], ["0.600000000", "n/a"]]
    assert (beh / "sub-a_task-video_events.tsv").read_text().splitlines()[:2] == [
        "onset\tduration\tvalence\tarousal\texpression\tAU12",
        "0.500000000\t0.040000000\t0.1\t0.1\tHappiness\t1",
    ]


@pytest.mark.parametrize("layout", ["bids", "audformat"])
def test_exported_corpora_are_read_again(layout, results, tmp_path):
    """Names, persons, partitions, media and labels are the same, at times that differ by up to half a frame."""
    if layout == "audformat":
        pytest.importorskip("audformat", reason="the extra export is not installed")
    out = exported(results, layout, tmp_path)
    corpus = scan_corpus(layout, out, None, "abaw2")
    facts = ("trial", "video", "person", "partition_va", "partition_expr", "partition_au")
    assert [[getattr(t, f) for f in facts] for t in corpus.trials] == [[getattr(t, f) for f in facts] for t in trials()]
    assert [(out / media).read_bytes() for media in corpus.videos.values()] == [b"video a", b"video b"]
    assert corpus.labelled_tasks() == ["va", "expr", "au"]
    for task, known in (("va", VALENCE), ("expr", EXPRESSION), ("au", UNITS)):
        for off in (-0.019, 0, 0.019):
            times = {video: np.array(of) + off for video, of in TIMES.items()}
            table, about = label_table(task, corpus.trials, out, times, LabelRules(), CLASSES, START)
            column = table.column_names[3]
            for trial, values in known.items():
                found = table.filter(pa.compute.equal(table["trial"], trial))[column].to_pylist()
                assert found == [None if v is None else pytest.approx(v, abs=1e-7) for v in values]
    assert about["trials"]["a"]["kind"] == "timed"


def test_what_is_there_is_not_overwritten(results, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    assert main(["export", str(results), "--to", "csv", "--output", str(tmp_path / "out")]) == 2
    assert "is not overwritten" in capsys.readouterr().err and (tmp_path / "out" / "mine").exists()
    assert main(["export", str(tmp_path), "--to", "csv"]) == 2
    assert "holds no results" in capsys.readouterr().err


def test_a_failed_export_leaves_nothing(results, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "wildaffect.export.tables.csv.write_csv", lambda *_: (_ for _ in ()).throw(OSError(28, "no space"))
    )
    assert main(["export", str(results), "--to", "csv", "--output", str(tmp_path / "out")]) == 2
    assert not [*tmp_path.iterdir()]


def test_a_missing_library_is_named(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "pympi", None)
    monkeypatch.delitem(__import__("sys").modules, "wildaffect.export.elan", raising=False)
    monkeypatch.delitem(__import__("sys").modules, "pympi.Elan", raising=False)
    assert main(["export", str(results), "--to", "elan", "--output", str(tmp_path / "out")]) == 2
    assert "wildaffect[export]" in capsys.readouterr().err
    assert FORMATS["elan"].package == "pympi-ling"
