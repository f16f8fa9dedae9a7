"""Benchmarks in a tiny form: that of the GPU runs on a CPU, so that it runs where one is lent for minutes."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wildaffect import paths
from wildaffect.corpus.trials import TRIALS
from wildaffect.tables import write_table

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import throughput


@pytest.mark.parametrize(
    "names",
    [["lfan"], pytest.param(["tsav", "lfan", "m3t", "ntua", "cnu_adl", "sequence"], marks=pytest.mark.slow)],
    ids=["one", "all"],
)
def test_the_gpu_benchmark_prints_every_rate(root, names):
    command = [
        sys.executable,
        str(root / "benchmarks" / "gpu.py"),
        "--tiny",
        "--precisions",
        "float32",
        "--systems",
        *names,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if "|" in line]
    measured = {(row[0], row[1], row[2]): row[3] for row in rows[2:]}
    assert {len(row) for row in rows} == {6}
    wanted = {(name, "loading", f"{workers} workers") for name in names for workers in (0, 1)}
    wanted |= {(name, what, "float32") for name in names for what in ("step", "both", "predict")}
    assert wanted <= measured.keys()
    assert all(float(re.match(r"[\d.e+]+", value)[0]) > 0 for value in measured.values())


@pytest.mark.slow
def test_the_gpu_benchmark_divides_threads_between_computing_and_reading(root):
    command = [sys.executable, str(root / "benchmarks" / "gpu.py"), "--divide", "--tiny", "--systems", "ntua"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()[2:]]
    assert [row[:3] for row in rows] == [
        ["ntua", "training", f"{threads} compute, {workers} read"]
        for threads, workers in ((1, 0), (2, 0), (1, 1), (2, 1))
    ]
    assert all(float(re.match(r"[\d.e+]+", row[3])[0]) > 0 for row in rows)


FRAMES = pa.schema([("frame", pa.int32())])


def frames(count: int) -> pa.Table:
    return pa.table({"frame": np.arange(count, dtype=np.int32)})


@pytest.fixture
def finished(tmp_path) -> Path:
    """Results of two videos of 100 and 300 frames, of one system that predicts 50 rows in batches of 8."""
    trials = [{"trial": name, "video": name, "media": f"{name}.mp4", "person": "main"} for name in ("a", "b")]
    write_table(tmp_path / paths.TRIALS, pa.Table.from_pylist(trials, TRIALS), TRIALS)
    for name, count in (("a", 100), ("b", 300)):
        write_table(tmp_path / paths.FRAMES.format(video=name), frames(count), FRAMES)
    write_table(tmp_path / "predictions/lfan/unimodal/va/fold0/validation.parquet", frames(50), FRAMES)

    def job(name: str, seconds: float, busy: float | str, peak: float | str, **params) -> None:
        path = tmp_path / "benchmarks" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [{"s": 1e9}, {"s": seconds, "cpu_time": busy, "max_rss": peak, "params": params}]  # the last counts
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    job("decode_frames/a", 1.5, 0.4, 80)
    job("decode_frames/b", 2.5, 0.8, 120.6)
    job("extract_features/egemaps/a", 2.0, 3.0, 300)
    job(
        "predict_system/lfan/unimodal/va/fold0/validation",
        5.0,
        4.0,
        900,
        prediction={"batch": None},
        recipe={"batch": 8},
    )
    job("cut_crops/lfan/a", 1.0, "NA", "NA")
    job("score_predictions", 1.0, 1.0, 100)
    return tmp_path


def test_throughput_adds_up_the_jobs_of_a_stage(finished):
    found = throughput.rows(finished, "cpu", "2.5")
    numbers = [(row["stage"], *(row[name] for name in throughput.COLUMNS[5:])) for row in found]
    assert numbers == [
        ("cut_crops/lfan", "", "1", "100", "100.0", "", "", ""),
        ("decode_frames", "", "2", "400", "100.0", "1.20", "3.00", "121"),
        ("extract_features/egemaps", "", "1", "100", "50.0", "3.00", "30.00", "300"),
        ("predict_system/lfan", "8", "1", "50", "10.0", "4.00", "80.00", "900"),
    ]
    assert {(row["device"], row["load"]) for row in found} == {("cpu", "2.5")}


def test_throughput_replaces_rows_of_the_same_run_alone(tmp_path, finished):
    table = tmp_path / "throughput.csv"
    first = throughput.rows(finished)
    older = [row | {"version": "0.0.1"} for row in first]
    for new in (older, first, [first[0] | {"frames_per_s": "7.0"}]):
        throughput.add(table, new)
    with table.open(newline="") as handle:
        kept = list(csv.DictReader(handle))
    assert kept == [*older, first[0] | {"frames_per_s": "7.0"}]


def test_the_table_of_throughput_tells_no_machine_by_name(root):
    with (root / "benchmarks/throughput.csv").open(newline="") as handle:
        table = list(csv.DictReader(handle))
    assert tuple(table[0]) == throughput.COLUMNS
    assert all(re.fullmatch(r"[^/]+, \d+ cores", row["host"]) and float(row["frames_per_s"]) > 0 for row in table)
