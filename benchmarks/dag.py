"""Planning at the size of Aff-Wild2 and beyond: what Snakemake needs before the first job starts.

    python benchmarks/dag.py [--videos 564] [--apart] [--packed] [--finished] [--profile]

A corpus of names only (empty media files, one-line annotations of all three tasks; one video in twenty shows two people), with every
system, variant, target and fold there is. One job makes all crops and one all features (``single_pass``), unless ``--apart``.
Prints processor time and peak memory of a dry run and, with ``--finished``, of a run with
nothing to do and of a dry run after one more video; results are then stand-ins of one byte whose records come from
``snakemake --touch``. ``--packed`` counts the submissions of the profile for SLURM. ``--profile`` writes a cProfile of the dry run to
``dag.prof``.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from wildaffect.workflow.settings import trained_here  # noqa: E402

PARTITIONS = (("Train_Set", 62), ("Validation_Set", 13), ("test", 25))
TASKS = {
    "VA_Estimation_Challenge": "valence,arousal\n0.1,0.2\n",
    "EXPR_Classification_Challenge": "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise\n0\n",
    "AU_Detection_Challenge": "AU1,AU2,AU4,AU6,AU12,AU15,AU20,AU25\n0,0,0,0,0,0,0,0\n",
}
TEST_LISTS = (
    "Valence_Arousal_Estimation_Challenge_test_set_release.txt",
    "EXPR_Classification_Challenge_test_set_release.txt",
    "Action_Unit_Detection_Challenge_test_set_release.txt",
)
DRIVER = """
import json, sys
from collections import defaultdict
from snakemake.cli import main
from snakemake.executors import dryrun, touch
from snakemake.resources import GroupResources
from snakemake.workflow import Workflow

touch.Executor.SLEEPING_TIME = 0  # 0.1 s per job otherwise, a quarter of an hour here
submissions = defaultdict(list)
plain = dryrun.Executor.run_job
files = []

def run_job(self, job):
    single = [job] if not job.is_group() else list(job.jobs)
    if not all(one.is_local for one in single):
        asked = {key: value for key, value in job.resources.items() if isinstance(value, int)}
        submissions[job.groupid if job.is_group() else job.rule.name].append({"jobs": len(single), **asked})
    files.extend(str(path) for one in single for path in one.output)
    plain(self, job)

dryrun.Executor.run_job = run_job
if "--workflow-profile" in sys.argv:
    # A dry run takes all jobs for local ones, which are in no group and whose cores and memory add up.
    Workflow.is_local = lambda self, rule: rule.name in self._localrules or rule.norun
    layered = GroupResources.basic_layered
    GroupResources.basic_layered = lambda **options: layered(**{**options, "run_local": False})
try:
    main(sys.argv[2:])
finally:
    with open(sys.argv[1], "w") as handle:
        json.dump({"submissions": submissions, "files": files}, handle)
"""
"""Snakemake, and what a dry run of it would submit and make."""


@dataclass(frozen=True)
class Cost:
    """What one call took: processor seconds (user and system), peak memory in MB, and what it printed.

    Of a dry run also what it would submit, by group or rule: number of jobs, cores, memory and time of each; and files it would make.
    """

    seconds: float
    memory: float
    text: str
    submissions: Mapping[str, list[dict[str, int]]] = field(default_factory=dict)
    files: Sequence[str] = ()


def trials_of(number: int) -> list[str]:
    """Trials of one video: two for every twentieth."""
    name = f"video{number}"
    return [f"{name}_left", f"{name}_right"] if number % 20 == 19 else [name]


def partition_of(number: int, share: int = 100) -> str:
    """The partition of a video: the same mixture in every hundred."""
    place = number * 37 % share
    for name, size in PARTITIONS:
        if place < size:
            return name
        place -= size
    raise AssertionError


def add_video(root: Path, number: int) -> None:
    """One video with its annotations or entries in the test lists."""
    (root / f"video{number}.mp4").touch()
    partition = partition_of(number)
    for trial in trials_of(number):
        if partition == "test":
            for name in TEST_LISTS:
                with (root / name).open("a") as handle:
                    handle.write(f"{trial}\n")
        else:
            for folder, text in TASKS.items():
                (root / folder / partition / f"{trial}.txt").write_text(text)


def write_corpus(root: Path, videos: int) -> None:
    """A corpus of ``videos`` videos."""
    for folder in TASKS:
        for partition in ("Train_Set", "Validation_Set"):
            (root / folder / partition).mkdir(parents=True, exist_ok=True)
    for number in range(videos):
        add_video(root, number)


def write_config(folder: Path, apart: bool = False) -> Path:
    """Every system with all its variants, targets and folds; nothing is imported, so two inputs are the declared replacements.

    What shows the face, what shows the scene and what is heard are made by one job each, or, ``apart``, by one per file.
    """
    config = {
        "results_dir": str(folder / "results"),
        "corpus": {"layout": "affwild2", "root": str(folder / "corpus")},
        "folds": {"scheme": "lfan"},
        "faces": {"backend": "dlib", "model": "hog"},
        "features": {"vggish_weights": "seeded", "bodies": {"source": "face_box"}},
        "systems": {name: {} for name in trained_here()} | {"m3t": {"recipe": {"face_vectors": "zeros"}}},
    }
    if not apart:
        for section in ("faces", "features"):
            config[section] |= {"single_pass": True}
    path = folder / "scale.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def call(folder: Path, *command: str) -> Cost:
    """Run one command in the project's root."""
    log = folder / "log.txt"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    with log.open("w") as handle:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=handle, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
    text = log.read_text()
    if status:
        sys.exit(text[-4000:])
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text)


def snakemake(folder: Path, config: Path, *arguments: str) -> Cost:
    """One call of the workflow."""
    planned = folder / "planned.json"
    options = ["--configfile", str(config), "--cores", "2", "--quiet", "rules", "--nolock"]
    cost = call(folder, "-c", DRIVER, str(planned), *options, *arguments)
    return replace(cost, **json.loads(planned.read_text()))


def report(what: str, cost: Cost) -> None:
    jobs = re.search(r"^total +(\d+)$", cost.text, re.MULTILINE)
    print(f"{what:28} {cost.seconds:7.1f} s {cost.memory:8.0f} MB {jobs[1] if jobs else 0:>8} jobs", flush=True)


def report_packing(cost: Cost) -> None:
    """Submissions by group or rule."""
    for name, found in sorted(cost.submissions.items()):
        total, longest = sum(one["jobs"] for one in found), max(found, key=lambda one: one["runtime"])
        print(f"  {name:20} {total:6} jobs in {len(found):4}, at most {longest['jobs']:4} with {longest['_cores']} cores,"
              f" {longest['mem_mb']} MB, {longest['runtime']} min")  # fmt: skip
    print(f"  together {sum(map(len, cost.submissions.values()))} submissions")


def finish(folder: Path, config: Path, files: Sequence[str]) -> None:
    """Put one byte in place of every result and let Snakemake record them as made."""
    for name in files:
        path = ROOT / name
        if path.parent.name == "exports" or "/exports/" in name:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    snakemake(folder, config, "--touch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=564)
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--finished", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder / "corpus", options.videos)
        config = write_config(folder, options.apart)
        if options.profile:
            out = ["-m", "cProfile", "-o", "dag.prof", "-m", "snakemake"]
            report("dry run, profiled", call(folder, *out, "-n", "--quiet", "rules", "--configfile", str(config)))
            return
        planned = snakemake(folder, config, "-n")
        report("dry run", planned)
        if options.packed:
            packed = snakemake(folder, config, "-n", "--workflow-profile", "workflow/profiles/slurm")
            report("dry run, packed for SLURM", packed)
            report_packing(packed)
        if options.finished:
            finish(folder, config, planned.files)
            report("nothing to do", snakemake(folder, config))
            add_video(folder / "corpus", options.videos)
            report("one more video", snakemake(folder, config, "-n"))


if __name__ == "__main__":
    main()
