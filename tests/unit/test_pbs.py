"""The PBS helpers against recorded answers of PBS Pro and Torque, with stand-ins for qsub, qstat and qdel."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PRO = {
    "timestamp": 1700000000,
    "pbs_version": "22.05.11",
    "pbs_server": "head",
    "Jobs": {
        "101.head": {
            "Job_Name": "w_detect",
            "job_state": "F",
            "Exit_status": 0,
            "resources_used": {"walltime": "00:02:11"},
        },
        "102.head": {"Job_Name": "w_media", "job_state": "F", "Exit_status": 1, "comment": "Job run at … and failed"},
        "103.head": {"Job_Name": "w_faces", "job_state": "R", "substate": 42},
        "104.head": {"Job_Name": "w_faces", "job_state": "Q"},
        "105.head": {"Job_Name": "w_train", "job_state": "F", "Exit_status": -29, "comment": "walltime exceeded"},
        "106.head": {"Job_Name": "w_gone", "job_state": "F", "comment": "Not Running: deleted while queued"},
    },
}
TORQUE = """\
Job Id: 201.torque.example.org
    Job_Name = w_detect
    Job_Owner = me@login
    job_state = C
    queue = batch
    exit_status = 0
    Variable_List = PBS_O_HOME=/home/me,PBS_O_LANG=C,
\tPBS_O_PATH=/usr/bin = /bin

Job Id: 202.torque.example.org
    job_state = C
    exit_status = 271

Job Id: 203.torque.example.org
    job_state = R

Job Id: 204.torque.example.org
    job_state = E
"""
EXPECTED = {
    "pro": {"101": "success", "102": "failed", "103": "running", "104": "running", "105": "failed", "106": "failed"},
    "torque": {"201": "success", "202": "failed", "203": "running", "204": "running"},
}
SCRIPT = """#!/bin/sh
# properties = {properties}
cd {folder} && python -c 'import sys; sys.exit({status})' --cores 'all' --nolock  && exit 0 || exit 1
"""
GROUP = {"type": "group", "groupid": "detect", "jobid": "12", "threads": 2, "local": False}
GROUP["resources"] = {"mem_mb": 4000, "runtime": 95, "gpu": 1, "serial": 1}


@pytest.fixture(scope="module")
def helpers(root) -> Path:
    """Folder of the helpers."""
    return root / "workflow" / "profiles" / "pbs"


@pytest.fixture
def pbs(helpers, tmp_path, monkeypatch):
    """Their common module, at work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path(".snakemake/pbs").mkdir(parents=True)
    spec = importlib.util.spec_from_file_location("pbs", helpers / "pbs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a program of this name before all others; it appends its arguments to <name>.log."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, body: str) -> Path:
        log = tmp_path / f"{name}.log"
        (folder / name).write_text(f'#!/bin/sh\necho "$@" >> {log}\n{body}\n')
        (folder / name).chmod(0o755)
        return log

    return make


def call(helpers, program: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, helpers / program, *arguments], capture_output=True, text=True)


def submitted(pbs, *jobs: str, age: float = 0) -> None:
    for job in jobs:
        pbs.write(pbs.FOLDER / f"{job}.job", json.dumps({"leave": f"{job}.exit", "submitted": time.time() - age}))


@pytest.mark.parametrize(("dialect", "answer"), [("pro", json.dumps(PRO)), ("torque", TORQUE)])
def test_recorded_answers(pbs, helpers, stand_in, tmp_path, dialect, answer):
    submitted(pbs, *EXPECTED[dialect], age=1000)
    (tmp_path / "answer").write_text(answer)
    log = stand_in("qstat", f"cat {tmp_path}/answer")
    found = {
        job: call(helpers, "status", "--dialect", dialect, f"{job}.head").stdout.strip() for job in EXPECTED[dialect]
    }
    assert found == EXPECTED[dialect]
    assert len(log.read_text().splitlines()) == 1, "one question for all jobs"


def test_text_where_json_is_broken(pbs, helpers, stand_in, tmp_path):
    """Some versions of PBS Pro do not escape what users put into variables."""
    submitted(pbs, "301", age=1000)
    (tmp_path / "text").write_text("Job Id: 301.head\n    job_state = F\n    Exit_status = 0\n")
    stand_in(
        "qstat",
        f'case "$*" in *json*) echo \'{{"Jobs": {{"301.head": {{"a": "b"c"}}}}}}\';; *) cat {tmp_path}/text;; esac',
    )
    # The broken JSON holds no job in either language, so the text is asked for.
    assert call(helpers, "status", "301").stdout.strip() == "success"


@pytest.mark.parametrize(
    ("body", "age", "expected"),
    [
        ("echo 'qstat: Unknown Job Id 1.head' >&2; exit 153", 0, "running"),
        ("echo 'qstat: Unknown Job Id 1.head' >&2; exit 153", 1000, "failed"),
        ("echo 'Connection refused' >&2; exit 1", 1000, "running"),
        ("echo nonsense", 0, "running"),
    ],
)
def test_silence_is_no_failure_but_a_vanished_job_is(pbs, helpers, stand_in, body, age, expected):
    submitted(pbs, "1", age=age)
    stand_in("qstat", body)
    done = call(helpers, "status", "1.head")
    assert (done.stdout.strip(), done.returncode) == (expected, 0), done.stderr


def test_silence_for_hours_is_a_failure(pbs):
    record = {"leave": "x", "submitted": 0}
    assert pbs.verdict(record, None, silent=pbs.PATIENCE - 1, now=1e6) == "running"
    assert pbs.verdict(record, None, silent=pbs.PATIENCE + 1, now=1e6) == "failed"


def test_a_missing_qstat_or_a_damaged_record_does_not_end_the_run(pbs, helpers, stand_in):
    submitted(pbs, "1")
    (pbs.FOLDER / "2.job").write_text("{")
    stand_in("qstat", "exit 127")
    assert [call(helpers, "status", job).stdout.strip() for job in "12"] == ["running", "running"]


@pytest.mark.parametrize(
    ("status", "expected", "cores"), [(0, "success", "'all'"), (3, "failed", "'all'"), (0, "success", "64")]
)
def test_a_submitted_script_leaves_its_status(pbs, helpers, stand_in, tmp_path, status, expected, cores):
    """PBS need not remember anything: the script itself says how it ended."""
    log = stand_in("qsub", 'for last; do :; done; sh "$last" >/dev/null 2>&1; echo 77.head')
    stand_in("qstat", "exit 1")
    script = tmp_path / "job.sh"
    text = SCRIPT.format(properties=json.dumps(GROUP), folder=tmp_path, status=status)
    script.write_text(text.replace("--cores 'all'", f"--cores {cores}"))
    done = call(helpers, "submit", "--queue", "gpu", "--account", "me", "--extra=-W group_list=x", str(script))
    assert done.stdout == "77.head\n", done.stderr
    assert call(helpers, "status", "77.head").stdout.strip() == expected
    asked = log.read_text()
    for part in (
        "-q gpu",
        "-A me",
        "-W group_list=x",
        "-N w_detect",
        "select=1:ncpus=2:mem=4000mb:ngpus=1",
        "walltime=01:35:00",
    ):
        assert part in asked, part
    (wrapped,) = pbs.FOLDER.glob("*.sh")
    assert "--cores 2 --nolock" in wrapped.read_text() and "all" not in wrapped.read_text()


def test_torque_asks_in_its_own_words(pbs):
    (option, asked) = pbs.request(GROUP, "torque")
    assert (option, asked) == ("-l", "nodes=1:ppn=2:gpus=1,mem=4000mb,walltime=01:35:00")


def test_a_script_whose_cores_cannot_be_limited_is_not_submitted(pbs, helpers, stand_in, tmp_path):
    log = stand_in("qsub", "echo 1")
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\n# properties = {json.dumps(GROUP)}\nsnakemake --jobs 1\n")
    done = call(helpers, "submit", str(script))
    assert done.returncode and "cores cannot be limited" in done.stderr and not log.exists()


def test_a_refused_submission_says_what_qsub_said(pbs, helpers, stand_in, tmp_path):
    stand_in("qsub", "echo 'qsub: Unknown queue' >&2; exit 170")
    script = tmp_path / "job.sh"
    script.write_text(SCRIPT.format(properties=json.dumps(GROUP), folder=tmp_path, status=0))
    done = call(helpers, "submit", str(script))
    assert done.returncode and "Unknown queue" in done.stderr


def test_cancel_takes_several_jobs_and_returns_at_once(pbs, helpers, stand_in, tmp_path):
    log = stand_in("qdel", "sleep 5")
    started = time.monotonic()
    assert call(helpers, "cancel", "1.head", "2.head").returncode == 0
    assert time.monotonic() - started < 4
    while not log.exists():
        time.sleep(0.05)
    assert log.read_text() == "1.head 2.head\n"
