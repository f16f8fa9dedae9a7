"""What Snakemake leaves undone on a cluster, in the process that watches its jobs."""

import os
import time
from collections.abc import Awaitable, Callable

import snakemake_executor_plugin_slurm as slurm
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake_executor_plugin_slurm.job_status_query import query_job_status_squeue
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

PREEMPTED = "PREEMPTED"
OVER = frozenset(
    {"COMPLETED", "BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT", "ERROR"}
)
FAILED_OTHERWISE = frozenset({"REVOKED", "LAUNCH_FAILED", "RECONFIG_FAIL", "SPECIAL_EXIT"})
"""States of jobs that are over, those that the executor knows and those that it takes for running."""
GRACE = 120
"""Seconds after which a preempted job is not requeued any more, and a job of which the controller knows nothing is over."""


def tell_helpers_who_runs() -> None:
    """Leave the number of this process to the helpers of the PBS profile, which may outlive it: two runs never make the same results."""
    os.environ["WILDAFFECT_RUN"] = str(os.getpid())


def cancel_jobs_on_sigterm() -> None:
    """Let SIGTERM, as a shutdown or a batch system sends it, end a run on a cluster as Ctrl-C does. Snakemake would wait
    for all jobs; where it runs a job itself, it still does."""
    finish = JobScheduler.exit_gracefully

    def end(self, *arguments) -> None:
        if self.workflow.local_exec or self.workflow.remote_exec:
            finish(self, *arguments)
        else:
            raise KeyboardInterrupt

    JobScheduler.exit_gracefully = end


def cancel_all_jobs() -> None:
    """Let a run that ends cancel all of its jobs: Snakemake forgets those of which it is just asking how they are."""
    report = RemoteExecutor.report_job_submission

    def submitted(self, job_info, *arguments, **options) -> None:
        report(self, job_info, *arguments, **options)
        self.__dict__.setdefault("all_jobs", {})[job_info.job] = job_info

    def cancel(self) -> None:
        running = set(self.workflow.scheduler.running)
        self.cancel_jobs([info for job, info in self.__dict__.get("all_jobs", {}).items() if job in running])
        self.shutdown()

    RemoteExecutor.report_job_submission, RemoteExecutor.cancel = submitted, cancel


def complete_states_of_slurm() -> None:
    """Let every job that is over on SLURM end in Snakemake, and none because nobody answered."""
    slurm.query_job_status = States(slurm.query_job_status)


class States:
    """States of a run's jobs. The executor (2.8.0) forgets all jobs if the controller does not answer, waits for ever for those that were
    preempted for good or that are known no more, and takes unknown ones for good.

    Args:
        ask: The executor's question; states by id and its duration, twice None if there is no answer.
        now: Seconds that only grow.
    """

    def __init__(self, ask: Callable[..., Awaitable[tuple]], now: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._now = ask, now
        self._last: dict[str, str] = {}
        self._since: dict[str, float] = {}

    async def __call__(self, command: str, logger) -> tuple[dict[str, str], float]:
        states, duration = await self._ask(command, logger)
        if states is None and command.startswith("sacct"):  # as without accounting
            command = query_job_status_squeue(command.rsplit("--name", 1)[1].strip())
            states, duration = await self._ask(command, logger)
        if states is None:
            logger.debug("SLURM does not answer; jobs are taken to go on.")
            return {}, 0.0
        return self.complete(states, logger, forgets=command.startswith("squeue")), duration

    def complete(self, states: dict[str, str], logger, *, forgets: bool) -> dict[str, str]:
        """The states that the executor should see.

        Args:
            states: As SLURM says them; sacct's are followed by more words.
            logger: Is told what the executor has no words for.
            forgets: A job that is missing is no longer known, as with squeue; sacct may be late.
        """
        states = {job: words.split()[0] for job, words in states.items() if words.split() and words != "UNKNOWN"}
        missing = (
            {job for job, state in self._last.items() if job not in states and state not in OVER} if forgets else set()
        )
        for job in missing:
            if self._for(job) > GRACE:
                logger.error(f"SLURM job {job} is known no more; it was last {self._last[job]}. It counts as failed.")
                states[job] = "ERROR"
        for job, state in states.items():
            if state in FAILED_OTHERWISE or (state == PREEMPTED and self._for(job) > GRACE):
                logger.error(f"SLURM job {job} ended: {state}.")
                states[job] = "CANCELLED"
        waiting = missing | {job for job, state in states.items() if state == PREEMPTED}
        self._since = {job: since for job, since in self._since.items() if job in waiting}
        self._last.update(states)
        return states

    def _for(self, job: str) -> float:
        """Seconds for which a job is preempted or missing."""
        return self._now() - self._since.setdefault(job, self._now())
