"""Running Snakemake in an analysis folder for people who want to see how far it is, and what went wrong, in a few lines."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from wildaffect import paths
from wildaffect.errors import INTERRUPTED, InputError
from wildaffect.faces.tables import LANDMARKS, absent_trials
from wildaffect.models import default_folder
from wildaffect.tables import read_all, read_table
from wildaffect.workflow.analysis import RESULTS, default_output, new_run, pages, settings_for
from wildaffect.workflow.status import (
    JOBS,
    LOCK,
    State,
    Status,
    goes_on,
    job_line,
    left_locked,
    read_status,
    stage_line,
)

LOG = "snakemake.log"
POLL = 0.5
"""Seconds between two looks at the files."""
SPEAK = 30.0
"""Seconds between two lines about a stage where the output is no terminal."""
_RULES = re.compile(r"^(?:WorkflowError|InputError)[^\n]*\n(.*?)\Z", re.MULTILINE | re.DOTALL)


def analyse(
    given: Sequence[Path],
    output: Path | None = None,
    *,
    people: int = 1,
    predictors: Sequence[str] | None = None,
    trained: Path | None = None,
    cores: int | None = None,
    profile: str | None = None,
    models_dir: Path | None = None,
    dry_run: bool = False,
    say: Callable[[str], None] = print,
) -> int:
    """Analyse somebody's own videos, from the files to the page, and say where to look.

    Args:
        given: Videos, and folders that are searched.
        output: Folder to write; None: `affect-<name of the first>` in the current one.
        people, predictors, trained: As for `settings_for`.
        cores, profile, dry_run, say: As for `run_folder`.
        models_dir: Folder of model files; None: `wildaffect.models.default_folder`.

    Returns:
        The exit status, as of `run_folder`.

    Raises:
        InputError: Something given cannot be used, or a run is going on in the folder.
    """
    folder = (output or default_output(given[0])).absolute()
    _check_free(folder)
    models = models_dir or default_folder()
    settings = settings_for(people=people, predictors=predictors, trained=trained, models=models, title=folder.name)
    names = new_run(folder, given, settings)
    say(f"{len(names)} video{'s' * (len(names) != 1)}, {folder}")
    status = run_folder(folder, cores=cores, profile=profile, dry_run=dry_run, say=say)
    if status == INTERRUPTED:
        say("The same command continues where it was.")
    elif not dry_run:
        for name, path in pages(folder).items():
            say(f"{name:<9}{path}")
    return status


def run_tables(given: Sequence[Path], output: Path | None = None, **options: Any) -> dict[str, Any]:
    """`analyse`, then the tables of `read_tables`; `InputError` if a job failed."""
    said: list[str] = []
    if not given:
        raise InputError("wildaffect.run: name at least one video or folder.")
    folder = (output or default_output(given[0])).absolute()
    if analyse(given, folder, **{"say": said.append, **options}):
        raise InputError(f"{folder}: the run is not complete.\n" + "\n".join(said))
    return read_tables(folder / RESULTS)


def read_tables(results: Path) -> dict[str, Any]:
    """Tables of results as pandas data frames, a row per frame and trial.

    Returns:
        `frames`, `videos` and `segments` (see docs/tables.md), `faces` (tables of persons without landmarks), and by `<system>/<variant>`
        what is exported.
    """
    import pandas as pd

    tables = {}
    files = sorted((results / paths.TABLES_FRAMES).glob("*.csv"))
    if files:
        tables["frames"] = pd.concat(map(pd.read_csv, files), ignore_index=True)
    for name, pattern in (("videos", paths.TABLES_VIDEOS), ("segments", paths.TABLES_SEGMENTS)):
        if (results / pattern).exists():
            tables[name] = pd.read_csv(results / pattern)
    videos = read_table(results / paths.TRIALS, pa.schema([("video", pa.string())]))["video"].unique().to_pylist()
    persons = [path for video in videos if (path := results / paths.PERSONS.format(video=video)).exists()]
    absent = {trial for path in persons for trial in absent_trials(path)}
    rows = [read_all(path).to_pandas() for path in persons]
    if rows:
        faces = pd.concat(rows, ignore_index=True)
        points = [name for name, _ in LANDMARKS]
        tables["faces"] = faces[~faces["trial"].isin(absent)].drop(columns=points).reset_index(drop=True)
    for folder in sorted(results.glob(paths.EXPORTS.format(system="*", variant="*"))):
        parts = [pd.read_csv(file).assign(trial=file.stem) for file in sorted(folder.glob("*.csv"))]
        if parts:
            table = pd.concat(parts, ignore_index=True)
            tables["/".join(folder.parts[-2:])] = table[["trial", *(name for name in table if name != "trial")]]
    return tables


def _check_free(folder: Path) -> None:
    if goes_on(folder / RESULTS):
        raise InputError(f"{folder}: a run is going on there. See how far it is: wildaffect status {folder}")


def run_folder(
    folder: Path,
    *,
    cores: int | None = None,
    profile: str | None = None,
    dry_run: bool = False,
    say: Callable[[str], None] = print,
) -> int:
    """Run the workflow of an analysis folder.

    Args:
        folder: The folder; Snakemake's own words go to `LOG` in it.
        cores: Cores to use; None: all of this machine that the process may use, or what the profile allows.
        profile: Name of a profile in the folder, or the path of one.
        dry_run: Only say what would run.
        say: Prints a line.

    Returns:
        0, 1 if a job failed, 130 after Ctrl-C.

    Raises:
        InputError: It could not begin.
    """
    results = folder / RESULTS
    _check_free(folder)
    if left_locked(results) and not profile:  # with one, jobs may still be on a cluster
        (results / LOCK).unlink(missing_ok=True)
    if cores is None and not profile:
        cores = len(os.sched_getaffinity(0))
    options = [
        *(["--cores", str(cores)] if cores else []),
        *(["--workflow-profile", _profile(folder, profile)] if profile else []),
        *(["--dry-run"] if dry_run else []),
    ]
    command = [
        sys.executable, "-m", "snakemake", "--directory", str(folder), "--snakefile", str(folder / "workflow/Snakefile"), *options,
        "--quiet", "rules",
    ]  # fmt: skip
    before = _stamp(results)
    with (folder / LOG).open("w+", encoding="utf-8", errors="replace") as log:
        # In a session of its own, so that Ctrl-C comes once, from here.
        process = subprocess.Popen(
            command, cwd=folder, env=_environment(folder), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )  # fmt: skip
        try:
            with _ends_as_interrupts():
                _follow(process, results, before, say)
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGINT)
            _clear()
            say("interrupted: jobs under way are being stopped")
            process.wait()
            return INTERRUPTED
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    text = (folder / LOG).read_text(encoding="utf-8", errors="replace")
    if dry_run and not process.returncode:
        say(text.strip())
    elif process.returncode:
        return _tell_failure(results, before, text, folder / LOG, say)
    return 0


@contextmanager
def _ends_as_interrupts() -> Iterator[None]:
    """Answer the end of the terminal or of the session as Ctrl-C, as nobody else would stop the jobs."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may ask for signals
        return
    # What `nohup` lets pass stays so.
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(process: subprocess.Popen, results: Path, before: float | None, say: Callable[[str], None]) -> None:
    """Say a line for each stage as it ends, and what runs in between."""
    told: set[str] = set()
    started: dict[str, float] = {}
    spoken, pause = time.monotonic(), POLL
    terminal = sys.stderr.isatty()
    while process.poll() is None:
        time.sleep(pause)
        if _stamp(results) == before:
            continue
        begun = time.monotonic()
        status = read_status(results)
        pause = max(POLL, 20 * (time.monotonic() - begun))  # thousands of logs are read less often
        for stage, jobs in status.stages().items():
            if any(job.state != State.WAITING for job in jobs):
                started.setdefault(stage, time.monotonic())
        _tell_ended(status, told, started, say)
        if terminal or time.monotonic() - spoken > SPEAK:
            spoken = time.monotonic()
            _tell_running(status, terminal, say)
    if _stamp(results) != before:
        _tell_ended(read_status(results), told, started, say)


def _tell_ended(status: Status, told: set[str], started: dict[str, float], say: Callable[[str], None]) -> None:
    for stage, jobs in status.stages().items():
        over = all(job.state in (State.DONE, State.FAILED, State.ENDED) for job in jobs)
        if over and stage not in told:
            told.add(stage)
            seconds = time.monotonic() - started.get(stage, time.monotonic())
            _clear()
            say(f"{stage:<9}{stage_line(jobs)}, {seconds:.0f} s")


def _tell_running(status: Status, terminal: bool, say: Callable[[str], None]) -> None:
    running = status.of(State.RUNNING)
    if not running:
        return
    job = max(running, key=lambda job: job.left or 0.0)
    line = f"{job.stage:<9}{stage_line(status.stages()[job.stage])}; {job_line(job)}"
    if terminal:
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        print(f"\r\x1b[K{line[: width - 1]}", end="", file=sys.stderr, flush=True)
    else:
        say(line)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _tell_failure(results: Path, before: float | None, text: str, log: Path, say: Callable[[str], None]) -> int:
    """Say which jobs failed and why; before any job, an `InputError` with what Snakemake says."""
    _clear()
    failed = read_status(results).of(State.FAILED, State.ENDED) if _stamp(results) != before else []
    if not failed:
        found = _RULES.findall(text)
        why = found[-1].strip() if found else "\n".join(text.strip().splitlines()[-10:])
        raise InputError(f"{why}\n(all that Snakemake said: {log})")
    for job in failed:
        say(f"failed: {job.name}: {job.why}\n  log: {job.log}")
    return 1


def _stamp(results: Path) -> float | None:
    """When the last run planned its jobs."""
    try:
        return (results / JOBS).stat().st_mtime
    except OSError:
        return None


def _profile(folder: Path, name: str) -> str:
    inside = folder / "workflow" / "profiles" / name
    path = inside if inside.is_dir() else Path(name)
    if not path.is_dir():
        known = sorted(each.name for each in inside.parent.iterdir() if each.is_dir())
        raise InputError(f"--profile {name}: no such profile (in the folder: {', '.join(known)}) and no folder.")
    return str(path.absolute())


def _environment(folder: Path) -> dict[str, str]:
    """Of Snakemake: where the home folder cannot be written, it keeps its cache in the analysis folder."""
    environment = dict(os.environ)
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError:
        environment["XDG_CACHE_HOME"] = str(folder / ".cache")
    return environment
