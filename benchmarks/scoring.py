"""Speed and exactness of the scorer at the size of Aff-Wild2.

    python benchmarks/scoring.py [--frames 3000000] [--trials 560] [--shards 1000] [--resamples 1000]

Made-up valence and arousal of so many frames, scored as one table; then their moments merged from shards of random sizes and in random
order, against a two-pass computation in extended precision; then bootstrap intervals and a paired comparison.
"""

import argparse
import functools
import operator
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from wildaffect.scoring import compare, score  # noqa: E402
from wildaffect.scoring.ccc import Moments  # noqa: E402

NAMES = ("valence", "arousal")


def make_tables(frames: int, trials: int, noises: tuple[float, ...]) -> tuple[pa.Table, list[pa.Table]]:
    """Labels with 2 % invalid rows, and a prediction table in another order of rows per level of noise."""
    rng = np.random.default_rng(0)
    bounds = np.sort(rng.choice(np.arange(1, frames), trials - 1, replace=False))
    lengths = np.diff([0, *bounds, frames])
    keys = {
        "trial": pa.DictionaryArray.from_arrays(
            np.repeat(np.arange(trials), lengths), [f"video{i}" for i in range(trials)]
        ).cast(pa.string()),
        "frame": np.concatenate([np.arange(length) for length in lengths]),
    }
    truth = np.clip(
        np.repeat(rng.normal(0.2, 0.3, (trials, 2)), lengths, axis=0) + rng.normal(0, 0.2, (frames, 2)), -1, 1
    )
    predicted = [truth * 0.6 + rng.normal(0.1, noise, truth.shape) for noise in noises]
    truth[rng.random(frames) < 0.02] = -5
    order = rng.permutation(frames)
    runs = [pa.table({**keys, **dict(zip(NAMES, values.T, strict=True))}).take(order) for values in predicted]
    return pa.table({**keys, **dict(zip(NAMES, truth.T, strict=True))}), runs


def extended_ccc(truth: np.ndarray, prediction: np.ndarray) -> float:
    """The coefficient from its definition, two passes in extended precision."""
    t, p = truth.astype(np.longdouble), prediction.astype(np.longdouble)
    t, p, distance = t - t.mean(), p - p.mean(), t.mean() - p.mean()
    return float(2 * (t @ p) / (t @ t + p @ p + len(t) * distance**2))


def timed(name: str, job: Callable[[], object]) -> object:
    """Run once and print how long it took."""
    start, processor = time.perf_counter(), time.process_time()
    result = job()
    print(f"{name:32} {time.perf_counter() - start:6.2f} s  (processor {time.process_time() - processor:.2f} s)")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=3_000_000)
    parser.add_argument("--trials", type=int, default=560)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()
    labels, (first, second) = make_tables(options.frames, options.trials, (0.25, 0.3))

    table = timed(f"score, {options.frames:,} frames", lambda: score(first, labels, "abaw2"))
    values = dict(zip(table["metric"].to_pylist(), table["value"].to_pylist(), strict=True))

    place = {
        key: row for row, key in enumerate(zip(first["trial"].to_pylist(), first["frame"].to_pylist(), strict=True))
    }
    row = np.array([place[key] for key in zip(labels["trial"].to_pylist(), labels["frame"].to_pylist(), strict=True)])
    rng = np.random.default_rng(1)
    worst = 0.0
    for name in NAMES:
        truth, prediction = labels[name].to_numpy(), first[name].to_numpy()[row]
        keep = truth >= -1
        truth, prediction = truth[keep], prediction[keep]
        at = np.sort(rng.choice(np.arange(1, truth.size), options.shards - 1, replace=False))
        pieces = [Moments.of(t, p) for t, p in zip(np.split(truth, at), np.split(prediction, at), strict=True)]
        joined = functools.reduce(operator.add, [pieces[i] for i in rng.permutation(len(pieces))]).ccc()
        reference = extended_ccc(truth, prediction)
        worst = max(worst, abs(joined - reference), abs(values[f"ccc_{name}"] - reference))
    print(f"{options.shards} shards in random order: largest difference from extended precision {worst:.1e}")
    if worst > 1e-12:
        sys.exit("shards do not give the same number to 1e-12")

    timed(
        f"intervals, {options.resamples} resamples", lambda: score(first, labels, "abaw2", resamples=options.resamples)
    )
    timed("paired comparison of two runs", lambda: compare(first, second, labels, "abaw2", resamples=options.resamples))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
