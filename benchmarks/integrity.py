"""What checksums cost when files are read: with them and without.

    python benchmarks/integrity.py [TABLE.parquet …]

Processor time, medians; both ways alternate. Tables of a run can be given, too.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import torch

from wildaffect.faces.crops import CropFile, crop_writer, encode_image
from wildaffect.features.store import open_array, save_blocks
from wildaffect.files import atomic
from wildaffect.integrity import sealed
from wildaffect.media.audio import read_audio
from wildaffect.tables import read_all, read_table, write_table
from wildaffect.weights import read_weights, save_weights

RNG = np.random.default_rng(0)
ROWS, COLUMNS, SIZE, IMAGES = 100_000, 40, 112, 1500


def compare(name: str, path: Path, checked: Callable, plain: Callable, repeats: int = 15) -> None:
    """Print the times of both in milliseconds."""
    times = np.array([[processor_time(checked), processor_time(plain)] for _ in range(repeats)]) * 1000
    first, second = np.median(times, axis=0)
    size = path.stat().st_size / 1e6
    print(f"{name}: {size:.2f} MB, {first:.2f} ms with checks, {second:.2f} ms without ({first / second - 1:+.1%})")


def processor_time(work: Callable) -> float:
    """Seconds of all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def tables(folder: Path, given: list[str]) -> None:
    """A table that cannot be compressed, and those given."""
    numbers = {f"v{k}": RNG.normal(size=ROWS).astype(np.float32) for k in range(COLUMNS)}
    made = {
        "table of random numbers": pa.table(
            {"trial": ["a"] * ROWS, "frame": np.arange(ROWS, dtype=np.int32), **numbers}
        )
    }
    for name, table in (made | {path: read_all(path) for path in given}).items():
        path, schema = folder / "t.parquet", table.schema.remove_metadata()
        write_table(path, table, schema)

        def plain(path=path, schema=schema):
            pq.read_schema(path)
            return pq.read_table(path, columns=schema.names)

        compare(name, path, lambda path=path, schema=schema: read_table(path, schema), plain)


def crops(folder: Path) -> None:
    """Images in random order."""
    coarse = np.kron(RNG.integers(0, 256, (14, 14, 3)), np.ones((8, 8, 1)))
    images = [encode_image(np.clip(coarse + k, 0, 255).astype(np.uint8)) for k in range(20)]
    with crop_writer(folder / "c.arrow", "tsav112", SIZE, "a") as append:
        for row in range(IMAGES):
            append(row, images[row % 20])
    file, unchecked, order = CropFile(folder / "c.arrow"), CropFile(folder / "c.arrow"), RNG.permutation(IMAGES)
    unchecked._checks = None
    compare(f"{IMAGES} crops", file.path, lambda: file.read(order), lambda: unchecked.read(order))


def others(folder: Path) -> None:
    """An array, audio, weights, and writing a checkpoint."""
    array = folder / "x.npy"
    save_blocks(array, [RNG.normal(size=(90_000, 128))], (128,))
    compare(
        "array, opened and read", array, lambda: open_array(array).sum(), lambda: np.load(array, mmap_mode="r").sum()
    )
    audio, samples = folder / "a.flac", 48_000 * 600
    with (
        sealed(audio) as partial,
        soundfile.SoundFile(partial, "w", 48_000, 1, format="FLAC", subtype="PCM_16") as file,
    ):
        file.comment = json.dumps({})
        file.write(RNG.normal(size=samples) * 0.02 + 0.3 * np.sin(np.arange(samples) / 50))
    compare("10 min of audio", audio, lambda: read_audio(audio), lambda: soundfile.read(audio, dtype="float32"), 5)
    weights, state = folder / "w.safetensors", {f"w{k}": torch.randn(1000, 1000) for k in range(25)}
    save_weights(state, weights)
    bare = shutil.copy(weights, folder / "bare.safetensors")
    compare("weights and their SHA-256", weights, lambda: read_weights(weights), lambda: read_weights(bare), 5)

    def write(opened):
        with opened(folder / "last.ckpt") as partial:
            torch.save(state, partial)

    write(atomic)
    compare("checkpoint, written", folder / "last.ckpt", lambda: write(sealed), lambda: write(atomic), 5)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        tables(Path(folder), sys.argv[1:])
        crops(Path(folder))
        others(Path(folder))
