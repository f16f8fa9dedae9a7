"""Small workflows through the PBS profile and Snakemake's own executor, on a simulated PBS that starts real shells."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml

from support.pbs import HELPERS, Processes, Server, commands
from support.pipeline import ROOT
from support.slurm import until

SHELLS = (("dash",), ("bash",), ("bash", "--posix"))
# Two batches of two videos, a training; a lock tells of two copies side by side, whoever was killed before.
SNAKEFILE = """
import sys
sys.path[:0] = [{rules!r}, {scripts!r}]
from clusters import cancel_all_jobs, cancel_jobs_on_sigterm, tell_helpers_who_runs
from records import keep_records
keep_records("out")
tell_helpers_who_runs()
cancel_jobs_on_sigterm()
cancel_all_jobs()
RATE = config.get("rate", 1)

rule all:
    input: expand("out/{{i}}.b", i=range(4)), "out/trained"
rule cut:
    output: "out/{{i}}.a"
    params: rate=RATE
    resources: serial=1, mem_mb=100, runtime=1
    shell: "sh work {{output}} 0.2 {{params.rate}}"
rule join:
    input: "out/{{i}}.a"
    output: "out/{{i}}.b"
    params: rate=RATE
    resources: serial=1, mem_mb=100, runtime=1
    shell: "sh work {{output}} 0.2 {{params.rate}}"
rule train:
    output: "out/trained"
    params: rate=RATE
    resources: mem_mb=100, runtime=1
    shell: "sh work {{output}} {{resources.seconds}} {{params.rate}}"
"""
WORK = """
exec 9> "lock.$(basename "$1")"
flock -n 9 || echo "twice $1" >> journal
echo "begin $1 $PBS_JOBID" >> journal
sleep "$2"
echo "$3" > "$1.part" && mv "$1.part" "$1"
echo "end $1 $PBS_JOBID" >> journal
"""


@pytest.fixture
def project(tmp_path) -> Path:
    """The profile as it is, but for its groups, its place and its patience."""
    folder = tmp_path / "project"
    helpers = folder / "workflow" / "profiles" / "pbs"
    shutil.copytree(HELPERS, helpers, ignore=shutil.ignore_patterns("__pycache__"))
    for name, value in (
        ("GRACE = 120", "GRACE = 3"),
        ("QSTAT_TIMEOUT, ", "QSTAT_TIMEOUT, "),
        ("LONGEST_PAUSE = 300", "LONGEST_PAUSE = 2"),
    ):
        for file in helpers.glob("*.py"):
            file.write_text(file.read_text().replace(name, value))
    profile = yaml.safe_load((HELPERS / "profile.yaml").read_text())
    profile["cluster-generic-status-cmd"] += " --refresh 0.5"
    profile |= {
        "groups": {"cut": "faces", "join": "faces"},
        "group-components": {"faces": 2},
        "seconds-between-status-checks": 1,
    }
    profile |= {"set-resources": {"train": {"seconds": 1}}, "latency-wait": 3, "max-jobs-per-timespan": "100/1s"}
    (helpers / "profile.yaml").write_text(yaml.safe_dump(profile))
    (folder / "Snakefile").write_text(
        SNAKEFILE.format(rules=str(ROOT / "workflow" / "rules"), scripts=str(ROOT / "scripts"))
    )
    (folder / "work").write_text(WORK)
    return folder


class Run:
    """Snakemake at work in a project on a server."""

    def __init__(self, project: Path, server: Server, programs: Path) -> None:
        self.project, self.server, self.programs = project, server, programs
        self.log = project / "run.log"

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "workflow/profiles/pbs", *arguments]
        environment = os.environ | {"PATH": f"{self.programs}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
        with self.log.open("a") as log:
            return subprocess.Popen(
                command, cwd=self.project, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, umask=0o022,
                # A shell that runs the tests in the background lets its children ignore Ctrl-C.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip

    def run(self, *arguments: str, status: int = 0) -> str:
        """What a whole run printed."""
        before = len(self.log.read_text()) if self.log.exists() else 0
        found = self.start(*arguments).wait(180)
        text = self.log.read_text()[before:]
        assert found == status, text[-5000:]
        return text

    def kill(self, process: subprocess.Popen) -> None:
        """kill -9, and what the user does before the next start."""
        process.kill()
        process.wait()
        self.run("--unlock")

    def journal(self, word: str) -> list[str]:
        path = self.project / "journal"
        return re.findall(rf"^{word} (\S+)", path.read_text() if path.exists() else "", re.MULTILINE)

    def begun(self, name: str) -> bool:
        return f"out/{name}" in self.journal("begin")

    def job_of(self, name: str):
        """The job that last began to make a result."""
        path = self.project / "journal"
        return self.server.jobs[re.findall(rf"^begin out/{name} (\S+)", path.read_text(), re.MULTILINE)[-1]]

    def check(self, rate: int = 1) -> None:
        """All results are those of a job that finished, and nothing ran twice at the same time."""
        assert not self.journal("twice")
        made = {str(path.relative_to(self.project)): path for path in (self.project / "out").glob("[!.]*")}
        assert len(made) == 9 and set(made) <= set(self.journal("end"))
        assert {path.read_text() for path in made.values()} == {f"{rate}\n"}
        assert {path.stat().st_mode & 0o777 for path in made.values()} == {0o644}, "the user's umask"
        assert "Nothing to be done" in self.run("-n", "--config", f"rate={rate}")


@contextmanager
def on_pbs(project: Path, *shell: str, **options) -> Iterator[Run]:
    server = Server(Processes(*shell), **options)
    with commands(server, project.parent / "bin") as programs:
        yield Run(project, server, programs)


def slow_training(seconds: float) -> tuple[str, str]:
    return "--set-resources", f"train:seconds={seconds}"


def test_a_killed_job_leaves_old_results_old(project):
    """Where sh is bash, PBS keeps no history, and nothing is repeated: the second run makes what the first did not."""
    with on_pbs(project, "bash", history=False) as run:
        (project / "out").mkdir()
        for name in (*(f"{i}.{end}" for i in range(4) for end in "ab"), "trained"):
            (project / "out" / name).write_text("0\n")
        run.run("--touch", "--forceall", "--config", "rate=0")
        first = run.start("--retries", "0", *slow_training(30))
        until(lambda: run.begun("trained"), 60, "no training")
        run.server.end(run.job_of("trained"), "walltime")
        assert first.wait(120) == 1
        text = run.log.read_text()
        assert "PBS no longer knows the job" in text and "out/trained" not in run.journal("end")
        assert "train" in run.run("-n"), "it is still to be made"
        run.run()
        run.check()


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("history", [True, False])
def test_every_shell_with_history_and_without(project, shell, history):
    with on_pbs(project, *shell, history=history) as run:
        first = run.start(*slow_training(5))
        until(lambda: run.begun("trained"), 60, "no training")
        run.server.end(run.job_of("trained"), "memory")
        assert first.wait(120) == 0, run.log.read_text()[-5000:]
        assert "killed by PBS: memory 100mb exceeded. It is repeated with more memory" in run.log.read_text()
        run.check()


@pytest.mark.slow
def test_a_killed_snakemake_finds_its_training_again_and_replaces_its_batches(project):
    with on_pbs(project) as run:
        first = run.start(*slow_training(15))
        until(lambda: run.begun("trained") and run.journal("end"), 60, "nothing runs")
        run.kill(first)
        assert any(job.state == "R" for job in run.server.jobs.values()), "killed as it was, it could cancel nothing"
        run.run(*slow_training(15))
        run.check()
        assert run.journal("begin").count("out/trained") == 1, "taken over"


@pytest.mark.slow
def test_a_training_with_other_parameters_is_not_taken_over(project):
    with on_pbs(project) as run:
        first = run.start(*slow_training(20))
        until(lambda: run.begun("trained"), 60, "nothing runs")
        run.kill(first)
        run.run("--config", "rate=2")
        run.check(rate=2)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_all_jobs(project, number):
    with on_pbs(project) as run:
        first = run.start(*slow_training(60))
        until(lambda: run.begun("trained"), 60, "nothing runs")
        first.send_signal(number)
        assert first.wait(60) != 0
        until(lambda: all(job.state == "F" for job in run.server.jobs.values()), 20, "jobs are left")
        assert run.server.now < 60, "nobody waited for the training"
        run.run()
        run.check()


@pytest.mark.slow
def test_gpus_that_the_site_does_not_have_are_named_before_any_job(project):
    with on_pbs(project) as run:
        text = run.run("--set-resources", "train:gpu=1", "train:seconds=1", status=1)
        assert "PBS takes no such job: qsub: Unknown resource: ngpus" in text and not run.server.jobs


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_random_schedules_through_snakemake(project, seed):
    """Jobs are killed, the server is away, Snakemake is killed or ended: the results are those of finished jobs, once."""
    dice = random.Random(seed)
    faults = [(start := dice.uniform(3, 20), start + dice.choice([2, 6]), dice.choice(["away", "host unknown"]))]
    settings = {"history": dice.random() < 0.5, "accounting": dice.choice([0, 2]), "dying": dice.choice([0, 1])}
    with on_pbs(project, *dice.choice(SHELLS), faults=faults, **settings) as run:
        process = run.start("--retries", "5", *slow_training(4))
        for _ in range(200):
            time.sleep(dice.uniform(0.5, 3))
            if process.poll() is not None:
                break
            chance = dice.random()
            running = [job for job in run.server.jobs.values() if job.state == "R"]
            if chance < 0.15 and running:
                run.server.end(dice.choice(running), dice.choice(["deleted", "memory"]))
            elif chance < 0.22 and run.server.now < 40:
                process.send_signal(dice.choice([signal.SIGTERM, signal.SIGINT]))
                run.kill(process) if dice.random() < 0.5 else process.wait()
                process = run.start("--retries", "5", *slow_training(4))
        if process.wait(120):
            run.run()
        run.check()
