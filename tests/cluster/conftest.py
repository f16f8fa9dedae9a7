"""One cluster, one small corpus and one local run of it, which all tests here compare with."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support import slurm
from support.pipeline import TINY_DEMO, TINY_RECIPE, copy_project, run_workflow, write_config

# Five videos and two trainings, as every test here runs all of it.
DEMO = TINY_DEMO | {
    "corpus": {"layout": "demo", "demo": {"subjects": 6, "seconds": 2, "seed": 1}},
    "systems": {"lfan": {"targets": ["valence"], "variants": ["unimodal"], "recipe": TINY_RECIPE}},
}
FAST = {
    "slurm": ("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10"),
    "pbs": ("--seconds-between-status-checks", "2", "--latency-wait", "10"),
}
TABLES = ("*.parquet", "*.csv", "*.npy", "*.arrow", "*.flac", "*.safetensors", "submissions/**/*.txt")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[slurm.Slurm]:
    """A running SLURM that programs started from here find."""
    if slurm.missing() or os.getuid() != 0:
        pytest.fail(
            f"cluster tests need root and {', '.join(slurm.missing()) or 'nothing else'}: run `make test-cluster`"
        )
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as running, pytest.MonkeyPatch.context() as patch:
        for name in ("SLURM_CONF", "PATH"):
            patch.setenv(name, running.environment[name])
        yield running


@pytest.fixture(scope="session")
def local(tmp_path_factory) -> Path:
    """Project folder of a finished local run."""
    project = copy_project(tmp_path_factory.mktemp("local"))
    outcome = run_workflow(project, write_config(project / "tiny.yaml", DEMO))
    assert outcome.status == 0, outcome.text[-5000:]
    return project


@pytest.fixture
def project(tmp_path) -> Path:
    """A fresh copy of the project, its profiles set up for this cluster as a user would do it."""
    folder = copy_project(tmp_path / "project")
    write_config(folder / "tiny.yaml", DEMO)
    for profile in (folder / "workflow" / "profiles").glob("*/profile.yaml"):
        profile.write_text(profile.read_text().replace("gpu: 1", "gpu: 0").replace("--dialect pro", "--dialect torque"))
    for program in ("submit", "status", "cancel"):
        (folder / "workflow" / "profiles" / "pbs" / program).chmod(0o755)
    return folder


@pytest.fixture
def start(project, cluster) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start the workflow through a profile and go on; what it prints is in run.log of the project."""
    running = []

    def begin(profile: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml", *FAST[profile]]
        with (project / "run.log").open("w") as log:
            process = subprocess.Popen(
                [*command, "--workflow-profile", f"workflow/profiles/{profile}", *arguments],
                cwd=project, stdout=log, stderr=subprocess.STDOUT,
                # A shell that runs the tests in the background lets its children ignore Ctrl-C.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()
    for job in cluster.jobs():
        cluster.run("scancel", job)
    cluster.wait_until_empty()
    shutil.rmtree(project, ignore_errors=True)


def finish(process: subprocess.Popen, project: Path) -> str:
    """Wait for the end of a run, which must be a good one; what it printed."""
    status = process.wait(timeout=840)
    text = (project / "run.log").read_text()
    assert status == 0, text[-6000:]
    return text


def assert_same_tables(local: Path, project: Path) -> None:
    """Every table and array of two runs is the same, byte for byte; temporary files of killed jobs and kept states are no results."""
    first, second = (
        {
            path.relative_to(folder / "results"): path.read_bytes()
            for pattern in TABLES
            for path in (folder / "results").rglob(pattern)
            # The first holds seconds; kept states are named by the times of files.
            if path.name != "history.csv" and ".partial" not in path.name and "state" not in path.parts
        }
        for folder in (local, project)
    )
    assert len(first) > 30 and first.keys() == second.keys(), first.keys() ^ second.keys()
    assert [str(name) for name in first if first[name] != second[name]] == []
