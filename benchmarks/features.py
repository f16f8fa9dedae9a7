"""Speed and memory of the audio features.

    python benchmarks/features.py [--seconds 10] [--threads 1 2] [--device cpu] [--memory 10]

Real-time factor of every feature (processing time / duration, from the int16 signal to what is stored for 30 frames per
second), the time to cut one TSAV image, VGGish patches per second, and then peak memory for each of the lengths after
``--memory`` in seconds (3600 is an hour).

The sound is made: noise whose level and colour move. VGGish is measured plainly (each patch through the network) and as it is used
(work shared by overlapping patches). With one thread processor time is shown beside elapsed time: other work on the
machine disturbs it less. Best of three.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from wildaffect.features import tsav_mel, vggish_embedding, vggish_frontend  # noqa: E402
from wildaffect.features.grid import Clock, by_time  # noqa: E402
from wildaffect.features.registry import FEATURES  # noqa: E402
from wildaffect.features.vggish import PATCH  # noqa: E402
from wildaffect.features.vggish_weights import seeded_network  # noqa: E402

COMPUTED = [name for name, spec in FEATURES.items() if spec.weights is None and not name.endswith(".indexed")]
FPS = 30


def make_sound(seconds: float, rate: int = 16_000) -> np.ndarray:
    """int16 at ``rate`` Hz."""
    noise = np.random.default_rng(0).normal(0, 1500, round(seconds * rate))
    noise *= 1 + np.sin(np.arange(len(noise)) / 4000)
    return np.clip(np.convolve(noise, [0.6, 0.3, 0.1], "same"), -32768, 32767).astype(np.int16)


def clock(seconds: float, rule: str = "time") -> Clock:
    """Frames at a constant rate."""
    return Clock(np.arange(round(seconds * FPS)) / FPS, FPS, rule)


def best_of_three(job: Callable[[], object]) -> tuple[float, float]:
    """Elapsed and processor seconds of the fastest run."""
    runs = []
    for _ in range(3):
        start, processor = time.perf_counter(), time.process_time()
        job()
        runs.append((time.perf_counter() - start, time.process_time() - processor))
    return min(runs)


def feature_speed(seconds: float) -> None:
    for name in COMPUTED:
        spec = FEATURES[name]
        job = partial(
            import_module(spec.module).frame_values, make_sound(seconds, spec.rate_hz), clock(seconds, spec.rule)
        )
        elapsed, processor = best_of_three(job)
        print(f"{name:10}  1 thread  real-time factor {elapsed / seconds:.4f}  (processor {processor / seconds:.4f})")


def image_speed() -> None:
    """TSAV images of 32 neighbouring frames, as a data loader asks for them in order."""
    wave = make_sound(30, 44_100)
    power = tsav_mel.frame_values(wave, clock(30))
    for fps in (30, 29.97):
        times = 15 + np.arange(32) / fps
        for kind, job in (
            ("centred", partial(tsav_mel.centred_windows, power, times)),
            ("faithful", partial(tsav_mel.faithful_windows, wave, times)),
        ):
            elapsed, processor = best_of_three(job)
            print(
                f"TSAV image  1 thread  {kind:8} {elapsed / 32 * 1000:6.2f} ms at {fps} frames/s  (processor {processor / 32 * 1000:.2f})"
            )


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


def peak_memory() -> float:
    """Largest resident size of this process so far in MB (Linux). ``getrusage`` would count the parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _peak(name: str, seconds: float, answer: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)
    spec = FEATURES[name]
    speech = np.resize(make_sound(10, spec.rate_hz), round(seconds * spec.rate_hz))
    frames = clock(seconds, spec.rule)
    before = peak_memory()
    if name == "vggish128":
        padded = vggish_frontend.pad_tail(speech)
        vggish_embedding.embed(Silent(), padded, frames.rows(vggish_frontend.row_count(len(padded)) - PATCH + 1))
    else:
        import_module(spec.module).frame_values(speech, frames)
    answer.put((before, peak_memory()))


def memory(lengths: list[float]) -> None:
    """Peak resident memory before and after, each in a fresh process; VGGish without its network."""
    context = multiprocessing.get_context("spawn")
    for name in (*COMPUTED, "vggish128"):
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
    parser.add_argument("--memory", type=float, nargs="+", default=[10.0], metavar="SECONDS")
    options = parser.parse_args()
    feature_speed(options.seconds)
    image_speed()
    for threads in options.threads:
        vggish_speed(options.seconds, threads, options.device)
    memory(options.memory)


if __name__ == "__main__":
    main()
