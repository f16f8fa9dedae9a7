"""The adapter between a workflow job and a library call: log, threads, device, error report.

Nothing here knows the workflow engine; a script passes the plain values of its job.
"""

import contextlib
import ctypes
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from wildaffect.errors import INTERRUPTED, InputError
from wildaffect.files import FULL_ADVICE, disk_full, in_words
from wildaffect.provenance import SCRIPTS, code_fingerprint

log = logging.getLogger("wildaffect")

WORKER = "WILDAFFECT_COPY"
"""Is set in processes that `launch_processes` started."""

# Read by the numeric libraries when they are imported, which happens inside the block.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


# Parameters of mallopt (glibc's malloc.h), and values above what images and activations need; 32 MiB is the most that it takes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _MOST_KEPT = 32 << 20, 512 << 20


def limit_threads(threads: int) -> None:
    """Let the numeric libraries that are imported from now on use a number of threads."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # gives memory back, so peaks do not depend on length


def keep_freed_memory() -> None:
    """Let the C library reuse what images leave behind. It would give each one's memory back, and the system clears it for the next one,
    which takes a third of the time of decoding."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc alone
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)


@contextlib.contextmanager
def stage(log_file: str | os.PathLike, threads: int, code: str) -> Iterator[None]:
    """Run the block of a job: its output, also that of C libraries, goes to a log file, its libraries use a number of threads.

    An `InputError` ends the process with status 1 and prints its message alone, to the log and the terminal; any other exception leaves
    its traceback in the log. A full disk is told on the terminal, as the log may be on it; Ctrl-C is one line of the log.

    Args:
        log_file: Log to write; in one of several processes the rank is added to its name.
        threads: Threads of the numeric libraries.
        code: The planned code: names of the script and of modules that it loads at run time, and their fingerprint, separated by spaces.
            The block does not run if the code that this process imports is different.
    """
    limit_threads(threads)
    keep_freed_memory()
    path = Path(log_file)
    if number := rank():
        path = path.with_suffix(f".{number}{path.suffix}")
    terminal = os.fdopen(os.dup(2), "w")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The first worker continues the log of the process that launched it.
        with path.open("a" if WORKER in os.environ and not number else "w") as handle:
            os.dup2(handle.fileno(), 1)
            os.dup2(handle.fileno(), 2)
    except OSError as error:
        print(f"wildaffect: {path}: cannot be written: {in_words(error)}", file=terminal, flush=True)
        sys.exit(1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    started = time.monotonic()
    try:
        check_code(code)
        yield
        sys.stdout.flush()
    except InputError as error:
        log.error("%s", error)
        print(f"wildaffect: {error}", file=terminal, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("interrupted after %.1f s", time.monotonic() - started)
        sys.exit(INTERRUPTED)
    except Exception as error:
        log.exception("failed after %.1f s", time.monotonic() - started)
        why = f"{full}. {FULL_ADVICE}" if (full := disk_full(error)) else f"unexpected error, see {path}"
        print(f"wildaffect: {why}", file=terminal, flush=True)
        sys.exit(1)
    log.info("done in %.1f s", time.monotonic() - started)


def check_code(planned: str) -> None:
    """Check that the code that this process imports is the planned code.

    Args:
        planned: As for `stage`.

    Raises:
        InputError: It has changed since, or it belongs to another copy of the project.
    """
    script, *modules, fingerprint = planned.split()
    if code_fingerprint(script, modules) == fingerprint:
        return
    here = Path(getattr(sys.modules["__main__"], "__file__", SCRIPTS / script)).resolve().parent
    if here == SCRIPTS.resolve():
        raise InputError(
            f"{SCRIPTS / script}: it, or code that it uses, has changed since this run was planned. Run again."
        )
    raise InputError(
        f"{here / script}: this code was planned, but the job imports {SCRIPTS}. Install this copy of the project in an environment of its "
        "own (make setup), or run that one."
    )


def check_interpreter(executable: str) -> None:
    """Check that jobs can be started: Snakemake names the interpreter to a shell as it is.

    Raises:
        InputError: Its path holds a blank or another character that a shell takes for something else.
    """
    if found := re.search(r"[\s'\"\\$`&|;<>()*?\[\]{}!#]", executable):
        raise InputError(
            f"{executable}: no job can be started with this interpreter, because its path holds {found[0]!r}. Move the environment (make "
            "setup puts it into the project) to another folder, and set it up again."
        )


def device(gpus: int) -> str:
    """`cuda` if the job was given a GPU, else `cpu`; code that uses the device checks that it exists."""
    return "cuda" if gpus else "cpu"


def rank() -> int:
    """Rank of this process among those that were launched together; 0 for a single process."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) if WORKER in os.environ else 0


def launch_processes(tasks: int, nodes: int = 1) -> bool:
    """Run the calling script in several processes: under srun within a SLURM job, else by torchrun on this machine.

    Args:
        tasks: Number of processes.
        nodes: Machines that they are spread over.

    Returns:
        True if the work was done by other processes; False in these, and where a single process is asked for: the caller does the work.

    Raises:
        InputError: One of the processes failed (the others are ended then), or several nodes are asked for outside SLURM.
    """
    if tasks == 1 or WORKER in os.environ:
        return False
    script = sys.argv
    if "SLURM_JOB_ID" in os.environ and shutil.which("srun"):
        command = [
            "srun",
            f"--ntasks={tasks}",
            f"--nodes={nodes}",
            f"--ntasks-per-node={tasks // nodes}",  # Lightning insists on it
            "--overlap",  # with the step that this process runs in
            "--kill-on-bad-exit=1",
            "--cpu-bind=none",
            sys.executable,
        ]
    elif nodes == 1:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={tasks}"]
    else:
        raise InputError(f"{nodes} nodes were asked for, but this is no SLURM job: use one node, or the SLURM profile.")
    if status := subprocess.run([*command, *script], env={**os.environ, WORKER: "1"}).returncode:
        raise InputError(f"one of {tasks} processes ended with status {status}; see the logs beside this one.")
    return True
