"""How long the submissions are that videos are packed into: counted and timed on a real SLURM, whose two nodes are this machine.

    python benchmarks/cluster.py CLIP [--model DETECTOR.onnx] [--options JSON] [--videos 12] [--minutes 2.7] [--at-once 2]

CLIP is repeated to so many minutes, that many times under different names; everything that the five systems need of the videos is made
through ``workflow/profiles/slurm`` as it is. Needs root and SLURM's programs, as ``make test-cluster`` installs them. Prints every
submission: what it made, how many jobs, how long it ran.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from dag import ROOT, call
from jobs import parser_of, prepare, repeat, wanted_files

sys.path.insert(0, str(ROOT / "tests"))

from support.slurm import cluster


def main() -> None:
    parser = parser_of(__doc__, minutes=2.7)
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--at-once", type=int, default=2, help="submissions at a time, one core each")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, plan = prepare(folder, 100, arguments.model, arguments.options)
        # Videos without test trials, as all that trainings read is asked for.
        learnt = {trial.video for trial in plan.corpus.trials if trial.partition_va != "test"}
        videos = [video for video in plan.corpus.videos if video in learnt][: arguments.videos]
        repeat(arguments.clip, folder / "long.mp4", 60 * arguments.minutes)
        for video in videos:
            shutil.copy(folder / "long.mp4", folder / "corpus" / f"{video}.mp4")
        (folder / "slurm").mkdir()
        with cluster(folder / "slurm") as slurm:
            os.environ |= slurm.environment
            options = ["--directory", str(folder), "--configfile", str(config), "--jobs", str(arguments.at_once)]
            profile = ["--workflow-profile", str(ROOT / "workflow" / "profiles" / "slurm"), "--latency-wait", "10"]
            snakefile = ["--snakefile", str(ROOT / "workflow" / "Snakefile")]
            call(folder, "-m", "snakemake", *snakefile, *options, *profile, "--", *wanted_files(plan, videos))
            print(slurm.run("squeue", "--states=all", "--noheader", "--Format=JobID:8,TimeUsed:10,State:12,Comment:90"))
        made = sorted((folder / "results" / "benchmarks").iterdir())
        print({rule.name: sum(1 for path in rule.rglob("*.jsonl")) for rule in made})


if __name__ == "__main__":
    main()
