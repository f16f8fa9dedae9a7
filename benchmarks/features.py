"""Speed and memory of the audio features.

    python benchmarks/features.py [--seconds 10] [--threads 1 2] [--device cpu] [--memory 10 3600] [--only mfcc39 …] [--no-speed]

Real-time factor of every feature (processing time / duration, from the int16 signal to what is stored for 30 frames per
second), the time to cut one TSAV image, VGGish patches per second, and then peak memory from ``audio.flac`` to the stored array for
each of the lengths after ``--memory`` in seconds (3600 is an hour).

The sound is made: noise whose level and colour move. VGGish is measured plainly (each patch through the network) and as it is used
(work shared by overlapping patches). With one thread processor time is shown beside elapsed time: other work on the
machine disturbs it less. Best of three.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from wildaffect.features import opensmile_stream  # noqa: E402
from wildaffect.features.audio import tsav_mel  # noqa: E402
from wildaffect.features.extract import extract_features  # noqa: E402
from wildaffect.features.frames import BY_TIME, Clock, Rule, by_time  # noqa: E402
from wildaffect.features.registry import FEATURES  # noqa: E402
from wildaffect.media.frames import FRAMES  # noqa: E402
from wildaffect.tables import write_table  # noqa: E402

COMPUTED = [name for name, spec in FEATURES.items() if spec.weights is None and not name.endswith(".indexed")]
FPS = 30


def make_sound(seconds: float, rate: int = 16_000) -> np.ndarray:
    """int16 at ``rate`` Hz."""
    noise = np.random.default_rng(0).normal(0, 1500, round(seconds * rate))
    noise *= 1 + np.sin(np.arange(len(noise)) / 4000)
    return np.clip(np.convolve(noise, [0.6, 0.3, 0.1], "same"), -32768, 32767).astype(np.int16)


def clock(seconds: float, rule: Rule = BY_TIME) -> Clock:
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


def exhaust(blocks: Callable[[], Iterable[np.ndarray]]) -> None:
    for _ in blocks():
        pass


def images(cut: Callable[..., Sequence[np.ndarray]], signal: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.stack([*cut(signal, times)])


def feature_speed(seconds: float, names: list[str]) -> None:
    for name in names:
        spec = FEATURES[name]
        if spec.weights:
            continue  # see vggish_speed
        sound, frames, values = make_sound(seconds, spec.rate_hz), clock(seconds, spec.rule), import_module(spec.module)
        job = partial(exhaust, lambda values=values, sound=sound, frames=frames: values.frame_values(sound, frames))
        elapsed, processor = best_of_three(job)
        print(f"{name:10}  1 thread  real-time factor {elapsed / seconds:.4f}  (processor {processor / seconds:.4f})")


def image_speed() -> None:
    """TSAV images of 32 neighbouring frames, as a data loader asks for them in order."""
    wave = make_sound(30, 44_100)
    power = np.concatenate([*tsav_mel.frame_values(wave, clock(30))])
    for fps in (30, 29.97):
        times = 15 + np.arange(32) / fps
        for kind, job in (
            ("centred", partial(images, tsav_mel.centred_images, power, times)),
            ("faithful", partial(images, tsav_mel.faithful_images, wave, times)),
        ):
            elapsed, processor = best_of_three(job)
            print(
                f"TSAV image  1 thread  {kind:8} {elapsed / 32 * 1000:6.2f} ms at {fps} frames/s  (processor {processor / 32 * 1000:.2f})"
            )


def vggish_speed(seconds: float, threads: int, device: str) -> None:
    # PyTorch takes half a gigabyte, which the processes that measure memory shall not have.
    import torch

    from wildaffect.features import vggish
    from wildaffect.features.vggish import PATCH, embed, seeded_network

    torch.set_num_threads(threads)
    network = seeded_network().to(device, memory_format=torch.channels_last).eval()
    sound = make_sound(seconds)
    rows = vggish.patch_starts(len(sound))
    starts = by_time(np.arange(round(seconds * FPS)) / FPS, None, rows)

    def plain() -> None:
        rows = torch.from_numpy(vggish.log_mel(sound, np.arange(starts[-1] + PATCH)))
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for batch in torch.from_numpy(starts).split(32 if device == "cpu" else 512):
                network(rows[batch[:, None] + torch.arange(PATCH)][:, None].to(device)).cpu()

    for name, job in (
        ("plain", plain),
        ("shared", lambda: exhaust(lambda: embed(network, sound, starts, device))),
    ):
        job()
        elapsed, processor = best_of_three(job)
        print(
            f"vggish128   {threads} thread{'s' if threads > 1 else ' '} on {device}, {name:6}: {len(starts) / elapsed:6.1f} patches/s "
            f"({len(starts) / processor:.1f} per processor second), real-time factor {elapsed / seconds:.3f}"
        )


def peak_memory() -> float:
    """Largest resident size of this process so far in MB (Linux). ``getrusage`` would count the parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def thinned(function: Callable, every: int, empty: Callable[..., object]) -> Callable:
    """``function`` at every ``every``-th call, ``empty`` at the others: what takes half a day takes minutes, and the same memory."""
    calls = count()
    return lambda *given: function(*given) if next(calls) % every == 0 else empty(*given)


def write_input(folder: Path, seconds: float, rate: int) -> tuple[Path, Path]:
    """An ``audio.flac`` and the frame table of a video."""
    audio, frames = folder / "audio.flac", folder / "frames.parquet"
    block = make_sound(10, rate)
    about = {"audio_valid": True, "rate": rate, "samples": round(seconds * rate), "offset_s": 0.0, "padded_s": 0.0}
    with soundfile.SoundFile(audio, "w", samplerate=rate, channels=1, format="FLAC") as file:
        file.comment = json.dumps(about)
        for first in range(0, about["samples"], len(block)):
            file.write(block[: about["samples"] - first])
    n = round(seconds * FPS)
    columns = {
        "frame": np.arange(n, dtype=np.int32),
        "pts": np.arange(n),
        "time_s": np.arange(n) / FPS,
        "duration_s": np.full(n, 1 / FPS),
        "keyframe": np.ones(n, bool),
        "repair": pa.array([""] * n, pa.string()),
    }
    about = {"average_rate": FPS, "nominal_rate": str(FPS), "status": "ok"}
    write_table(frames, pa.table(columns), FRAMES, about)
    return audio, frames


def _peak(name: str, audio: Path, frames: Path, answer: multiprocessing.Queue) -> None:
    if name == "vggish128":
        import torch

        from wildaffect.features import vggish

        vggish._embed_batch = thinned(
            vggish._embed_batch, 20, lambda network, speech, starts, device: torch.zeros(len(starts), 128)
        )
    opensmile_stream.Functionals.__call__ = thinned(
        opensmile_stream.Functionals.__call__, 50, lambda over, speech: np.zeros(88, np.float32)
    )
    weights = "seeded" if FEATURES[name].weights else None
    before = peak_memory()
    extract_features({name: audio.with_name("out.npy")}, audio, frames, weights=weights)
    answer.put((before, peak_memory()))


def memory(lengths: list[float], names: list[str]) -> None:
    """Peak resident memory of a whole extraction, each in a fresh process.

    Of VGGish every 20th batch is computed, of the functionals every 50th window; the others are zeros.
    """
    context = multiprocessing.get_context("spawn")
    for seconds in lengths:
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                audio, frames = write_input(Path(folder), seconds, FEATURES[name].rate_hz)
                answer = context.Queue()
                process = context.Process(target=_peak, args=(name, audio, frames, answer))
                process.start()
                before, after = answer.get()
                process.join()
            print(f"{name:10}  {seconds:6.0f} s: {after:6.0f} MB at peak, {before:.0f} MB before", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--memory", type=float, nargs="*", default=[10.0], metavar="SECONDS")
    parser.add_argument("--only", nargs="+", choices=[*COMPUTED, "vggish128"], default=[*COMPUTED, "vggish128"])
    parser.add_argument("--no-speed", action="store_true", help="memory alone")
    options = parser.parse_args()
    if not options.no_speed:
        feature_speed(options.seconds, options.only)
        image_speed()
        for threads in options.threads:
            vggish_speed(options.seconds, threads, options.device)
    memory(options.memory, options.only)


if __name__ == "__main__":
    main()
