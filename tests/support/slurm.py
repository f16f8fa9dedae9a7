"""A SLURM of one node on the loopback interface, made of Debian's packages and a generated configuration in a folder of its own.

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
NODE = socket.gethostname().split(".")[0]
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={daemon}
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
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
NodeName={node} NodeAddr=127.0.0.1 CPUs=4 RealMemory=64000 Gres=gpu:1 State=UNKNOWN
PartitionName=tests Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""
"""Four pretended cores, so that two-core jobs run side by side, and a pretended GPU."""


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

    def start_node(self) -> None:
        """Start the node's daemon, after a crash as well."""
        self.run("slurmd", "-c")
        until(self._resumed, 120, "the node does not come up")

    def crash_node(self) -> None:
        """What the power cord does: the node's daemon and all that it started die at once, and SLURM notices."""
        daemon = psutil.Process(int((self.folder / "slurmd.pid").read_text()))
        steps = [p for p in psutil.process_iter(["name"]) if p.info["name"] == "slurmstepd" and self._mine(p)]
        for process in [daemon, *steps, *(child for step in steps for child in step.children(recursive=True))]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.run("scontrol", "update", f"NodeName={NODE}", "State=DOWN", "Reason=crash")

    def _mine(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.environ().get("SLURM_CONF", "").startswith(str(self.folder))
        return False

    def _resumed(self) -> bool:
        state = self._node()
        if "down" in state:
            with suppress(RuntimeError):  # it may have come up by itself in this moment, and is not resumed twice
                self.run("scontrol", "update", f"NodeName={NODE}", "State=RESUME")
        return state in ("idle", "mixed", "allocated")

    def _node(self) -> str:
        return self.run("sinfo", "--noheader", "--format=%T").strip().rstrip("*")


@contextmanager
def cluster(folder: Path) -> Iterator[Slurm]:
    """A cluster for the time of the block."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    (folder / "gres.conf").write_text(f"NodeName={NODE} Name=gpu File=/dev/null\n")
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(folder=folder, node=NODE, control=_free_port(), daemon=_free_port())
    )
    slurm = Slurm(folder, {**os.environ, **_environment(folder)})
    try:
        files = {"key-file": key.name, "socket": "munge.socket", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        slurm.run("munged", "--force", *(f"--{option}={folder / name}" for option, name in files.items()))
        slurm.run("slurmctld", "-c")
        slurm.start_node()
        yield slurm
    finally:
        for name in ("slurmd", "slurmctld", "munged"):
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
