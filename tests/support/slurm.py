"""A SLURM of two nodes on the loopback interface, made of Debian's packages and a generated configuration in a folder of its own.

No systemd, no accounting, no control groups, nothing outside the folder: it runs in a container.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol", "scancel")
NODES = ("n1", "n2")
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
KillWait=2
MinJobAge=3600
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=32000 Gres=gpu:1 State=UNKNOWN\n"
"""Pretended cores, memory and GPU: each node has a daemon of its own, and all run on this machine."""


def find(program: str) -> str | None:
    """Path of a program; Debian keeps daemons where not every PATH leads."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def missing() -> list[str]:
    """Programs that have to be installed first."""
    return [name for name in PROGRAMS if not find(name)]


def until(condition: Callable[[], Any], timeout: float, message: str) -> Any:
    """The first true value of ``condition()``."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.1)
    raise TimeoutError(message)


@dataclass
class Slurm:
    """A running cluster. ``environment`` is what its users need to find it."""

    folder: Path
    environment: dict[str, str]

    def run(self, program: str, *arguments: str) -> str:
        """Output of one program; an error if it fails."""
        command = [find(program), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def jobs(self, *states: str) -> list[str]:
        """Ids of jobs in ``states``, by default of those that wait or run."""
        wanted = ",".join(states or ("PENDING", "RUNNING", "COMPLETING"))
        return self.run("squeue", "--noheader", "--format=%i", "--states", wanted).split()

    def states(self) -> list[str]:
        """States of all jobs there ever were."""
        return self.run("squeue", "--noheader", "--format=%T", "--states=all").split()

    def wait_until_empty(self, timeout: float = 120) -> None:
        """Wait until no job waits or runs."""
        until(lambda: not self.jobs(), timeout, "jobs are still there")

    def node_of(self, job: str) -> str:
        """The node that a job runs on."""
        return self.run("squeue", "--noheader", "--format=%N", "--jobs", job).strip()

    def start_node(self, node: str) -> None:
        """Start a node's daemon, after a crash as well."""
        self.run("slurmd", "-c", "-N", node)
        until(lambda: self._resumed(node), 120, f"{node} does not come up")

    def stop_controller(self) -> None:
        """End the controller as for a restart: nothing answers, jobs go on."""
        _stop(self.folder / "slurmctld.pid")

    def start_controller(self) -> None:
        """Start the controller again, with what it knew."""
        self.run("slurmctld")
        until(self._answers, 60, "the controller does not come up")

    def _answers(self) -> bool:
        with suppress(RuntimeError):
            return bool(self.run("squeue", "--noheader") or True)
        return False

    def crash_node(self, node: str) -> None:
        """What the power cord does: the node's daemon and all that it started die at once, and SLURM notices."""
        daemon = psutil.Process(int((self.folder / f"slurmd.{node}.pid").read_text()))
        steps = [process for process in psutil.process_iter(["name"]) if process.info["name"] == "slurmstepd"]
        started = {step: step.children(recursive=True) for step in steps}
        here = [step for step, tasks in started.items() if any(self._is_on(node, task) for task in tasks)]
        for process in [daemon, *here, *(task for step in here for task in started[step])]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=crash")

    def _is_on(self, node: str, task: psutil.Process) -> bool:
        with suppress(psutil.Error):
            known = task.environ()
            return known.get("SLURM_CONF", "").startswith(str(self.folder)) and known.get("SLURMD_NODENAME") == node
        return False

    def _resumed(self, node: str) -> bool:
        state = self.run("sinfo", "--noheader", "--format=%T", "--nodes", node).strip().rstrip("*")
        if "down" in state:
            with suppress(RuntimeError):  # it may have come up by itself in this moment, and is not resumed twice
                self.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
        return state in ("idle", "mixed", "allocated")


@contextmanager
def cluster(folder: Path) -> Iterator[Slurm]:
    """A cluster for the time of the block."""
    for name in ("state", *(f"spool.{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    (folder / "gres.conf").write_text("".join(f"NodeName={node} Name=gpu File=/dev/null\n" for node in NODES))
    host = socket.gethostname().split(".")[0]
    nodes = "".join(NODE.format(name=node, host=host, port=_free_port()) for node in NODES)
    (folder / "slurm.conf").write_text(nodes + CONFIGURATION.format(folder=folder, host=host, control=_free_port()))
    slurm = Slurm(folder, {**os.environ, **_environment(folder)})
    try:
        files = {"key-file": key.name, "socket": "munge.socket", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        slurm.run("munged", "--force", *(f"--{option}={folder / name}" for option, name in files.items()))
        slurm.run("slurmctld", "-c")
        for node in NODES:
            slurm.start_node(node)
        yield slurm
    finally:
        for name in (*(f"slurmd.{node}" for node in NODES), "slurmctld", "munged"):
            _stop(folder / f"{name}.pid")


def _environment(folder: Path) -> dict[str, str]:
    """Variables by which programs find the cluster.

    The executor's inner srun loses all of SLURM's variables, SLURM_CONF too, so srun is one that knows it.
    """
    configuration, srun = folder / "slurm.conf", folder / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {find("srun")} "$@"\n')
    srun.chmod(0o755)
    return {"SLURM_CONF": str(configuration), "PATH": f"{srun.parent}:{os.environ['PATH']}"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _stop(pid_file: Path) -> None:
    with suppress(OSError, ValueError, psutil.NoSuchProcess):
        process = psutil.Process(int(pid_file.read_text()))
        process.terminate()
        process.wait(20)
