"""The demo on a real SLURM: the same numbers as on one machine, and nothing lost whatever breaks on the way."""

import re
import signal
import sys
import time

import pytest
import torch

from cluster.conftest import assert_same_tables, finish
from support.pipeline import run_workflow
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


@pytest.mark.faults
def test_an_absent_controller_and_a_preempted_job_lose_nothing(cluster, local, project, start):
    """No answer is no end; a job that is preempted and not requeued is repeated."""
    run = start("slurm")
    until(lambda: cluster.jobs("RUNNING"), 300, "nothing runs")
    cluster.stop_controller()
    time.sleep(30)
    cluster.start_controller()
    assert run.poll() is None, (project / "run.log").read_text()[-5000:]
    before = set(cluster.jobs("PREEMPTED"))
    until(lambda: cluster.jobs("RUNNING"), 300, "nothing runs any more")
    urgent = [
        "--partition=urgent",
        "--nodes=2",
        "--exclusive",
        "--mem=32000",
        "--time=5",
        "--output=/dev/null",
        "--wrap=sleep 5",
    ]
    cluster.run("sbatch", *urgent)
    lost = until(lambda: set(cluster.jobs("PREEMPTED")) - before, 60, "nothing was preempted")
    text = finish(run, project)
    assert all(f"SLURM job {job} ended: PREEMPTED" in text for job in lost)
    assert_same_tables(local, project)


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
