"""The state of a run, from the files in its results."""

import json
import logging
import os
import re
import socket

import pytest

from wildaffect import progress
from wildaffect.cli import main
from wildaffect.errors import InputError
from wildaffect.progress import Progress, counted, last_progress
from wildaffect.workflow.status import JOBS, LOCK, State, goes_on, left_locked, read_status

STAMP = "2026-01-02 03:04:05,678"
NO_PROCESS = 2**22 + 1
"""No process of Linux has such a number."""
LOGS = {
    "done": f"{STAMP} INFO wildaffect.faces: found 3\n{STAMP} INFO wildaffect: done in 3.5 s\n",
    "busy": f"{STAMP} INFO wildaffect.progress: progress: 50 of 200 frames, about 30 s left\n",
    "silent": "",
    "wrong": f"{STAMP} ERROR wildaffect: a.mp4: is broken.\nRepair it.\n",
    "crashed": f"{STAMP} ERROR wildaffect: failed after 1.0 s\nTraceback (most recent call last):\n  x\nValueError: odd\n",
    "stopped": f"{STAMP} ERROR wildaffect: interrupted after 2.0 s\n",
}


@pytest.fixture
def results(tmp_path):
    """Results of a run with one job for each of `LOGS`, and one that has no log yet."""
    jobs = [["faces", "detect_faces", name, f"logs/detect_faces/{name}.log"] for name in [*LOGS, "next"]]
    owner = {"process": NO_PROCESS, "host": socket.gethostname(), "since": "today", "user": "me"}
    (tmp_path / JOBS).parent.mkdir()
    (tmp_path / JOBS).write_text(
        json.dumps({"owner": owner, "jobs": [*jobs, ["media", "decode_frames", "a", "logs/a.log"]]})
    )
    os.utime(tmp_path / JOBS, (1000, 1000))
    (tmp_path / "logs" / "detect_faces").mkdir(parents=True)
    for name, text in LOGS.items():
        (tmp_path / "logs" / "detect_faces" / f"{name}.log").write_text(text)
    return tmp_path


def lock(results, **owner):
    (results / LOCK).parent.mkdir(exist_ok=True)
    (results / LOCK).write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname(), **owner}))


def states(results) -> dict[str, State]:
    return {job.of: job.state for job in read_status(results).jobs if job.stage == "faces"}


EXPECTED = {
    "done": State.DONE, "wrong": State.FAILED, "crashed": State.FAILED, "stopped": State.WAITING, "next": State.WAITING,
}  # fmt: skip


def test_jobs_of_a_run_that_goes_on(results):
    lock(results)
    assert states(results) == {**EXPECTED, "busy": State.RUNNING, "silent": State.RUNNING}
    assert [job.stage for job in read_status(results).jobs] == ["media", *["faces"] * 7]


def test_jobs_whose_run_is_gone_were_killed(results):
    for owner in (None, NO_PROCESS):
        if owner:
            lock(results, process=owner)
        assert states(results) == {**EXPECTED, "busy": State.ENDED, "silent": State.ENDED}


def test_a_run_on_another_machine_is_believed_while_its_lock_is_there(results):
    lock(results, host="elsewhere", process=NO_PROCESS)
    assert goes_on(results) and not left_locked(results)
    lock(results, process=NO_PROCESS)
    assert left_locked(results) and not goes_on(results)


def test_a_log_of_an_earlier_run_does_not_count(results):
    os.utime(results / "logs/detect_faces/done.log", (500, 500))
    assert states(results)["done"] == State.WAITING


def test_the_command_names_what_runs_and_why_jobs_failed(results, capsys):
    lock(results)
    assert main(["status", str(results)]) == 1
    text = capsys.readouterr().out
    assert re.search(r"faces +18%  1 of 7 jobs, 2 failed", text)  # (1 + 0.25) of 7
    assert "detect_faces busy: 25%, about 30 s left" in text
    assert "failed: detect_faces wrong: a.mp4: is broken.\nRepair it.\n" in text
    assert "failed: detect_faces crashed: ValueError: odd\n" in text


@pytest.mark.parametrize("content", [None, "", "[]", '{"jobs": 3}', '{"jobs": [[1]], "owner": {}}'])
def test_a_folder_without_a_run_is_told_in_words(tmp_path, content):
    if content is not None:
        (tmp_path / JOBS).parent.mkdir()
        (tmp_path / JOBS).write_text(content)
    with pytest.raises(InputError, match=str(tmp_path)):
        read_status(tmp_path)


def test_items_are_passed_on_and_counted_at_a_steady_pace(monkeypatch, caplog):
    clock = iter(range(0, 1000, 1))  # a second passes at every look
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO):
        assert list(counted("abcdefgh", 8, "letters")) == list("abcdefgh")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "progress: 2 of 8 letters, about 6 s left" and len(lines) == 4
    assert last_progress("\n".join(lines[:2])) == Progress(0.5, 4.0)


def test_more_items_than_expected_are_all_of_them():
    assert last_progress("progress: 7 of 5 frames, about 0 s left") == Progress(1.0, 0.0)
    assert last_progress("nothing of the kind") is None
