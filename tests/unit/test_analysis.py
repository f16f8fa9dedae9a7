"""Analysis folders: what is written for somebody's own videos, and what is refused."""

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

import wildaffect
from support.faces import face, scene, write_detections, write_frames
from support.media import Video, counted, write_media
from wildaffect.cli import main
from wildaffect.corpus.folder import find_videos
from wildaffect.corpus.trials import TRIALS, Trial, trials_table
from wildaffect.errors import InputError
from wildaffect.faces.options import TrackingOptions
from wildaffect.faces.persons import assign_persons
from wildaffect.tables import write_table
from wildaffect.workflow.analysis import (
    default_output,
    find_given,
    link_videos,
    new_folder,
    new_run,
    settings_for,
)
from wildaffect.workflow.run import read_tables


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_media(path, Video([index / 25 for index in range(3)], counted, rate=Fraction(25)))
    return path


def copies(clip: Path, *paths: Path) -> list[Path]:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip.read_bytes() + os.fsencode(path.name))
    return list(paths)


def targets(folder: Path) -> dict[str, Path]:
    return {link.name: link.readlink() for link in folder.iterdir()}


def test_a_folder_is_searched_and_what_is_not_a_video_or_a_result_is_left_out(tmp_path, clip):
    videos = copies(clip, tmp_path / "in" / "a.mp4", tmp_path / "in" / "deep" / "b.MKV")
    copies(
        clip,
        tmp_path / "in" / "notes.txt",
        tmp_path / "in" / "out" / "results" / "x.mp4",
        tmp_path / "in" / "out" / "y.mp4",
    )
    assert find_given([tmp_path / "in"], tmp_path / "in" / "out") == videos


def test_each_video_counts_once_however_often_it_is_named(tmp_path, clip):
    (video,) = copies(clip, tmp_path / "in" / "a.mp4")
    (tmp_path / "b.mp4").symlink_to(video)
    given = [tmp_path / "b.mp4", tmp_path / "in", tmp_path / "in" / ".." / "in" / "a.mp4"]
    assert find_given(given, tmp_path / "out") == [tmp_path / "b.mp4"], "as it is called first"
    assert find_given(given[1:], tmp_path / "out") == [video]


def test_another_analysis_of_the_same_folder_brings_nothing(tmp_path, clip):
    (video,) = copies(clip, tmp_path / "z.mp4")
    settings = settings_for(models=tmp_path, title="t")
    new_run(tmp_path / "affect-one", [video], settings)
    (tmp_path / "affect-one" / "results" / "corpus").mkdir(parents=True)
    (tmp_path / "affect-one" / "results" / "corpus" / "trials.parquet").touch()
    copies(clip, tmp_path / "affect-one" / "results" / "faces" / "overlays" / "z.mp4")
    assert find_given([tmp_path], tmp_path / "affect-two") == [video]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "name, make, words",
    [
        ("none.mp4", lambda path: path, "none.mp4: no such file"),
        ("text.mp4", lambda path: written(path, b"text\n" * 99), "text.mp4: not a video that can be read"),
        ("empty.mp4", lambda path: written(path, b""), "empty.mp4: not a video that can be read: the file is empty"),
        (
            "still.png",
            lambda path: written(path, b"\x89PNG"),
            "still.png: not a video that can be read: it is an image",
        ),
        ("empty", lambda path: path.mkdir(), "empty: no video files below this folder"),
        ("pipe.mp4", os.mkfifo, "pipe.mp4: not a video that can be read"),
        ("loop.mp4", lambda path: path.symlink_to(path), "loop.mp4: not a video that can be read"),
    ],
)
def test_what_is_no_video_is_refused_by_name(tmp_path, name, make, words):
    make(tmp_path / name)
    with pytest.raises(InputError, match=words):
        find_given([tmp_path / name], tmp_path / "out")


def test_files_with_one_name_are_told_apart_and_keep_their_names_when_more_are_added(tmp_path, clip):
    first, second, third = copies(clip, *(tmp_path / name / "clip.mp4" for name in ("b", "a", "c")))
    assert link_videos([first, second], tmp_path / "links") == ["clip", "clip (a)"]
    assert link_videos([third, second, first], tmp_path / "links") == ["clip (c)", "clip (a)", "clip"]
    assert link_videos([second], tmp_path / "links") == ["clip (a)"]
    assert targets(tmp_path / "links") == {"clip (a).mp4": second}


def test_names_differ_by_more_than_their_ending_and_the_case_of_letters(tmp_path, clip):
    videos = copies(
        clip, tmp_path / "a" / "x.mp4", tmp_path / "a" / "x.avi", tmp_path / "a" / "X.mov", tmp_path / "a" / "x (a).mp4"
    )
    names = link_videos(videos, tmp_path / "links")
    assert names == ["x", "x (a)", "X (2)", "x (a) (a)"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "a b 'c' \"d\" $e.mp4",
            "{video}.mp4",
            ".hidden.mp4",
            "<results>.mp4",
            "a,b\n.mp4",
            "noending",
            "#1.mp4",
            "-n.mp4",
        ),
        "é" * 120 + ".mp4",
    ],
)
def test_any_name_becomes_one_that_a_corpus_has(tmp_path, clip, name):
    (video,) = copies(clip, tmp_path / "in" / name)
    (linked,) = link_videos(find_given([video], tmp_path / "out"), tmp_path / "links")
    assert list(find_videos(tmp_path / "links").media) == [linked]


def test_a_folder_of_somebody_is_not_used_for_links(tmp_path, clip):
    copies(clip, tmp_path / "links" / "mine.mp4")
    with pytest.raises(InputError, match=r"mine\.mp4: is in the way"):
        link_videos([clip], tmp_path / "links")
    assert (tmp_path / "links" / "mine.mp4").exists()


def test_a_configuration_that_somebody_changed_is_kept(tmp_path, clip):
    settings = settings_for(models=tmp_path, title="t")
    assert new_run(tmp_path / "out", [clip], settings) == ["clip"]
    config = tmp_path / "out" / "config.yaml"
    assert yaml.safe_load(config.read_text())["corpus"] == {"layout": "folder", "root": "inputs"}
    new_run(tmp_path / "out", [clip], settings_for(people=3, models=tmp_path, title="t"))
    assert yaml.safe_load(config.read_text())["corpus"]["persons"] == 3
    changed = config.read_text().replace("hog", "cnn")
    config.write_text(changed)
    with pytest.raises(InputError, match=r"config\.yaml: was written or changed by somebody"):
        new_run(tmp_path / "out", [clip], settings)
    assert config.read_text() == changed


@pytest.mark.parametrize("name", ["config.yaml", "workflow"])
def test_a_folder_with_a_workflow_of_somebody_is_not_touched(tmp_path, clip, name):
    (tmp_path / name).mkdir() if name == "workflow" else (tmp_path / name).write_text("corpus: {}\n")
    for write in (lambda: new_folder(tmp_path), lambda: new_run(tmp_path, [clip], {})):
        with pytest.raises(InputError, match=r"[Nn]ame another"):
            write()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_new_folder_has_what_snakemake_needs(tmp_path, capsys):
    assert main(["init", str(tmp_path / "new")]) == 0
    assert "config.yaml: written" in capsys.readouterr().out
    names = {path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*") if path.is_file()}
    profiles = {"slurm/profile.yaml", "pbs/profile.yaml", "pbs/submit", "default/profile.yaml"}
    assert {"config.yaml", "workflow/Snakefile", *(f"workflow/profiles/{name}" for name in profiles)} <= names
    assert os.access(tmp_path / "new/workflow/profiles/pbs/submit", os.X_OK)
    header = (tmp_path / "new/config.yaml").read_text().splitlines()[0]
    assert header.endswith("$schema=workflow/schemas/config.schema.json")
    assert "workflow/schemas/config.schema.json" in names


def test_the_detector_is_the_users_own_where_all_its_files_are_there(tmp_path):
    def faces():
        return settings_for(models=tmp_path, title="t")["faces"]

    assert faces() == {"backend": "dlib", "model": "hog", "single_pass": True}
    (tmp_path / "buffalo_s").mkdir()
    for name in ("det_500m.onnx", "1k3d68.onnx"):
        (tmp_path / "buffalo_s" / name).write_bytes(b"\x08")
    assert faces()["backend"] == "dlib"
    (tmp_path / "buffalo_s" / "w600k_mbf.onnx").write_bytes(b"\x08")
    assert faces() == {"backend": "retinaface", "model": "buffalo_s", "single_pass": True}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["missing.mp4"], "missing.mp4: no such file"),
        (["{clip}", "--with", "lfan"], "--with lfan: no predictor that comes trained"),
        (["{clip}", "--with", "no such"], "--with no such: no predictor that comes trained"),
        (["{clip}", "--trained", "nowhere"], "nowhere: holds no trained weights"),
        (["{clip}", "--output", "{clip}"], "is a file. Name a folder"),
        (["{clip}", "--output", "{clip}/below"], "cannot be written"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(tmp_path, clip, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["run", *(text.format(clip=clip) for text in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("wildaffect run: ") and words in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_folder_is_called_after_the_first_video(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_output(Path("some/where/talk.final.mp4")) == Path("affect-talk.final")
    assert default_output(Path()) == Path(f"affect-{tmp_path.name}")


def test_tables_are_read_without_people_who_are_not_there(tmp_path):
    results = tmp_path / "results"
    detections, _ = scene(face(range(10), 100))
    write_detections(tmp_path / "d.parquet", detections, 12)
    write_frames(tmp_path / "f.parquet", 12)
    persons = results / "faces" / "v" / "persons.parquet"
    trials = {"v#1": "1", "v#2": "2"}
    assign_persons(tmp_path / "d.parquet", tmp_path / "f.parquet", trials, persons, options=TrackingOptions())
    rows = [Trial(name, "v", "v.mp4", number) for name, number in trials.items()]
    write_table(results / "corpus" / "trials.parquet", trials_table(rows), TRIALS, {})
    (results / "faces" / "earlier").mkdir()
    (results / "faces" / "earlier" / "persons.parquet").write_bytes(b"of a video that is not part of the run any more")
    exported = results / "exports" / "fer" / "small"
    exported.mkdir(parents=True)
    (exported / "v#1.csv").write_text("frame,time_s,happy\n0,0.0,0.5\n1,0.04,\n")
    tables = read_tables(results)
    assert tables.keys() == {"faces", "fer/small"}
    assert tables["fer/small"].to_dict("list")["trial"] == ["v#1", "v#1"]
    assert tables["fer/small"]["happy"].isna().tolist() == [False, True]
    assert set(tables["faces"]["trial"]) == {"v#1"} and len(tables["faces"]) == 12
    assert (tables["faces"]["source"] == "detected").sum() == 10


def test_python_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for videos in ((), ("missing.mp4",)):
        with pytest.raises(InputError):
            wildaffect.run(*videos)


def test_weights_trained_here_come_with_the_settings_of_their_inputs(tmp_path):
    run = tmp_path / "runs" / "lfan" / "multimodal" / "valence" / "fold1"
    run.mkdir(parents=True)
    (run / "model.safetensors").touch()
    faces = {
        "source": "detect", "backend": "dlib", "model": {"name": "hog", "weights": "x"}, "options": {"max_side": 320},
        "tracking": {"max_gap": 3},
    }  # fmt: skip
    made_from = {"faces": faces, "features": {"vggish128": {"weights": "seeded"}}}
    (run / "run.json").write_text(json.dumps({"mode": "faithful", "made_from": made_from}))
    settings = settings_for(trained=tmp_path / "runs", models=tmp_path, title="t")
    assert settings["systems"]["lfan"] == {
        "trained": str(tmp_path / "runs"), "variants": ["multimodal"], "targets": ["valence"], "mode": "faithful",
    }  # fmt: skip
    assert settings["faces"] == {
        "backend": "dlib", "model": "hog", "options": {"max_side": 320}, "tracking": {"max_gap": 3}, "single_pass": True,
    }  # fmt: skip
    assert settings["features"] == {"vggish_weights": "seeded", "single_pass": True}


def test_tables_are_a_part_of_runs_and_not_of_new_folders(tmp_path, clip):
    new_folder(tmp_path / "new")
    new_run(tmp_path / "run", [clip], settings_for(models=tmp_path, title="t"))
    named = [
        "rules.tables.input" in (tmp_path / name / "workflow" / "Snakefile").read_text() for name in ("new", "run")
    ]
    assert named == [False, True]
