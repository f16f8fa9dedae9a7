"""Whole runs under bad conditions: without internet and home folder, with a strict umask, on full and read-only disks, interrupted."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.disks import on_disk
from support.offline import environment
from support.pipeline import SNAKEMAKE, TINY_DEMO, copy_project, run_workflow, write_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ONE_FOLD = TINY_DEMO | {"folds": {"scheme": "official"}}
RUN = [sys.executable, "-c", SNAKEMAKE, "--cores", "2", "--configfile", "tiny.yaml", "--quiet", "rules"]


@pytest.fixture
def project(tmp_path):
    folder = copy_project(tmp_path / "project")
    write_config(folder / "tiny.yaml", ONE_FOLD)
    return folder


def test_a_whole_run_needs_no_internet_and_no_home_and_follows_the_umask(project, tmp_path):
    """Snakemake keeps a cache of its own, which is placed by XDG_CACHE_HOME."""
    variables = environment(tmp_path / "site", HOME="/dev/null/home", XDG_CACHE_HOME=str(tmp_path / "cache"))
    variables.pop("ORT_DISABLE_TELEMETRY", None)
    command = [sys.executable, "-m", "support.offline", *RUN]
    done = subprocess.run(command, cwd=project, env=variables, umask=0o027, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = project / "results"
    paths = list(results.rglob("*"))
    kinds = {path.suffix for path in paths}
    assert {".safetensors", ".parquet", ".arrow", ".flac", ".npy", ".csv", ".json", ".html", ".txt", ".mp4"} <= kinds
    wrong = {
        str(path): oct(mode)
        for path in paths
        if (mode := stat.S_IMODE(path.stat().st_mode)) != (0o750 if path.is_dir() else 0o640)
    }
    assert not wrong
    assert {path.name for path in (tmp_path / "cache").iterdir()} <= {"snakemake", "matplotlib", "fontconfig"}


@pytest.mark.parametrize("size", ["300k", "900k"])
def test_a_run_on_a_full_disk_says_so_and_leaves_no_half_file(project, size):
    script = '"$@"; echo "status $?"; find results -name ".*partial*"'
    done = on_disk(project / "results", f"size={size}", ["sh", "-c", script, "sh", *RUN, "--", "media"], cwd=project)
    assert "the disk is full. Free some space and run again" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("status 1")


def test_a_run_with_results_that_cannot_be_written_says_so(project):
    done = on_disk(project / "results", "ro", RUN, cwd=project)
    text = done.stdout + done.stderr
    assert done.returncode and "results: the records of results cannot be written: the file system is read-only" in text
    assert "Traceback" not in text


def test_an_interrupted_run_shows_no_traceback_and_goes_on_later(project):
    variables = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [*RUN, "--", "media"],
        cwd=project, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background processes ignore it
    )  # fmt: skip
    until = time.monotonic() + 120
    while not list(project.glob("results/logs/render_demo_video/*.log")) and time.monotonic() < until:
        time.sleep(0.1)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    text = process.communicate(timeout=120)[0]
    # A job that was just importing its first module cannot catch it.
    text = re.sub(
        r"Traceback [^\n]*\n  File [^\n]*\n    from wildaffect\.job import stage\n.*?\nKeyboardInterrupt\n",
        "",
        text,
        flags=re.S,
    )
    assert process.returncode and "Traceback" not in text
    assert all("Traceback" not in path.read_text() for path in Path(project / "results/logs").rglob("*.log"))
    assert not list(project.glob("results/**/.*partial*"))
    again = run_workflow(project, project / "tiny.yaml", "--quiet", "rules", "--", "media")
    assert again.status == 0, again.text[-2000:]
