"""What deciding who is who costs: processor time and peak memory of `assign_persons`, each run in a process of its own.

    python benchmarks/persons.py [FRAMES …] [--repeats 3] [--against OTHER/scripts]

The table is made up: three faces (97 % found, 68 points, an identity vector of 512 numbers every 30 frames), 24 cuts, three trials.
With ``--against``, the scripts of another version run in turn on the same table; the table of persons must be the same, bit for bit.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
FACES, FOUND, EVERY, LENGTH, CUTS = 3, 0.97, 30, 512, 24
TRIALS = {"v": "main", "v_left": "left", "v_right": "right"}


def write_tables(folder: Path, count: int) -> None:
    """Write ``detections.parquet`` and ``frames.parquet`` of ``count`` frames."""
    import pyarrow as pa

    from wildaffect.faces.tables import DETECTIONS_SCHEMA, points_column
    from wildaffect.media.frames import FRAMES
    from wildaffect.tables import write_table

    rng = np.random.default_rng(0)
    frame, person = np.nonzero(rng.random((count, FACES)) < FOUND)
    x = 200 + 300 * person + 40 * np.sin(frame / 50 + person) + rng.normal(0, 1, len(frame))
    y = 200 + 20 * np.cos(frame / 70) + rng.normal(0, 1, len(frame))
    boxes = np.stack([x, y, x + 120, y + 150], axis=1).astype(np.float32)
    low, size = boxes[:, None, :2], np.float32([120, 150])
    five = low + size * np.float32([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    many = low + size * rng.random((len(frame), 68, 2), np.float32)
    people = rng.normal(0, 1, (FACES, LENGTH)) / LENGTH**0.5
    known = np.flatnonzero(frame % EVERY == 0)
    vectors = (people[person[known]] + rng.normal(0, 0.2, (len(known), LENGTH)) / LENGTH**0.5).astype(np.float32)
    lengths = np.zeros(len(frame) + 1, np.int32)
    lengths[known + 1] = LENGTH
    missing = np.ones(len(frame), bool)
    missing[known] = False
    identity = pa.ListArray.from_arrays(lengths.cumsum(dtype=np.int32), vectors.ravel(), mask=pa.array(missing))
    scores = rng.uniform(0.6, 0.9, len(frame)).astype(np.float32)
    columns = [frame.astype(np.int32), *boxes.T, scores, points_column(five), points_column(many), identity]
    about = {
        "cuts": [count * (k + 1) // (CUTS + 1) for k in range(CUTS)],
        "identity_distance": 1.0,
        "width": 1280,
        "height": 720,
    }
    table = pa.Table.from_arrays([pa.array(column) for column in columns], schema=DETECTIONS_SCHEMA)
    write_table(folder / "detections.parquet", table, DETECTIONS_SCHEMA, about)
    columns = {
        "frame": np.arange(count, dtype=np.int32),
        "pts": np.arange(count),
        "time_s": np.arange(count) / 25,
        "duration_s": np.full(count, 1 / 25),
        "keyframe": np.ones(count, bool),
        "repair": [""] * count,
    }
    clip = {"status": "ok", "reason": "", "frames": count, "width": 1280, "height": 720}
    write_table(folder / "frames.parquet", pa.table(columns), FRAMES, clip)


def run_once(folder: Path) -> None:
    """Print seconds of processor time without imports, peak memory in MB, and a digest of the rows and metadata of the table of persons."""
    from wildaffect.job import keep_freed_memory, limit_threads

    limit_threads(1)  # as a job does, before pyarrow is imported
    keep_freed_memory()
    from wildaffect.faces.options import TrackingOptions
    from wildaffect.faces.persons import assign_persons

    started = time.process_time()
    output = folder / "persons.parquet"
    assign_persons(folder / "detections.parquet", folder / "frames.parquet", TRIALS, output, options=TrackingOptions())
    spent = time.process_time() - started
    # Not getrusage: that counts what the parent had in memory when it started this process.
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6
    print(f"{spent:.2f} {peak:.0f} {digest(output)}")


def digest(path: Path) -> str:
    """SHA-256 of the columns (validity and bits of the values) and the metadata of a table."""
    import pyarrow.parquet as pq

    table, total = pq.ParquetFile(path).read(use_threads=False), hashlib.sha256()
    total.update(repr(sorted((table.schema.metadata or {}).items())).encode())
    for name in table.column_names:
        column = table[name].combine_chunks()
        values = column.drop_null()
        values = values.flatten() if hasattr(values, "flatten") and values.type.num_fields else values
        total.update(f"{name} {column.type}".encode() + column.is_valid().to_numpy(zero_copy_only=False).tobytes())
        total.update(repr(values.to_pylist()).encode() if str(values.type) == "string" else values.to_numpy().tobytes())
    return total.hexdigest()


def compare(counts: list[int], repeats: int, versions: list[Path]) -> None:
    """Print a line for each length and version."""
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run(_command(versions[0], scratch, "--make", count), check=True, env=_environment(versions[0]))
            measured: dict[Path, list[tuple[float, float]]] = {version: [] for version in versions}
            digests = set()
            for version in versions * repeats:
                done = subprocess.run(
                    _command(version, scratch, "--one", count),
                    check=True,
                    capture_output=True,
                    text=True,
                    env=_environment(version),
                )
                seconds, peak, content = done.stdout.split()
                measured[version].append((float(seconds), float(peak)))
                digests.add(content)
        for version, values in measured.items():
            (low, _), (high, peak) = np.min(values, axis=0), np.max(values, axis=0)
            print(f"{count} frames, {version}: {low:.1f} to {high:.1f} s, at most {peak:.0f} MB")
        print("the same table" if len(digests) == 1 else "OTHER TABLES", flush=True)


def _command(version: Path, folder: str, step: str, count: int) -> list[str]:
    return [sys.executable, __file__, str(count), step, folder]


def _environment(version: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(version)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=int, nargs="*", default=[20_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--against", type=Path, help="the folder `scripts` of another version")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        write_tables(arguments.make, arguments.frames[0])
    elif arguments.one:
        run_once(arguments.one)
    else:
        compare(arguments.frames, arguments.repeats, [*([arguments.against] if arguments.against else []), SCRIPTS])


if __name__ == "__main__":
    main()
