"""Jobs on SLURM end in Snakemake as they end there."""

import asyncio
import importlib
import logging
import sys
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm.job_status_query import query_job_status_sacct, query_job_status_squeue

from support.pipeline import ROOT

sys.path.insert(0, str(ROOT / "workflow" / "rules"))
clusters = importlib.import_module("clusters")


def test_a_run_that_ends_cancels_those_too_that_it_is_just_asking_about(monkeypatch):
    """The executor's own list is empty in that moment."""
    executors = clusters.RemoteExecutor
    monkeypatch.setattr(executors, "report_job_submission", lambda self, info, **_: self.active_jobs.append(info))
    monkeypatch.setattr(executors, "cancel", executors.cancel)
    clusters.cancel_all_jobs()
    cancelled, scheduler = [], SimpleNamespace(running={"over", "repeated", "asked"})
    executor = SimpleNamespace(active_jobs=[], workflow=SimpleNamespace(scheduler=scheduler))
    executor.cancel_jobs, executor.shutdown = cancelled.extend, lambda: None
    for job, number in (("over", 1), ("repeated", 2), ("asked", 3), ("repeated", 4)):
        executors.report_job_submission(executor, SimpleNamespace(job=job, external_jobid=number))
    scheduler.running.remove("over")
    executor.active_jobs.clear()
    executors.cancel(executor)
    assert [info.external_jobid for info in cancelled] == [4, 3]


class Slurm:
    """Answers in turn, each at its time; what was asked is kept."""

    def __init__(self, *answers) -> None:
        self.answers, self.asked, self.time = list(answers), [], 0.0

    async def ask(self, command, logger):
        self.asked.append(command)
        self.time, states = self.answers.pop(0)
        return (states, 0.1) if states is not None else (None, None)


def told(*answers, command=query_job_status_squeue) -> list[dict]:
    slurm = Slurm(*answers)
    states = clusters.States(slurm.ask, now=lambda: slurm.time)
    found = []
    while slurm.answers:
        found.append(asyncio.run(states(command("run-id"), logging.getLogger("test")))[0])
    return found


def test_no_answer_is_no_end():
    """The executor would forget all jobs, and the run would wait for nothing for ever."""
    running = {"1": "RUNNING", "2": "PENDING"}
    assert told((0, running), (10, None), (10_000, None), (10_001, running)) == [running, {}, {}, running]


@pytest.mark.parametrize(
    "state", ["COMPLETED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "FAILED", "RUNNING", "COMPLETING", "REQUEUED"]
)
def test_what_the_executor_understands_is_left_alone(state):
    assert told((0, {"1": state})) == [{"1": state}]


def test_a_preempted_job_may_be_requeued():
    answers = [(0, {"1": "RUNNING"}), (10, {"1": "PREEMPTED"}), (100, {"1": "PENDING"}), (1000, {"1": "PREEMPTED"})]
    assert told(*answers) == [states for _, states in answers]


def test_a_job_that_stays_preempted_has_ended(caplog):
    found = told(
        (0, {"1": "PREEMPTED"}), (clusters.GRACE, {"1": "PREEMPTED"}), (clusters.GRACE + 1, {"1": "PREEMPTED"})
    )
    assert found == [{"1": "PREEMPTED"}, {"1": "PREEMPTED"}, {"1": "CANCELLED"}]
    assert "SLURM job 1 ended: PREEMPTED" in caplog.text


@pytest.mark.parametrize("state", ["REVOKED", "LAUNCH_FAILED", "SPECIAL_EXIT"])
def test_states_that_the_executor_takes_for_running_are_ends(state, caplog):
    assert told((0, {"1": state})) == [{"1": "CANCELLED"}]
    assert state in caplog.text


def test_a_job_that_is_known_no_more_has_failed(caplog):
    """As after a long absence of the controller, or of the question."""
    found = told(
        (0, {"1": "RUNNING", "2": "COMPLETED"}),
        (10, {}),
        (10 + clusters.GRACE, {}),
        (11 + clusters.GRACE, {}),
        (5000, {}),
    )
    assert found == [{"1": "RUNNING", "2": "COMPLETED"}, {}, {}, {"1": "ERROR"}, {}]
    assert "it was last RUNNING" in caplog.text


def test_a_job_that_accounting_misses_for_a_while_goes_on():
    assert told((0, {"1": "RUNNING"}), (10, {}), (9999, {}), command=query_job_status_sacct)[1:] == [{}, {}]


def test_unknown_is_no_success():
    assert told((0, {"1": "UNKNOWN"})) == [{}]


def test_who_cancelled_a_job_is_no_part_of_its_state():
    assert told((0, {"1": "CANCELLED by 1000"}), command=query_job_status_sacct) == [{"1": "CANCELLED"}]


def test_without_accounting_the_controller_is_asked():
    slurm = Slurm((0, None), (0, {"1": "RUNNING"}))
    states = asyncio.run(clusters.States(slurm.ask)(query_job_status_sacct("run-id"), logging.getLogger("test")))[0]
    assert states == {"1": "RUNNING"}
    assert slurm.asked[1] == query_job_status_squeue("run-id")
