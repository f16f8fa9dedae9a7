"""Draw sound, features and frame times of one clip over each other, to see that they are in step.

    python benchmarks/figure_features.py VIDEO [docs/figures/features.png] [--seconds 3]

The clip goes through the stages that the workflow runs. Grey lines are the times of the decoded frames; dots are the values that
``extract_feature`` stored for them, curves the analysis every 10 ms from which they were taken. No picture of the clip is drawn.
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

from wildaffect.features import egemaps02, mfcc, tsav_mel  # noqa: E402
from wildaffect.features.columns import EGEMAPS25, MFCC39  # noqa: E402
from wildaffect.features.extract import extract_feature  # noqa: E402
from wildaffect.features.spectrogram import decibel  # noqa: E402
from wildaffect.features.waveform import RATE, read_speech  # noqa: E402
from wildaffect.media.audio import write_audio  # noqa: E402
from wildaffect.media.frames import read_frames, write_frame_table  # noqa: E402

FINE = 3  # drawn larger and reduced, which smooths the lines
WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 1200, 130, 150, 20, 40, 14
INK, CURVE, DOT, TICK = (40, 40, 40), (70, 110, 170), (200, 80, 40), (222, 222, 222)


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
        extract_feature(feature, audio, frames, folder / f"{feature}.npy")
        return np.load(folder / f"{feature}.npy")

    speech = read_speech(audio)
    c0, loudness = MFCC39.index("c0"), EGEMAPS25.index("Loudness_sma3")
    return Clip(
        read_frames(frames).times,
        speech,
        decibel(stored("tsav_mel")),
        (mfcc.descriptors(speech)[:, c0], stored("mfcc39")[:, c0]),
        (egemaps02.descriptors(speech)[:, loudness], stored("egemaps25")[:, loudness]),
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

    def text(self, x: float, y: float, words: str, size: int = 15) -> None:
        self.pen.text((x * FINE, y * FINE), words, INK, ImageFont.load_default(size * FINE))

    def line(self, points: np.ndarray, colour: tuple[int, int, int], width: float = 1.3) -> None:
        self.pen.line([tuple(point) for point in points * FINE], colour, round(width * FINE))

    def begin(self, title: str, unit: str, frame_times: np.ndarray) -> None:
        top = self.top()
        self.text(8, top + PANEL / 2 - 20, title)
        self.text(8, top + PANEL / 2, unit, 12)
        for x in self.x(frame_times[frame_times <= self.seconds]):
            self.line(np.array([[x, top], [x, top + PANEL]]), TICK, 0.7)

    def end(self) -> None:
        corners = np.array([LEFT, self.top(), WIDTH - RIGHT, self.top() + PANEL]) * FINE
        self.pen.rectangle(corners.tolist(), outline=INK, width=FINE)
        self.panel += 1

    def curve(self, step_s: float, values: np.ndarray, marks: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        """``values`` every ``step_s`` as a line, ``marks`` (times, values) as dots."""
        values = values[: int(self.seconds / step_s) + 1]
        low, high = values.min(), values.max() + 1e-9

        def y(value: np.ndarray) -> np.ndarray:
            return self.top() + 6 + (PANEL - 12) * (high - np.clip(value, low, high)) / (high - low)

        self.line(np.column_stack([self.x(np.arange(len(values)) * step_s), y(values)]), CURVE)
        for x, at in zip(*(self.x(marks[0]), y(marks[1])), strict=True) if marks else ():
            if x <= WIDTH - RIGHT:
                self.pen.ellipse([(x - 2.6) * FINE, (at - 2.6) * FINE, (x + 2.6) * FINE, (at + 2.6) * FINE], DOT)

    def heat(self, step_s: float, rows: np.ndarray) -> None:
        """``rows`` (time, band) centred every ``step_s``, the lowest band at the bottom."""
        rows = rows[: int(self.seconds / step_s) + 1].T[::-1]
        grey = np.uint8(255 - 235 * (np.clip(rows - rows.max() + 70, 0, 70) / 70))
        left, right = self.x(-step_s / 2), self.x((rows.shape[1] - 0.5) * step_s)
        size = round((right - left) * FINE), (PANEL - 4) * FINE
        picture = Image.fromarray(grey).resize(size, Image.Resampling.NEAREST)
        self.image.paste(picture.convert("RGB"), (round(left * FINE), (self.top() + 2) * FINE))

    def axis(self) -> None:
        for second in np.arange(0, self.seconds + 1e-9, 0.5):
            self.text(float(self.x(second)) - 10, self.top() - 6, f"{second:.1f} s", 13)

    def save(self, path: Path) -> None:
        self.image.resize((WIDTH, self.height), Image.Resampling.LANCZOS).quantize(64).save(path, optimize=True)


def draw(clip: Clip, seconds: float, output: Path) -> None:
    page = Page(seconds, 4)
    page.text(LEFT, 12, "Sound, features and frame times on one clock (grey lines: decoded frames; dots: stored rows)")
    page.begin("waveform", "16 kHz", clip.times)
    page.curve(1 / RATE, clip.speech.astype(float))
    page.end()
    page.begin("log-mel", "tsav_mel, 64 bands", clip.times)
    page.heat(1 / tsav_mel.RATE * tsav_mel.HOP, clip.mel_db)
    page.end()
    for title, unit, (rows, stored) in (
        ("MFCC c0", "mfcc39", clip.c0),
        ("loudness", "egemaps25", clip.loudness),
    ):
        page.begin(title, unit, clip.times)
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
