"""Draw sound, features and frame times of one clip over each other, to see that they are in step.

    python benchmarks/figure_features.py VIDEO [docs/figures/features.png] [--seconds 3]

The clip goes through the stages that the workflow runs. Grey lines are the times of the decoded frames; dots are the values that
``extract_features`` stored for them, curves the analysis every 10 ms from which they were taken. No picture of the clip is drawn.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from wildaffect.features.audio import egemaps25, mfcc39, tsav_mel  # noqa: E402
from wildaffect.features.extract import extract_features  # noqa: E402
from wildaffect.features.signal import (  # noqa: E402
    RATE,
    decibel,
    read_speech,
)
from wildaffect.media.audio import write_audio  # noqa: E402
from wildaffect.media.frames import read_frames, write_frame_table  # noqa: E402

FINE = 3  # drawn larger and reduced, which smooths the lines
WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 1200, 140, 200, 24, 44, 16
INK, CURVE, DOT, TICK = (40, 40, 40), (70, 110, 170), (200, 80, 40), (214, 214, 214)
RAMP = np.array([[255, 255, 255], [186, 208, 232], [70, 110, 170], [22, 34, 76]])  # quiet to loud
RANGE_DB = 70


@dataclass(frozen=True)
class Clip:
    """What is drawn; times in seconds from frame 0."""

    times: np.ndarray
    speech: np.ndarray
    mel_db: np.ndarray
    c0: tuple[np.ndarray, np.ndarray]
    loudness: tuple[np.ndarray, np.ndarray]


def measure(video: Path, folder: Path) -> Clip:
    """Run the media stage and three features on ``video``."""
    frames, audio = folder / "frames.parquet", folder / "audio.flac"
    write_frame_table(video, frames)
    write_audio(video, frames, audio)

    def stored(feature: str) -> np.ndarray:
        extract_features({feature: folder / f"{feature}.npy"}, audio, frames)
        return np.load(folder / f"{feature}.npy")

    speech = read_speech(audio)[:]
    c0, loudness = mfcc39.COLUMNS.index("c0"), egemaps25.COLUMNS.index("Loudness_sma3")
    return Clip(
        read_frames(frames).times,
        speech,
        decibel(stored("tsav_mel")),
        (mfcc39.descriptors(speech)[:][:, c0], stored("mfcc39")[:, c0]),
        (egemaps25.descriptors(speech)[:][:, loudness], stored("egemaps25")[:, loudness]),
    )


class Page:
    """A column of panels over one time axis."""

    def __init__(self, seconds: float, panels: int) -> None:
        self.seconds = seconds
        self.height = TOP + panels * (PANEL + GAP) + 30
        self.image = Image.new("RGB", (WIDTH * FINE, self.height * FINE), "white")
        self.pen = ImageDraw.Draw(self.image)
        self.panel = 0

    def x(self, time: np.ndarray | float) -> np.ndarray | float:
        return LEFT + (WIDTH - LEFT - RIGHT) * np.asarray(time) / self.seconds

    def top(self) -> int:
        return TOP + self.panel * (PANEL + GAP)

    def text(self, x: float, y: float, words: str, size: int = 15, anchor: str = "la") -> None:
        self.pen.text((x * FINE, y * FINE), words, INK, ImageFont.load_default(size * FINE), anchor=anchor)

    def line(self, points: np.ndarray, colour: tuple[int, int, int], width: float = 1.3) -> None:
        self.pen.line([tuple(point) for point in points * FINE], colour, round(width * FINE))

    def begin(self, title: str, unit: str) -> None:
        top = self.top()
        self.text(8, top + PANEL / 2 - 20, title)
        self.text(8, top + PANEL / 2, unit, 12)

    def frames(self, times: np.ndarray) -> None:
        """A line at the time of each frame."""
        for x in self.x(times[times <= self.seconds]):
            self.line(np.array([[x, self.top()], [x, self.top() + PANEL]]), TICK, 0.7)

    def range(self, low: str, high: str) -> None:
        """What the lower and the upper edge of the panel stand for."""
        self.text(LEFT - 6, self.top() + PANEL - 3, low, 12, "rd")
        self.text(LEFT - 6, self.top() + 3, high, 12, "ra")

    def end(self) -> None:
        corners = np.array([LEFT, self.top(), WIDTH - RIGHT, self.top() + PANEL]) * FINE
        self.pen.rectangle(corners.tolist(), outline=INK, width=FINE)
        self.panel += 1

    def curve(self, step_s: float, values: np.ndarray, marks: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        """``values`` every ``step_s`` as a line, ``marks`` (times, values) as dots."""
        values = values[: int(self.seconds / step_s) + 1]
        low, high = values.min(), values.max() + 1e-9
        self.range(*(f"{value:.0f}" if abs(value) >= 10 else f"{value:.2f}" for value in (low, high)))

        def y(value: np.ndarray) -> np.ndarray:
            return self.top() + 6 + (PANEL - 12) * (high - np.clip(value, low, high)) / (high - low)

        self.line(np.column_stack([self.x(np.arange(len(values)) * step_s), y(values)]), CURVE)
        for x, at in zip(*(self.x(marks[0]), y(marks[1])), strict=True) if marks else ():
            if x <= WIDTH - RIGHT:
                self.pen.ellipse([(x - 2.6) * FINE, (at - 2.6) * FINE, (x + 2.6) * FINE, (at + 2.6) * FINE], DOT)

    def heat(self, step_s: float, rows: np.ndarray) -> None:
        """``rows`` (time, band) in dB centred every ``step_s``, the lowest band at the bottom."""
        rows = rows[: int(self.seconds / step_s) + 1].T[::-1]
        loud = 3 * np.clip(rows - rows.max() + RANGE_DB, 0, RANGE_DB) / RANGE_DB
        colours = np.stack([np.interp(loud, range(len(RAMP)), RAMP[:, k]) for k in range(3)], axis=-1)
        left, right = self.x(-step_s / 2), self.x((rows.shape[1] - 0.5) * step_s)
        size = round((right - left) * FINE), (PANEL - 4) * FINE
        picture = Image.fromarray(np.uint8(colours)).resize(size, Image.Resampling.NEAREST)
        inside = picture.crop((round((LEFT - left) * FINE), 0, *size))
        self.image.paste(inside, (LEFT * FINE, (self.top() + 2) * FINE))
        self.range("band 0", f"band {len(rows) - 1}")

    def axis(self) -> None:
        for second in np.arange(0, self.seconds + 1e-9, 0.25):
            x, top, whole = float(self.x(second)), self.top() - GAP, second % 0.5 == 0
            self.line(np.array([[x, top], [x, top + (7 if whole else 4)]]), INK, 1)
            if whole:
                self.text(x, top + 10, f"{second:.1f} s", 13, "ma")

    def save(self, path: Path) -> None:
        self.image.resize((WIDTH, self.height), Image.Resampling.LANCZOS).quantize(64).save(path, optimize=True)


def draw(clip: Clip, seconds: float, output: Path) -> None:
    page = Page(seconds, 4)
    page.text(
        LEFT, 14, "One clock: grey lines are the decoded frames, curves the analysis every 10 ms, dots the rows stored"
    )
    page.begin("waveform", "16 bit, 16 kHz")
    page.frames(clip.times)
    page.curve(1 / RATE, clip.speech.astype(float))
    page.end()
    page.begin("log-mel", f"tsav_mel, {RANGE_DB} dB")
    page.heat(1 / tsav_mel.RATE * tsav_mel.HOP, clip.mel_db)
    page.frames(clip.times)
    page.end()
    for title, unit, (rows, stored) in (
        ("MFCC c0", "mfcc39", clip.c0),
        ("loudness", "egemaps25", clip.loudness),
    ):
        page.begin(title, unit)
        page.frames(clip.times)
        page.curve(0.01, rows, (clip.times, stored))
        page.end()
    page.axis()
    output.parent.mkdir(parents=True, exist_ok=True)
    page.save(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("output", type=Path, nargs="?", default=ROOT / "docs" / "figures" / "features.png")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw(measure(options.video, Path(folder)), options.seconds, options.output)


if __name__ == "__main__":
    main()
