"""Rate at which TSAV's inputs are prepared, against doing the work anew for every frame.

    python benchmarks/tsav_data.py [--frames 400] [--plain 24] [--fps 30] [--repeats 5]

Both read the same stored files of one made-up trial and give what the network is fed: the normalised clip and the mel image. Ours are
consecutive frames as in prediction, and frames in random order, augmented, as in training, where colours are shifted on the device, which
is not counted here; then the same with images, drawings and audio levels in memory (`training.cache_mib`), and what it takes to read every
frame once while they get there. "plain" does for each frame what the
specification describes: decode eight stored pictures and eight stored drawings, read the sound around the frame and make its spectrogram
(TSAV spec 2.8, 2.9, 4). Its results for the first ``--plain`` frames, and frames spread over the clip, are compared with ours (largest
difference below 1e-4 or the program fails). Seconds are processor time of one thread: other work on the machine disturbs it less.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import soundfile
import torch
import torchaudio

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from support.runs import write_crops  # noqa: E402
from wildaffect.faces.crops import CropFile  # noqa: E402
from wildaffect.faces.landmarks import draw_landmarks, through_jpeg  # noqa: E402
from wildaffect.features.audio import tsav_mel  # noqa: E402
from wildaffect.systems import build_recipe  # noqa: E402
from wildaffect.systems.base import Recipe  # noqa: E402
from wildaffect.systems.tsav.model import MEAN, STD, normalised  # noqa: E402
from wildaffect.systems.types import Labels, TrialData  # noqa: E402
from wildaffect.training.inputs import cache_images  # noqa: E402

MODES = ("faithful", "corrected")
RATE = 44_100
TOLERANCE = 1e-4


class Drawings:
    """Landmark drawings made from points when they are asked for, as from a table of persons."""

    def __init__(self, points: np.ndarray, *, jpeg: bool):
        self.valid, self._points = np.ones(len(points), bool), points
        self._finish = through_jpeg if jpeg else np.asarray

    def read(self, rows: np.ndarray) -> np.ndarray:
        drawn = [self._finish(draw_landmarks(self._points[row])) for row in rows]
        return np.array(drawn, np.uint8).reshape(-1, 112, 112)


class Plain:
    """The specification, frame by frame, on files as the original kept them."""

    def __init__(self, folder: Path, count: int, fps: float):
        self._folder, self._count, self._fps = folder, count, fps
        self._mel = torchaudio.transforms.MelSpectrogram(
            sample_rate=RATE, n_fft=1024, win_length=882, hop_length=441, n_mels=64, mel_scale="htk", norm=None
        )
        self._mean, self._std = (np.array(values, np.float32)[:, None, None, None] for values in (MEAN, STD))

    def clip(self, frame: int) -> np.ndarray:
        """float32 (4, 8, 112, 112)."""
        clip = np.zeros((4, 8, 112, 112), np.uint8)
        for place, row in enumerate(range(frame - 42, frame + 1, 6)):
            if row >= 0:
                face = cv2.imread(str(self._folder / f"{row}.jpg"), cv2.IMREAD_COLOR_RGB)
                clip[:3, place] = face.transpose(2, 0, 1)
                clip[3, place] = cv2.imread(str(self._folder / f"{row}_mask.jpg"), cv2.IMREAD_GRAYSCALE)
        return (clip.astype(np.float32) / 255 - self._mean) / self._std

    def image(self, frame: int) -> np.ndarray:
        """float32 (1, 64, 1001)."""
        time_s = frame / self._fps
        start = int(max(time_s * RATE - 441_000 + 220_500, 0))
        length = int(min(441_000, max(time_s * RATE, 882)))
        samples, _ = soundfile.read(str(self._folder / "sound.wav"), length, start, dtype="float32")
        power = np.zeros((64, 1001), np.float32)
        found = self._mel(torch.from_numpy(samples)).numpy()
        power[:, 1001 - found.shape[1] :] = found
        decibel = 10 * np.log10(np.maximum(power, 1e-10))
        return ((np.maximum(decibel, decibel.max() - 80) + 14.8) / 19.895)[None]


def make_files(folder: Path, count: int, fps: float) -> dict[str, TrialData]:
    """The trial as the house stores it, for each mode; beside it pictures, drawings and sound as the original did."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (count, 14, 14, 3), dtype=np.uint8)
    faces = np.stack([cv2.resize(picture, (112, 112), interpolation=cv2.INTER_CUBIC) for picture in coarse])
    points = 56 + 30 * draw.standard_normal((1, 68, 2)).clip(-1.5, 1.5) + draw.normal(0, 1, (count, 68, 2))
    write_crops(folder / "tsav112.arrow", faces, np.ones(count, bool))
    stored = CropFile(folder / "tsav112.arrow")
    wave = draw.normal(0, 3000, int(count / fps * RATE)).astype(np.int16)
    soundfile.write(str(folder / "sound.wav"), wave, RATE)
    reader = stored._reader.read_all()["picture"]
    for row in range(count):
        # The same bytes for both, so that nothing but the work differs.
        (folder / f"{row}.jpg").write_bytes(reader[row].as_py())
        cv2.imwrite(str(folder / f"{row}_mask.jpg"), draw_landmarks(points[row]), [cv2.IMWRITE_JPEG_QUALITY, 100])
    sound = {"tsav_wave": wave, "tsav_mel": np.concatenate([*tsav_mel.frame_values(wave, None)])}
    labels = {"va": Labels(np.zeros((count, 2), np.float32), np.ones(count, bool))}
    drawings = {mode: {"tsav112": Drawings(points, jpeg=mode == "faithful")} for mode in MODES}
    trial = TrialData("t", np.arange(count) / fps, {"tsav112": stored}, sound, labels)
    return {mode: replace(trial, masks=masks) for mode, masks in drawings.items()}


def seconds(work: Callable[[int], object], frames: Sequence[int]) -> float:
    """Processor seconds per frame."""
    began = time.process_time()
    for frame in frames:
        work(frame)
    return (time.process_time() - began) / len(frames)


def prepared(recipe: Recipe, trial: TrialData, purpose: str) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """A function from frame to clip and image, with nothing kept from earlier ones; augmented for training."""
    samples = recipe.samples([trial], {}, purpose)
    draw = np.random.default_rng(0)

    def read(frame: int) -> tuple[np.ndarray, np.ndarray]:
        sample = samples.read(frame, draw if purpose == "train" else None)
        return normalised(torch.from_numpy(sample["clip"][None]))[0].numpy(), sample["audio_features"]

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--plain", type=int, default=24, help="frames prepared the plain way")
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    count, fps = arguments.frames, arguments.fps
    with tempfile.TemporaryDirectory() as name:
        trials = make_files(Path(name), count, fps)
        recipes = {mode: build_recipe("tsav", "two_stream", "va", mode) for mode in MODES}
        plain = Plain(Path(name), count, fps)
        spread = np.linspace(1, count - 1, arguments.plain).astype(int).tolist()

        ours = prepared(recipes["faithful"], trials["faithful"], "predict")
        for frame in spread:
            for got, want in zip(ours(frame), (plain.clip(frame), plain.image(frame)), strict=True):
                difference = np.abs(got - want).max()
                if difference > TOLERANCE:
                    raise SystemExit(f"frame {frame}: results differ by {difference:.2g}")
        print(f"{len(spread)} frames agree to {TOLERANCE:g}")

        taken: dict[str, list[float]] = {}
        for _ in range(arguments.repeats):  # by turns, so that a busy machine slows all of them
            taken.setdefault("plain", []).append(seconds(lambda frame: (plain.clip(frame), plain.image(frame)), spread))
            for mode, recipe in recipes.items():
                taken.setdefault(mode, []).append(seconds(prepared(recipe, trials[mode], "predict"), range(count)))
                shuffled = np.random.default_rng(0).permutation(count)[: arguments.plain].tolist()
                name = f"{mode}, random order"
                taken.setdefault(name, []).append(seconds(prepared(recipe, trials[mode], "train"), shuffled))
                (cached,) = cache_images([trials[mode]], 1024, recipe.kept_bytes)
                began = time.process_time()
                known = prepared(recipe, cached, "train")
                seconds(known, range(count))  # makes what the next line finds in memory
                taken.setdefault(f"{mode}, once, into memory", []).append((time.process_time() - began) / count)
                taken.setdefault(f"{name}, in memory", []).append(seconds(known, shuffled))
        slow = min(taken["plain"])
        for name, each in taken.items():
            fast = min(each)
            print(f"{name:42} {1000 * fast:7.2f} ms per frame  {1 / fast:7.0f} frames/s  {slow / fast:5.1f} times")


if __name__ == "__main__":
    main()
