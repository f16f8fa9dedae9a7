"""What PBS says and what follows from it: pure functions on plain values. docs/pbs.md has the decisions as a table.

The helpers run under whatever ``python3`` the login node has (3.8 or newer), so: standard library only, and no newer syntax.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import signal
from typing import NamedTuple

GRACE = 120
"""Seconds between PBS's word that a job is over and its failure, in which its exit status may yet appear (network file systems)."""
PATIENCE = 24 * 3600
"""Seconds for which PBS may be silent before a job counts as failed."""
PAUSE = 900
"""Silence counts from its first failed question, unless nobody asked for so many seconds."""
REFUSED = 113
"""Status of a script that PBS runs a second time, or that cannot write into the project."""

ALIVE = frozenset("QRHWTESUBM")
"""Queued, running, held, waiting, in transit, exiting, suspended (twice), begun (an array), moved. Over: F, X (PBS Pro), C (Torque)."""
NO_HISTORY = "not configured to maintain job history"
UNKNOWN = re.compile(r"Unknown Job Id(?: Error)? (\S+)")
FINISHED = re.compile(r"(\S+) Job has finished, use -x")
UNREACHABLE = re.compile(
    r"cannot connect|could not connect|unable to (?:connect|contact)|connection (?:refused|reset|timed out)|unknown host|no route to host"
    r"|time[d-]* ?out|end of file|communication failure|pbs_iff|premature end|shutting down|try again|temporarily unavailable"
    r"|errno=15(?:010|031|033|034|096|137)|network is unreachable|not responding|protocol failure|socket error",
    re.IGNORECASE,
)
"""What qsub says when it did not reach the server, so that asking again later makes sense."""

LIMITS = {-24: "ncpus", -25: "ncpus", -26: "vmem", -27: "mem", -28: "cput", -29: "walltime"}
"""Exit_status of PBS Pro for jobs that went over a limit."""
WORDS = {
    "mem": "memory",
    "pmem": "memory",
    "vmem": "virtual memory",
    "pvmem": "virtual memory",
    "ncpus": "cores",
    "cput": "CPU time",
}
CURES = {
    "walltime": "It is repeated with more time; raise `runtime` of {rule} under set-resources if that happens often.",
    "mem": "It is repeated with more memory, up to --max-mem; raise `mem_mb` of {rule} under set-resources if that happens often.",
    "ncpus": "Something in {rule} takes more cores than it asks for: raise its threads.",
}
# What the killer writes into the job's log: PBS Pro and Torque alike, PBS Pro's cgroups, SLURM behind its imitation of Torque.
KILLED = re.compile(r"PBS: job killed: (\w+) (\S+) exceeded limit (\S+)")
KILLED_OTHERWISE = {"DUE TO TIME LIMIT": "walltime", "Cgroup mem": "mem", "oom_kill": "mem", "oom-kill": "mem"}


class Job(NamedTuple):
    """What ``qstat -f`` says of one job."""

    state: str = "?"
    exit: int | None = None
    comment: str = ""
    used: dict = {}  # noqa: RUF012 (a tuple's default, never changed)
    asked: dict = {}  # noqa: RUF012


class Answer(NamedTuple):
    """Jobs that PBS knows and ids that it says it does not know. Of an id in neither it said nothing."""

    jobs: dict
    gone: frozenset


class Verdict(NamedTuple):
    """``success``, ``failed`` or ``running``, and what made it so."""

    word: str
    cause: str = ""


# What qstat says.


def parse(text: str) -> dict | None:
    """``{id: Job}`` of ``qstat -f``, in JSON or in text, ids without the server's name; None if it is broken JSON.

    Some versions do not escape what users put into variables.
    """
    if text.lstrip().startswith("{"):
        try:
            jobs = json.loads(text, strict=False).get("Jobs", {})
        except ValueError:
            return None
    else:
        jobs = _text_jobs(text)
    return {short(name): _job(attributes) for name, attributes in jobs.items()}


def _text_jobs(text: str) -> dict:
    """Attributes are indented by blanks and continued after a tab; SLURM's imitation indents attributes by a tab."""
    jobs: dict = {}
    current: dict = {}
    indent = key = ""
    for line in text.splitlines():
        if line.startswith("Job Id:"):
            current = jobs.setdefault(line.split(":", 1)[1].strip(), {})
            indent = key = ""
        elif line[:1] in (" ", "\t") and " = " in line and (not indent or line.startswith(indent)):
            indent = line[:1]
            key, value = line.lstrip().split(" = ", 1)
            current[key] = value
        elif line.startswith("\t") and key:
            current[key] += line[1:]
    return jobs


def _job(attributes: dict) -> Job:
    status = str(attributes.get("Exit_status", attributes.get("exit_status", ""))).strip()
    return Job(
        str(attributes.get("job_state", "?")),
        int(status) if re.fullmatch(r"-?\d+", status) else None,
        str(attributes.get("comment", "")),
        _part(attributes, "resources_used"),
        _part(attributes, "Resource_List"),
    )


def _part(attributes: dict, name: str) -> dict:
    """A nested block of JSON, or text's ``name.key`` lines."""
    block = attributes.get(name)
    pairs = block.items() if isinstance(block, dict) else attributes.items()
    start = "" if isinstance(block, dict) else f"{name}."
    return {key[len(start) :]: str(value) for key, value in pairs if key.startswith(start)}


def short(name: str) -> str:
    """A job's number without the server's name."""
    return name.strip().split(".")[0]


def understand(status: int, out: str, err: str, asked: list) -> Answer | None:
    """The answer in what qstat printed; None if it holds no knowledge, as when the server was away or its name unknown.

    Only an id that PBS names as unknown is gone: a name service that fails ("Unknown Host") says nothing about jobs. SLURM's imitation
    names none, but has the status of Torque's "Unknown Job Id".
    """
    jobs = parse(out)
    if jobs is None:
        return None
    named = UNKNOWN.findall(f"{err}\n{'' if jobs else out}") + FINISHED.findall(err)
    gone = {short(name) for name in named}
    if status == 153 and not err.strip():
        gone |= set(asked) - set(jobs)
    return Answer(jobs, frozenset(gone)) if jobs or gone else None


def learn(last: dict, asked: list, answer: Answer | None, now: float) -> dict:
    """What is known after one more question: the last facts of every asked job, and since when PBS has lost it.

    Args:
        last: What was known before; empty at first.
        asked: Ids that were asked for.
        answer: None where PBS said nothing, which changes nothing of what is known.
        now: Seconds since the epoch.
    """
    known = last.get("jobs", {})
    if answer is None:
        going_on = last.get("failures") and now - last["asked"] < PAUSE
        since = last["silent"] if going_on else now
        return {**last, "asked": now, "failures": last.get("failures", 0) + 1, "silent": since}
    jobs = {}
    for name in asked:
        before = known.get(name, {"job": None, "lost": None})
        job = answer.jobs.get(name)
        if job is not None:
            lost = None if job.state in ALIVE else before["lost"] or now
            jobs[name] = {"job": list(job), "lost": lost}
        elif name in answer.gone:
            jobs[name] = {"job": before["job"], "lost": before["lost"] or now}
        elif name in known:
            jobs[name] = before
    return {**last, "asked": now, "heard": now, "failures": 0, "silent": now, "jobs": jobs}


# What follows.


def decide(ended: int | None, seen: dict | None, silent: float, now: float) -> Verdict:
    """Whether a job has succeeded, failed, or goes on. Only its own exit status makes it a success.

    Args:
        ended: Exit status that the job's script left when it came to its end; None if it left nothing.
        seen: What is known of the job (:func:`learn`); None if PBS never spoke of it.
        silent: Seconds for which PBS has not answered.
        now: Seconds since the epoch.
    """
    if ended is not None:
        return Verdict("failed", "ended") if ended else Verdict("success")
    if seen is None or seen["lost"] is None:
        job = job_of(seen)
        if job.state in ("Q", "H") and job.comment.lstrip().lower().startswith("can never run"):
            return Verdict("failed", "never")
        if job.state == "H" and "too many failed attempts" in job.comment:
            return Verdict("failed", "held")
        return Verdict("failed", "silent") if silent > PATIENCE else Verdict("running")
    job = job_of(seen)
    over = "gone" if job.state in ALIVE or job.state == "?" else "over"
    if over == "over" and job.exit not in (None, 0):
        return Verdict("failed", over)
    return Verdict("failed", over) if now - seen["lost"] > GRACE else Verdict("running")


def job_of(seen: dict | None) -> Job:
    """The last facts of a job; empty ones if there are none."""
    return Job(*seen["job"]) if seen and seen["job"] else Job()


def phrase(
    cause: str, *, ended: int | None, job: Job, log: str, rule: str, silent: float = 0, requested: dict | None = None
) -> str:
    """One or two sentences for the user: why a job failed, and the cure.

    Args:
        cause: Of the verdict.
        ended: Exit status that the script left.
        job: PBS's last facts of the job.
        log: What the job printed, where PBS writes why it killed it.
        rule: Name of the rule or group.
        silent: Seconds for which PBS has not answered.
        requested: Walltime and memory that the job was submitted with, for a PBS that never showed the job or has forgotten it.
    """
    if cause == "never":
        return f"PBS says: {job.comment}. No node is large enough: lower the request of {rule} under set-resources. It was deleted."
    if cause == "held":
        return f"PBS could not start it and holds it: {job.comment}. Ask the site why. It was deleted."
    if cause == "silent":
        return f"PBS has not answered for {silent / 3600:.0f} hours (see `qstat -B`). It may still run; none is begun beside it."
    over = limit(job, log, requested)
    if over:
        resource, value = over
        cure = CURES.get("mem" if "mem" in resource else resource, "").format(rule=rule)
        return f"killed by PBS: {WORDS.get(resource, resource)}{f' {value}' if value else ''} exceeded. {cure}".strip()
    if cause == "ended":
        return f"the job ended with status {ended}{_signal(ended)}; its log says why."
    said = f" PBS says: {job.comment}." if job.comment else ""
    if cause == "gone":
        was = f", after it was seen in state {job.state}" if job.state != "?" else ""
        return (
            f"PBS no longer knows the job{was}, and its script did not come to its end: it was killed or deleted.{said} "
            "Where the history is on (job_history_enable), PBS can say why."
        )
    if job.exit is None:
        return f"deleted, or ended by PBS, before it came to its end.{said}"
    if job.exit == REFUSED:
        return f"the node could not write into .snakemake/pbs of this folder, or PBS ran the job twice: is the disk mounted there?{said}"
    if job.exit == 0:
        return f"PBS counts it as good, but its script did not come to its end, so its results are not trusted.{said}"
    if job.exit < 0:
        return (
            f"PBS could not run it (Exit_status {job.exit}).{said} It is repeated; ask the site if that happens often."
        )
    killed = _signal(job.exit)
    if killed:
        return f"killed{killed} (Exit_status {job.exit}): deleted, preempted, or its node went down.{said}"
    return f"the job ended with status {job.exit}; its log says why.{said}"


def limit(job: Job, log: str, requested: dict | None = None) -> tuple | None:
    """The resource that a killed job had too little of and the limit it was given: ``("walltime", "00:01:00")``."""
    asked = {**(requested or {}), **job.asked}
    found = KILLED.search(log)
    if found:
        resource, limit_ = found[1], found[3]
        fallback = clock_of_seconds(int(limit_)) if resource == "walltime" and limit_.isdigit() else limit_
        return resource, asked.get(resource) or fallback
    for sign, resource in KILLED_OTHERWISE.items():
        if sign in log:
            return resource, asked.get(resource, "")
    if job.exit in LIMITS:
        return LIMITS[job.exit], asked.get(LIMITS[job.exit], "")
    if "exceeded resource walltime" in job.comment or "walltime exceeded" in job.comment:
        return "walltime", asked.get("walltime", "")
    if job.exit is not None and _signal(job.exit):
        if 0 < seconds(asked.get("walltime", "")) <= seconds(job.used.get("walltime", "")):
            return "walltime", asked["walltime"]
        if 0 < kilobytes(asked.get("mem", "")) <= kilobytes(job.used.get("mem", "")):
            return "mem", asked["mem"]
    return None


def _signal(status: int | None) -> str:
    """How a status above 128 (a shell's) or 256 (PBS's) reads, if it stands for a signal."""
    for base in (256, 128):
        if status is not None and base < status < base + 65:
            try:
                return f" by {signal.Signals(status - base).name}"
            except ValueError:
                return f" by signal {status - base}"
    return ""


def seconds(text: str) -> int:
    """Seconds of ``[hours:]minutes:seconds``; 0 for anything else."""
    if not re.fullmatch(r"\d+(:\d+){0,2}", text):
        return 0
    total = 0
    for part in text.split(":"):
        total = 60 * total + int(part)
    return total


def kilobytes(text: str) -> int:
    """Kilobytes of PBS's ``4gb``, ``2000mb``, ``512kb``, ``100b``; 0 for anything else."""
    found = re.fullmatch(r"(\d+)([kmgtp]?)b?", text.strip().lower())
    if not found:
        return 0
    return int(found[1]) * 1024 ** ("kmgtp".index(found[2])) if found[2] else int(found[1]) // 1024


def clock_of_seconds(count: int) -> str:
    """Seconds in PBS's hours:minutes:seconds."""
    return f"{count // 3600:02d}:{count // 60 % 60:02d}:{count % 60:02d}"


# What is asked of qsub.


def properties_of(script: str) -> dict:
    """Threads, resources and names of a job or a group, which the workflow engine writes into its script."""
    found = re.search(r"^# properties = (\{.*\})$", script, re.MULTILINE)
    if not found:
        raise SystemExit("pbs submit: the job script has no line '# properties = …'; is this Snakemake older than 8?")
    return json.loads(found[1])


def name_of(properties: dict) -> str:
    """At most 15 characters, the first a letter, which every PBS accepts."""
    return re.sub(r"[^A-Za-z0-9_]", "_", f"w_{rule_of(properties)}")[:15]


def rule_of(properties: dict) -> str:
    """Rule of a job, or name of a group."""
    return properties.get("rule") or properties.get("groupid") or "job"


def request(properties: dict, dialect: str, gpu: str, max_mem: str = "") -> list:
    """Arguments of qsub that ask for cores, memory, GPUs and time; memory grows up to ``max_mem`` (``190gb``)."""
    resources = properties.get("resources", {})
    cores, memory = int(properties.get("threads", 1)), mem(properties, max_mem)
    gpus, nodes = int(resources.get("gpu", 0)), int(resources.get("nodes", 1))
    time_limit = f"walltime={walltime(properties)}"
    asked_gpus = f":{gpu}={gpus}" if gpus else ""
    if dialect == "pro":
        return ["-l", f"select={nodes}:ncpus={cores}:mem={memory}{asked_gpus}", "-l", time_limit]
    return ["-l", f"nodes={nodes}:ppn={cores}{asked_gpus},mem={memory},{time_limit}"]


def mem(properties: dict, max_mem: str = "") -> str:
    """Memory in PBS's words, at most ``max_mem``."""
    asked = int(properties.get("resources", {}).get("mem_mb", 1000))
    return f"{min(asked, kilobytes(max_mem) // 1024) if max_mem else asked}mb"


def walltime(properties: dict) -> str:
    """Hours, minutes and seconds of the minutes that Snakemake counts."""
    return clock_of_seconds(60 * int(properties.get("resources", {}).get("runtime", 60)))


def wrapped(script: str, threads: int, base: str, umask: int) -> str:
    """The job script, held to its own cores, run at most once, and leaving its exit status if it comes to its end.

    ``base`` is the path of the files that it writes: ``<base>.begun`` holds PBS's id, ``<base>.exit`` the status. A killed script writes
    no status, whichever shell runs it: nothing is trapped, and the body runs in a shell of its own.
    """
    bounded, count = re.subn(r"--cores '?(all|\d+)'?(?=\s)", f"--cores {threads}", script)
    if not count:
        raise SystemExit(
            "pbs submit: the job script does not say --cores, so its cores cannot be limited; nothing was submitted."
        )
    first, rest = bounded.split("\n", 1)
    begun, ended = shlex.quote(f"{base}.begun"), shlex.quote(f"{base}.exit")
    return f"""{first}
umask {umask:04o}
(set -C; echo "${{PBS_JOBID:-${{SLURM_JOB_ID:-}}}}" > {begun}) 2>/dev/null || exit {REFUSED}
(
{rest}
) < /dev/null
status=$?
echo $status > {ended}.part && mv {ended}.part {ended}
exit $status
"""


# Whether two submissions do the same.


def targets_of(script: str) -> list:
    """The jobs that a script makes, as the workflow engine names them."""
    found = re.search(r"--target-jobs (.*?) --(?!/)", script)
    return sorted(shlex.split(found[1])) if found else []


def overlap(first: dict, second: dict) -> bool:
    """Two submissions write the same results. Large groups do not list their outputs, but every script names its jobs."""
    keys = ("output", "output") if first.get("output") and second.get("output") else ("targets", "targets")
    return bool(set(first.get(keys[0]) or ()) & set(second.get(keys[1]) or ()))


def same_work(first: dict, second: dict) -> bool:
    """Two submissions of one rule read the same files with the same parameters, code included. Groups do not state their parameters."""
    known = ("rule", "wildcards", "input", "output", "params", "log")
    return all(first.get(key) is not None and first.get(key) == second.get(key) for key in known)


# What the site offers.


def gpu_requests(script: str) -> list:
    """Requests of GPUs anywhere in the run (``train_system:gpu=1``), which every script repeats."""
    asked = []
    for word in re.findall(r"base64//([A-Za-z0-9+/=]+)", script):
        text = base64.b64decode(word + "=" * (-len(word) % 4)).decode(errors="replace")
        if re.search(r"(?:^|:)gpu=(?!0$)", text):
            asked.append(text)
    return asked


def nodes_of(text: str) -> list:
    """Resources of each node in the text of ``pbsnodes -a``: ``{"ncpus": "48", "mem": "196gb", …}``; Torque's attributes as they are."""
    nodes: list = []
    for line in text.splitlines():
        if line.strip() and not line[0].isspace():
            nodes.append({})
        elif nodes and " = " in line:
            key, value = line.strip().split(" = ", 1)
            nodes[-1][key.split("resources_available.")[-1]] = value
    return nodes


def no_gpus(said: str, asked: list, nodes: list) -> str:
    """What to do about a PBS that takes no job with a GPU."""
    offered = sorted({key for node in nodes for key in node if re.search("gpu|accel|mic", key)})
    also = f" Its nodes have: {', '.join(offered)}." if offered else ""
    return (
        f"this run will ask for GPUs ({', '.join(asked)}), and PBS takes no such job: {said}.{also} Name the site's resource with --gpu "
        "in the profile, or set gpu: 0 under set-resources."
    )
