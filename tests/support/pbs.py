"""A simulated PBS: jobs, a clock, and the faults of the world, behind the words of ``qsub``, ``qstat``, ``qdel`` and ``pbsnodes``.

:class:`Server` answers commands. Its jobs are either models, which live in the server's own time (:class:`Models`), or real processes of a
real shell (:class:`Processes`); :func:`commands` puts programs of these names before all others, for code that starts them.
"""

import importlib
import itertools
import json
import os
import re
import shlex
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from support.pipeline import ROOT

HELPERS = ROOT / "workflow" / "profiles" / "pbs"
sys.path.insert(0, str(HELPERS))
jobs, pbs = importlib.import_module("jobs"), importlib.import_module("pbs")

UNREACHABLE = {
    "away": "Connection refused\n{program}: cannot connect to server head (errno=15010)",
    "host unknown": "Unknown Host.\n{program}: cannot connect to server head (errno=15008)",
}
STAND_IN = """#!{python} -SE
import json, socket, sys, time
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
link.sendall(json.dumps([{name!r}, *sys.argv[1:]]).encode() + b"\\n")
answer = json.loads(link.makefile().readline())
if answer is None:
    time.sleep(600)
sys.stdout.write(answer[1])
sys.stderr.write(answer[2])
sys.exit(answer[0])
"""


class Done(NamedTuple):
    """What a command ended with."""

    status: int
    out: str = ""
    err: str = ""


@dataclass
class Job:
    """One job. ``truth`` says how it really ended."""

    id: str
    script: Path
    name: str
    log: Path
    asked: dict[str, str]
    rerunnable: bool = True
    umask: int = 0o077
    state: str = "Q"
    comment: str = ""
    submitted: float = 0
    started: float | None = None
    ended: float | None = None
    exit: int | None = None
    dies: float = 0
    truth: str = ""
    used: dict[str, str] = field(default_factory=dict)


class Models:
    """Jobs that are nothing but the files that the script of a job writes, after a time and with an end that ``fate(job)`` gives.

    Attributes:
        running: Work under way, by job; the same work twice is an error at once.
        finished: Tokens of scripts that came to their end, with their status.
        lag: Seconds after which files are seen on the network file system.
        killed: The status that PBS gives a killed job; a shell may make it a 0.
    """

    def __init__(self, fate: Callable[[Job], tuple[float, int]], lag: float = 0, killed: int = 271) -> None:
        self.fate, self.lag, self.killed = fate, lag, killed
        self.running: dict[str, set[str]] = {}
        self.finished: dict[str, int] = {}
        self._ends: dict[str, tuple[float, int]] = {}
        self._written: list[tuple[float, Path, str]] = []

    def start(self, job: Job, now: float) -> None:
        begun = job.script.with_suffix(".begun")
        try:
            with begun.open("x") as file:
                file.write(f"{job.id}\n")
        except FileExistsError:
            self._ends[job.id] = (now, 113)
            return
        work = set(re.search(r"--target-jobs (.*?) --", job.script.read_text())[1].split())
        for other, same in self.running.items():
            assert not same & work, f"{job.id} runs beside {other}: {same & work}"
        self.running[job.id] = work
        after, status = self.fate(job)
        self._ends[job.id] = (now + after, status)

    def poll(self, job: Job, now: float) -> int | None:
        """The status, once the job has ended by itself."""
        end, status = self._ends.get(job.id, (now + 1, 0))
        if now < end:
            return None
        if self.running.pop(job.id, None) is not None:
            self.finished[job.script.stem] = status
            self._written.append((now + self.lag, job.script.with_suffix(".exit"), f"{status}\n"))
        del self._ends[job.id]
        return status

    def settle(self, now: float) -> None:
        """Show files whose time has come."""
        for due, path, text in [entry for entry in self._written if entry[0] <= now]:
            self._written.remove((due, path, text))
            path.write_text(text)

    def kill(self, job: Job) -> int:
        """No status is left behind."""
        self.running.pop(job.id, None)
        self._ends.pop(job.id, None)
        return self.killed


class Processes:
    """Jobs as sessions of a real shell, as PBS starts them: from the root folder, with a strict umask."""

    def __init__(self, *shell: str) -> None:
        self.shell = shell or ("/bin/sh",)
        self._processes: dict[str, subprocess.Popen] = {}

    def start(self, job: Job, now: float) -> None:
        with job.log.open("a") as log:
            self._processes[job.id] = subprocess.Popen(
                [*self.shell, str(job.script)], cwd="/", env={**os.environ, "PBS_JOBID": job.id}, umask=0o077,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def poll(self, job: Job, now: float) -> int | None:
        status = self._processes[job.id].poll()
        return 256 - status if status is not None and status < 0 else status

    def settle(self, now: float) -> None:
        """Real files are there at once."""

    def kill(self, job: Job) -> int:
        process = self._processes[job.id]
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        status = process.wait()
        return 256 - status if status < 0 else 256 + signal.SIGTERM


@dataclass
class Server:
    """One server with a scheduler and nodes.

    Args:
        jobs_run: :class:`Models` or :class:`Processes`.
        history: Whether ended jobs are remembered.
        dialect: ``pro`` or ``torque``.
        faults: ``(from, until, kind)`` with kind ``away``, ``host unknown``, ``hangs``, or ``deaf``: jobs are taken, but nobody learns.
        accounting: Seconds after its end for which a job is still said to be exiting.
        dying: Seconds for which a deleted job runs on.
        reruns: Jobs are run again although they asked not to be.
        largest: Memory of the largest node, in megabytes.
        at_once: Jobs that run side by side.
    """

    jobs_run: Models | Processes
    history: bool = True
    dialect: str = "pro"
    faults: list[tuple[float, float, str]] = field(default_factory=list)
    accounting: float = 0
    dying: float = 0
    reruns: bool = False
    largest: int = 64_000
    at_once: int = 100
    gpus: int = 0
    now: float = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    # What users type.

    def call(self, command: list[str], timeout: float = 60) -> Done | None:
        """Answer a command; None if it hangs for longer than ``timeout``, which passes."""
        with self._lock:
            program, arguments = command[0], [str(word) for word in command[1:]]
            self.asked.append([program, *arguments])
            fault = next((kind for start, end, kind in self.faults if start <= self.now < end), "")
            if fault in UNREACHABLE:
                return Done(1 if fault == "away" else 2, "", UNREACHABLE[fault].format(program=program) + "\n")
            if fault == "hangs":
                self.advance(timeout)
                return None
            answer = getattr(self, f"_{program}")(arguments)
            if fault == "deaf" and program == "qsub" and not answer.status:
                self.advance(timeout)
                return None
            return answer

    def _qsub(self, arguments: list[str]) -> Done:
        asked, options = {}, {}
        script = Path(arguments[-1]).absolute()
        for option, value in itertools.pairwise(arguments[:-1]):
            if option == "-l":
                asked |= dict(re.findall(r"(\w+)=(\d+:\d\d:\d\d|[^:,=]+)", value))
            elif option.startswith("-"):
                options[option] = value
        unknown = [name for name in asked if name in ("ngpus", "gpus") and not self.gpus]
        if unknown:
            return Done(188, "", f"qsub: Unknown resource: {unknown[0]}\n")
        job = Job(
            f"{next(self._numbers)}.head", script, options["-N"], Path(options["-o"]), asked,
            rerunnable=self.reruns or options.get("-r") != "n", submitted=self.now,
        )  # fmt: skip
        job.state = "H" if "-h" in arguments else "Q"
        self.jobs[job.id] = job
        if int(asked.get("mem", "0mb")[:-2]) > self.largest:
            job.comment = f"Can Never Run: Insufficient amount of resource: mem (R: {asked['mem']} A: {self.largest}mb T: {self.largest}mb)"
            job.truth = "never"
        return Done(0, f"{job.id}\n")

    def _qdel(self, arguments: list[str]) -> Done:
        unknown = [name for name in arguments if not (job := self._find(name)) or job.state == "F"]
        for name in arguments:
            job = self._find(name)
            if name not in unknown and job.state == "R" and self.dying:
                job.state, job.dies = "E", self.now + self.dying
            elif name not in unknown and job.state != "E":
                self.end(job, "deleted")
        return Done(153 if unknown else 0, "", "".join(f"qdel: Unknown Job Id {name}\n" for name in unknown))

    def _pbsnodes(self, arguments: list[str]) -> Done:
        gpus = f"     resources_available.ngpus = {self.gpus}\n" if self.gpus else ""
        return Done(
            0,
            f"n1\n     state = free\n     resources_available.mem = {self.largest}mb\n     resources_available.ncpus = 16\n{gpus}",
        )

    def _qstat(self, arguments: list[str]) -> Done:
        if "-Bf" in arguments or "-B" in arguments:
            more = "    job_history_enable = True\n" if self.history else ""
            return Done(
                0,
                f"Server: head\n    server_state = Active\n    pbs_version = 23.06.06\n    default_queue = workq\n{more}",
            )
        if "-Qf" in arguments:
            return Done(0, "Queue: workq\n    queue_type = Execution\n    enabled = True\n    started = True\n")
        names = [word for word in arguments if word[0].isdigit()]
        past = "-x" in arguments
        if past and not self.history:
            return Done(0, "", "qstat: PBS is not configured to maintain job history\n")
        shown = [
            job for name in names if (job := self._find(name)) and (job.state != "F" or past or self._lingers(job))
        ]
        known = {short(job.id) for job in shown}
        lost = "".join(f"qstat: Unknown Job Id {name}\n" for name in names if short(name) not in known)
        blocks = {job.id: self._attributes(job) for job in shown}
        out = (
            as_json(blocks) if "json" in arguments else "".join(as_text(name, block) for name, block in blocks.items())
        )
        return Done(153 if lost else 0, out, lost)

    def _lingers(self, job: Job) -> bool:
        return self.now < (job.ended or 0) + self.accounting

    def _attributes(self, job: Job) -> dict:
        lingers = job.state == "F" and self._lingers(job)
        found: dict = {
            "Job_Name": job.name,
            "job_state": "E" if lingers else job.state,
            "Rerunable": "True" if job.rerunnable else "False",
        }
        found["Resource_List"] = {key: job.asked[key] for key in ("mem", "walltime") if key in job.asked}
        if job.used:
            found["resources_used"] = job.used
        if job.comment:
            found["comment"] = job.comment
        if job.exit is not None and not lingers:
            found["Exit_status"] = job.exit
        return found

    def _find(self, name: str) -> Job | None:
        return next((job for job in self.jobs.values() if short(job.id) == short(name)), None)

    # What time and fate do.

    def advance(self, duration: float, step: float = 5) -> None:
        """Let time pass."""
        with self._lock:
            end = self.now + duration
            while self.now < end:
                self.now = min(end, self.now + step)
                self.tick()

    def tick(self) -> None:
        """Start what can start, and end what ends."""
        with self._lock:
            for job in list(self.jobs.values()):
                if job.state in "RE":
                    status = self.jobs_run.poll(job, self.now)
                    age = self.now - job.started
                    if status is not None:
                        self._close(job, status, "finished" if status in (0, 113) else "ended")
                    elif job.state == "E" and self.now >= job.dies:
                        self.end(job, "deleted")
                    elif age > limit_of(job):
                        with job.log.open("a") as log:
                            log.write(f"=>> PBS: job killed: walltime {age:.0f} exceeded limit {limit_of(job)}\n")
                        self.end(job, "walltime")
            self.jobs_run.settle(self.now)
            room = self.at_once - sum(job.state in "RE" for job in self.jobs.values())
            for job in [job for job in self.jobs.values() if job.state == "Q" and not job.truth][: max(room, 0)]:
                job.state, job.started = "R", self.now
                job.comment = "Job run at Tue Nov 24 at 10:00 on (n1:ncpus=1)"
                self.jobs_run.start(job, self.now)

    def end(self, job: Job, truth: str) -> None:
        """Kill a job, for a limit, on request, or because its node went down: it runs again if it may."""
        with self._lock:
            if job.state in "RE":
                status = self.jobs_run.kill(job)
                if truth == "memory":
                    job.used["mem"] = job.asked.get("mem", "")
                    with job.log.open("a") as log:
                        log.write("=>> PBS: job killed: mem 99999999kb exceeded limit 2048000kb\n")
                if truth == "rerun" and job.rerunnable:
                    job.state, job.comment = "Q", "Not Running: was requeued"
                    return
                code = {"walltime": -29, "memory": -27}.get(truth, status)
                self._close(job, code, truth)
            elif job.state in "QH":
                self._close(job, None, job.truth or "deleted")

    def _close(self, job: Job, status: int | None, truth: str) -> None:
        word = {"walltime": "exceeded resource walltime", "finished": "finished", "ended": "failed"}.get(
            truth, "terminated"
        )
        job.state, job.ended, job.exit, job.truth = "F", self.now, status, truth
        job.comment = f"{job.comment} and {word}"
        if job.started is not None:
            job.used["walltime"] = clock(self.now - job.started)


def short(name: str) -> str:
    """A job's number."""
    return name.split(".")[0]


def clock(duration: float) -> str:
    """Hours, minutes, seconds."""
    return f"{int(duration) // 3600:02d}:{int(duration) // 60 % 60:02d}:{int(duration) % 60:02d}"


def limit_of(job: Job) -> int:
    """Seconds that a job asked for."""
    hours, minutes, seconds = map(int, job.asked["walltime"].split(":"))
    return 3600 * hours + 60 * minutes + seconds


def as_json(blocks: dict[str, dict]) -> str:
    """An answer as ``qstat -F json`` writes it."""
    head = {"timestamp": 1700000000, "pbs_version": "23.06.06", "pbs_server": "head"}
    return json.dumps(head | ({"Jobs": blocks} if blocks else {}), indent=4)


def as_text(name: str, block: dict) -> str:
    """A job as ``qstat -f`` writes it, long lines folded."""
    lines = [f"Job Id: {name}"]
    for key, value in block.items():
        pairs = {f"{key}.{inner}": text for inner, text in value.items()} if isinstance(value, dict) else {key: value}
        for full, text in pairs.items():
            line = f"    {full} = {text}"
            lines += [line[:79], *(f"\t{line[start : start + 70]}" for start in range(79, len(line), 70))]
    return "\n".join(lines) + "\n\n"


@contextmanager
def commands(server: Server, folder: Path, tick: float = 0.1) -> Iterator[Path]:
    """A folder with ``qsub``, ``qstat``, ``qdel`` and ``pbsnodes`` that ``server`` answers; its clock goes with the world's."""
    folder.mkdir()
    address = str(folder / "server")

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            answer = server.call(json.loads(self.rfile.readline()), timeout=0)
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    for name in ("qsub", "qstat", "qdel", "pbsnodes"):
        (folder / name).write_text(STAND_IN.format(python=sys.executable, address=address, name=name))
        (folder / name).chmod(0o755)
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(tick):
            server.now += tick
            server.tick()

    with socketserver.ThreadingUnixStreamServer(address, Handler) as listener:
        threads = [threading.Thread(target=run), threading.Thread(target=listener.serve_forever, args=(0.05,))]
        for thread in threads:
            thread.start()
        try:
            yield folder
        finally:
            stop.set()
            listener.shutdown()
            for thread in threads:
                thread.join()
            for job in server.jobs.values():
                if job.state in "RE":
                    server.end(job, "deleted")


def job_script(
    folder: Path, name: str, *, body: str = "true", rule: str = "detect", resources: dict | None = None, **properties
) -> str:
    """A job script as the workflow engine writes it."""
    about = {
        "type": "single",
        "rule": rule,
        "input": [],
        "output": [name],
        "wildcards": {"name": name},
        "params": {"code": "1"},
        "log": [],
        "threads": 1,
        "jobid": 7,
        "resources": {"mem_mb": 1000, "runtime": 600} | (resources or {}),
    }
    return (
        f"#!/bin/sh\n# properties = {json.dumps(about | properties)}\n"
        f"cd {shlex.quote(str(folder))} && sh -c {shlex.quote(body)} snakemake --target-jobs '{rule}:name={name}' --allowed-rules {rule} "
        "--cores 'all' --attempt 1 && exit 0 || exit 1\n"
    )
