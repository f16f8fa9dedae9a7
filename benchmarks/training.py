"""Rate, GPU use and memory of training steps of LFAN and TSAV, by what is trained and by numeric precision.

    python benchmarks/training.py --device cuda [--workers 8] [--steps 30]   the published sizes, float32 against mixed precision
    python benchmarks/training.py --small --precisions float32               full networks, small batches: minutes on a CPU
    python benchmarks/training.py --tiny                                     tiny networks too: seconds, to see that it runs

A step is what the trainer does with one batch of made-up trials: read and augment samples, copy them to the device, forward, loss,
backward, optimiser. Reading from disk is left out. LFAN is measured with everything trained and in the three phases of its gradual
release, in which the first layers of the face network are frozen. The median step counts; on a CPU in processor time of one thread, as
other work on the machine disturbs it less, on a GPU in elapsed time. Memory is the largest amount that PyTorch had allocated on the GPU,
or the peak of the process, which is a new one for every line. GPU use is what the driver says, five times a second; it needs the package
nvidia-ml-py and is left out without it.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from support import runs, tsav  # noqa: E402
from wildaffect.systems import build_recipe  # noqa: E402
from wildaffect.systems.base import Freezing, Recipe  # noqa: E402
from wildaffect.systems.types import TrialData  # noqa: E402
from wildaffect.training.batches import Batches  # noqa: E402
from wildaffect.training.runtime import computing, fuse, open_fabric, setup_module  # noqa: E402

WARM_UP = 2
# Per size and system: settings that differ from the published ones. The windows of LFAN are its samples.
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "full": {"lfan": {}, "tsav": {}},
    "small": {"lfan": {"window": 8, "hop": 8, "batch": 2}, "tsav": {"batch": 4}},
    "tiny": {"lfan": {"window": 20, "hop": 20, "batch": 2, "backbone": runs.TINY_BACKBONE}, "tsav": tsav.TINY},
}
# What is trained: name, system, settings, phase.
CASES = [
    ("lfan, everything", "lfan", {"backbone_training": "all"}, 0),
    ("lfan, first release", "lfan", {"backbone_training": "gradual"}, 0),
    ("lfan, second release", "lfan", {"backbone_training": "gradual"}, 1),
    ("lfan, third release", "lfan", {"backbone_training": "gradual"}, 2),
    ("tsav, everything", "tsav", {}, 0),
]


def plan_of(system: str, mode: str, settings: dict[str, Any]) -> tuple[Recipe, TrialData]:
    """Recipe and a made-up trial of a few samples."""
    if system == "tsav":
        return build_recipe("tsav", "two_stream", "mtl", mode, settings), tsav.trial_in_memory(200)
    plan = build_recipe("lfan", "multimodal", "valence", mode, settings)
    return plan, runs.trial_in_memory(runs.curve(0, 4 * settings.get("window", 300)))


@contextmanager
def gpu_use(device: str) -> Iterator[list[float]]:
    """Percentages collected while the block runs; none on CPUs and without the driver's Python package."""
    found: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            try:
                found.append(torch.cuda.utilization())
            except ModuleNotFoundError:
                return

    watcher = threading.Thread(target=watch, daemon=True)
    if device == "cuda":
        watcher.start()
    yield found
    over.set()


def measure(case: tuple, precision: str, size: str, mode: str, device: str, steps: int, workers: int) -> dict[str, Any]:
    """Samples per second, GPU use (%) and peak memory (MiB) of one case; runs in a process of its own."""
    name, system, changes, phase = case
    plan, trial = plan_of(system, mode, SIZES[size][system] | changes)
    clock = time.perf_counter if device == "cuda" else time.process_time
    batch, ends = plan.schedule.batch, []
    fabric = open_fabric(device, precision)
    with computing(1):
        torch.manual_seed(0)
        model = plan.model()
        samples = plan.samples([trial], plan.fit([trial]), "train")
        order = np.random.default_rng(0).integers(0, len(samples), (WARM_UP + steps) * batch)
        runner = setup_module(fabric, model)
        freezing = Freezing(model, plan.frozen_mode)
        freezing.freeze(plan.frozen(model, phase))
        optimizer = plan.configure_optimizer(model)
        if device == "cuda":
            fuse(optimizer)
        optimizer = fabric.setup_optimizers(optimizer)
        freezing.train()
        with gpu_use(device) as used:
            for content, _ in Batches(samples, batch, fabric, workers).read(order, (0, 0)):
                loss = plan.loss(plan.forward(runner, content), content)
                fabric.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                float(loss.detach())  # waits for the GPU, so that steps can be told apart
                ends.append(clock())
    each = statistics.median(np.diff(ends[WARM_UP - 1 :]))
    on_gpu = torch.cuda.max_memory_allocated() if device == "cuda" else None
    peak = on_gpu or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "what": name,
        "precision": precision,
        "batch": batch,
        "steps/s": f"{1 / each:.3g}",
        "samples/s": f"{batch / each:.3g}",
        "GPU %": f"{statistics.mean(used):.0f}" if used else "-",
        "MiB": f"{peak / 2**20:.0f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bf16"], help="also tf32 and float16 on a GPU")
    parser.add_argument("--mode", choices=("corrected", "faithful"), default="corrected")
    parser.add_argument("--systems", nargs="+", choices=("lfan", "tsav"), default=["lfan", "tsav"])
    parser.add_argument("--steps", type=int, default=20, help="measured steps per line")
    parser.add_argument("--workers", type=int, default=0, help="processes that read samples; leave at 0 on a CPU")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--small", dest="size", action="store_const", const="small", default="full")
    sizes.add_argument("--tiny", dest="size", action="store_const", const="tiny")
    arguments = parser.parse_args()
    rows = []
    for case in (case for case in CASES if case[1] in arguments.systems):
        for precision in arguments.precisions:
            settings = (arguments.size, arguments.mode, arguments.device, arguments.steps, arguments.workers)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                row = pool.apply(measure, (case, precision, *settings))
            if not rows:
                print(f"| {' | '.join(row)} |\n|{'---|' * len(row)}")
            rows.append(row)
            print(f"| {' | '.join(map(str, row.values()))} |", flush=True)


if __name__ == "__main__":
    main()
