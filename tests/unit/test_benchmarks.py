"""Benchmarks of the GPU run on a CPU in a tiny form, so that they run where one is lent for minutes."""

import os
import re
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "names",
    [["lfan"], pytest.param(["tsav", "lfan", "m3t", "ntua", "cnu_adl"], marks=pytest.mark.slow)],
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
