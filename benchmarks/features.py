"""Speed and memory of the audio features.

    python benchmarks/features.py [--seconds 10] [--threads 1 2] [--device cpu]   real-time factors, patches/s
    python benchmarks/features.py --memory 60 600                                 peak memory by length in seconds

The sound is made: noise whose level and colour move. The real-time factor is processing time / duration, from the int16
signal to the rows of 30 frames per second. VGGish is measured plainly (each patch through the network) and as it is used
(work shared by overlapping patches). With one thread processor time is shown beside elapsed time: other work on the
machine disturbs it less. Best of three.
"""

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from wildaffect.features import egemaps, mfcc, vggish_embedding, vggish_frontend  # noqa: E402
from wildaffect.features.grid import by_time  # noqa: E402
from wildaffect.features.vggish import PATCH  # noqa: E402
from wildaffect.features.vggish_weights import seeded_network  # noqa: E402

FPS = 30


def make_sound(seconds: float) -> np.ndarray:
    """int16 at 16 kHz."""
    noise = np.random.default_rng(0).normal(0, 1500, round(seconds * 16_000))
    noise *= 1 + np.sin(np.arange(len(noise)) / 4000)
    return np.clip(np.convolve(noise, [0.6, 0.3, 0.1], "same"), -32768, 32767).astype(np.int16)


def best_of_three(job: Callable[[], object]) -> tuple[float, float]:
    """Elapsed and processor seconds of the fastest run."""
    runs = []
    for _ in range(3):
        start, processor = time.perf_counter(), time.process_time()
        job()
        runs.append((time.perf_counter() - start, time.process_time() - processor))
    return min(runs)


def opensmile_speed(seconds: float) -> None:
    speech = make_sound(seconds)
    rows = partial(by_time, np.arange(round(seconds * FPS)) / FPS, None)
    for name, module in (("mfcc39", mfcc), ("egemaps23", egemaps)):
        elapsed, processor = best_of_three(partial(module.frame_values, speech, rows))
        print(f"{name:10}  1 thread  real-time factor {elapsed / seconds:.4f}  (processor {processor / seconds:.4f})")


def vggish_speed(seconds: float, threads: int, device: str) -> None:
    torch.set_num_threads(threads)
    network = seeded_network().to(device, memory_format=torch.channels_last).eval()
    padded = vggish_frontend.pad_tail(make_sound(seconds))
    starts = by_time(np.arange(round(seconds * FPS)) / FPS, None, vggish_frontend.row_count(len(padded)) - PATCH + 1)

    def plain() -> None:
        rows = torch.from_numpy(vggish_frontend.log_mel(padded, np.arange(starts[-1] + PATCH)))
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for batch in torch.from_numpy(starts).split(32 if device == "cpu" else 512):
                network(rows[batch[:, None] + torch.arange(PATCH)][:, None].to(device)).cpu()

    for name, job in (("plain", plain), ("shared", lambda: vggish_embedding.embed(network, padded, starts, device))):
        job()
        elapsed, processor = best_of_three(job)
        print(
            f"vggish128   {threads} thread{'s' if threads > 1 else ' '} on {device}, {name:6}: {len(starts) / elapsed:6.1f} patches/s "
            f"({len(starts) / processor:.1f} per processor second), real-time factor {elapsed / seconds:.3f}"
        )


class Silent(torch.nn.Module):
    """In place of the network where memory beside it is measured, since an hour would take it half a day."""

    def overlapping(self, spectrogram: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(starts), 128)


def _peak(name: str, seconds: float, answer: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)
    speech = np.resize(make_sound(10), round(seconds * 16_000))
    rows = partial(by_time, np.arange(round(seconds * FPS)) / FPS, None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if name == "vggish128":
        padded = vggish_frontend.pad_tail(speech)
        vggish_embedding.embed(Silent(), padded, rows(vggish_frontend.row_count(len(padded)) - PATCH + 1))
    else:
        {"mfcc39": mfcc, "egemaps23": egemaps}[name].frame_values(speech, rows)
    answer.put((before / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def memory(lengths: list[float]) -> None:
    """Peak resident memory before and after, each in a fresh process; VGGish without its network."""
    context = multiprocessing.get_context("spawn")
    for name in ("mfcc39", "egemaps23", "vggish128"):
        for seconds in lengths:
            answer = context.Queue()
            process = context.Process(target=_peak, args=(name, seconds, answer))
            process.start()
            before, after = answer.get()
            process.join()
            print(
                f"{name:10}  {seconds:6.0f} s: {after:6.0f} MB at peak, {after - before:+.0f} MB over the signal alone"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--memory", type=float, nargs="+", metavar="SECONDS")
    options = parser.parse_args()
    if options.memory:
        memory(options.memory)
        return
    opensmile_speed(options.seconds)
    for threads in options.threads:
        vggish_speed(options.seconds, threads, options.device)


if __name__ == "__main__":
    main()
