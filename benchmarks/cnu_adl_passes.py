"""Cost of a frame of CNU_ADL's frame variants: as published, with shared pictures, and on stored vectors of the face network.

    python benchmarks/cnu_adl_passes.py [--frames 32] [--plain 1] [--repeats 2] [--variant frames_stat]

The full-size network with random weights predicts consecutive frames from pictures in memory. "plain" runs the face network for every frame
on its T pictures and twice more on the last, as the original's graph does (CNU_ADL spec 7.1); "shared" is what prediction does here;
"stored" reads what features.embeddings would have written. All three must agree to 1e-4, or the program fails. Seconds are processor time
of one thread: other work on the machine disturbs it less.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from wildaffect.features.vggface import prepared  # noqa: E402
from wildaffect.systems import build_model  # noqa: E402
from wildaffect.systems.cnu_adl.data import held_blocks  # noqa: E402

TOLERANCE = 1e-4
BLOCK = 16


def best(function: Callable[[], Tensor], repeats: int) -> tuple[Tensor, float]:
    """The result, and the least processor seconds of one call."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return result, min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--plain", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--variant", choices=["frames_stat", "stat_bilstm"], default="frames_stat")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build_model("cnu_adl", given.variant).eval()
    count = given.frames + BLOCK - 1
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), dtype=np.uint8))
    rows = np.arange(BLOCK - 1, count)
    blocks = torch.from_numpy(held_blocks(rows, np.ones(count, bool), BLOCK))

    def plain() -> Tensor:
        found = []
        for block in blocks[: given.plain]:
            for _ in range(2):
                model.face(prepared(pictures[block[-1:]]))
            found.append(model(torch.arange(BLOCK)[None, None], pictures[block][None])[0])
        return torch.cat(found)

    with torch.inference_mode():
        vectors = torch.cat([model.face(prepared(part)) for part in pictures.split(16)])
        slow, slow_seconds = best(plain, given.repeats)
        shared, shared_seconds = best(lambda: model(blocks[None], pictures[None])[0], given.repeats)
        stored, stored_seconds = best(lambda: model(blocks[None], vectors=vectors[None])[0], given.repeats)
    off = max(float((slow - shared[: given.plain]).abs().max()), float((stored - shared).abs().max()))
    each = {
        "plain": (slow_seconds / given.plain, BLOCK + 2),
        "shared": (shared_seconds / given.frames, count / given.frames),
        "stored": (stored_seconds / given.frames, 0),
    }
    for name, (seconds, passes) in each.items():
        ratio = each["plain"][0] / seconds
        print(f"{name:8} {1e3 * seconds:9.2f} ms per frame, {passes:5.2f} passes, {ratio:7.1f} times faster than plain")
    print(f"largest difference {off:.1e}")
    if off > TOLERANCE:
        sys.exit("the results differ")


if __name__ == "__main__":
    main()
