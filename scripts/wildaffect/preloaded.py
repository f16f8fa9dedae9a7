"""A process that has loaded the libraries of jobs and starts each job as a copy of itself.

Starting Python and loading libraries takes as long as many a job of a short clip. A copy (fork) starts in milliseconds and is a process
like any other: what it changes or breaks is its own.

Run as ``python -P -m wildaffect.preloaded``. Requests come by standard input and replies go to standard output, a JSON object per line. A
request is ``{"job": number, "file": what to run, "script": where it comes from, "modules": [what it loads by name]}``; the replies
are ``{"job": number, "process": id}`` and, when it is over, ``{"job": number, "status": status, "processor_s": seconds, "peak_mb": MiB}``
with a status of a signal minus its number.
Nothing here knows the workflow engine.
"""

import ast
import json
import os
import runpy
import select
import selectors
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from wildaffect.errors import INTERRUPTED, InputError
from wildaffect.job import keep_freed_memory, limit_threads
from wildaffect.project import PACKAGES, SCRIPTS
from wildaffect.provenance import code_fingerprint, forget


def main() -> None:
    """Serve until the other end closes the pipe."""
    limit_threads(1)
    keep_freed_memory()
    with os.fdopen(os.dup(0), "rb", buffering=0) as requests, os.fdopen(os.dup(1), "w", buffering=1) as replies:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # what a library prints is no reply
        serve(requests, replies)


def serve(requests: BinaryIO, replies: TextIO) -> None:
    """Start a job for each request and say when it is over.

    Args:
        requests: Unbuffered.
        replies: Buffered by lines.
    """
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the jobs decide what it means
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # who starts this process may block it until here
    news, tell = os.pipe()
    jobs: dict[int, int] = {}
    with selectors.DefaultSelector() as events:
        events.register(requests, selectors.EVENT_READ)
        events.register(ended, selectors.EVENT_READ)
        events.register(news, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fileobj is requests:
                    if not (line := requests.readline()):
                        return
                    request = json.loads(line)
                    load(Path(request["file"]), Path(request["script"]).name, request["modules"])
                    process = os.fork()
                    if not process:
                        _become(request["file"], [requests, replies], tell)
                    jobs[process] = request["job"]
                    _reply(replies, job=request["job"], process=process)
                elif key.fileobj == news:
                    _import(os.read(news, 1 << 16).decode().split())
                else:
                    os.read(ended, 4096)
                    for process, status, used in _over():
                        if process in jobs:
                            _reply(
                                replies,
                                job=jobs.pop(process),
                                status=os.waitstatus_to_exitcode(status),
                                processor_s=used.ru_utime + used.ru_stime,
                                peak_mb=used.ru_maxrss / 1024,
                            )


def _reply(replies: TextIO, **values: float) -> None:
    replies.write(json.dumps(values) + "\n")


def _over() -> Iterator[tuple[int, int, Any]]:
    """Children that are over, how they ended, and what they used."""
    with suppress(ChildProcessError):
        while (found := os.wait4(-1, os.WNOHANG))[0]:
            yield found


def _become(file: str, pipes: Iterable[Any], tell: int) -> None:
    """Run a script as Python does, and tell what it imported on its way; never returns."""
    status, before = 1, set(sys.modules)
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for pipe in pipes:
            pipe.close()
        sys.argv = [file]
        runpy.run_path(file, run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
            late = sys.modules.keys() - before
            names = " ".join(sorted(name for name in late if name.rpartition(".")[0] not in late)) + " "
            if len(names.encode()) <= select.PIPE_BUF:  # else what others tell may come between
                os.write(tell, names.encode())
        os._exit(status)  # not back into `serve`, and without tearing down what all jobs share


def load(file: Path, script: str, modules: Iterable[str]) -> None:
    """Load what a job imports by statements and by name, and read their code.

    What it imports later, in a function, is loaded when the first job that does so has told it.
    """
    _follow_edits()
    _import([*imported(file), *(name for name in modules if ":" not in name)])
    with suppress(InputError):
        code_fingerprint(script, modules)


def _import(modules: Iterable[str]) -> None:
    """What fails here fails in the job again, if it is needed there."""
    for module in modules:
        with suppress(Exception):
            import_module(module)


def imported(script: Path) -> list[str]:
    """Modules that the ``import`` statements of a script name; none if it is no Python."""
    try:
        tree = ast.parse(script.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module)
    return found


_stamps: dict[Path, tuple[int, int]] = {}


def _follow_edits() -> None:
    """Read the code anew if some file of it was changed: jobs compare what they run with what was planned."""
    now = {}
    for path in (*SCRIPTS.glob("*.*"), *(PACKAGES / "wildaffect").rglob("*.*")):
        if path.suffix != ".pyc":
            with suppress(OSError):
                state = path.stat()
                now[path] = state.st_mtime_ns, state.st_size
    if now != _stamps:
        forget()
        _stamps.clear()
        _stamps.update(now)


if __name__ == "__main__":
    main()
