"""What submit, status and cancel share: how jobs are asked for, and what qstat's two languages mean. Standard library only."""

import json
import os
import re
import time
import uuid
from pathlib import Path

FOLDER = Path(".snakemake") / "pbs"
"""One record per submitted job, the script that was submitted, and the exit status that the script leaves behind."""

CORES = re.compile(r"--cores '?(all|\d+)'?(?=\s)")
PROPERTIES = re.compile(r"^# properties = (\{.*\})$", re.MULTILINE)
GRACE = 120
"""Seconds after which a job that PBS does not know and that left no exit status has failed (network file systems are slow)."""
PATIENCE = 7200
"""Seconds without any answer of qstat after which a job counts as failed."""


def properties_of(script: str) -> dict:
    """Threads, resources and names of a job or a group, which the workflow engine writes into its script."""
    found = PROPERTIES.search(script)
    if not found:
        raise SystemExit("pbs submit: the job script has no line '# properties = …'; is this Snakemake older than 8?")
    return json.loads(found[1])


def name_of(properties: dict) -> str:
    """At most 15 characters, the first a letter, which every PBS accepts."""
    name = properties.get("rule") or properties.get("groupid") or "job"
    return re.sub(r"[^A-Za-z0-9_]", "_", f"w_{name}")[:15]


def request(properties: dict, dialect: str) -> list[str]:
    """Arguments of qsub that ask for cores, memory, GPUs and time."""
    resources = properties.get("resources", {})
    cores, memory = int(properties.get("threads", 1)), int(resources.get("mem_mb", 1000))
    gpus, nodes = int(resources.get("gpu", 0)), int(resources.get("nodes", 1))
    time_limit = f"walltime={clock(int(resources.get('runtime', 60)))}"
    if dialect == "pro":
        chunk = f"select={nodes}:ncpus={cores}:mem={memory}mb" + (f":ngpus={gpus}" if gpus else "")
        return ["-l", chunk, "-l", time_limit]
    place = f"nodes={nodes}:ppn={cores}" + (f":gpus={gpus}" if gpus else "")
    return ["-l", f"{place},mem={memory}mb,{time_limit}"]


def clock(minutes: int) -> str:
    """Minutes, as Snakemake counts, in PBS's hours:minutes:seconds."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def wrapped(script: str, threads: int, leave: Path) -> str:
    """The job script, held to its own cores, and leaving its exit status in the file ``leave``.

    PBS does not always say how a job ended (histories are switched off or short), and a group of jobs would take all cores of the node.
    """
    bounded, count = CORES.subn(f"--cores {threads}", script)
    if not count:
        raise SystemExit(
            "pbs submit: the job script does not say --cores, so its cores cannot be limited; nothing was submitted."
        )
    first, rest = bounded.split("\n", 1)
    trap = f"""trap 's=$?; echo $s > "{leave}.part" && mv "{leave}.part" "{leave}"' EXIT"""
    return f"{first}\n{trap}\n{rest}"


def new_token() -> str:
    """A name for one submission."""
    return uuid.uuid4().hex


def remember(job: str, leave: Path) -> None:
    """Record what status needs to know of a submitted job."""
    write(FOLDER / f"{job}.job", json.dumps({"leave": str(leave), "submitted": time.time()}))


def write(path: Path, text: str) -> None:
    """Write a file as a whole."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(text)
    partial.replace(path)


def parse(text: str) -> dict[str, tuple[str, int | None]]:
    """``{id: (state, exit status)}`` of ``qstat -f``, in JSON or in text; ids without the server's name.

    PBS Pro writes ``Exit_status``, Torque ``exit_status``; continued lines begin with a tab and are of no interest.
    """
    try:
        jobs = json.loads(text).get("Jobs", {})
    except ValueError:
        jobs = _text_jobs(text)
    return {short(name): (str(job.get("job_state", "?")), _exit(job)) for name, job in jobs.items()}


def _text_jobs(text: str) -> dict[str, dict[str, str]]:
    jobs: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("Job Id:"):
            current = jobs.setdefault(line.split(":", 1)[1].strip(), {})
        elif " = " in line and not line.startswith("\t"):
            key, value = line.strip().split(" = ", 1)
            current[key] = value
    return jobs


def _exit(job: dict) -> int | None:
    value = job.get("Exit_status", job.get("exit_status"))
    return int(value) if value is not None and re.fullmatch(r"-?\d+", str(value).strip()) else None


def short(name: str) -> str:
    """A job's number without the server's name."""
    return name.split(".")[0]


def left(record: dict) -> bool:
    """The job's script came to its end, well or not."""
    return Path(record["leave"]).exists()


def unfinished(path: Path) -> bool:
    """The job of a record left nothing behind yet."""
    return not left(json.loads(path.read_text()))


def verdict(record: dict | None, job: tuple[str, int | None] | None, *, silent: float, now: float) -> str:
    """``success``, ``failed`` or ``running``, from what was left behind, else from what PBS says.

    ``record`` of the submission; ``job``: state and exit status by qstat, None if it does not know the job; ``silent``: seconds for
    which qstat has not answered at all.
    """
    if record is None:
        return "failed"
    if left(record):
        return "success" if Path(record["leave"]).read_text().strip() == "0" else "failed"
    if silent:
        return "failed" if silent > PATIENCE else "running"
    state, status = job or ("F", None)
    if state not in ("F", "C", "X"):
        return "running"
    if status is None:
        return "failed" if now - record["submitted"] > GRACE else "running"
    return "success" if status == 0 else "failed"
