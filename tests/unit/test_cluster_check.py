"""What `wildaffect doctor --cluster` finds on simulated clusters."""

import os
import time

import pytest

from support.pbs import Processes, Server, commands
from wildaffect.cli import main
from wildaffect.cluster_check import check_cluster

CONFIG = """\
AccountingStorageType   = accounting_storage/{accounting}
MinJobAge               = {memory} sec
PreemptMode             = REQUEUE
PreemptType             = preempt/{preemption}
"""
SBATCH = """
for word; do case "$word" in --output=*) output=${word#--output=};; --wrap=*) wrap=${word#--wrap=};; esac; done
sh -c "$wrap" > "$output" 2>&1
echo 7
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to call from, and its programs before all others."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "bin"


def found(kind: str, wait: float = 30) -> dict[str, tuple[bool, str]]:
    return {part: (passed, detail) for part, passed, detail in check_cluster(kind, wait)}


def test_a_pbs_as_it_comes(place):
    server = Server(Processes("bash"), history=False, largest=191_000)
    with commands(server, place):
        parts = found("pbs")
        (job,) = server.jobs.values()
        began = time.monotonic()
        while job.state != "F" and time.monotonic() - began < 10:
            time.sleep(0.05)  # its script has left its status, its shell has not ended yet
    assert all(passed for passed, _ in parts.values()), parts
    assert parts["server"][1] == "PBS 23.06.06, which speaks the dialect pro"
    assert "off" in parts["history"][1] and "workq" in parts["queues"][1]
    assert "16 cores and 186 GB; GPUs: none" in parts["nodes"][1]
    assert parts["umask"][1].endswith("here and in the job")
    assert (
        parts["profile"][1]
        == "--dialect pro --max-mem 186gb; no node has GPUs, so gpu: 0 for all rules under set-resources"
    )
    assert job.exit == 0
    assert list((place.parent / "project").iterdir()) == [], "nothing is left"


def test_a_pbs_with_gpus_and_history(place):
    with commands(Server(Processes(), gpus=4), place):
        parts = found("pbs")
    assert "--gpu ngpus" in parts["profile"][1] and "remembered" in parts["history"][1]


def test_a_pbs_whose_jobs_do_not_begin(place):
    server = Server(Processes(), at_once=0)
    with commands(server, place):
        passed, detail = found("pbs", wait=2)["job"]
    assert not passed and "1.head was not over within 2 s and is deleted" in detail


def test_no_pbs(place, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(place))
    assert found("pbs") == {"server": (False, "qstat: not found in PATH. Is this a login node, and its module loaded?")}
    assert main(["doctor", "--cluster", "slurm"]) == 1
    assert (
        capsys.readouterr().out
        == "FAIL  controller: sinfo: not found in PATH. Is this a login node, and its module loaded?\n"
    )


def slurm(place, accounting: str, memory: int, preemption: str = "none", sbatch: str = SBATCH) -> None:
    place.mkdir(exist_ok=True)
    config = CONFIG.format(accounting=accounting, memory=memory, preemption=preemption)
    programs = {
        "sinfo": 'case "$1" in --version) echo slurm 22.05.8;; *) echo "main|up|1-00:00:00|48|190000|gpu:a100:4";; esac',
        "scontrol": f"cat <<'END'\n{config}END",
        "squeue": "echo PENDING Resources",
        "scancel": "true",
        "sbatch": sbatch,
    }
    for name, body in programs.items():
        (place / name).write_text(f"#!/bin/sh\n{body}\n")
        (place / name).chmod(0o755)


@pytest.mark.parametrize(
    ("accounting", "memory", "good", "command"),
    [
        ("none", 300, True, "squeue"),
        ("slurmdbd", 10, True, "sacct"),
        ("slurmdbd", 300, True, "squeue"),
        ("none", 10, False, "squeue"),
    ],
)
def test_what_slurm_remembers_decides_who_is_asked(place, accounting, memory, good, command):
    slurm(place, accounting, memory)
    parts = found("slurm")
    assert parts["history"][0] == good
    assert parts["profile"][1].startswith(f"slurm-status-command: {command};")
    assert all(parts[name][0] for name in ("controller", "partitions", "job", "umask", "scratch")), parts


def test_preemption_is_named(place):
    slurm(place, "none", 300, preemption="partition_prio")
    assert "submitted again" in found("slurm")["preemption"][1]


def test_a_slurm_whose_jobs_do_not_begin(place):
    slurm(place, "none", 300, sbatch="echo 7")
    passed, detail = found("slurm", wait=1)["job"]
    assert not passed and "PENDING Resources" in detail
