"""Frames per second, processor time and memory of each stage, of a finished run, as rows of throughput.csv.

    make demo && python benchmarks/throughput.py results/demo

The numbers are those that the workflow records of every job (`<results>/benchmarks`), so the run is the measurement: `make demo` takes less
than ten minutes. Rows of the same version, host and device are replaced. The host is named by its processor and the number of cores alone.

Frames per second are those of one job after the other, from start to end: take clips of some length, and a machine that does nothing else.
Where that is not to be had, `--load` says how busy it was (the first average of `uptime` before the run), and processor time tells more. It
and memory are exact for jobs of one thread (`--set-threads predict_system=1`); Snakemake looks at others now and then. Memory
includes the libraries that jobs share, also those that another job needed. `batch` is empty where frames are taken one by one.
"""

import argparse
import csv
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from wildaffect import paths
from wildaffect.corpus.trials import TRIALS, trials_from_table
from wildaffect.tables import count_rows, read_table

TABLE = Path(__file__).with_name("throughput.csv")
COLUMNS = (
    "version", "host", "device", "load", "stage", "batch", "jobs", "frames", "frames_per_s", "processor_s", "processor_ms_per_frame",
    "peak_mb",
)  # fmt: skip
SAME_RUN = ("version", "host", "device")


def host() -> str:
    """Model of the processor, and the number of cores."""
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{found[1].strip() if found else platform.machine()}, {os.cpu_count()} cores"


def frames_of_jobs(results: Path) -> Iterator[tuple[str, int, dict]]:
    """Stage, frames and record of every job about one video, one trial or one table of predictions."""
    trials = trials_from_table(read_table(results / paths.TRIALS, TRIALS))
    videos = {trial.video: count_rows(results / paths.FRAMES.format(video=trial.video)) for trial in trials}
    frames = {trial.trial: videos[trial.video] for trial in trials} | videos
    for path in sorted((results / "benchmarks").rglob("*.jsonl")):
        stage, *rest = path.relative_to(results / "benchmarks").with_suffix("").parts
        # Of features, templates and systems each is a stage of its own.
        name = f"{stage}/{rest[0]}" if len(rest) > 1 else stage
        if stage == "predict_system" and (results / "predictions" / Path(*rest)).with_suffix(".parquet").is_file():
            count = count_rows((results / "predictions" / Path(*rest)).with_suffix(".parquet"))
        elif rest and rest[-1] in frames:
            count = frames[rest[-1]]
        else:
            continue
        lines = path.read_text().splitlines()
        if lines:
            yield name, count, json.loads(lines[-1])


def batch_of(record: Mapping[str, Any]) -> int | None:
    """Samples per batch of a job; None if it has none."""
    params = record.get("params") or {}
    return (params.get("prediction") or {}).get("batch") or (params.get("recipe") or {}).get("batch")


def rows(results: Path, device: str = "cpu", load: str = "") -> list[dict[str, str]]:
    """A row per stage and batch."""
    stages: dict[tuple[str, int | None], list[tuple[int, dict]]] = {}
    for stage, count, record in frames_of_jobs(results):
        stages.setdefault((stage, batch_of(record)), []).append((count, record))
    found = []
    for (stage, batch), jobs in stages.items():
        frames = sum(count for count, _ in jobs)
        elapsed = sum(record["s"] for _, record in jobs)
        busy, peaks = ([record[key] for _, record in jobs] for key in ("cpu_time", "max_rss"))
        known = "NA" not in busy  # Snakemake's word for jobs of several threads that were over before it looked
        values = (
            metadata.version("wildaffect"), host(), device, load, stage, batch or "", len(jobs), frames, f"{frames / elapsed:.1f}",
            f"{sum(busy):.2f}" if known else "", f"{1000 * sum(busy) / frames:.2f}" if known else "", f"{max(peaks):.0f}" if known else "",
        )  # fmt: skip
        found.append(dict(zip(COLUMNS, map(str, values), strict=True)))
    return found


def add(table: Path, new: Sequence[Mapping[str, str]]) -> None:
    """Write rows into the table, in place of those of the same run."""
    old = list(csv.DictReader(table.open(newline=""))) if table.exists() else []
    fresh = {tuple(row[name] for name in SAME_RUN) for row in new}
    kept = [row for row in old if tuple(row[name] for name in SAME_RUN) not in fresh]
    with table.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *new])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of the results of a finished run")
    parser.add_argument("--device", default="cpu", help="what networks ran on, such as cpu or the model of a GPU")
    parser.add_argument("--load", default="", help="average load of the machine before the run, if it did other work")
    options = parser.parse_args()
    new = rows(options.results, options.device, options.load)
    add(TABLE, new)
    print(f"{TABLE}: {len(new)} stages")


if __name__ == "__main__":
    main()
