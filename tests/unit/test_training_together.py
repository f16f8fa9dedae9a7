"""Two processes (gloo, CPU) train as one does with the same batch."""

import os
import subprocess
import sys

import pytest
import torch

from support.together_systems import CASES
from wildaffect import job, systems
from wildaffect.errors import InputError
from wildaffect.training.runtime import processes
from wildaffect.workflow.settings import trained_here


@pytest.mark.parametrize("batch", [7, 1])
def test_two_processes_train_as_one(root, tmp_path, batch):
    """Batches of 7, 7, 7 and 3 rows, so shares are uneven; losses masked over the whole batch; a phase with a frozen layer."""
    script = str(root / "tests" / "support" / "together.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", job.WORKER: "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    found = {}
    for name, start in (("one", []), ("two", launcher)):
        output = tmp_path / f"{name}.pt"
        done = subprocess.run(
            [sys.executable, *start, script, str(output), str(batch)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-4000:]
        found[name] = torch.load(output)
    assert (found["one"]["processes"], found["two"]["processes"]) == ((1, 1), (1, 2))
    for one, two in zip(found["one"]["history"], found["two"]["history"], strict=True):
        assert one == pytest.approx(two, rel=1e-5)
    for key, value in found["one"]["best"].items():
        torch.testing.assert_close(found["two"]["best"][key], value, rtol=1e-4, atol=1e-6)
    start = torch.load(tmp_path / "one.pt")["history"]
    assert start[0]["train_loss"] > start[-1]["train_loss"], "nothing was learnt, so nothing was compared"


@pytest.fixture(scope="module")
def every_system(root, tmp_path_factory):
    """Short trainings of all systems by one process and by two; batches are such that the two have uneven parts."""
    script = str(root / "tests" / "support" / "together_systems.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", job.WORKER: "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    found, folder = [], tmp_path_factory.mktemp("together")
    for number, start in enumerate(([], launcher)):
        output = folder / f"{number}.pt"
        done = subprocess.run(
            [sys.executable, *start, script, str(output)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-4000:]
        found.append(torch.load(output))
    return found


def test_every_system_is_tried():
    assert {next(name for name in systems.available() if case.startswith(name)) for case in CASES} == {*trained_here()}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_every_system_as_one(every_system, case):
    """Losses, weights and the statistics of batch norms after all steps; frozen norms too. In float64."""
    one, two = (found[case] for found in every_system)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["moved"] > 1e-5, "nothing was learnt, so nothing was compared"
    for losses in zip(one["losses"], two["losses"], strict=True):
        assert losses[1] == pytest.approx(losses[0], rel=1e-8)
    assert one["end"].keys() == two["end"].keys()
    for key, value in one["end"].items():
        torch.testing.assert_close(
            two["end"][key], value, rtol=1e-7, atol=1e-8, msg=lambda text, key=key: f"{key}: {text}"
        )


def test_a_process_of_its_own_is_alone_even_within_a_job_of_many(monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", job.WORKER):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    assert processes() == (1, 1)
    monkeypatch.setenv(job.WORKER, "1")
    assert processes() == (2, 2)
    monkeypatch.setenv("SLURM_NTASKS", "3")
    with pytest.raises(InputError, match="multiple of nodes"):
        processes()


def test_several_nodes_need_a_scheduler(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv(job.WORKER, raising=False)
    assert job.launch_processes(1) is False
    with pytest.raises(InputError, match="no SLURM job"):
        job.launch_processes(4, nodes=2)


def test_srun_is_asked_for_tasks_and_nodes(monkeypatch, tmp_path):
    """On two nodes; only what would be started is looked at."""
    called = {}
    monkeypatch.delenv(job.WORKER, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setattr(job.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(job.sys, "argv", ["job.py"])
    monkeypatch.setattr(
        job.subprocess,
        "run",
        lambda command, env: called.update(command=command, env=env) or type("Done", (), {"returncode": 0}),
    )
    assert job.launch_processes(4, nodes=2)
    command = called["command"]
    assert command[0] == "srun" and {"--ntasks=4", "--nodes=2", "--overlap"} <= set(command) and command[-1] == "job.py"
    assert called["env"][job.WORKER] == "1"
