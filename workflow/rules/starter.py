"""Starts jobs as copies of a process that has loaded their libraries (`wildaffect.preloaded`), where Snakemake starts Python for each."""

import atexit
import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from itertools import count
from queue import SimpleQueue
from typing import IO

import psutil
from snakemake.benchmark import benchmarked
from snakemake.script import PythonScript

# What is told of the jobs of a process that is no more: most likely the system ended it for want of memory.
LOST = {"status": -signal.SIGKILL}


def start_jobs_as_copies() -> None:
    """Let jobs of one thread start so. The libraries of others must be loaded anew, as those of jobs in an environment of their own, or
    with a GPU."""
    starter, start = Starter(), PythonScript.execute_script

    def execute_script(self, fname, edit=False) -> None:
        own_environment = self.container_img or self.conda_env or self.env_modules
        if own_environment or self.threads > 1 or self.resources.get("gpu"):
            start(self, fname, edit)
            return
        code = getattr(self.params, "code", "").split()
        starter.run(fname, self.path.get_path_or_uri(secret_free=True), code[1:-1], self.bench_record)

    PythonScript.execute_script = execute_script
    atexit.register(starter.close)


class Starter:
    """The process, which begins with the first job, and the jobs that it runs. May be called by several threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._lock, self._numbers = threading.Lock(), count()
        self._jobs: dict[int, SimpleQueue] = {}

    def run(self, file: str, script: str, modules: list[str], record=None) -> None:
        """Run ``file``, which was made from ``script`` and loads ``modules`` by name, to its end; ``record`` measures it.

        Raises:
            CalledProcessError: It failed.
        """
        replies: SimpleQueue = SimpleQueue()
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._begin()
            number = next(self._numbers)
            self._jobs[number] = replies
            request = json.dumps({"job": number, "file": file, "script": script, "modules": modules})
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        started, reply = time.time(), replies.get()
        if "process" in reply:
            with ExitStack() as measured:
                if record is not None:
                    try:
                        measured.enter_context(benchmarked(reply["process"], record))
                    except psutil.NoSuchProcess:  # it is over already
                        record.process_gone = True
                reply = replies.get()
        if record is not None:
            record.running_time = time.time() - started
            if "processor_s" in reply:  # exact, where Snakemake looks now and then, and misses short jobs
                record.cpu_time, record.data_collected = reply["processor_s"], True
                record.max_rss = max(record.max_rss or 0, reply["peak_mb"])
        if reply["status"]:
            raise subprocess.CalledProcessError(reply["status"], f"{sys.executable} {file}")

    def close(self) -> None:
        """End the process; jobs that still run go on."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()

    def _begin(self) -> None:
        command = [sys.executable, "-P", "-m", "wildaffect.preloaded"]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # it is deaf to Ctrl-C from its first moment
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._jobs = {}
        threading.Thread(target=_listen, args=(self._process.stdout, self._jobs), daemon=True).start()


def _listen(replies: IO[str], jobs: dict[int, SimpleQueue]) -> None:
    """Pass on what a process says of its jobs, to its end."""
    for line in replies:
        reply = json.loads(line)
        jobs[reply["job"]].put(reply)
        if "status" in reply:
            del jobs[reply["job"]]
    for waiting in jobs.values():
        waiting.put(LOST)
