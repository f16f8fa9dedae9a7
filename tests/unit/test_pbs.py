"""What the PBS helpers understand, decide and say, their scripts under three shells, and their programs with stand-ins for PBS's."""

import ast
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.pbs import HELPERS, Server, job_script, jobs, pbs
from support.pipeline import ROOT

sys.path.insert(0, str(ROOT / "workflow" / "rules"))
clusters = importlib.import_module("clusters")

DATA = Path(__file__).parents[1] / "data" / "pbs"
SHELLS = {"dash": ["dash"], "bash": ["bash"], "bash as sh": ["bash", "--posix"]}
# By answer and id: the verdict when PBS has said so for longer than the time of grace, and what the user reads.
EXPECTED = {
    "openpbs23.json": {
        "101": ("failed", "did not come to its end"),
        "102": ("failed", "ended with status 1"),
        "103": ("failed", "killed by PBS: walltime 00:01:00 exceeded"),
        "104": ("failed", "killed by PBS: memory 2000mb exceeded"),
        "105": ("failed", "killed by SIGTERM"),
        "106": ("failed", "deleted, or ended by PBS"),
        "107": ("running", ""),
        "108": ("running", ""),
        "109": ("running", ""),
        "110": ("failed", "Can Never Run: Insufficient amount of resource: mem (R: 4tb A: 190gb T: 190gb)"),
        "111": ("running", ""),
        "112": ("failed", "too many failed attempts"),
        "113": ("running", ""),
        "114": ("failed", "killed by PBS: walltime 00:01:00 exceeded"),
        "115": ("failed", "could not set up job"),
        "120[]": ("running", ""),
        "120[1]": ("failed", "did not come to its end"),
        "120[2]": ("running", ""),
    },
    "openpbs23_never.txt": {
        "107": ("running", ""),
        "108": ("running", ""),
        "110": ("failed", "Can Never Run: Insufficient amount of resource: mem (R: 4tb A: 190gb T: 190gb)"),
        "112": ("failed", "too many failed attempts"),
    },
    "pbspro2021.json": {
        "201": ("failed", "not trusted"),
        "202": ("failed", "status 1"),
        "203": ("running", ""),
        "204": ("running", ""),
    },
    "pbspro2021.txt": {
        "201": ("failed", "not trusted"),
        "202": ("failed", "status 1"),
        "203": ("running", ""),
        "204": ("running", ""),
    },
    "torque4.txt": {
        "301": ("failed", "not trusted"),
        "302": ("failed", "killed by PBS: walltime 00:01:00 exceeded"),
        "303": ("running", ""),
        "304": ("running", ""),
    },
    "torque6.txt": {
        "401": ("failed", "not trusted"),
        "402": ("failed", "killed by PBS: memory 2000mb exceeded"),
        "403": ("running", ""),
        "404": ("running", ""),
        "405": ("failed", "deleted, or ended by PBS"),
    },
    "slurm.txt": {"501": ("running", ""), "502": ("failed", "deleted, or ended by PBS")},
}


def said(name: str) -> str:
    return (DATA / name).read_text()


@pytest.mark.parametrize("name", EXPECTED)
def test_answers_of_every_pbs(name):
    """No file is a success here, whatever PBS says: the scripts left no status."""
    found = {}
    for job, facts in pbs.parse(said(name)).items():
        known = pbs.learn({}, [job], pbs.Answer({job: facts}, frozenset()), now=1000)
        verdict = pbs.decide(None, known["jobs"][job], silent=0, now=1001 + pbs.GRACE)
        text = ""
        if verdict.word == "failed":
            text = pbs.phrase(verdict.cause, ended=None, job=facts, log="", rule="detect")
        found[job] = (verdict.word, text)
    assert {job: word for job, (word, _) in found.items()} == {job: word for job, (word, _) in EXPECTED[name].items()}
    for job, (_, part) in EXPECTED[name].items():
        assert part in found[job][1], job


@pytest.mark.parametrize("name", EXPECTED)
def test_a_status_that_a_script_left_counts_alone(name):
    for facts in pbs.parse(said(name)).values():
        seen = {"job": list(facts), "lost": 0}
        assert pbs.decide(0, seen, silent=0, now=1e6).word == "success"
        assert pbs.decide(3, seen, silent=0, now=1e6) == ("failed", "ended")


def test_time_of_grace_begins_when_pbs_loses_a_job():
    running = pbs.Answer({"1": pbs.Job("R")}, frozenset())
    gone = pbs.Answer({}, frozenset({"1"}))
    known = pbs.learn({}, ["1"], running, now=0)
    for now in (50_000, 50_000 + pbs.GRACE):  # long after its submission
        known = pbs.learn(known, ["1"], gone, now)
        assert pbs.decide(None, known["jobs"]["1"], silent=0, now=now).word == "running"
    assert pbs.decide(None, known["jobs"]["1"], silent=0, now=50_001 + pbs.GRACE) == ("failed", "gone")
    back = pbs.learn(known, ["1"], running, now=60_000)
    assert pbs.decide(None, back["jobs"]["1"], silent=0, now=1e9).word == "running", "requeued, or the answer was wrong"


@pytest.mark.parametrize(
    ("status", "out", "err", "gone"),
    [
        (153, "", "openpbs23_unknown.err", {"101", "102"}),
        (153, "", "torque_unknown.err", {"301"}),
        (153, "", "", {"101", "102", "301"}),  # SLURM's imitation
        (35, "", "qstat: 101.head Job has finished, use -x or -H to obtain historical job information", {"101"}),
    ],
)
def test_gone_is_what_pbs_calls_unknown(status, out, err, gone):
    answer = pbs.understand(status, out, said(err) if err.endswith(".err") else err, asked=["101", "102", "301"])
    assert answer == ({}, gone)


@pytest.mark.parametrize("name", ["away.err", "host_unknown.err", "busy.err"])
def test_a_server_out_of_reach_says_nothing(name):
    assert pbs.understand(1, "", said(name), asked=["101"]) is None
    assert pbs.UNREACHABLE.search(said(name))
    known = pbs.learn({"jobs": {"101": {"job": None, "lost": None}}, "asked": 0}, ["101"], None, now=10)
    assert known["jobs"]["101"]["lost"] is None and known["failures"] == 1


def test_silence_counts_while_it_is_asked_into():
    known = pbs.learn({}, ["1"], None, now=0)
    for now in range(300, 3001, 300):
        known = pbs.learn(known, ["1"], None, now)
    assert known["silent"] == 0 and known["failures"] == 11
    assert pbs.learn(known, ["1"], None, now=1e6)["silent"] == 1e6, "nobody asked for days"
    seen = {"job": ["R", None, "", {}, {}], "lost": None}
    assert pbs.decide(None, seen, silent=pbs.PATIENCE, now=0).word == "running"
    assert pbs.decide(None, seen, silent=pbs.PATIENCE + 1, now=0) == ("failed", "silent")


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("=>> PBS: job killed: walltime 73 exceeded limit 60", "killed by PBS: walltime 00:01:00 exceeded"),
        ("=>> PBS: job killed: mem 2101248kb exceeded limit 2048000kb", "killed by PBS: memory 2048000kb exceeded"),
        ("=>> PBS: job killed: ncpus 4.2 exceeded limit 1 (sum)", "killed by PBS: cores 1 exceeded"),
        (
            "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026 DUE TO TIME LIMIT ***",
            "killed by PBS: walltime 00:10:00 exceeded",
        ),
        ("Cgroup mem limit exceeded: …", "killed by PBS: memory exceeded"),
        ("nothing", "PBS no longer knows the job"),
    ],
)
def test_where_the_history_is_off_the_log_tells_why(log, words):
    requested = {} if "PBS" in log else {"walltime": "00:10:00"}
    text = pbs.phrase("gone", ended=None, job=pbs.Job("R"), log=log, rule="detect", requested=requested)
    assert words in text
    assert ("detect under set-resources" in text) == (words.split()[3] in ("walltime", "memory"))


def test_a_folded_comment_is_one_and_variables_are_no_attributes():
    assert pbs.parse(said("openpbs23_never.txt"))["110"].comment.endswith("A: 190gb T: 190gb)")
    assert pbs.parse(said("pbspro2021.txt")) == pbs.parse(said("pbspro2021.json"))
    assert pbs.parse(said("pbspro2021_broken.json")) is None


# The script.


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ["TERM", "HUP", "KILL"])
def test_a_killed_script_leaves_no_status(tmp_path, shell, name):
    """On the whole session, as PBS does it; the last command before was a good one."""
    process = started(tmp_path, SHELLS[shell], "true; touch begun; sleep 60; true")
    wait_for(tmp_path / "begun")
    os.killpg(process.pid, signal.Signals[f"SIG{name}"])
    assert process.wait(10) != 0
    time.sleep(0.05)
    assert not (tmp_path / "t.exit").exists()
    assert (tmp_path / "t.begun").read_text() == "12.head\n"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("body", "status"), [("true", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("cat", 0), ("exit 0", 0)]
)
def test_a_script_that_ends_leaves_its_status_once(tmp_path, shell, body, status):
    assert started(tmp_path, SHELLS[shell], f"echo x >> runs; sh -c '{body}'").wait(10) == status
    assert (tmp_path / "t.exit").read_text() == f"{status}\n"
    assert started(tmp_path, SHELLS[shell], "echo x >> runs").wait(10) == pbs.REFUSED
    assert (tmp_path / "runs").read_text() == "x\n"
    assert (tmp_path / "t.exit").stat().st_mode & 0o777 == 0o640, "the user's umask, not PBS's"


def started(folder: Path, shell: list[str], body: str) -> subprocess.Popen:
    script = f"#!/bin/sh\ncd {folder} && {{ {body}; }} # --cores all \n"
    (folder / "t.sh").write_text(pbs.wrapped(script, 1, f"{folder}/t", 0o027))
    environment = os.environ | {"PBS_JOBID": "12.head"}
    return subprocess.Popen(
        [*shell, folder / "t.sh"], env=environment, start_new_session=True, umask=0o077, stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # also where nohup began the tests
    )  # fmt: skip


def wait_for(path: Path, timeout: float = 10) -> None:
    end = time.monotonic() + timeout
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not appear"
        time.sleep(0.02)


def test_a_script_is_held_to_its_cores(tmp_path):
    text = pbs.wrapped(job_script(tmp_path, "a"), 2, f"{tmp_path}/t", 0o022)
    assert "--cores 2 --attempt 1" in text and "'all'" not in text and "trap" not in text
    with pytest.raises(SystemExit, match="cores cannot be limited"):
        pbs.wrapped("#!/bin/sh\nsnakemake --jobs 1\n", 1, "t", 0)


# Submitting.


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The helpers at work in an empty folder, with a server that is a model. Nothing runs unless the test lets time pass."""
    monkeypatch.chdir(tmp_path)
    server = Server(Waiting())
    return jobs.Site(
        run="me", call=server.call, now=lambda: server.now, sleep=server.advance, is_running=lambda run: run == "me"
    ), server


class Waiting:
    """Jobs that never end by themselves."""

    def start(self, job, now):
        jobs.write(job.script.with_suffix(".begun"), job.id)

    def poll(self, job, now):
        return None

    def settle(self, now):
        pass

    def kill(self, job):
        return 271


def test_what_qsub_is_asked_for(site, tmp_path):
    site, server = site
    old = os.umask(0o027)
    try:
        options = jobs.Options(gpu="ngpus", queue="gpu", account="me", extra="-W group_list=x", max_mem="190gb")
        jobs.submit(site, job_script(tmp_path, "a", resources={"mem_mb": 400_000, "runtime": 95, "nodes": 2}), options)
    finally:
        os.umask(old)
    (asked,) = [words for words in server.asked if words[0] == "qsub"]
    text = " ".join(asked)
    for part in (
        "-q gpu", "-A me", "-W group_list=x", "-N w_detect", "-r n", "-j oe", "-S /bin/sh", "-W umask=0027",
        "select=2:ncpus=1:mem=194560mb", "walltime=01:35:00",
    ):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize(
    ("dialect", "gpu", "asked"),
    [
        ("pro", "ngpus", ["-l", "select=1:ncpus=2:mem=4000mb:ngpus=1", "-l", "walltime=01:35:00"]),
        ("pro", "accelerators", ["-l", "select=1:ncpus=2:mem=4000mb:accelerators=1", "-l", "walltime=01:35:00"]),
        ("torque", "gpus", ["-l", "nodes=1:ppn=2:gpus=1,mem=4000mb,walltime=01:35:00"]),
    ],
)
def test_every_pbs_is_asked_in_its_own_words(dialect, gpu, asked):
    group = {"groupid": "detect", "threads": 2, "resources": {"mem_mb": 4000, "runtime": 95, "gpu": 1, "serial": 1}}
    assert pbs.request(group, dialect, gpu) == asked


def test_a_repeated_job_has_a_log_of_its_own(site, tmp_path):
    site, server = site
    for _ in range(2):
        jobs.submit(site, job_script(tmp_path, "a"), jobs.Options())
        server.end(next(job for job in server.jobs.values() if job.state == "Q"), "deleted")
        for record in jobs.live(site):
            jobs.close(site, record, pbs.Verdict("failed"))
    first, second = (job.log for job in server.jobs.values())
    assert first != second and first.parent == tmp_path / "results" / "logs" / "pbs"


@pytest.mark.parametrize("kind", ["away", "host unknown", "hangs"])
def test_a_server_that_is_away_is_asked_for_minutes(site, tmp_path, kind):
    site, server = site
    server.faults = [(0, 400, kind)]
    assert jobs.submit(site, job_script(tmp_path, "a"), jobs.Options()) == "1.head"
    assert server.now >= 400
    server.faults = [(0, 1e9, kind)]
    with pytest.raises(SystemExit, match="could not be reached for 10 minutes"):
        jobs.submit(site, job_script(tmp_path, "b"), jobs.Options())
    assert len(jobs.live(site)) == 1


def test_a_job_that_was_taken_unheard_does_not_run_beside_the_next(site, tmp_path):
    site, server = site
    server.faults = [(0, 60, "deaf")]
    job = jobs.submit(site, job_script(tmp_path, "a"), jobs.Options())
    assert job == "2.head" and len(server.jobs) == 2
    assert server.jobs["1.head"].script == server.jobs["2.head"].script, "one script, which runs once"


def test_a_refused_submission_says_what_qsub_said(site, tmp_path):
    site, server = site
    resources = {"gpu": 1}
    with pytest.raises(SystemExit, match="Unknown resource: ngpus"):
        jobs.submit(site, job_script(tmp_path, "a", resources=resources), jobs.Options())
    assert server.now == 0 and jobs.live(site) == []


def test_gpus_are_tried_before_any_job(site, tmp_path):
    site, server = site
    script = job_script(tmp_path, "a").replace("--cores", "--set-resources base64//dHJhaW46Z3B1PTE= --cores")
    for _ in range(2):
        with pytest.raises(
            SystemExit, match=r"train:gpu=1.*Unknown resource: ngpus.*--gpu in the profile, or set gpu: 0"
        ):
            jobs.submit(site, script, jobs.Options())
    assert [words[0] for words in server.asked] == ["qsub", "pbsnodes"], "asked once per run"
    server.gpus = 2
    job = jobs.submit(site._replace(run="next", is_running="next".__eq__), script, jobs.Options())
    assert {name: found.state for name, found in server.jobs.items()} == {"1.head": "F", job: "Q"}, (
        "the trial is deleted"
    )
    server.gpus = 0
    none = script.replace("dHJhaW46Z3B1PTE=", "dHJhaW46Z3B1PTA=")
    assert jobs.submit(site._replace(run="third", is_running="third".__eq__), none, jobs.Options()), "train:gpu=0"


# Watching.


def test_one_question_for_all_jobs(site, tmp_path):
    site, server = site
    made = [jobs.submit(site, job_script(tmp_path, name), jobs.Options()) for name in "abc"]
    server.advance(100)
    server.asked.clear()
    assert [jobs.status(site, job)[0] for job in made] == ["running"] * 3
    assert server.asked == [["qstat", "-x", "-f", "-F", "json", *made]]


def test_a_hanging_qstat_is_asked_ever_less(site, tmp_path):
    site, server = site
    made = [jobs.submit(site, job_script(tmp_path, str(name)), jobs.Options()) for name in range(20)]
    server.faults, server.asked[:] = [(0, 1e9, "hangs")], []
    start = server.now
    while server.now < start + 3600:
        assert {jobs.status(site, job)[0] for job in made} == {"running"}
        server.advance(20)
    spent = jobs.QSTAT_TIMEOUT * len(server.asked)
    assert spent < 400, f"{spent} of 3600 s"


@pytest.mark.parametrize("history", [True, False])
def test_a_vanished_job_is_noticed_with_history_or_without(site, tmp_path, history):
    site, server = site
    server.history = history
    job, other = (jobs.submit(site, job_script(tmp_path, name), jobs.Options()) for name in "ab")
    server.advance(5000)
    assert jobs.status(site, job)[0] == "running"
    server.end(server.jobs[job], "deleted")
    lost = server.now
    while (found := jobs.status(site, job))[0] == "running":
        server.advance(20)
    assert server.now - lost <= pbs.GRACE + 60
    assert found[0] == "failed" and re.search("killed by SIGTERM" if history else "no longer knows", found[1])
    assert jobs.status(site, job) == found, "once said, always said"
    assert jobs.status(site, other)[0] == "running", "others are not touched"


def test_an_old_answer_says_nothing_about_a_new_job_of_the_same_number(site, tmp_path):
    site, server = site
    site.folder.mkdir(parents=True)
    yesterday = {"asked": -80_000, "heard": -80_000, "failures": 0, "silent": -80_000}
    jobs.write(site.folder / "qstat.json", json.dumps(yesterday | {"jobs": {"1": {"job": None, "lost": -90_000}}}))
    server.faults = [(1, 500, "away")]
    job = jobs.submit(site, job_script(tmp_path, "a"), jobs.Options())
    server.advance(10)
    assert jobs.status(site, job)[0] == "running"


def test_a_job_that_can_never_run_is_named_after_the_first_question_and_deleted(site, tmp_path):
    site, server = site
    job = jobs.submit(site, job_script(tmp_path, "a", resources={"mem_mb": 10**6}), jobs.Options())
    server.advance(31)
    word, reason = jobs.status(site, job)
    assert word == "failed" and "Can Never Run" in reason and "detect under set-resources" in reason
    assert server.jobs[job].state == "F"


def test_a_job_that_pbs_never_showed_is_told_what_it_asked_for(site, tmp_path):
    """It ended between two questions, and there is no history."""
    site, server = site
    server.history = False
    script = job_script(tmp_path, "a", resources={"mem_mb": 3000})
    job = jobs.submit(site, script, jobs.Options(max_mem="2000mb", logs=str(tmp_path)))
    server.advance(60)
    server.end(server.jobs[job], "memory")
    assert jobs.status(site, job) == ("running", "")
    server.advance(pbs.GRACE + 60)
    word, reason = jobs.status(site, job)
    assert word == "failed" and reason.startswith("killed by PBS: memory 2000mb exceeded"), reason


def test_a_walltime_kill_is_named(site, tmp_path):
    site, server = site
    job = jobs.submit(site, job_script(tmp_path, "a", resources={"runtime": 1}), jobs.Options())
    server.advance(300)
    word, reason = jobs.status(site, job)
    assert word == "failed" and reason.startswith(
        "killed by PBS: walltime 00:01:00 exceeded. It is repeated with more time"
    )


# Beginning again after Snakemake was killed.


def submit_again(site, server, tmp_path, **changes):
    """Let a run submit, begin, and be killed; what the next one does with the same work."""
    first = jobs.submit(site, job_script(tmp_path, "a"), jobs.Options())
    server.advance(60)
    second = jobs.submit(
        site._replace(run="next", is_running="next".__eq__), job_script(tmp_path, "a", **changes), jobs.Options()
    )
    return first, second


def test_the_same_work_is_taken_over(site, tmp_path):
    site, server = site
    first, second = submit_again(site, server, tmp_path)
    assert first == second and len(server.jobs) == 1
    assert jobs.live(site)[0]["run"] == "next", "cancelled with the run that watches it"


@pytest.mark.parametrize("changes", [{"params": {"code": "2"}}, {"params": None}])
def test_other_work_for_the_same_results_replaces_it(site, tmp_path, changes):
    site, server = site
    first, second = submit_again(site, server, tmp_path, **changes)
    assert first != second and server.jobs[first].state == "F" and server.jobs[second].state == "Q"


def test_work_that_read_older_input_is_replaced(site, tmp_path):
    site, server = site
    (tmp_path / "in").touch()
    first = jobs.submit(site, job_script(tmp_path, "a", input=["in"]), jobs.Options())
    server.advance(60)
    os.utime(tmp_path / "in", (30, 30))
    after = site._replace(run="next", is_running="next".__eq__)
    assert jobs.submit(after, job_script(tmp_path, "a", input=["in"]), jobs.Options()) != first


def test_no_job_begins_beside_one_of_which_pbs_says_nothing(site, tmp_path):
    site, server = site
    jobs.submit(site, job_script(tmp_path, "a"), jobs.Options())
    server.advance(60)
    server.faults = [(0, 1e9, "away")]
    after = site._replace(run="next", is_running="next".__eq__)
    with pytest.raises(SystemExit, match=r"1\.head of an earlier run makes the same results"):
        jobs.submit(after, job_script(tmp_path, "a", params={"code": "2"}), jobs.Options())
    assert len(server.jobs) == 1


def test_a_job_of_a_run_that_goes_on_elsewhere_is_left_alone(site, tmp_path):
    site, server = site
    first = jobs.submit(site, job_script(tmp_path, "a"), jobs.Options())
    jobs.submit(site._replace(run="other", is_running=lambda run: True), job_script(tmp_path, "a"), jobs.Options())
    assert server.jobs[first].state == "Q"


def test_what_was_cancelled_is_not_taken_over(site, tmp_path, monkeypatch):
    """It goes on for a while after qdel; who took it over would see it fail."""
    site, server = site
    server.dying = 60
    first = jobs.submit(site, job_script(tmp_path, "a"), jobs.Options())
    server.advance(60)
    monkeypatch.setattr(jobs.subprocess, "Popen", lambda command, **_: server.call(command))
    jobs.cancel(site, [first])
    assert server.jobs[first].state == "E"
    after = site._replace(run="next", is_running="next".__eq__)
    second = jobs.submit(after, job_script(tmp_path, "a"), jobs.Options())
    assert second != first and server.jobs[first].state == "F" and server.jobs[second].state == "Q"


def test_who_outlives_its_run_submits_nothing(site, tmp_path):
    """Killed, Snakemake leaves the helper that it just started; the next run could not know what that is about to do."""
    site, server = site
    orphan = site._replace(is_running="nobody".__eq__)
    with pytest.raises(SystemExit, match=r"Snakemake has ended\."):
        jobs.submit(orphan, job_script(tmp_path, "a"), jobs.Options())
    assert not server.jobs and not jobs.live(site)


HELPER = f"import sys; sys.path.insert(0, {str(HELPERS)!r}); import jobs; print(jobs.run_name())"


def test_a_run_is_known_by_its_process(monkeypatch):
    clusters.tell_helpers_who_runs()
    name = subprocess.check_output(["sh", "-c", f'{sys.executable} -c "$0"; exit $?', HELPER], text=True).strip()
    assert name.split(":")[1] == str(os.getpid())
    assert jobs.process_runs(name)
    assert not jobs.process_runs(f"{name}0") and not jobs.process_runs(f"elsewhere{name}") and not jobs.process_runs("")
    monkeypatch.delenv("WILDAFFECT_RUN")
    lost = subprocess.run([sys.executable, "-c", HELPER], capture_output=True, text=True)
    assert lost.returncode and "WILDAFFECT_RUN is not set" in lost.stderr


def test_a_run_that_was_killed_is_none_even_for_the_helper_that_it_left():
    """The helper has another parent then, which may run for ever."""
    helper = ["sh", "-c", f'sleep 0.3; {sys.executable} -c "$0"', HELPER]
    parent = f"import os, subprocess; os.environ['WILDAFFECT_RUN'] = str(os.getpid()); subprocess.Popen({helper!r})"
    name = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    assert name.split(":")[1].isdigit() and not jobs.process_runs(name)


# The programs.


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a program of this name before all others; it appends its arguments to <name>.log."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)

    def make(name: str, body: str) -> Path:
        log = tmp_path / f"{name}.log"
        (folder / name).write_text(f'#!/bin/sh\necho "$@" >> {log}\n{body}\n')
        (folder / name).chmod(0o755)
        return log

    return make


def run(program: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"WILDAFFECT_RUN": str(os.getpid())}
    return subprocess.run(
        [sys.executable, HELPERS / program, *arguments], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(("body", "expected"), [("true", "success"), ("exit 3", "failed")])
def test_from_submission_to_the_end(stand_in, tmp_path, body, expected):
    stand_in("qsub", 'for last; do :; done; PBS_JOBID=77.head sh "$last" >/dev/null 2>&1; echo 77.head')
    asked = stand_in("qstat", "exit 1")
    (tmp_path / "job.sh").write_text(job_script(tmp_path, "a", body=body))
    done = run("submit", "--queue", "gpu", str(tmp_path / "job.sh"))
    assert done.stdout == "77.head\n", done.stderr
    done = run("status", "77.head")
    assert done.stdout == f"{expected}\n"
    assert not asked.exists(), "what the script left is enough"


def test_a_refusal_is_an_error_with_the_words_of_qsub(stand_in, tmp_path):
    stand_in("qsub", "echo 'qsub: Unknown queue' >&2; exit 170")
    (tmp_path / "job.sh").write_text(job_script(tmp_path, "a"))
    done = run("submit", str(tmp_path / "job.sh"))
    assert done.returncode and "Unknown queue" in done.stderr and not done.stdout


def test_a_missing_qstat_or_a_damaged_record_does_not_end_the_run(stand_in, tmp_path):
    stand_in("qsub", "echo 1.head")
    stand_in("qstat", "exit 127")
    (tmp_path / "job.sh").write_text(job_script(tmp_path, "a"))
    run("submit", str(tmp_path / "job.sh"))
    assert run("status", "1.head").stdout == "running\n"
    next(Path(".snakemake/pbs").glob("*-*.json")).write_text("{")
    done = run("status", "1.head")
    assert (done.returncode, done.stdout) == (0, "running\n") and "cannot tell" in done.stderr


def test_a_failure_is_explained_on_standard_error(stand_in, tmp_path):
    stand_in("qsub", "echo 103.head")
    stand_in("qstat", f"cat {DATA}/openpbs23.json")
    (tmp_path / "job.sh").write_text(job_script(tmp_path, "a"))
    run("submit", str(tmp_path / "job.sh"))
    done = run("status", "--refresh", "0", "103.head")
    assert done.stdout == "failed\n" and "PBS job 103.head: killed by PBS: walltime 00:01:00 exceeded" in done.stderr


def test_cancel_takes_several_jobs_and_returns_at_once(stand_in, tmp_path):
    log = stand_in("qdel", "sleep 5")
    started = time.monotonic()
    assert run("cancel", "1.head", "2.head").returncode == 0
    assert time.monotonic() - started < 4
    wait_for(log)
    assert log.read_text() == "1.head 2.head\n"


def test_a_cancelled_job_does_not_run_even_if_qdel_does_not_get_through(stand_in, tmp_path):
    stand_in("qsub", "echo 1.head")
    stand_in("qdel", "exit 1")
    (tmp_path / "job.sh").write_text(job_script(tmp_path, "a", body="touch made"))
    run("submit", str(tmp_path / "job.sh"))
    run("cancel", "1.head")
    (script,) = Path(".snakemake/pbs").glob("*.sh")
    assert subprocess.run(["sh", script]).returncode == pbs.REFUSED
    assert not Path("made").exists()


def test_the_helpers_run_on_the_python_of_old_login_nodes():
    for file in HELPERS.iterdir():
        if file.suffix in ("", ".py") and file.is_file():
            ast.parse(file.read_text(), feature_version=(3, 8))
            assert file.suffix or os.access(file, os.X_OK)
