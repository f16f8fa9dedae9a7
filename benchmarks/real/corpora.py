"""Corpora made of recordings and images of other data sets, in the layout ``table``."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from wildaffect.files import atomic

QUADRANTS = {
    "Neutral": (0.0, 0.0),
    "Calm": (0.5, -0.5),
    "Happiness": (0.5, 0.5),
    "Surprise": (0.5, 0.5),
    "Sadness": (-0.5, -0.5),
    "Anger": (-0.5, 0.5),
    "Fear": (-0.5, 0.5),
    "Disgust": (-0.5, 0.5),
}
"""Valence and arousal of each emotion by its quadrant of the circumplex, an assumption: nobody rated these recordings."""


def write_table(root: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write ``root``/trials.csv; all ``rows`` have the same columns."""
    with atomic(root / "trials.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_clip(
    path: Path, images: Iterable[np.ndarray], fps: int, audio: np.ndarray | None = None, rate: int = 0
) -> None:
    """Write a video.

    Args:
        path: The file, which ends in .mkv.
        images: uint8 RGB (H, W, 3) of every frame, sides even.
        fps: Frames per second.
        audio: int16 (S,), stored without loss; None: no audio.
        rate: Samples per second.
    """
    with atomic(path) as partial, av.open(str(partial), "w", format="matroska") as container:
        images = iter(images)
        first = next(images)
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "18", "threads": "1"})
        video.height, video.width, video.pix_fmt = *first.shape[:2], "yuv420p"
        speech = None
        if audio is not None:
            speech = container.add_stream("flac", rate=rate)
            speech.layout = "mono"
            frame = av.AudioFrame.from_ndarray(audio[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            container.mux([*speech.encode(frame), *speech.encode(None)])
        for image in (first, *images):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(video.encode(None))
