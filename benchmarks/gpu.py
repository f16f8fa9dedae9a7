"""What keeps a device busy: rates of loading, of steps and of both, of detection and of decoding, on one machine in eight minutes.

    python benchmarks/gpu.py --device cuda --models /path/to/detectors     sized for 16 cores and one H200
    python benchmarks/gpu.py --tiny                                        tiny networks on a CPU: seconds, to see that it runs
    python benchmarks/gpu.py --divide --systems tsav ntua                  how a CPU job's threads are best divided

Crops are made up, stored as the workflow stores them, and read in random order with augmentation, as in training. For every system:

- loading: samples/s of reading alone, by number of worker processes; nothing is kept in memory between reads
- step: samples/s of forward, loss, backward and optimiser on one batch that lies on the device, by precision
- both: the training loop's rate with the most workers, how much of the step's it is, use of the device (by the driver, with package
  nvidia-ml-py) and largest memory of tensors
- predict: frames/s of prediction with loading, and hours for the 2.7 million frames of Aff-Wild2

``--divide`` measures the training loop alone, of networks of preset ``small_data`` with images in memory, as after the
first epochs, on a CPU: by threads that compute and processes that read, in rounds that take turns, medians.

Detection needs SCRFD or RetinaFace files (``--models``); its rates are of networks with their scaling of images, by batch and provider
(TensorRT where onnxruntime has it). Decoding compares OpenCV on one core with nvJPEG through torchvision.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import onnxruntime
import torch
from torchvision.io import decode_jpeg

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benchmarks")]

from training import gpu_use  # noqa: E402

from wildaffect import systems  # noqa: E402
from wildaffect.faces.crops import CropFile, crop_writer, encode_image  # noqa: E402
from wildaffect.faces.detectors.scrfd import DetectorNetwork, Scanner  # noqa: E402
from wildaffect.sessions import PROVIDERS  # noqa: E402
from wildaffect.systems.base import Freezing, Recipe  # noqa: E402
from wildaffect.systems.conformance import made_up_trial  # noqa: E402
from wildaffect.systems.types import Images, Purpose, TrialData  # noqa: E402
from wildaffect.training.batches import Batches, outputs_of  # noqa: E402
from wildaffect.training.inputs import cache_images  # noqa: E402
from wildaffect.training.runtime import computing, fuse, open_fabric, setup_module  # noqa: E402

CASES = {
    "tsav": ("two_stream", "mtl"),
    "lfan": ("multimodal", "valence"),
    "m3t": ("audiovisual_mtl", "mtl"),
    "ntua": ("visual", "va"),
    "cnu_adl": ("stat_bilstm", "mtl"),
    "sequence": ("gru", "mtl"),
}
AFFWILD2 = 2_700_000
"""Frames of Aff-Wild2."""
WARM_UP = 3
DIVISIONS = ((1, 0), (2, 0), (1, 1), (2, 1))
"""Threads that compute, and processes that read."""
ROUNDS = 9
BATCHES = {"cpu": (1, 8), "cuda": (1, 8, 32), "tensorrt": (8,)}
PROVIDERS["tensorrt"] = ["TensorrtExecutionProvider", *PROVIDERS["cuda"]]


def stored(images: Images, path: Path) -> CropFile:
    """As many smooth images as ``images`` has, of its size, in a crop file."""
    draw, side = np.random.default_rng(0), images.read(np.arange(1)).shape[1]
    coarse = draw.integers(0, 256, (16, side // 8, side // 8, 3), dtype=np.uint8)
    encoded = [encode_image(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)) for image in coarse]
    with crop_writer(path, path.stem, side, "t") as append:
        for row, valid in enumerate(images.valid):
            append(row, encoded[row % len(encoded)] if valid else None)
    return CropFile(path)


def case(system: str, folder: Path, frames: int, settings: Mapping[str, Any]) -> tuple[Recipe, TrialData]:
    """The corrected recipe of a system, and a trial of all that it reads."""
    variant, target = CASES[system]
    declared = systems.spec(system)
    setup = systems.set_up(system, variant, target, "corrected", settings)
    needs = declared.needs(variant, setup.mode, setup.settings)
    trial = made_up_trial(0, frames, needs, declared.targets[target].labels)
    crops = {name: stored(images, folder / f"{name}.arrow") for name, images in trial.crops.items()}
    return systems.recipe_of(setup), replace(trial, crops=crops)


def rate(stream: Iterable[int], seconds: float, device: str) -> float:
    """Things per second that ``stream`` counts, after a few of its items, over ``seconds``."""
    wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
    total, began = 0, 0.0
    for number, count in enumerate(stream):
        if number < WARM_UP:
            continue
        if number == WARM_UP:
            wait()
            began = time.perf_counter()
            continue
        total += count
        if time.perf_counter() - began > seconds:
            break
    wait()
    return total / (time.perf_counter() - began)


class Bench:
    """One system on one device in one precision."""

    def __init__(self, recipe: Recipe, trial: TrialData, device: str, precision: str) -> None:
        self.recipe, self.trial, self.device = recipe, trial, device
        self.fabric = open_fabric(device, precision)
        torch.manual_seed(0)
        self.model = recipe.model()
        self.statistics = recipe.statistics([trial], recipe.fit([trial]))
        self.samples = recipe.samples([trial], self.statistics, Purpose.TRAIN)
        self.runner = setup_module(self.fabric, self.model)
        freezing = Freezing(self.model, recipe.frozen_mode)
        freezing.freeze(recipe.frozen(self.model, 0))
        optimizer = recipe.configure_optimizer(self.model)
        if device == "cuda":
            fuse(optimizer)
        self.optimizer = self.fabric.setup_optimizers(optimizer)
        freezing.train()

    def loaded(self, workers: int) -> Iterator[tuple[dict[str, torch.Tensor], int]]:
        """Batches of training samples without end, in random order."""
        order = np.random.default_rng(0).integers(0, len(self.samples), 200_000)
        batches = Batches(self.samples, self.recipe.schedule.batch, self.fabric, workers)
        yield from batches.read(order, (0, 0))

    def steps(self, stream: Iterable[tuple[dict[str, torch.Tensor], int]]) -> Iterator[int]:
        """A step with each batch."""
        for batch, count in stream:
            self.fabric.backward(self.recipe.loss(self.recipe.forward(self.runner, batch), batch))
            self.optimizer.step()
            self.optimizer.zero_grad()
            yield count

    def predicted(self, workers: int) -> Iterator[int]:
        """Frames of each batch that is predicted, without end."""
        samples = self.recipe.samples([self.trial], self.statistics, Purpose.PREDICT)
        each = len(self.trial.times) / len(samples)
        batches = Batches(samples, self.recipe.schedule.batch, self.fabric, workers)
        while True:
            for outputs, _ in outputs_of(self.recipe, self.runner, batches, self.fabric):
                yield round(len(outputs) * each)


def measure(system: str, device: str, precisions: list[str], workers: list[int], seconds: float, tiny: bool) -> None:
    """Print the rows of one system; runs in a process of its own, so that its memory is its own."""
    with tempfile.TemporaryDirectory() as folder:
        recipe, trial = case(system, Path(folder), *((90, systems.spec(system).small) if tiny else (1500, {})))
        for precision in precisions:
            with computing(1, deterministic=False, tf32=precision == "tf32"):
                bench = Bench(recipe, trial, device, precision)
                if precision == precisions[0]:
                    for number in workers:
                        found = rate((count for _, count in bench.loaded(number)), seconds, device)
                        row(system, "loading", f"{number} workers", f"{found:.4g} samples/s")
                batch = next(bench.loaded(0))
                alone = rate(bench.steps(batch for _ in iter(int, 1)), seconds, device)
                row(system, "step", precision, f"{alone:.4g} samples/s", held=memory(device))
                with gpu_use(device) as used:
                    both = rate(bench.steps(bench.loaded(workers[-1])), seconds, device)
                use = f", device {statistics.mean(used):.0f} %" if used else ""
                row(
                    system,
                    "both",
                    precision,
                    f"{both:.4g} samples/s",
                    f"{both / alone:.2f} of the step{use}",
                    memory(device),
                )
                found = rate(bench.predicted(workers[-1]), seconds, device)
                row(system, "predict", precision, f"{found:.4g} frames/s", hours(found), memory(device))


def divide(system: str, seconds: float, tiny: bool) -> None:
    """Print the rate of one system's training loop on a CPU by how threads are divided; runs in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        recipe, trial = case(system, Path(folder), 90 if tiny else 1500, {"preset": "small_data"})
        (trial,) = cache_images([trial], 4096, recipe.kept_bytes)
        found: dict[tuple[int, int], list[float]] = {way: [] for way in DIVISIONS}
        with computing(1):
            bench = Bench(recipe, trial, "cpu", "float32")
            for index in range(len(bench.samples)):
                bench.samples.read(index, np.random.default_rng(0))
            for _ in range(1 if tiny else ROUNDS):
                for threads, workers in DIVISIONS:
                    torch.set_num_threads(threads)
                    found[threads, workers].append(rate(bench.steps(bench.loaded(workers)), seconds, "cpu"))
    for (threads, workers), each in found.items():
        spread = f"{min(each):.4g} to {max(each):.4g}"
        row(
            system, "training", f"{threads} compute, {workers} read", f"{statistics.median(each):.4g} samples/s", spread
        )


def row(*cells: str, held: str = "") -> None:
    """Print a row of the table; empty cells at its end may be left out."""
    filled = [*cells, *[""] * (5 - len(cells)), held] if len(cells) < 6 else [*cells]
    print(f"| {' | '.join(filled)} |", flush=True)


def hours(frames: float) -> str:
    """What ``frames`` per second mean."""
    return f"{AFFWILD2 / frames / 3600:.2f} h for Aff-Wild2"


def memory(device: str) -> str:
    """The most that tensors took on the GPU, or this process in memory."""
    on_gpu = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return f"{(on_gpu or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024) / 2**20:.0f} MiB"


def detect(models: Path, device: str, seconds: float, tiny: bool) -> None:
    """Print rates of every detector file, at 640 pixels, by batch and provider."""
    images = [np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)] * 32
    there = onnxruntime.get_available_providers()
    providers = [device, *(["tensorrt"] if device == "cuda" and PROVIDERS["tensorrt"][0] in there else [])]
    for path in sorted(models.glob("det_*.onnx"))[: 1 if tiny else None]:
        # TensorRT builds an engine for every batch, which takes a minute.
        for provider, batch in [(name, batch) for name in providers for batch in BATCHES[name][: 1 if tiny else None]]:
            scanner = Scanner(DetectorNetwork(path, provider, 1, 0.5, batch), (640,), 0.4)
            scans = (len(scanner.scan(images[:batch])) for _ in iter(int, 1))
            found = rate(scans, seconds, "cpu")
            row(path.stem, f"detect, {provider}", f"batch {batch}", f"{found:.4g} frames/s", hours(found))


def decode(device: str, seconds: float) -> None:
    """Print rates of decoding 112-pixel crops."""
    image = cv2.resize(np.random.default_rng(0).integers(0, 256, (14, 14, 3), dtype=np.uint8), (112, 112))
    data = np.frombuffer(encode_image(image), np.uint8)
    ways: dict[str, Callable[[], Any]] = {}
    ways["OpenCV, one core"] = lambda: [cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) for _ in range(64)]
    if device == "cuda":
        ways["nvJPEG"] = lambda: decode_jpeg([torch.from_numpy(data)] * 64, device="cuda")
    for name, way in ways.items():
        found = rate(map(len, iter(way, None)), seconds, device)
        row("decoding", name, "64 at a time", f"{found:.4g} crops/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precisions", nargs="+", help="float32, tf32, bf16 on a GPU; float32 and bf16 on a CPU")
    parser.add_argument("--systems", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument(
        "--workers", nargs="+", type=int, default=[0, 1, 4, 15], help="the last number is also used for both"
    )
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--models", type=Path, help="folder of detector files (det_*.onnx)")
    parser.add_argument("--tiny", action="store_true", help="tiny networks and fractions of seconds")
    parser.add_argument("--divide", action="store_true", help="instead: how a CPU job's threads are best divided")
    given = parser.parse_args()
    if given.tiny:
        given.seconds, given.workers = 0.05, [0, 1]
    precisions = given.precisions or (["float32", "tf32", "bf16"] if given.device == "cuda" else ["float32", "bf16"])
    row("what", "measured", "how", "rate", "which is", "memory")
    row(*["---"] * 6)
    # A process that uses CUDA must not be a fork; elsewhere forks save the seconds of all imports.
    context = multiprocessing.get_context("spawn" if given.device == "cuda" else "fork")
    for system in given.systems:
        work, arguments = measure, (system, given.device, precisions, given.workers, given.seconds, given.tiny)
        if given.divide:
            work, arguments = divide, (system, given.seconds, given.tiny)
        process = context.Process(target=work, args=arguments)
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{system}: ended with status {process.exitcode}")
    if given.divide:
        return
    decode(given.device, given.seconds)
    if given.models:
        detect(given.models, given.device, given.seconds, given.tiny)


if __name__ == "__main__":
    main()
