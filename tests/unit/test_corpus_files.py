"""What folders hold besides ordinary videos: odd names, links, pipes, results, other endings."""

import os
import socket
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.corpora import affwild2, touch, write_annotation
from wildaffect.corpus.folder import video_name, walk_files
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.table import new_table
from wildaffect.corpus.trials import trials_table
from wildaffect.errors import InputError
from wildaffect.files import atomic

E_COMPOSED, E_DECOMPOSED = "caf\u00e9", "cafe\u0301"


def found(root: Path, results: Path | None = None) -> dict[str, str]:
    return dict(scan_corpus("folder", root, None, "abaw2", results).videos)


def findings(root: Path) -> set[tuple[str, str, str]]:
    return {(f.severity, f.finding, f.video) for f in scan_corpus("folder", root, None, "abaw2").findings}


@pytest.mark.parametrize(
    "stem",
    [
        "a",
        "24-30-1920x1080",
        "with space",
        "-dash",
        "%d",
        "#?*[x]",
        "a:b",
        "漢字",
        "dots.in",
        "screen\u202frecording",
        "ab" * 9,
    ],
)
def test_ordinary_names_stay_as_they_are(stem):
    assert video_name(stem) == stem


def test_names_are_composed():
    assert video_name(E_DECOMPOSED) == E_COMPOSED


@pytest.mark.parametrize(
    "stem",
    [
        "talk <final>",
        "<results>",
        "line\nbreak",
        "nul-like\x01",
        os.fsdecode(b"latin\xe9"),
        "x" * 251,
        "漢" * 83,
        "0" * 30,
        "ab" * 30,
    ],
)
def test_names_that_results_cannot_have_are_replaced(tmp_path, stem):
    name = video_name(stem)
    assert name != stem
    assert name.isprintable() and len(name.encode()) <= 240
    assert name == video_name(stem)
    for suffix in (".parquet", ".jsonl"):
        (tmp_path / f"{name}_right{suffix}").touch()


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=250))
def test_every_name_is_short_composed_and_stays(stem):
    name = video_name(stem)
    assert len(name.encode()) <= 240
    assert unicodedata.is_normalized("NFC", name)
    assert video_name(name) == name


def test_different_files_keep_different_names(tmp_path):
    names = [b"bad\xff.mp4", b"bad\xfe.mp4", b"bad_.mp4", b"x" * 251 + b".mp4", b"x" * 250 + b"y.mp4"]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    videos = found(tmp_path)
    assert len(videos) == len(names)
    assert {os.fsencode(media) for media in videos.values()} == set(names)
    assert ("info", "renamed", video_name(os.fsdecode(b"bad\xff"))) in findings(tmp_path)


def test_a_corpus_with_such_names_fits_in_tables(tmp_path):
    (tmp_path / os.fsdecode(b"bad\xff.mp4")).touch()
    corpus = scan_corpus("folder", tmp_path, None, "abaw2")
    trials_table(corpus.trials)
    assert all(text.encode() for finding in corpus.findings for text in (finding.detail, finding.rule, finding.video))
    with pytest.raises(InputError, match="no UTF-8"):
        new_table(tmp_path)


def test_annotations_and_videos_may_spell_a_name_differently(tmp_path):
    affwild2(tmp_path, {"Train_Set": [f"{E_COMPOSED}_left"]}, [f"{E_DECOMPOSED}.mp4"])
    (trial,) = scan_corpus("affwild2", tmp_path, None, "abaw2").trials
    assert (trial.trial, trial.video) == (f"{E_COMPOSED}_left", E_COMPOSED)
    assert (tmp_path / trial.media).is_file()


def test_a_table_may_spell_a_name_differently(tmp_path):
    touch(tmp_path / f"{E_DECOMPOSED}.mp4")
    (tmp_path / "trials.csv").write_text(f"media\n{E_COMPOSED}.mp4\n")
    (trial,) = scan_corpus("table", tmp_path, None, "abaw2").trials
    assert trial.video == E_COMPOSED
    assert (tmp_path / trial.media).is_file()


def test_annotated_names_of_any_kind_find_their_video(tmp_path):
    stem = "x" * 245
    affwild2(tmp_path, {"Train_Set": [stem, "talk <final>"]}, [f"{stem}.mp4", "talk <final>.mp4"])
    trials = scan_corpus("affwild2", tmp_path, None, "abaw2").trials
    assert (
        {trial.trial for trial in trials}
        == {trial.video for trial in trials}
        == {video_name(stem), video_name("talk <final>")}
    )


def odd_files(root: Path) -> dict[str, str]:
    """What is no file under the name of a video, with a word of the finding."""
    (root / "dangling.mp4").symlink_to("nowhere.mp4")
    (root / "loop.mp4").symlink_to("other.mp4")
    (root / "other.mp4").symlink_to("loop.mp4")
    os.mkfifo(root / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(root)  # the length of a socket's path is limited
        server.bind("socket.mp4")
        os.chdir(here)
    return {"dangling": "nowhere", "loop": "loop", "other": "loop", "pipe": "pipe", "socket": "socket"}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("layout", ["folder", "affwild2", "table"])
def test_what_is_no_file_is_a_finding_and_the_rest_goes_on(tmp_path, layout):
    touch(tmp_path / "good.mp4")
    words = odd_files(tmp_path)
    names = ["good", *words]
    if layout == "affwild2":
        for name in names:
            write_annotation(tmp_path / "VA_Set" / "Train_Set" / f"{name}.txt", 2)
    (tmp_path / "trials.csv").write_text("media\n" + "".join(f"{name}.mp4\n" for name in names))
    corpus = scan_corpus(layout, tmp_path, None, "abaw2")
    assert [trial.video for trial in corpus.trials] == ["good"]
    errors = {
        f.video: f.detail
        for f in corpus.findings
        if f.finding in ("unusable_file", "missing_media") and ": " in f.detail
    }
    assert set(errors) == set(words)
    assert all(word in errors[name] for name, word in words.items())


@pytest.mark.timeout(20)
def test_what_is_no_file_is_never_waited_for(tmp_path):
    from wildaffect.media.frames import read_frames, write_frame_table

    for name in odd_files(tmp_path):
        write_frame_table(tmp_path / f"{name}.mp4", tmp_path / "frames.parquet")
        assert read_frames(tmp_path / "frames.parquet").about["status"] == "unreadable"


def test_no_folder_is_read_twice(tmp_path):
    touch(tmp_path / "corpus" / "deep" / "a.mp4", tmp_path / "elsewhere" / "b.mp4")
    root = tmp_path / "corpus"
    (root / "deep" / "up").symlink_to("..")
    (root / "again").symlink_to(root)
    (root / "another way").symlink_to("deep")
    (root / "outside").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    assert [path.as_posix() for path in walk_files(root)] == ["deep/a.mp4", "outside/b.mp4"]


def test_links_to_one_file_are_one_video(tmp_path):
    touch(tmp_path / "z" / "a.mp4")
    for folder in ("b", "y"):
        (tmp_path / folder).mkdir()
    (tmp_path / "b" / "a.mp4").symlink_to("../z/a.mp4")
    os.link(tmp_path / "z" / "a.mp4", tmp_path / "y" / "a.mp4")
    assert found(tmp_path) == {"a": "y/a.mp4"}
    touch(tmp_path / "other" / "a.mp4")
    with pytest.raises(InputError, match="share a name"):
        found(tmp_path)


def test_results_are_never_searched(tmp_path):
    touch(tmp_path / "a.mp4", tmp_path / "results" / "faces" / "overlays" / "a.mp4")
    touch(tmp_path / "old" / "corpus" / "trials.parquet", tmp_path / "old" / "faces" / "overlays" / "a.mp4")
    (tmp_path / "link").symlink_to("results")
    assert found(tmp_path, tmp_path / "results") == {"a": "a.mp4"}
    assert found(tmp_path, tmp_path / "link") == {"a": "a.mp4"}


def test_a_corpus_may_lie_among_results(tmp_path):
    touch(tmp_path / "results" / "videos" / "a.mp4")
    assert found(tmp_path / "results" / "videos", tmp_path / "results") == {"a": "a.mp4"}


def test_files_of_other_endings_are_told(tmp_path):
    touch(*(tmp_path / name for name in ("a.mp4", "b.asf", "c.ASF", "d.gif", "e.MTS", "notes.txt", "trials.csv")))
    corpus = scan_corpus("folder", tmp_path, None, "abaw2")
    assert sorted(corpus.videos) == ["a", "e"]
    told = [f.detail for f in corpus.findings if f.finding == "other_files"]
    assert told == ["2 files with the ending .asf, first b.asf", "1 file with the ending .gif, first d.gif"]


@pytest.mark.parametrize("stem", ["a", "漢" * 80, "x" * 247])
def test_temporary_names_fit_wherever_the_name_does(tmp_path, stem):
    path = tmp_path / f"{stem}.parquet"
    with atomic(path) as partial:
        assert (partial.parent, partial.suffix) == (tmp_path, ".parquet")
        partial.write_text("x")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_table_names_streams(tmp_path):
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4")
    (tmp_path / "trials.csv").write_text("media,video_stream,audio_stream\na.mp4,1,\nb.mp4,,2\n")
    corpus = scan_corpus("table", tmp_path, None, "abaw2")
    assert corpus.streams == {"a": (1, None), "b": (None, 2)}


@pytest.mark.parametrize("value", ["-1", "1.0", "first", "²"])
def test_streams_are_whole_numbers(tmp_path, value):
    touch(tmp_path / "a.mp4")
    (tmp_path / "trials.csv").write_text(f"media,video_stream\na.mp4,{value}\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2: video_stream"):
        scan_corpus("table", tmp_path, None, "abaw2")


def test_trials_of_a_video_use_the_same_streams(tmp_path):
    touch(tmp_path / "a.mp4")
    (tmp_path / "trials.csv").write_text("trial,media,audio_stream\na_left,a.mp4,1\na_right,a.mp4,2\n")
    with pytest.raises(InputError, match="different streams"):
        scan_corpus("table", tmp_path, None, "abaw2")
