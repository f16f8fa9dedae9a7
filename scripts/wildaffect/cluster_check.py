"""Self-check of a cluster: what its jobs meet, tried with one job of a second, and what to write into the profile."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wildaffect.errors import InputError
from wildaffect.project import WORKFLOW

PROFILES = WORKFLOW / "profiles"
WAIT = 300
"""Seconds for which the job may wait in the queue."""
SHARED_DISKS = re.compile(r"nfs|lustre|gpfs|beegfs|ceph|panfs|gfs2|glusterfs|9p|cifs|fhgfs|wekafs")
PROBE = 'umask; echo "${TMPDIR:-/tmp}"; df -PT "${TMPDIR:-/tmp}" | tail -n 1 | awk \'{print $2}\'; hostname'
"""What the job tells: umask, scratch folder, type of its file system, node."""
SHORTEST_MEMORY = 120
"""Seconds for which SLURM's controller must remember an ended job, as it is asked at that pace."""

Check = tuple[str, bool, str]


def check_cluster(kind: str, wait: float = WAIT) -> list[Check]:
    """Check a cluster from a login node; the folder of the call must be on a disk that the nodes see.

    Args:
        kind: ``pbs`` or ``slurm``.
        wait: Seconds for which the job may wait in the queue.

    Returns:
        Per part its name, whether it will do, and what was found or what to do about it.
    """
    return {"pbs": _check_pbs, "slurm": _check_slurm}[kind](wait)


# PBS.


def _check_pbs(wait: float) -> list[Check]:
    jobs, pbs = _helpers()
    try:
        server = _run("qstat", "-Bf")
    except InputError as error:
        return [("server", False, str(error))]
    version = _value(server, "pbs_version") or "unknown"
    dialect = "torque" if version.split(".")[0].isdigit() and int(version.split(".")[0]) < 10 else "pro"
    history = dialect == "torque" or _value(server, "job_history_enable") == "True"
    nodes = pbs.nodes_of(_try("pbsnodes", "-a"))
    gpu = next(
        (name for name in ("ngpus", "gpus", "naccelerators") if any(_positive(node.get(name)) for node in nodes)), ""
    )
    largest = max((pbs.kilobytes(node.get("mem", "")) for node in nodes), default=0) // 1024**2
    queue = _value(server, "default_queue")
    checks = [
        ("server", True, f"PBS {version}, which speaks the dialect {dialect}"),
        _pbs_history(history=history),
        _pbs_queues(_try("qstat", "-Qf"), queue),
        ("nodes", bool(nodes), _pbs_nodes(nodes, largest, gpu)),
        *_pbs_job(jobs, dialect, wait),
    ]
    options = [
        f"--dialect {dialect}",
        *([f"--gpu {gpu}"] if gpu else []),
        *([f"--max-mem {largest}gb"] if largest else []),
    ]
    gpus = "" if gpu else "; no node has GPUs, so gpu: 0 for all rules under set-resources"
    checks.append(("profile", True, f"{' '.join([*options, *([] if queue else ['--queue NAME'])])}{gpus}"))
    return checks


def _pbs_history(*, history: bool) -> Check:
    told = (
        "ended jobs are remembered"
        if history
        else "off: PBS forgets ended jobs, so it cannot say why it killed one. Its log often does"
    )
    return "history", True, told


def _pbs_queues(text: str, default: str) -> Check:
    open_queues = []
    for block in re.split(r"\n(?=Queue:)", text):
        name = re.match(r"Queue:\s*(\S+)", block)
        if name and _value(block, "enabled") == _value(block, "started") == "True":
            longest = _value(block, "resources_max.walltime")
            open_queues.append(f"{name[1]}{f' (up to {longest})' if longest else ''}")
    usual = f"; {default} unless --queue names another" if default else "; none is the default: set --queue"
    return "queues", bool(open_queues), f"{', '.join(open_queues)}{usual}" if open_queues else "none takes jobs"


def _pbs_nodes(nodes: list[dict[str, str]], largest: int, gpu: str) -> str:
    if not nodes:
        return "pbsnodes shows none, so the name of GPUs and the memory of the largest node are unknown: ask the site"
    cores = max((int(node[key]) for node in nodes for key in ("ncpus", "np") if node.get(key, "").isdigit()), default=0)
    return f"{len(nodes)}; the largest has {cores} cores and {largest} GB; GPUs: {gpu or 'none'}"


def _pbs_job(jobs: Any, dialect: str, wait: float) -> list[Check]:
    """A job as the workflow submits and watches it."""
    with _folder() as folder:
        site = jobs.Site(dialect, refresh=1, folder=folder, run=jobs.process_name(os.getpid()))
        output = folder / "output"
        about = {
            "rule": "doctor",
            "jobid": 0,
            "threads": 1,
            "output": [str(output)],
            "resources": {"mem_mb": 200, "runtime": 2},
        }
        body = f"sh -c {shlex.quote(PROBE)} > {shlex.quote(str(output))} && sleep 1 # --cores 1 \n"
        try:
            job = jobs.submit(
                site, f"#!/bin/sh\n# properties = {json.dumps(about)}\n{body}", jobs.Options(logs=str(folder))
            )
        except SystemExit as error:
            return [("job", False, str(error))]
        began, word, reason = time.monotonic(), "running", ""
        while word == "running" and time.monotonic() - began < wait:
            time.sleep(0.5)
            word, reason = jobs.status(site, job)
        if word == "running":
            jobs.cancel(site, [job])
            return [
                ("job", False, f"{job} was not over within {wait:.0f} s and is deleted; see qstat -f for its comment")
            ]
        if word == "failed":
            return [("job", False, f"{job}: {reason}")]
        return [
            ("job", True, f"{job} was submitted, ran and was seen to end within {time.monotonic() - began:.0f} s"),
            *_told(output),
        ]


def _helpers() -> tuple[Any, Any]:
    """The modules of the PBS profile, which import each other by name."""
    folder = PROFILES / "pbs"
    if not (folder / "jobs.py").is_file():
        raise InputError(f"{folder}: not found. Call it from a copy of the project that has its workflow.")
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("jobs"), importlib.import_module("pbs")
    finally:
        sys.path.remove(str(folder))


# SLURM.


def _check_slurm(wait: float) -> list[Check]:
    try:
        version, config = _run("sinfo", "--version").strip(), _run("scontrol", "show", "config")
    except InputError as error:
        return [("controller", False, str(error))]
    accounting = _value(config, "AccountingStorageType").rpartition("/")[2] not in ("none", "(null)", "")
    memory = int((re.match(r"\d+", _value(config, "MinJobAge")) or ["0"])[0])
    checks = [
        ("controller", True, version),
        _slurm_history(memory, accounting=accounting),
        _slurm_preemption(_value(config, "PreemptType"), _value(config, "PreemptMode")),
        _slurm_partitions(_try("sinfo", "--noheader", "--format=%R|%a|%l|%c|%m|%G")),
        *_slurm_job(wait),
    ]
    command = "squeue" if memory >= SHORTEST_MEMORY or not accounting else "sacct"
    account = (
        "slurm_account under default-resources, without slurm-no-account" if accounting else "slurm-no-account: true"
    )
    return [*checks, ("profile", True, f"slurm-status-command: {command}; {account}")]


def _slurm_history(memory: int, *, accounting: bool) -> Check:
    kept = "accounting runs" if accounting else "no accounting (AccountingStorageType none)"
    if memory < SHORTEST_MEMORY and not accounting:
        cure = "jobs are forgotten before they are asked for, and repeated although they were good. Ask for a MinJobAge of 300"
        return "history", False, f"{kept}, and ended jobs are remembered for {memory} s only: {cure}"
    return "history", True, f"{kept}; the controller remembers ended jobs for {memory} s"


def _slurm_preemption(kind: str, mode: str) -> Check:
    if kind.rpartition("/")[2] in ("none", "(null)", ""):
        return "preemption", True, "none"
    return (
        "preemption",
        True,
        f"{kind} ({mode}): a preempted job is not requeued (slurm-no-requeue) but submitted again",
    )


def _slurm_partitions(text: str) -> Check:
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 5]
    up = [
        f"{name} (up to {limit}, {cores} cores, {memory} MB, {gpus})"
        for name, state, limit, cores, memory, gpus in rows
        if state == "up"
    ]
    return "partitions", bool(up), ", ".join(dict.fromkeys(up)) or "none is up"


def _slurm_job(wait: float) -> list[Check]:
    with _folder() as folder:
        output = folder / "output"
        asked = [
            "--parsable",
            "--ntasks=1",
            "--mem=200",
            "--time=2",
            f"--output={output}",
            f"--wrap={PROBE}; sleep 1; echo end",
        ]
        try:
            job = _run("sbatch", *asked).strip().split(";")[0]
        except InputError as error:
            return [("job", False, str(error))]
        began = time.monotonic()
        while not (lines := output.read_text().splitlines() if output.exists() else []) or lines[-1] != "end":
            state = _try("squeue", "--noheader", "--states=all", "--format=%T %r", "--jobs", job).strip()
            if time.monotonic() - began > wait or state.split(" ")[0] in (
                "FAILED",
                "TIMEOUT",
                "OUT_OF_MEMORY",
                "NODE_FAIL",
            ):
                _try("scancel", job)
                return [
                    (
                        "job",
                        False,
                        f"{job} did not end well within {wait:.0f} s and is cancelled: {state}. {' '.join(lines)}",
                    )
                ]
            time.sleep(0.5)
        return [
            ("job", True, f"{job} was submitted, ran and ended within {time.monotonic() - began:.0f} s"),
            *_told(output),
        ]


# Both.


def _told(output: Path) -> list[Check]:
    """What the job wrote about its node."""
    umask, scratch, disk, node = output.read_text().splitlines()[:4]
    mine = os.umask(0o077)
    os.umask(mine)
    same = int(umask, 8) == mine
    shared = SHARED_DISKS.search(disk.lower())
    where = f"{scratch} on {node} ({disk})"
    cure = ", a shared disk: ask the site for a local one and set tmpdir under default-resources"
    return [
        (
            "umask",
            same,
            f"{mine:04o} here and in the job"
            if same
            else f"{mine:04o} here, {umask} in the job: results get other permissions",
        ),
        ("scratch", True, f"{where}{cure if shared else ', local'}"),
    ]


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder beside the caller, where the nodes see it."""
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=Path.cwd(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _run(*command: str) -> str:
    """Output of a command of the cluster."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        why = "not found in PATH" if isinstance(error, FileNotFoundError) else str(error)
        raise InputError(f"{command[0]}: {why}. Is this a login node, and its module loaded?") from None
    if done.returncode:
        raise InputError(f"{shlex.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _try(*command: str) -> str:
    """Output of a command that may fail."""
    try:
        return _run(*command)
    except InputError:
        return ""


def _value(text: str, name: str) -> str:
    """The value of a line ``name = value``."""
    found = re.search(rf"^\s*{re.escape(name)}\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    return found[1] if found else ""


def _positive(text: str | None) -> bool:
    return bool(text) and text not in ("0", "None")
