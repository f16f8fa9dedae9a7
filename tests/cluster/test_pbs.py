"""The demo through the PBS profile, on SLURM's imitation of Torque's commands."""

import shutil
import signal

import pytest

from cluster.conftest import assert_same_tables, finish
from support.slurm import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800, func_only=True)]


@pytest.fixture(autouse=True)
def _commands():
    if not all(map(shutil.which, ("qsub", "qstat", "qdel"))):
        pytest.fail("no qsub, qstat and qdel: run `make test-cluster`, which installs slurm-wlm-torque")


def test_same_tables_as_on_one_machine(local, project, start):
    finish(start("pbs"), project)
    assert_same_tables(local, project)


@pytest.mark.faults
def test_an_interrupted_run_cancels_its_jobs(cluster, project, start):
    run = start("pbs")
    until(lambda: cluster.jobs("RUNNING"), 300, "nothing runs")
    run.send_signal(signal.SIGINT)
    run.wait(timeout=300)
    cluster.wait_until_empty(timeout=60)
