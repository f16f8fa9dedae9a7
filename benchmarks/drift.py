"""How far the published index rules put the sound beside the picture.

    python benchmarks/drift.py VIDEO …

For every video the largest distance, and the one at the last frame, between the time of a frame and the instant at which the rule lets its
row begin, in seconds (positive: the sound is ahead): ``index`` is the rule of LFAN (openSMILE and VGGish), ``third`` that of M3T. Rounding
to rows of 10 ms comes on top. The rules by true timestamps have no other distance.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from wildaffect.features.extract import frame_clock  # noqa: E402
from wildaffect.features.frames import instants  # noqa: E402
from wildaffect.features.spec import find_feature  # noqa: E402
from wildaffect.media.frames import read_frames, write_frame_table  # noqa: E402


def report(video: Path, folder: Path) -> str:
    """A line about one video."""
    frames = folder / "frames.parquet"
    write_frame_table(video, frames)
    times = read_frames(frames).times
    if not len(times):
        return f"{video.name}: no frames"
    parts = [f"{video.name:40} {len(times):6} frames {times[-1]:8.2f} s"]
    for feature in ("mfcc39.indexed", "m3t_mel.indexed"):
        clock = frame_clock(frames, find_feature(feature))
        apart = instants(clock) - times
        worst = apart[np.nanargmax(np.abs(apart))] if not np.isnan(apart).all() else np.nan
        parts.append(f"{clock.rule.name} at {clock.fps:.3f}/s: largest {worst:+.4f}, last {apart[-1]:+.4f}")
    return "   ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="+")
    with tempfile.TemporaryDirectory() as folder:
        for video in parser.parse_args().videos:
            print(report(video, Path(folder)))


if __name__ == "__main__":
    main()
