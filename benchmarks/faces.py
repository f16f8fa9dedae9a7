"""What the face stage costs on real clips, as ratios that hold on a shared machine.

    python benchmarks/faces.py --model DETECTOR.onnx CLIP [CLIP …]        speed and agreement, about a minute
    python benchmarks/faces.py --model DETECTOR.onnx --flat 10 200 CLIP   frames/s and memory by length
    python benchmarks/faces.py --model DETECTOR.onnx --crops CLIP …       decoding against cutting, bytes and PSNR

Speed: a plain insightface loop at 640 (PyAV, then ``SCRFD.detect``), the network alone on pictures already scaled, and the
stage with and without following. Wall clock is what a user waits for, processor time what is comparable on a busy machine.
Agreement: landmarks of each trial's person against the plain loop's, as a share of the distance between the eyes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import av
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from wildaffect.faces.columns import detections_from_table
from wildaffect.faces.crops import JPEG
from wildaffect.faces.detect import DETECTIONS, detect_faces
from wildaffect.faces.detectors import open_detector
from wildaffect.faces.detectors.network import FaceNetwork
from wildaffect.faces.detectors.scanning import Scanner
from wildaffect.faces.persons import assign_persons, read_trial
from wildaffect.faces.templates import TEMPLATES, crop_transform, cut
from wildaffect.media.decode import decode
from wildaffect.media.frames import write_frame_table
from wildaffect.tables import read_table

SIZE = 640
CORPUS_FRAMES = 2_706_999  # Aff-Wild2, 2020 edition
QUALITIES = (80, 85, 90, 93, 95, 97)


def timed(work: Callable) -> tuple[object, np.ndarray]:
    """The result of ``work`` and its (wall, processor) seconds."""
    start = np.array([time.perf_counter(), time.process_time()])
    result = work()
    return result, np.array([time.perf_counter(), time.process_time()]) - start


def plain_loop(clip: Path, model: str, device: str, threads: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Landmarks (n, 5, 2) of every frame by insightface, and seconds."""
    from insightface.model_zoo.scrfd import SCRFD

    from wildaffect.faces.detectors.sessions import bind_session

    detector = SCRFD(session=bind_session(Path(model), Path(model), device, threads))
    detector.prepare(0, det_thresh=0.5, nms_thresh=0.4)

    def work():
        with av.open(str(clip)) as container:
            pictures = (frame.to_ndarray(format="bgr24") for frame in container.decode(video=0))
            return [detector.detect(picture, input_size=(SIZE, SIZE))[1] for picture in pictures]

    return timed(work)


def network_alone(clip: Path, model: str, device: str, threads: int, count: int = 40) -> float:
    """Seconds per frame of the network on pictures already scaled: the fastest that full detection can be."""
    network = FaceNetwork(Path(model), device, threads, 0.5, 1)
    scanner = Scanner(network, (SIZE,), 0.4)
    scaled = [scanner.fit(picture, SIZE)[0][None] for _, picture in islice(decode(clip), count)]
    network(scaled[0])
    return timed(lambda: [network(canvas) for canvas in scaled])[1][0] / len(scaled)


def stage(clip: Path, folder: Path, model: str, device: str, threads: int, **options) -> tuple[Path, np.ndarray]:
    """The detections table of the stage, and seconds without loading the model."""
    frames, output = folder / "frames.parquet", folder / "detections.parquet"
    write_frame_table(clip, frames)
    options = {"det_sizes": [SIZE]} | options
    _, loading = timed(lambda: open_detector("retinaface", model, options, device, threads))
    settings = {"backend": "retinaface", "model": model, "options": options, "device": device, "threads": threads}
    _, all_of_it = timed(lambda: detect_faces(clip, frames, output, **settings))
    return output, all_of_it - loading


def person_errors(reference: list[np.ndarray], detections: Path, folder: Path) -> tuple[np.ndarray, int]:
    """Mean landmark distance of the most prominent person per frame (NaN where lost), and the longest loss in frames.

    A frame counts if the plain loop sees that person, told by its place in the frames around.
    """
    assign_persons(detections, folder / "frames.parquet", {"v": "main"}, folder / "persons.parquet", options={})
    rows = read_trial(folder / "persons.parquet", "v")
    errors, lost, longest, last = [], 0, 0, None
    for frame, found in enumerate(reference):
        points = rows.points5[frame] if rows.source[frame] == "detected" else None
        expected = points if points is not None else last
        if expected is None or not len(found):
            continue
        distance = np.linalg.norm(found - expected, axis=2).mean(axis=1)
        truth = found[distance.argmin()]
        eyes = np.linalg.norm(truth[0] - truth[1])
        if distance.min() > 2 * eyes:
            continue
        last = truth
        lost = 0 if points is not None else lost + 1
        longest = max(longest, lost)
        errors.append(distance.min() / eyes if points is not None else np.nan)
    return np.array(errors), longest


def compare_speed(arguments: argparse.Namespace) -> None:
    """One line per clip and one for all."""
    total = {name: np.zeros(2) for name in ("plain", "full", "follow")}
    everyone = {"full": [], "follow": []}
    shares, follow = [], json.loads(arguments.follow)
    common = (arguments.model, arguments.device, arguments.threads)
    for clip in arguments.clips:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            reference, total_plain = plain_loop(clip, *common)
            count = len(reference)
            total["plain"] += total_plain
            alone = network_alone(clip, *common)
            words = [f"{clip.stem[:24]:24s} {count:4d} frames, plain {count / total_plain[0]:6.1f}/s"]
            for name, options in (("full", {}), ("follow", {"follow": follow})):
                output, spent = stage(clip, folder, *common, **options)
                total[name] += spent
                ratio = total_plain / spent
                words.append(f"{name} {count / spent[0]:6.1f}/s, x{ratio[0]:.2f} wall x{ratio[1]:.2f} cpu")
                if name == "full":
                    shares.append(alone * count / spent[0])
                    words.append(f"{shares[-1]:.0%} of the network's own rate")
                errors, longest = person_errors(reference, output, folder)
                everyone[name].append(errors)
                if len(errors):
                    seen = errors[~np.isnan(errors)]
                    words.append(
                        f"within 2 %: {(seen < 0.02).mean():.1%} (lost {np.isnan(errors).sum()}, run {longest})"
                    )
            print(" | ".join(words), flush=True)
    for name in ("full", "follow"):
        errors = np.concatenate(everyone[name])
        ratio = total["plain"] / total[name]
        print(
            f"all clips, {name}: x{ratio[0]:.2f} wall, x{ratio[1]:.2f} cpu; within 2 % of the eye distance: "
            f"{(errors[~np.isnan(errors)] < 0.02).mean():.2%} of {len(errors)} frames; lost in {np.isnan(errors).sum()}"
        )
    print(
        f"stage at {np.mean(shares):.0%} of the network's own rate on average ({min(shares):.0%} to {max(shares):.0%})"
    )


def looped(clip: Path, output: Path, seconds: float) -> None:
    """The clip over and over as H.264, to the length asked for."""
    pictures = [picture for _, picture in islice(decode(clip), 100)]
    with av.open(str(output), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "20"})
        stream.height, stream.width = (side // 2 * 2 for side in pictures[0].shape[:2])
        stream.pix_fmt = "yuv420p"
        for picture in islice(cycle(pictures), round(25 * seconds)):
            picture = np.ascontiguousarray(picture[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def compare_lengths(arguments: argparse.Namespace) -> None:
    """Frames/s and peak memory of the stage for each length, each in a process of its own."""
    for clip in arguments.clips:
        with tempfile.TemporaryDirectory() as scratch:
            for seconds in arguments.flat:
                video = Path(scratch) / "looped.mp4"
                looped(clip, video, seconds)
                command = [sys.executable, __file__, "--model", arguments.model, "--follow", arguments.follow, "--one"]
                done = subprocess.run([*command, str(video)], capture_output=True, text=True, check=True)
                print(f"{clip.stem[:24]:24s} {seconds:5.0f} s: {done.stdout.strip()}", flush=True)


def one_length(arguments: argparse.Namespace) -> None:
    """What :func:`compare_lengths` runs: the stage once, then its peak memory."""
    with tempfile.TemporaryDirectory() as scratch:
        common = (arguments.model, arguments.device, arguments.threads)
        output, spent = stage(arguments.clips[0], Path(scratch), *common, follow=json.loads(arguments.follow))
        count = int(detections_from_table(read_table(output, DETECTIONS)).frame.max(initial=-1)) + 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"{count} frames, {count / spent[0]:.1f} frames/s wall, {count / spent[1]:.1f} cpu, peak {peak:.0f} MiB")


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of uint8 pictures."""
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


def compare_crops(arguments: argparse.Namespace) -> None:
    """Processor time of decoding, cutting and encoding, and bytes and PSNR by JPEG quality."""
    full = {"444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420}
    crops: dict[str, list[np.ndarray]] = {name: [] for name in TEMPLATES}
    for clip in arguments.clips:
        with tempfile.TemporaryDirectory() as scratch:
            output, _ = stage(clip, Path(scratch), arguments.model, "cpu", 1, follow={})
            assign_persons(
                output, Path(scratch) / "frames.parquet", {"v": "main"}, Path(scratch) / "p.parquet", options={}
            )
            rows = read_trial(Path(scratch) / "p.parquet", "v")
        pictures, decoding = timed(lambda clip=clip: [picture for _, picture in islice(decode(clip), 60)])
        chosen = [(picture, frame) for frame, picture in enumerate(pictures) if rows.valid[frame]]
        words = [
            f"{clip.stem[:24]:24s} {pictures[0].shape[1]}x{pictures[0].shape[0]} decode {ms(decoding, len(pictures))}"
        ]
        for name, template in TEMPLATES.items() if chosen else ():
            cuts, cutting = timed(
                lambda t=template, chosen=chosen, rows=rows: [
                    cut(p, t, crop_transform(t, rows.points5[f], rows.boxes[f])) for p, f in chosen
                ]
            )
            _, encoding = timed(lambda cuts=cuts: [cv2.imencode(".jpg", crop, JPEG) for crop in cuts])
            words.append(f"{name} {ms(cutting + encoding, len(cuts))}")
            crops[name] += cuts[::5]
        print(" | ".join(words), flush=True)
    for name, cuts in crops.items():
        for sampling, flag in full.items():
            for quality in QUALITIES if name == "arcface112" else (95,):
                settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, flag]
                data = [cv2.imencode(".jpg", cut[:, :, ::-1], settings)[1] for cut in cuts]
                back = [cv2.imdecode(item, cv2.IMREAD_COLOR_RGB) for item in data]
                size = np.mean([len(item) for item in data])
                quality_db = np.mean([psnr(*pair) for pair in zip(back, cuts, strict=True)])
                print(
                    f"{name:14s} quality {quality} colour {sampling}: {size:7.0f} bytes, {quality_db:.1f} dB, "
                    f"{size * CORPUS_FRAMES / 2**30:6.1f} GiB for {CORPUS_FRAMES} frames"
                )


def ms(seconds: np.ndarray, count: int) -> str:
    """Processor time per frame."""
    return f"{1000 * seconds[1] / count:.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--model", required=True, help="ONNX detector for the retinaface backend")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--follow", default="{}", help="options of following, as JSON; null searches every picture")
    parser.add_argument("--flat", type=float, nargs="+", metavar="SECONDS", help="compare lengths")
    parser.add_argument("--crops", action="store_true", help="compare decoding, cutting and JPEG qualities")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))
    if arguments.one:
        one_length(arguments)
    elif arguments.flat:
        compare_lengths(arguments)
    elif arguments.crops:
        compare_crops(arguments)
    else:
        compare_speed(arguments)


if __name__ == "__main__":
    main()
