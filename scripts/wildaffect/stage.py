"""The adapter between a workflow job and a library call: log, threads, device, error report.

Nothing here knows the workflow engine; a script passes the plain values of its job.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from wildaffect.errors import InputError

log = logging.getLogger("wildaffect")

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
    path.parent.mkdir(parents=True, exist_ok=True)
    terminal = os.fdopen(os.dup(2), "w")
    with path.open("w") as handle:
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
