"""Whole runs against the simulated PBS under random faults, in a time of their own.

No result counts that an unfinished job made, nothing runs twice at the same time, and every failure is told with its true reason.
"""

import random
import re

import pytest

from support.pbs import Models, Server, job_script, jobs, short

RUNS = 150
ROUND = 20
ATTEMPTS = 3
REASONS = {
    "ended": "ended with status 3",
    "finished": "ended with status 3",
    "walltime": "killed by PBS: walltime .* exceeded",
    "memory": "killed by PBS: memory .* exceeded",
    "deleted": "by SIG(TERM|KILL)|no longer knows|deleted, or ended|not trusted|ran the job twice",
    "rerun": "by SIG(TERM|KILL)|no longer knows|not trusted",
    "never": "Can Never Run",
}


class World:
    """One run: some pieces of work, a server, its faults, and a Snakemake that is killed and begun again."""

    def __init__(self, seed: int, folder) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        dice = self.random
        self.models = Models(self.fate, lag=dice.choice([0, 0, 30, 60]), killed=dice.choice([271, 265, 143, 0]))
        self.server = Server(
            self.models,
            history=dice.random() < 0.5,
            accounting=dice.choice([0, 0, 40]),
            dying=dice.choice([0, 30]),
            reruns=dice.random() < 0.2,
            faults=self.faults(),
            at_once=dice.choice([2, 5, 100]),
            now=1000,
        )
        self.work = [f"w{number}" for number in range(6)]
        self.too_large = dice.choice([None, None, "w0"])
        self.made: set[str] = set()
        self.failed: dict[str, int] = {}
        self.ghosts: dict[str, str] = {}
        self.runs = 0

    def fate(self, job) -> tuple[float, int]:
        return self.random.choice([(5, 0), (60, 0), (200, 0), (900, 0), (40, 3), (10_000, 0)])

    def faults(self) -> list:
        kinds = ["away", "host unknown", "hangs", "deaf"]
        starts = [self.random.uniform(1000, 5000) for _ in range(self.random.randrange(5))]
        return [(start, start + self.random.choice([30, 200, 900]), self.random.choice(kinds)) for start in starts]

    def snakemake(self) -> jobs.Site:
        """A new process: the ones before are no more."""
        self.runs += 1
        return jobs.Site(
            folder=self.folder / "pbs", run=f"run{self.runs}", call=self.server.call, now=lambda: self.server.now,
            sleep=self.advance, is_running=f"run{self.runs}".__eq__,
        )  # fmt: skip

    def advance(self, seconds: float) -> None:
        """Time passes, and things happen to jobs."""
        end = self.server.now + seconds
        while self.server.now < end:
            self.server.advance(min(10, end - self.server.now))
            if self.random.random() < 0.02 and (
                running := [job for job in self.server.jobs.values() if job.state in "RQ" and not job.truth]
            ):
                self.server.end(self.random.choice(running), self.random.choice(["deleted", "memory", "rerun"]))

    def live(self) -> None:
        """Run until all work is made or has failed for good."""
        site, under_way = self.snakemake(), {}
        for _ in range(2000):
            for name in self.work:
                if name not in self.made and name not in under_way and self.failed.get(name, 0) < ATTEMPTS:
                    self.submit(site, name, under_way)
            if not under_way and all(name in self.made or self.failed.get(name, 0) >= ATTEMPTS for name in self.work):
                return
            self.advance(ROUND)
            for name, job in list(under_way.items()):
                if self.watched(site, name, job):
                    del under_way[name]
            if self.runs < 4 and self.random.random() < 0.05:
                self.end(site, under_way)
                site, under_way = self.snakemake(), {}
        raise AssertionError("the run does not end")

    def submit(self, site, name: str, under_way: dict) -> None:
        resources = {"mem_mb": 10**6 if name == self.too_large else 1000, "runtime": 30}
        params = {"code": self.random.choice("112")}
        script = job_script(
            self.folder, name, resources=resources, params=params, rule=self.random.choice(["detect", "detect"])
        )
        (self.folder / name).touch()
        try:
            under_way[name] = jobs.submit(site, script, jobs.Options(logs=str(self.folder / "logs")))
        except SystemExit as error:
            assert re.search("could not be reached|of an earlier run", str(error)), error
            self.advance(ROUND)

    def watched(self, site, name: str, job: str) -> bool:
        word, reason = jobs.status(site, job)
        if word == "running":
            return False
        token = jobs.text_of(site.file(short(job), "job"))
        if word == "success":
            assert self.models.finished.get(token) == 0, f"{job} never came to its end"
            self.made.add(name)
        else:
            truth = self.truth(token)
            assert re.search(REASONS[truth], reason), f"{truth}: {reason}"
            assert not any(f":name={name}'" in str(work) for work in self.models.running.values()), "it still runs"
            self.failed[name] = self.failed.get(name, 0) + 1
        return True

    def truth(self, token: str) -> str:
        """How a submission really ended; it may be several jobs, of which one ran."""
        ends = [job.truth for job in self.server.jobs.values() if job.script.stem == token and job.truth]
        if self.models.finished.get(token):
            return "ended"
        return next((truth for truth in ends if truth not in ("finished", "")), "deleted")

    def end(self, site, under_way: dict) -> None:
        """kill -9, or a signal upon which Snakemake cancels its jobs."""
        if self.random.random() < 0.5:
            for job in under_way.values():
                jobs.revoke(site, jobs.text_of(site.file(short(job), "job")))
                self.server.call(["qdel", job])


@pytest.mark.parametrize("part", range(5))
def test_random_schedules(tmp_path, part):
    check(tmp_path, range(part * RUNS // 5, (part + 1) * RUNS // 5))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_many_more_random_schedules(tmp_path, part):
    check(tmp_path, range(1000 + 100 * part, 1100 + 100 * part))


def check(folder, seeds) -> None:
    for seed in seeds:
        (folder / str(seed)).mkdir()
        try:
            World(seed, folder / str(seed)).live()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
