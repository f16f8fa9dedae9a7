"""Throughput and memory of the media stage against bare PyAV decoding of the same file.

    python benchmarks/media.py [VIDEO] [--repeats N] [--threads N]   throughput, interleaved, medians
    python benchmarks/media.py --memory 10 1200                      peak memory by clip length in seconds

Without VIDEO a 640x360 clip is made. Bare decoding is the shortest PyAV loop that does the same work: for the frame
table `container.decode`, for pictures `frame.to_ndarray(format="rgb24")` with the same number of threads, each picture
held until the next one is there. Freed memory is kept, for both, as in the pipeline's jobs. With one thread processor
time is compared, which other work on the machine disturbs less; with several, elapsed time.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

# As in the pipeline's jobs (wildaffect.job), and read when pyarrow is imported.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from wildaffect.job import keep_freed_memory  # noqa: E402
from wildaffect.media.audio import write_audio  # noqa: E402
from wildaffect.media.decode import decode  # noqa: E402
from wildaffect.media.frames import write_frame_table  # noqa: E402


def make_clip(path: Path, seconds: float, width: int = 640, height: int = 360) -> Path:
    """A clip of moving noise at 25 frames per second with a mono tone, written frame by frame."""
    texture = np.random.default_rng(0).integers(0, 255, (height, 4 * width, 3), dtype=np.uint8)
    texture = texture // 4 + np.linspace(0, 190, 4 * width).astype(np.uint8)[None, :, None]
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt, video.thread_count = width, height, "yuv420p", 1
        sound = output.add_stream("aac", rate=16_000, layout="mono")
        for index in range(round(seconds * 25)):
            shift = 2 * index % (3 * width)
            picture = np.ascontiguousarray(texture[:, shift : shift + width])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(video.encode(frame))
            wave = 0.3 * np.sin(2 * np.pi * 300 * (index * 640 + np.arange(640)) / 16_000)
            block = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = 16_000, index * 640, Fraction(1, 16_000)
            output.mux(sound.encode(block))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    return path


def bare(video: Path, threads: int, *, pictures: bool) -> int:
    """Frames counted by the shortest possible PyAV loop."""
    count = 0
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_count = threads
        stream.thread_type = "AUTO" if threads > 1 else "NONE"
        for frame in container.decode(stream):
            if pictures:
                picture = frame.to_ndarray(format="rgb24", threads=threads)  # noqa: F841 - held, as users hold it
            count += 1
    return count


def seconds_of(work: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def throughput(video: Path, repeats: int, threads: int, scratch: Path) -> None:
    """Print medians of interleaved runs and the ratios to bare decoding."""
    clock = time.process_time if threads == 1 else time.perf_counter
    table = scratch / "frames.parquet"
    frames = bare(video, threads, pictures=False)
    works = {
        "bare decoding, 1 thread": lambda: bare(video, 1, pictures=False),
        "write_frame_table": lambda: write_frame_table(video, table),
        f"bare decoding to RGB, {threads} thread(s)": lambda: bare(video, threads, pictures=True),
        f"decode, {threads} thread(s)": lambda: sum(1 for _ in decode(video, threads)),
        "write_audio": lambda: write_audio(video, table, scratch / "audio.flac"),
    }
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            found[name].append(seconds_of(work, clock))
    print(f"{video.name}: {frames} frames, {repeats} interleaved repeats, medians of {clock.__name__}")
    medians = {name: statistics.median(values) for name, values in found.items()}
    for name, value in medians.items():
        print(f"  {name:36s} {value:8.3f} s {frames / value:10.0f} frames/s")
    table_bare, table_ours, picture_bare, picture_ours, _ = medians.values()
    print(f"  throughput relative to bare decoding: table {table_bare / table_ours:.3f}", end="")
    print(f", pictures {picture_bare / picture_ours:.3f}")


def _peak_mib(video: Path, scratch: Path) -> float:
    write_frame_table(video, scratch / "frames.parquet")
    write_audio(video, scratch / "frames.parquet", scratch / "audio.flac")
    for _ in decode(video):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(lengths: list[float], scratch: Path) -> None:
    """Print the peak memory of table, audio and decoding for clips of several lengths, each in a process of its own."""
    for length in lengths:
        clip = make_clip(scratch / f"{length:g}.mp4", length, 160, 96)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak = pool.apply(_peak_mib, (clip, scratch))
        print(f"  {length:8g} s of video: peak {peak:.1f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=float, nargs="+", metavar="SECONDS")
    arguments = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.memory:
            memory(arguments.memory, Path(scratch))
        else:
            video = arguments.video or make_clip(Path(scratch) / "clip.mp4", 12)
            throughput(video, arguments.repeats, arguments.threads, Path(scratch))


if __name__ == "__main__":
    main()
