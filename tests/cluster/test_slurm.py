"""The demo on a real SLURM: the same numbers as on one machine, and nothing lost whatever breaks on the way."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from skimage import data

from cluster.conftest import assert_same_tables, finish
from support.media import Video, write_media
from support.pipeline import ROOT, run_workflow
from support.slurm import until
from wildaffect.cluster_check import check_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800, func_only=True)]


def test_same_tables_as_on_one_machine(cluster, local, project, start):
    text = finish(start("slurm"), project)
    assert_same_tables(local, project)
    assert not list((project / "results").rglob("*.partial*"))
    jobs = len(re.findall(r"has been submitted with SLURM jobid", text))
    done = int(re.search(r"^total +(\d+)$", text, re.MULTILINE)[1])
    assert jobs < done / 3, f"{jobs} submissions for {done} jobs: videos are not packed"
    again = run_workflow(project, project / "tiny.yaml", "-n", "--workflow-profile", "workflow/profiles/slurm")
    assert again.nothing_to_do, again.text[-3000:]
    here = run_workflow(project, project / "tiny.yaml", "-n")
    assert here.nothing_to_do, "results of the cluster must do for a local run"


@pytest.mark.faults
def test_a_crash_of_the_node_a_cancelled_job_and_a_killed_snakemake_lose_nothing(cluster, local, project, start):
    """One after the other in one run: each is survived, and the end is the same."""
    before = set(cluster.jobs("NODE_FAIL", "CANCELLED", "COMPLETED", "FAILED"))
    run = start("slurm")
    (first, *_) = until(lambda: cluster.jobs("RUNNING"), 300, "nothing runs")
    until(lambda: list((project / "results").rglob("*.mp4")), 300, "no video was rendered")
    node = cluster.node_of(first)
    cluster.crash_node(node)
    cluster.start_node(node)
    failed = until(lambda: set(cluster.jobs("NODE_FAIL")) - before, 60, "SLURM did not notice the crash")
    (job, *_) = until(lambda: set(cluster.jobs("RUNNING")) - failed, 300, "nothing was submitted again")
    cluster.run("scancel", job)
    until(lambda: set(cluster.jobs("RUNNING")) - failed - {job}, 300, "the cancelled job was not repeated")
    until(lambda: list((project / "results").rglob("detections.parquet")), 400, "no face was detected")
    assert run.poll() is None, (project / "run.log").read_text()[-5000:]
    run.send_signal(signal.SIGKILL)
    run.wait()
    for left in cluster.jobs():
        cluster.run("scancel", left)
    cluster.wait_until_empty()
    unlock = run_workflow(project, project / "tiny.yaml", "--unlock")
    assert unlock.status == 0, unlock.text
    finish(start("slurm"), project)
    assert_same_tables(local, project)


def test_own_videos_by_one_command(cluster, tmp_path):
    """`wildaffect run` in the profile that its folder brings, after the user has adapted it."""
    image = np.ascontiguousarray(data.astronaut())
    clip = write_media(tmp_path / "talk.mp4", Video([index / 25 for index in range(12)], lambda _: image))
    folder = tmp_path / "talk"
    command = [sys.executable, "-m", "wildaffect.cli", "run", str(clip), "--output", str(folder), "--profile", "slurm"]
    # The projects beside this test are copies that their jobs import by path; this folder uses what is here.
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    subprocess.run([*command, "--dry-run"], check=True, env=environment, capture_output=True)
    profile = folder / "workflow/profiles/slurm/profile.yaml"
    profile.write_text(profile.read_text().replace("gpu: 1", "gpu: 0") + "slurm-init-seconds-before-status-checks: 3\n")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "results/report/index.html").exists() and (folder / "results/tables/videos.csv").exists()
    assert "has been submitted with SLURM jobid" in (folder / "snakemake.log").read_text()


PATIENT = """
import sys
sys.path[:0] = [{rules!r}, {scripts!r}]
import clusters
clusters.GRACE = 10
clusters.complete_states_of_slurm()
rule all:
    input: expand("out/{{i}}", i=range(3))
rule wait:
    output: "out/{{i}}"
    resources: mem_mb=500, runtime=5
    shell: "sleep 40; touch {{output}}"
"""


@pytest.mark.faults
def test_an_absent_controller_and_a_preempted_job_lose_nothing(cluster, tmp_path):
    """No answer is no end; a job that is preempted and not requeued is repeated."""
    (tmp_path / "Snakefile").write_text(
        PATIENT.format(rules=str(ROOT / "workflow" / "rules"), scripts=str(ROOT / "scripts"))
    )
    options = ["--slurm-no-account", "--slurm-no-requeue", "--slurm-status-command", "squeue", "--retries", "2"]
    options += ["--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10"]
    before = set(cluster.jobs("PREEMPTED"))
    with (tmp_path / "run.log").open("w") as log:
        command = [sys.executable, "-m", "snakemake", "--executor", "slurm", "--jobs", "3", *options]
        run = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: cluster.jobs("RUNNING"), 120, "nothing runs")
        cluster.stop_controller()
        time.sleep(15)
        cluster.start_controller()
        until(lambda: cluster.jobs("RUNNING"), 60, "nothing runs any more")
        urgent = ["--partition=urgent", "--nodes=2", "--exclusive", "--mem=32000", "--time=5", "--output=/dev/null"]
        cluster.run("sbatch", *urgent, "--wrap=sleep 5")
        lost = until(lambda: set(cluster.jobs("PREEMPTED")) - before, 60, "nothing was preempted")
        status = run.wait(400)
    finally:
        run.kill()
    text = (tmp_path / "run.log").read_text()
    assert status == 0, text[-5000:]
    assert all(f"SLURM job {job} ended: PREEMPTED" in text for job in lost)


def test_doctor_finds_that_it_will_do(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts = {part: (passed, detail) for part, passed, detail in check_cluster("slurm", 60)}
    assert all(passed for passed, _ in parts.values()), parts
    assert "no accounting" in parts["history"][1] and "not requeued" in parts["preemption"][1]
    assert parts["profile"][1] == "slurm-status-command: squeue; slurm-no-account: true"


@pytest.mark.parametrize("nodes", [1, 2])
def test_srun_starts_the_processes_of_a_training(cluster, root, tmp_path, nodes):
    """As the executor does it: a job's script runs in a step of one task and starts the others beside it, or on another node."""
    output, script = tmp_path / "two.pt", root / "tests" / "support" / "together.py"
    step = f"srun -n1 --nodes=1 --cpus-per-task=1 {sys.executable} {script} {output} 7 2 {nodes}"
    # The nodes' names mean something to SLURM alone, elsewhere they are those of machines.
    asked = [f"--nodes={nodes}", "--ntasks=2", "--mem=4000", "--export=ALL,MASTER_ADDR=127.0.0.1"]
    cluster.run("sbatch", *asked, f"--output={tmp_path}/log.txt", f"--wrap={step}")
    cluster.wait_until_empty(timeout=300)
    assert output.exists(), (tmp_path / "log.txt").read_text()
    assert torch.load(output)["processes"] == (nodes, 2 // nodes)
