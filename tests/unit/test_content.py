"""Files are known by what is in them, read as seldom as possible, and never taken for what they are not."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from wildaffect import content
from wildaffect.content import Contents, content_hash
from wildaffect.errors import InputError

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
OLD = 1_000_000_000 * 10**9


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "results" / "contents.jsonl"


@pytest.fixture
def read(monkeypatch):
    """Paths that were read, in order."""
    paths = []

    def counted(path):
        paths.append(Path(path).name)
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()

    monkeypatch.setattr(content, "sha256", counted)
    return paths


@pytest.fixture
def settled(monkeypatch):
    """Files just written count as old enough to be remembered."""
    monkeypatch.setattr(content, "SETTLED_NS", -1)


def put(path, text, modified=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if modified is not None:
        os.utime(path, ns=(modified, modified))
    return path


def test_the_hash_of_a_file_is_the_published_one(tmp_path):
    assert content_hash(put(tmp_path / "abc", "abc")) == ABC


def test_a_folder_is_its_names_and_bytes_wherever_it_lies(tmp_path):
    for folder in ("one", "two"):
        put(tmp_path / folder / "b" / "2.json", "2")
        put(tmp_path / folder / "a.json", "abc")
    two = hashlib.sha256(b"2").hexdigest()
    expected = hashlib.sha256(f"a.json\0{ABC}\nb/2.json\0{two}\n".encode()).hexdigest()
    assert content_hash(tmp_path / "one") == content_hash(tmp_path / "two") == expected
    (tmp_path / "two" / "a.json").rename(tmp_path / "two" / "c.json")
    assert content_hash(tmp_path / "two") != expected


def test_a_file_is_read_once_per_process_and_once_for_all_processes(tmp_path, memory, read, settled):
    path = put(tmp_path / "video.mp4", "abc")
    first = Contents(memory)
    assert [first.hash(path), first.hash(str(path))] == [ABC, ABC]
    assert Contents(memory).hash(path) == ABC
    assert read == ["video.mp4"]


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path, memory, settled):
    """Unpacking and synchronising set the old time again; the time of the status stays behind."""
    path = put(tmp_path / "labels.txt", "0.1,0.2", OLD)
    before = Contents(memory).hash(path)
    time.sleep(0.02)  # the clock of the file system is that coarse
    put(path, "0.1,0.3", OLD)
    assert path.stat().st_mtime_ns == OLD
    assert Contents(memory).hash(path) == hashlib.sha256(b"0.1,0.3").hexdigest() != before


def test_a_change_within_a_folder_is_seen(tmp_path, memory, settled):
    put(tmp_path / "images" / "1.jpg", "abc", OLD)
    before = Contents(memory).hash(tmp_path / "images")
    time.sleep(0.02)
    put(tmp_path / "images" / "1.jpg", "abd", OLD)
    after = Contents(memory).hash(tmp_path / "images")
    put(tmp_path / "images" / "2.jpg", "")
    assert len({before, after, Contents(memory).hash(tmp_path / "images")}) == 3


def test_a_folder_that_stays_is_not_read_again(tmp_path, memory, read, settled):
    put(tmp_path / "images" / "1.jpg", "abc")
    Contents(memory).hash(tmp_path / "images")
    Contents(memory).hash(tmp_path / "images")
    assert read == ["1.jpg"]


def test_copies_moved_and_touched_files_are_read_once_and_found_equal(tmp_path, memory, read, settled):
    path = put(tmp_path / "a" / "x", "abc")
    Contents(memory).hash(path)
    shutil.copy(path, tmp_path / "y")
    os.utime(path, ns=(OLD, OLD))
    assert Contents(memory).hash(tmp_path / "y") == Contents(memory).hash(path) == ABC
    path.parent.rename(tmp_path / "b")
    assert Contents(memory).hash(tmp_path / "b" / "x") == ABC
    assert read == ["x", "y", "x", "x"]


def test_what_may_still_change_unseen_is_not_remembered(tmp_path, memory, read):
    path = put(tmp_path / "x", "abc")
    for _ in range(2):
        assert Contents(memory).hash(path) == ABC
    assert read == ["x", "x"] and not memory.exists()


def test_what_changes_while_it_is_read_is_not_remembered(tmp_path, memory, monkeypatch, settled):
    path = put(tmp_path / "x", "abc")

    def slow(_):
        put(path, "grown meanwhile")
        return ABC

    monkeypatch.setattr(content, "sha256", slow)
    Contents(memory).hash(path)
    assert not memory.exists()


@pytest.mark.parametrize("damage", ["", "[", '"word"', "[1, 2]", "[[], [], []]", "\0\0"])
def test_a_damaged_memory_is_read_as_far_as_it_goes(tmp_path, memory, read, settled, damage):
    path, other = put(tmp_path / "x", "abc"), put(tmp_path / "y", "abc")
    for each in (path, other):
        Contents(memory).hash(each)
    lines = memory.read_text().splitlines()
    memory.write_text("\n".join([damage, lines[1], lines[0][:20]]))
    assert Contents(memory).hash(path) == Contents(memory).hash(other) == ABC
    assert read == ["x", "y", "x"]


def test_where_nothing_can_be_written_nothing_is_remembered(tmp_path, read, settled):
    put(tmp_path / "results", "a file where a folder should be")
    path = put(tmp_path / "x", "abc")
    for _ in range(2):
        assert Contents(tmp_path / "results" / "contents.jsonl").hash(path) == ABC
    assert read == ["x", "x"]


def test_two_processes_remember_side_by_side(tmp_path, memory, read, settled):
    one, two = Contents(memory), Contents(memory)
    first, second, third = (put(tmp_path / name, name) for name in "abc")
    one.hash(first), two.hash(second), one.hash(third)
    for path in (first, second, third):
        Contents(memory).hash(path)
    assert read == ["a", "b", "c"]
    assert [json.loads(line)[0] for line in memory.read_text().splitlines()] == list(map(str, (first, second, third)))


def test_an_absent_file_is_named(tmp_path, memory):
    with pytest.raises(InputError, match=r"weights\.pth: cannot be read \(No such file"):
        Contents(memory).hash(tmp_path / "weights.pth")


def test_many_bytes_are_announced_once(tmp_path, memory, monkeypatch, caplog):
    monkeypatch.setattr(content, "MANY_BYTES", 4)
    contents = Contents(memory)
    contents.hash(put(tmp_path / "small", "abc"))
    assert not caplog.records
    for name in "xy":
        contents.hash(put(tmp_path / name, "abc"))
    assert len(caplog.records) == 1 and str(memory) in caplog.text
