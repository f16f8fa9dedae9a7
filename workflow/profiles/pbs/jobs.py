"""Submitted jobs: the files that describe them, and the conversation with PBS. Decisions are made in pbs.py.

Below ``.snakemake/pbs`` of the folder where Snakemake runs, one submission has a token and these files:

    TOKEN.json    what was submitted, by which run of Snakemake; TOKEN.over.json once it has succeeded or failed
    TOKEN.sh      the script that PBS runs
    TOKEN.begun   PBS's id, made by the script when it begins, or "revoked", made here: who makes it first decides if the script runs
    TOKEN.exit    the exit status of a script that came to its end
    ID.job        the token of PBS's id
    qstat.json    what PBS last said about all of them

So a submission runs at most once, even if qsub was not heard and asked again, PBS runs its jobs again, or qdel does not get through.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple  # noqa: UP035 (Python 3.8)

import pbs

FOLDER = Path(".snakemake") / "pbs"
REVOKED = "revoked"
RUN = "WILDAFFECT_RUN"
"""Variable in which Snakemake leaves its process number (workflow/rules/clusters.py)."""
QSTAT_TIMEOUT, QSUB_TIMEOUT, QDEL_TIMEOUT = 20, 120, 30
SUBMIT_FOR = 600
"""Seconds for which a server that cannot be reached is asked again to take a job."""
LONGEST_PAUSE = 300
"""Seconds between two questions, at most, while PBS does not answer."""
DEATH_TIMEOUT = 180
"""Seconds within which a deleted job must be over."""
KEEP_DAYS = 30


class Done(NamedTuple):
    """A command that ended."""

    status: int
    out: str
    err: str


def call(command: list, timeout: float) -> Done | None:
    """Run a command of PBS, out of reach of Ctrl-C; None if it hangs."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            universal_newlines=True, errors="replace", start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        return Done(127, "", f"{command[0]}: {error.strerror}")
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None
    return Done(process.returncode, out, err)


class Site(NamedTuple):
    """Where the files are, how PBS is spoken to, and the time."""

    dialect: str = "pro"
    refresh: float = 30
    folder: Path = FOLDER
    run: str = ""
    call: Callable = call
    now: Callable = time.time
    sleep: Callable = time.sleep
    is_running: Callable = lambda run: process_runs(run)

    def file(self, token: str, end: str) -> Path:
        """One file of a submission."""
        return self.folder / f"{token}.{end}"


class Options(NamedTuple):
    """What the profile says about submissions."""

    gpu: str = "ngpus"
    max_mem: str = ""
    queue: str = ""
    account: str = ""
    logs: str = "results/logs/pbs"
    extra: str = ""


# Submitting.


def submit(site: Site, script: str, options: Options) -> str:
    """Hand a job script to PBS and return the job's id.

    A job of an earlier run that Snakemake no longer watches, because it was killed, and that makes the same results, is taken over if it
    does exactly the same, and otherwise ended first: there are never two. What this run submits is written down before it is known to
    live on, so a run that begins after its end either reads that or makes this one give up.

    Raises:
        SystemExit: PBS refused the job or could not be reached, and the message says what it said; or Snakemake has ended.
    """
    site.folder.mkdir(parents=True, exist_ok=True)
    properties = pbs.properties_of(script)
    check_site(site, script, options)
    work = {key: properties.get(key) for key in ("rule", "wildcards", "input", "output", "params", "log")}
    work["targets"] = pbs.targets_of(script)
    for record in left_over(site, work):
        if can_take_over(site, record, work):
            write(site.file(record["token"], "json"), json.dumps({**record, "run": site.run}))
            return record["job"]
        end_for_good(site, record)

    token = f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(site.now()))}-{uuid.uuid4().hex[:8]}"
    umask = current_umask()
    logs = Path(options.logs).absolute()
    logs.mkdir(parents=True, exist_ok=True)
    name = pbs.name_of(properties)
    record = {
        "token": token,
        "run": site.run,
        "job": "",
        "submitted": site.now(),
        "name": pbs.rule_of(properties),
        "requested": {"walltime": pbs.walltime(properties), "mem": pbs.mem(properties, options.max_mem)},
        "log": str(logs / f"{name}.{token}.log"),
        "work": work,
    }
    base = str((site.folder / token).absolute())
    write(site.file(token, "sh"), pbs.wrapped(script, int(properties.get("threads", 1)), base, umask))
    write(site.file(token, "json"), json.dumps(record))
    command = ["qsub", "-N", name, "-S", "/bin/sh", "-r", "n", "-j", "oe"]
    command += ["-o", record["log"], "-W", f"umask={umask:04o}"]
    command += [*where(site, properties, options), f"{base}.sh"]
    job = enqueue(site, command, token)
    write(site.file(pbs.short(job), "job"), token)
    write(site.file(token, "json"), json.dumps({**record, "job": job}))
    return job


def enqueue(site: Site, command: list, token: str) -> str:
    """The id that qsub gives, asked for minutes if the server is away. A job that was taken unheard cannot run beside the next."""
    end, pause = site.now() + SUBMIT_FOR, 5.0
    try:
        while True:
            if not site.is_running(site.run):
                raise SystemExit("pbs submit: Snakemake has ended.")
            done = site.call(command, QSUB_TIMEOUT)
            if done and done.status == 0 and done.out.split():
                return done.out.split()[-1]
            said = f"{done.out}{done.err}".strip() if done else f"no answer within {QSUB_TIMEOUT} s"
            if done and done.status and not pbs.UNREACHABLE.search(said):
                raise SystemExit(f"pbs submit: {said}\n  {shlex.join(command)}")
            if site.now() > end:
                raise SystemExit(
                    f"pbs submit: PBS could not be reached for {SUBMIT_FOR // 60} minutes: {said}\n  {shlex.join(command)}"
                )
            site.sleep(pause)
            pause = min(2 * pause, 60)
    except BaseException:
        if not revoke(site, token) and holder(site, token) not in ("", REVOKED):
            return holder(site, token)  # it was taken unheard, and runs
        close(site, read(site.file(token, "json")), pbs.Verdict("failed", "refused"))
        raise


def check_site(site: Site, script: str, options: Options) -> None:
    """Once per run: PBS takes jobs that ask for GPUs, if any job of the run will, whatever job is submitted first.

    Raises:
        SystemExit: It does not.
    """
    asked = pbs.gpu_requests(script)
    memory = site.folder / "site.json"
    about = [site.run, list(options), asked]
    last = read(memory)
    if last.get("about") != about:
        last = {"about": about, "problem": gpu_problem(site, options, asked) if asked else ""}
        write(memory, json.dumps(last))
        prune(site)
    if last["problem"]:
        raise SystemExit(f"pbs submit: {last['problem']}")


def gpu_problem(site: Site, options: Options, asked: list) -> str:
    """What PBS says against a job with a GPU, by one that is held and deleted at once; empty if nothing, or if nobody answers."""
    script = (site.folder / "check.sh").absolute()
    write(script, "exit 0\n")
    about = {"resources": {"mem_mb": 100, "runtime": 1, "gpu": 1}}
    command = ["qsub", "-h", "-N", "w_check", "-j", "oe", "-o", "/dev/null", *where(site, about, options), str(script)]
    done = site.call(command, QSUB_TIMEOUT)
    if done and done.status == 0:
        site.call(["qdel", *done.out.split()[-1:]], QDEL_TIMEOUT)
    if not done or done.status == 0:
        return ""
    said = f"{done.out}{done.err}".strip()
    nodes = site.call(["pbsnodes", "-a"], QSTAT_TIMEOUT)
    known = pbs.nodes_of(nodes.out) if nodes and nodes.status == 0 else []
    return "" if pbs.UNREACHABLE.search(said) else pbs.no_gpus(said, asked, known)


def where(site: Site, properties: dict, options: Options) -> list:
    """Arguments of qsub that say where a job runs, and with what."""
    command = ["-q", options.queue] if options.queue else []
    command += ["-A", options.account] if options.account else []
    command += pbs.request(properties, site.dialect, options.gpu, options.max_mem)
    return [*command, *shlex.split(options.extra)]


def left_over(site: Site, work: dict) -> list:
    """Submissions that write what ``work`` writes and are not over, of runs that are."""
    found = [record for record in live(site) if record["run"] != site.run or not site.run]
    return [record for record in found if pbs.overlap(record["work"], work) and not site.is_running(record["run"])]


def can_take_over(site: Site, record: dict, work: dict) -> bool:
    """It does the same, has read what there is now, did not fail yet, and was not cancelled."""
    if not record["job"] or record.get("cancelled") or not pbs.same_work(record["work"], work):
        return False
    if any(not Path(file).exists() or Path(file).stat().st_mtime > record["submitted"] for file in work["input"]):
        return False
    ended = exit_status(site, record["token"])
    return (ended is None and holder(site, record["token"]) != REVOKED) or (
        ended == 0 and all(Path(file).exists() for file in work["output"])
    )


def end_for_good(site: Site, record: dict) -> None:
    """Return when a submission cannot run any more.

    Raises:
        SystemExit: PBS does not say so.
    """
    token = record["token"]
    if not revoke(site, token) and exit_status(site, token) is None and holder(site, token) != REVOKED:
        job = name_in_pbs(site, record)
        end = site.now() + DEATH_TIMEOUT
        while not is_over(site, job):
            if site.now() > end:
                raise SystemExit(
                    f"pbs submit: job {job} of an earlier run makes the same results and does not end. Wait for it, or delete it: "
                    f"qdel {job}"
                )
            site.call(["qdel", job], QDEL_TIMEOUT)
            site.sleep(5)
    else:
        delete(site, [record])
    close(site, record, pbs.Verdict("failed", "replaced"))


def is_over(site: Site, job: str) -> bool:
    """PBS says that a job has ended, or that it does not know it."""
    answer, _ = ask(site, [job])
    if answer is None:
        return False
    found = answer.jobs.get(pbs.short(job))
    return pbs.short(job) in answer.gone if found is None else found.state not in pbs.ALIVE


# Watching.


def status(site: Site, job: str) -> tuple:
    """``success``, ``failed`` or ``running`` for one job, and why."""
    token = text_of(site.file(pbs.short(job), "job"))
    over = read(site.file(token, "over.json")) if token else {}
    if over:
        return over["verdict"], over["reason"]
    record = read(site.file(token, "json")) if token else {}
    if not record:
        site.call(["qdel", job], QDEL_TIMEOUT)
        return "failed", f"there is no record of it in {site.folder}: was that removed? It was deleted."
    ended = exit_status(site, token)
    last = read(site.folder / "qstat.json") if ended is not None else look(site)
    seen = last.get("jobs", {}).get(pbs.short(name_in_pbs(site, record)))
    if last.get("heard", 0) < record["submitted"]:
        seen = None  # said before, of another job with the same number
    silent = site.now() - max(last["silent"], record["submitted"]) if last.get("failures") else 0
    verdict = pbs.decide(ended, seen, silent, site.now())
    if verdict.word == "running":
        return verdict.word, ""
    if verdict.word == "success":
        close(site, record, verdict)
        return verdict.word, ""
    reason = pbs.phrase(
        verdict.cause,
        ended=ended,
        job=pbs.job_of(seen),
        log=text_of(Path(record["log"])),
        rule=record["name"],
        silent=silent,
        requested=record.get("requested"),
    )
    if Path(record["log"]).exists():
        reason += f" What it printed: {record['log']}"
    never_runs = revoke(site, token)
    if verdict.cause in ("never", "held", "silent"):
        delete(site, [record])
    if verdict.cause == "silent" and not never_runs:
        # It may run. It is nobody's now, and is ended before another takes its place.
        write(site.file(token, "json"), json.dumps({**record, "run": ""}))
    else:
        close(site, record, verdict, reason)
    return verdict.word, reason


def look(site: Site) -> dict:
    """What PBS last said about all jobs; asked again if that is old, and less often while it does not answer."""
    memory = site.folder / "qstat.json"
    with alone(site.folder / "qstat.lock") as allowed:
        last = read(memory)
        pause = min(site.refresh * 2 ** last.get("failures", 0), max(LONGEST_PAUSE, site.refresh))
        if not allowed or site.now() - last.get("asked", 0) < pause:
            return last
        waiting = [record for record in live(site) if record["job"] and exit_status(site, record["token"]) is None]
        names = sorted({name_in_pbs(site, record) for record in waiting})
        if not names:
            return last
        answer, history = ask(site, names, last.get("history", True))
        last = {**pbs.learn(last, list(map(pbs.short, names)), answer, site.now()), "history": history}
        write(memory, json.dumps(last))
        return last


def ask(site: Site, names: list, history: bool = True) -> tuple:
    """One question about all jobs: the answer, or None, and whether PBS keeps a history."""
    past = ["-x"] if history and site.dialect == "pro" else []
    languages = [["-f", "-F", "json"], ["-f"]] if site.dialect == "pro" else [["-f"]]
    for language in languages:
        done = site.call(["qstat", *past, *language, *names], QSTAT_TIMEOUT)
        if done is None:
            break
        if past and pbs.NO_HISTORY in f"{done.out}{done.err}":
            return ask(site, names, history=False)
        answer = pbs.understand(*done, asked=list(map(pbs.short, names)))
        if answer:
            return answer, history
    return None, history


# Ending.


def cancel(site: Site, jobs: list) -> None:
    """Delete jobs; those that PBS does not hear of in time will not run either. Returns at once, as Snakemake waits two seconds only."""
    for job in jobs:
        token = text_of(site.file(pbs.short(job), "job"))
        if not revoke(site, token) and (record := read(site.file(token, "json"))):
            # It dies, perhaps slowly: the next run waits for that.
            write(site.file(token, "json"), json.dumps({**record, "cancelled": True}))
    for record in live(site):
        if record["run"] == site.run and not record["job"]:
            revoke(site, record["token"])  # it was just being submitted
    subprocess.Popen(
        ["qdel", *jobs],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def prune(site: Site) -> None:
    """Remove what is older than a month."""
    for file in site.folder.glob("*.*"):
        with suppress(OSError):
            if site.now() - file.stat().st_mtime > KEEP_DAYS * 86400:
                file.unlink()


def delete(site: Site, records: list) -> None:
    """qdel."""
    names = [name for record in records for name in {record["job"], name_in_pbs(site, record)} - {""}]
    if names:
        site.call(["qdel", *names], QDEL_TIMEOUT)


def run_name() -> str:
    """A name for the run of Snakemake that started this process. It says itself which process it is: the parent of this one may be
    another already, as it does not take its helpers along when it is killed.

    Raises:
        SystemExit: Nothing says so.
    """
    number = os.environ.get(RUN, "")
    if not number:
        raise SystemExit(
            f"pbs: {RUN} is not set: these helpers are started by Snakemake, with the rules of this workflow."
        )
    return process_name(number)


def process_name(number: Any) -> str:
    """A name for a process, of which there never was another; one that has ended has the name of none."""
    return f"{socket.gethostname()}:{number}:{_started(number)}"


def process_runs(run: str) -> bool:
    """Snakemake of that name runs on this machine. One on another machine cannot: only one run writes to a results folder."""
    host, _, rest = run.partition(":")
    number, _, started = rest.partition(":")
    return host == socket.gethostname() and started != "" and _started(number) == started


def _started(number: Any) -> str:
    """When a process began, in ticks of the machine; empty if there is none."""
    found = text_of(Path(f"/proc/{number}/stat"))
    return found.rpartition(")")[2].split()[19] if found else ""


# Files.


def live(site: Site) -> list:
    """Records of submissions that are not over."""
    files = (file for file in site.folder.glob("*-*.json") if not file.name.endswith(".over.json"))
    return [record for record in map(read, sorted(files)) if record]


def close(site: Site, record: dict, verdict: pbs.Verdict, reason: str = "") -> None:
    """A submission is over."""
    write(site.file(record["token"], "over.json"), json.dumps({**record, "verdict": verdict.word, "reason": reason}))
    with suppress(FileNotFoundError):
        site.file(record["token"], "json").unlink()


def revoke(site: Site, token: str) -> bool:
    """See to it that a script that has not begun never does; False if it has."""
    if not token:
        return False
    try:
        with site.file(token, "begun").open("x") as file:
            file.write(REVOKED)
    except FileExistsError:
        return False
    return True


def holder(site: Site, token: str) -> str:
    """PBS's id of the job that began the script; empty if none did."""
    return text_of(site.file(token, "begun"))


def name_in_pbs(site: Site, record: dict) -> str:
    """The id of the job that runs the script; while none does, of the last one that was submitted with it."""
    began = holder(site, record["token"])
    return record["job"] if began in ("", REVOKED) else began


def exit_status(site: Site, token: str) -> int | None:
    """The status of a script that came to its end."""
    text = text_of(site.file(token, "exit"))
    return int(text) if text.isdigit() else None


def text_of(path: Path) -> str:
    """What is in a small file; empty if it is not there."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def read(path: Path) -> dict:
    """A JSON file; empty if it is not there."""
    text = text_of(path)
    return json.loads(text) if text else {}


def write(path: Path, text: str) -> None:
    """Write a file as a whole."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(text)
    partial.replace(path)


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether this process is the only one in the block. Some network file systems have no locks: then all are."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        except OSError:
            yield True
        else:
            yield True


def current_umask() -> int:
    """The user's umask."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def warn(text: str) -> None:
    """Tell the user, beside what Snakemake prints."""
    print(text, file=sys.stderr, flush=True)
