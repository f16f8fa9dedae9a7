"""The adapter between a workflow job and a library call: log, threads, device, error report.

Nothing here knows the workflow engine; a script passes the plain values of its job.
"""

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from wildaffect.errors import InputError

log = logging.getLogger("wildaffect")

WORKER = "WILDAFFECT_COPY"
"""Set in processes that :func:`copies` started."""

# Read by the numeric libraries when they are imported, which happens inside the block.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


@contextlib.contextmanager
def stage(log_file: str | os.PathLike, threads: int) -> Iterator[None]:
    """Run the block with everything it prints, also from C libraries, in ``log_file``, and with ``threads`` threads.

    An :class:`InputError` ends the process with status 1 and its message alone, in the log and on the terminal;
    any other exception keeps its traceback in the log.
    """
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # gives memory back, so peaks do not depend on length
    path = Path(log_file)
    if number := rank():
        path = path.with_suffix(f".{number}{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    terminal = os.fdopen(os.dup(2), "w")
    # The first copy goes on in the log of the process that started it.
    with path.open("a" if WORKER in os.environ and not number else "w") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    started = time.monotonic()
    try:
        yield
    except InputError as error:
        log.error("%s", error)
        print(f"wildaffect: {error}", file=terminal, flush=True)
        sys.exit(1)
    except Exception:
        log.exception("failed after %.1f s", time.monotonic() - started)
        print(f"wildaffect: unexpected error, see {path}", file=terminal, flush=True)
        sys.exit(1)
    log.info("done in %.1f s", time.monotonic() - started)


def device(gpus: int) -> str:
    """``cuda`` if the job was given a GPU, else ``cpu``; the user of the device checks that it is really there."""
    return "cuda" if gpus else "cpu"


def rank() -> int:
    """Number of this process among those that were started together; 0 for a process of its own."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) if WORKER in os.environ else 0


def launch_processes(tasks: int, nodes: int = 1) -> bool:
    """Run the calling script ``tasks`` times together, under srun within a SLURM job and else on this machine; False if it is to run alone.

    False as well in the copies, which do the work. :class:`InputError` if one of them fails; the others are ended then.
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
