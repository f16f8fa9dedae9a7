"""Frames per second, processor time and memory of each stage, of a finished run, as rows of throughput.csv.

    make demo && python benchmarks/throughput.py results/demo

The numbers are those that the workflow records of every job (`<results>/benchmarks`), so the run is the measurement: `make demo` takes less
than ten minutes. Rows of the same version, processor and device are replaced. The machine is named by its processor alone.

Frames per second are those of one job after the other, their start included: take clips of some length, and a machine
that does nothing else.
"""

import argparse
import csv
import json
import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from wildaffect import paths
from wildaffect.corpus.trials import TRIALS, trials_from_table
from wildaffect.tables import count_rows, read_table

TABLE = Path(__file__).with_name("throughput.csv")
COLUMNS = (
    "version", "processor", "device", "stage", "jobs", "frames", "frames_per_s", "processor_s", "processor_ms_per_frame", "peak_mb",
)  # fmt: skip


def processor() -> str:
    """Model of the processor."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def frames_of_jobs(results: Path) -> Iterator[tuple[str, int, dict]]:
    """Stage, frames and record of every job about one video, one trial or one table of predictions."""
    trials = trials_from_table(read_table(results / paths.TRIALS, TRIALS))
    videos = {trial.video: count_rows(results / paths.FRAMES.format(video=trial.video)) for trial in trials}
    frames = {trial.trial: videos[trial.video] for trial in trials} | videos
    for path in sorted((results / "benchmarks").rglob("*.jsonl")):
        stage, *rest = path.relative_to(results / "benchmarks").with_suffix("").parts
        if stage == "predict_system" and (results / "predictions" / Path(*rest)).with_suffix(".parquet").is_file():
            count = count_rows((results / "predictions" / Path(*rest)).with_suffix(".parquet"))
        elif rest and rest[-1] in frames:
            count = frames[rest[-1]]
        else:
            continue
        lines = path.read_text().splitlines()
        if lines:
            yield stage, count, json.loads(lines[-1])


def rows(results: Path, device: str) -> list[dict[str, object]]:
    """A row per stage."""
    stages: dict[str, list[tuple[int, dict]]] = {}
    for stage, count, record in frames_of_jobs(results):
        stages.setdefault(stage, []).append((count, record))
    found = []
    for stage, jobs in sorted(stages.items()):
        frames = sum(count for count, _ in jobs)
        elapsed, busy = (sum(float(record[key] or 0) for _, record in jobs) for key in ("s", "cpu_time"))
        values = (
            metadata.version("wildaffect"), processor(), device, stage, len(jobs), frames, f"{frames / elapsed:.1f}", f"{busy:.1f}",
            f"{1000 * busy / frames:.2f}", round(max(float(record["max_rss"] or 0) for _, record in jobs)),
        )  # fmt: skip
        found.append(dict(zip(COLUMNS, values, strict=True)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of the results of a finished run")
    parser.add_argument("--device", default="cpu", help="what networks ran on, such as cpu or the model of a GPU")
    options = parser.parse_args()
    new = rows(options.results, options.device)
    old = list(csv.DictReader(TABLE.open(newline=""))) if TABLE.exists() else []
    key = COLUMNS[:3]
    kept = [row for row in old if [row[name] for name in key] != [new[0][name] for name in key]]
    with TABLE.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *new])
    print(f"{TABLE}: {len(new)} stages")


if __name__ == "__main__":
    main()
