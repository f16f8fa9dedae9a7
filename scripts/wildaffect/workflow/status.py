"""What the last run over a folder of results has done, does and could not do, read from the files that it leaves there.

A run writes down the jobs that it has planned (`JOBS`, by ``workflow/rules/records.py``), and each job begins and ends its own log. So the
state is known while the run goes on, after it was killed, and for jobs on other machines.
"""

import json
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Any

from wildaffect.content import RECORDS
from wildaffect.errors import InputError
from wildaffect.progress import last_progress

JOBS, LOCK = f"{RECORDS}/jobs.json", f"{RECORDS}/locks/run.json"
STAGES = ("corpus", "media", "faces", "features", "systems", "scores", "tables", "report")
TAIL = 1 << 14
"""Bytes at the end of a log that are read."""
_DONE = re.compile(r" INFO wildaffect: done in ([\d.]+) s\s*\Z")
_WORDS = re.compile(
    r"^\S+ \S+ ERROR wildaffect: (.*?)(?=^\S+ \S+ (?:INFO|WARNING|ERROR) |\Z)", re.MULTILINE | re.DOTALL
)
_INTERRUPTED = "interrupted after"


class State(StrEnum):
    """Of one job."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    ENDED = "ended without a word"


@dataclass(frozen=True)
class Job:
    """One job of the last run.

    Attributes:
        stage: One of `STAGES`.
        rule: Its rule.
        of: What its wildcards stand for, such as the video.
        log: Its log.
        state: What became of it.
        fraction: Done, 0 to 1.
        left: Seconds left, None: not known.
        why: Why it failed.
    """

    stage: str
    rule: str
    of: str
    log: Path
    state: State
    fraction: float = 0.0
    left: float | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """Rule and what it is about."""
        return f"{self.rule} {self.of}".strip()


@dataclass(frozen=True)
class Status:
    """The last run over a folder of results.

    Attributes:
        jobs: Its jobs, in the order of stages.
        running: Whether it goes on, as far as this machine knows.
        owner: Process, host, user and start of the run.
    """

    jobs: tuple[Job, ...]
    running: bool
    owner: Mapping[str, Any]

    def of(self, *states: State) -> list[Job]:
        """Jobs in one of these states."""
        return [job for job in self.jobs if job.state in states]

    def stages(self) -> dict[str, list[Job]]:
        """Jobs by stage."""
        return {stage: list(jobs) for stage, jobs in groupby(self.jobs, key=lambda job: job.stage)}


def plain_job(stage: str, rule: str, of: Iterable[str], log: str) -> list[str]:
    """A job as `JOBS` lists it; ``log`` is relative to the results."""
    return [stage, rule, " ".join(of), log]


def read_status(results: Path) -> Status:
    """What the files below ``results`` tell.

    Raises:
        InputError: No run has written there.
    """
    try:
        planned = json.loads((results / JOBS).read_text())
        since = (results / JOBS).stat().st_mtime
        rows = [(str(stage), str(rule), str(of), str(log)) for stage, rule, of, log in planned["jobs"]]
        owner = dict(planned["owner"])
    except FileNotFoundError:
        raise InputError(f"{results}: no run has written there yet. Name the folder of the results.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{results / JOBS}: cannot be read ({error}). Run again.") from None
    running = goes_on(results)
    jobs = [_job(results, since, running, *row) for row in rows]
    order = {stage: index for index, stage in enumerate(STAGES)}
    return Status(tuple(sorted(jobs, key=lambda job: order.get(job.stage, len(order)))), running, owner)


def results_in(folder: Path) -> Path:
    """The folder of results that ``folder`` is, or that an analysis folder holds."""
    inside = folder / "results"
    return inside if not (folder / JOBS).exists() and (inside / JOBS).exists() else folder


def goes_on(results: Path) -> bool:
    """Whether a run writes to ``results``; of one on another machine it is believed as long as its lock is there."""
    try:
        owner = json.loads((results / LOCK).read_text())
        return owner["host"] != socket.gethostname() or Path(f"/proc/{owner['process']}").exists()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def left_locked(results: Path) -> bool:
    """Whether a run on this machine was killed and has left its lock behind."""
    try:
        owner = json.loads((results / LOCK).read_text())
        return owner["host"] == socket.gethostname() and not Path(f"/proc/{owner['process']}").exists()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _job(results: Path, since: float, running: bool, stage: str, rule: str, of: str, log: str) -> Job:
    path = results / log
    text = _tail(path, since)
    if text is None:
        return Job(stage, rule, of, path, State.WAITING)
    if _DONE.search(text):
        return Job(stage, rule, of, path, State.DONE, 1.0, 0.0)
    words = _WORDS.findall(text)
    if words and _INTERRUPTED in words[-1]:
        return Job(stage, rule, of, path, State.WAITING)
    if words:
        return Job(stage, rule, of, path, State.FAILED, why=_reason(words))
    if not running:
        return Job(stage, rule, of, path, State.ENDED, why="killed, or out of memory or time")
    progress = last_progress(text)
    return Job(stage, rule, of, path, State.RUNNING, *(progress or (0.0, None)))


def _reason(words: list[str]) -> str:
    """The message of an error; of an unexpected one the last line of its traceback."""
    text = words[-1].strip()
    lines = text.splitlines()
    return lines[-1] if len(lines) > 1 and lines[1].startswith("Traceback") else text


def _tail(path: Path, since: float) -> str | None:
    """The end of a log; None where the run has not begun it."""
    try:
        if path.stat().st_mtime < since:
            return None
        with path.open("rb") as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - TAIL))
            return handle.read().decode(errors="replace")
    except OSError:
        return None


def status_lines(status: Status, results: Path) -> list[str]:
    """The status in words: a line on the run, one per stage, one per running job, and what failed and why."""
    owner = status.owner
    run = f"process {owner.get('process')} on {owner.get('host')}, since {owner.get('since')}"
    failed, ended, waiting = status.of(State.FAILED), status.of(State.ENDED), status.of(State.WAITING)
    if status.running:
        head = f"running ({run})"
    elif failed or ended or waiting:
        head = f"ended with {len(failed) + len(ended)} failed and {len(waiting)} not run ({run})"
    else:
        head = f"complete ({run})"
    lines = [f"{results}: {head}"]
    for stage, jobs in status.stages().items():
        lines.append(f"  {stage:<9}{stage_line(jobs)}")
        lines += [f"           {job_line(job)}" for job in jobs if job.state == State.RUNNING]
    for job in [*failed, *ended]:
        lines.append(f"failed: {job.name}: {job.why}\n  log: {job.log}")
    return lines


def stage_line(jobs: list[Job]) -> str:
    """How much of a stage is done."""
    done = sum(job.state == State.DONE for job in jobs)
    fraction = sum(job.fraction for job in jobs) / len(jobs)
    failed = sum(job.state in (State.FAILED, State.ENDED) for job in jobs)
    return f"{fraction:4.0%}  {done} of {len(jobs)} jobs" + (f", {failed} failed" if failed else "")


def job_line(job: Job) -> str:
    """What a running job does, and how long it will still take as far as it knows."""
    ahead = f"{job.fraction:.0%}, about {_duration(job.left)} left" if job.left is not None else "running"
    return f"{job.name}: {ahead}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{seconds / 3600:.1f} h"
