"""Videos whose names and kinds of files are unusual, through the workflow."""

import os
import unicodedata
from fractions import Fraction
from pathlib import Path

import pytest

from support.corpora import write_annotation
from support.media import Sound, Video, beep, counted, write_streams
from support.pipeline import TINY_RECIPE, copy_project, run_workflow, write_config
from wildaffect.corpus.folder import video_name
from wildaffect.media.audio import read_about
from wildaffect.media.frames import read_frames
from wildaffect.tables import read_metadata

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FRAMES = 10
STEMS = [
    "talk <final>",
    "<results>",
    os.fsdecode(b"latin\xe9"),
    "".join(map(chr, range(0x4E00, 0x4E00 + 80))),
    "x" * 251,
    "cafe\u0301",
]


def write_clip(path: Path) -> None:
    """Ten frames and two audio streams, of which the second has the default flag."""
    video = Video([index / 25 for index in range(FRAMES)], counted, rate=Fraction(25))
    sounds = [Sound(beep(0.1, 0.4, 16_000)) for _ in range(2)]
    # The library that writes it takes no such names.
    write_streams(path.with_name("plain.mkv"), [video], sounds, defaults=[2]).rename(path)


def config(project: Path, layout: str, data: str) -> Path:
    return write_config(
        project / f"{layout}.yaml",
        {
            "results_dir": f"{data}/results",
            "corpus": {"layout": layout, "root": data},
            "folds": {"scheme": "grouped", "count": 2},
            "faces": {"backend": "dlib", "model": "hog"},
            "features": {"vggish_weights": "seeded"},
            "systems": {"lfan": {"variants": ["multimodal"], "targets": ["valence"], "recipe": TINY_RECIPE}},
        },
    )


def test_media_and_labels_of_any_name(tmp_path):
    project = copy_project(tmp_path)
    data = project / "data"
    for stem in STEMS:
        write_clip(data / f"{stem}.mkv")
        # Annotations are spelled the other way.
        write_annotation(data / "VA_Set" / "Train_Set" / f"{unicodedata.normalize('NFC', stem)}.txt", FRAMES)
    (data / "dangling.mkv").symlink_to("nowhere.mkv")
    os.mkfifo(data / "pipe.mkv")
    (data / "around").symlink_to(".")
    settings = config(project, "affwild2", "data")
    targets = ["media", "data/results/labels/va.parquet", "data/results/corpus/trials.parquet"]
    outcome = run_workflow(project, settings, "--", *targets)
    assert outcome.status == 0, outcome.text[-6000:]
    for stem in STEMS:
        folder = data / "results" / "media" / video_name(stem)
        assert read_frames(folder / "frames.parquet").about["frames"] == FRAMES
        assert read_about(folder / "audio.flac")["streams"]["used"] == 2
    joined = read_metadata(data / "results" / "labels" / "va.parquet")["trials"]
    assert set(joined) == set(map(video_name, STEMS))
    assert {trial["kind"] for trial in joined.values()} == {"equal"}
    told = read_metadata(data / "results" / "corpus" / "trials.parquet")["findings"]
    assert {entry["video"] for entry in told if entry["finding"] == "unusable_file"} == {"dangling", "pipe"}
    assert run_workflow(project, settings, "--", *targets).nothing_to_do


def test_a_table_chooses_the_streams(tmp_path):
    project = copy_project(tmp_path)
    data = project / "data"
    data.mkdir()
    for name in ("a", "b"):
        write_clip(data / f"{name}.mkv")
        write_annotation(data / f"{name}.txt", FRAMES)
    rows = ["media,annotation_va,video_stream,audio_stream", "a.mkv,a.txt,0,1", "b.mkv,b.txt,,"]
    (data / "trials.csv").write_text("\n".join(rows) + "\n")
    outcome = run_workflow(project, config(project, "table", "data"), "--", "media")
    assert outcome.status == 0, outcome.text[-6000:]
    media = data / "results" / "media"
    assert read_about(media / "a" / "audio.flac")["streams"]["used"] == 1
    assert read_about(media / "b" / "audio.flac")["streams"]["used"] == 2
