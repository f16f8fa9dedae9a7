"""What the face stage costs on real clips, as ratios that hold on a shared machine.

    python benchmarks/faces.py --model DETECTOR.onnx CLIP [CLIP …]        speed and agreement, about a minute
    python benchmarks/faces.py --model DETECTOR.onnx --flat 10 200 CLIP   frames/s and memory by length
    python benchmarks/faces.py --model DETECTOR.onnx --crops CLIP …       decoding against cutting, bytes and PSNR

Speed: a plain insightface loop at 640 (PyAV, then ``SCRFD.detect``), the network alone on pictures already scaled, and the
stage with and without following. Wall clock is what a user waits for, processor time what is comparable on a busy machine:
with free cores the stage runs at the rate of its busier half (decoding ahead, or search and the rest), and that is compared
with the network's processor time as well.
Agreement: landmarks of the most prominent person against the plain loop's, as a share of the distance between the eyes.
"""

import argparse
import json
import os
import re
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

from wildaffect.config import parse
from wildaffect.faces.alignment import crop_transform, warp
from wildaffect.faces.crops import encode_image
from wildaffect.faces.detect import detect_faces
from wildaffect.faces.detectors import open_detector
from wildaffect.faces.detectors.scrfd import DetectorNetwork, Scanner
from wildaffect.faces.options import RetinaFaceOptions, TrackingOptions
from wildaffect.faces.persons import assign_persons
from wildaffect.faces.tables import TrialFaces, read_detections, read_trial
from wildaffect.faces.templates import all_templates
from wildaffect.media.decode import decode
from wildaffect.media.frames import write_frame_table

SIZE = 640
CORPUS_FRAMES = 2_706_999  # Aff-Wild2, 2020 edition
QUALITIES = (80, 85, 90, 93, 95, 97)


def timed(work: Callable) -> tuple[object, np.ndarray]:
    """The result of ``work`` and its seconds: wall clock, processor, and processor of the calling thread alone."""
    clocks = (time.perf_counter, time.process_time, time.thread_time)
    start = np.array([clock() for clock in clocks])
    result = work()
    return result, np.array([clock() for clock in clocks]) - start


def plain_loop(clip: Path, model: str, device: str, threads: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Landmarks (n, 5, 2) of every frame by insightface, and seconds."""
    from insightface.model_zoo.scrfd import SCRFD

    from wildaffect.faces.detectors.scrfd import bind_session

    detector = SCRFD(session=bind_session(Path(model), Path(model), device, threads))
    detector.prepare(0, det_thresh=0.5, nms_thresh=0.4)

    def work():
        with av.open(str(clip)) as container:
            pictures = (frame.to_ndarray(format="bgr24") for frame in container.decode(video=0))
            return [detector.detect(picture, input_size=(SIZE, SIZE))[1] for picture in pictures]

    return timed(work)


def network_alone(clip: Path, model: str, device: str, threads: int, count: int = 40) -> np.ndarray:
    """Seconds per frame (as :func:`timed`) of the network on pictures already scaled: the fastest that full detection can be."""
    network = DetectorNetwork(Path(model), device, threads, 0.5, 1)
    scanner = Scanner(network, (SIZE,), 0.4)
    scaled = [scanner.fit(picture, SIZE)[0][None] for _, picture in islice(decode(clip), count)]
    network(scaled[0])
    return timed(lambda: [network(canvas) for canvas in scaled])[1] / len(scaled)


def stage(clip: Path, folder: Path, model: str, device: str, threads: int, **options) -> tuple[Path, np.ndarray]:
    """The detections table of the stage, and seconds without loading the model."""
    frames, output = folder / "frames.parquet", folder / "detections.parquet"
    write_frame_table(clip, frames)
    options = parse(RetinaFaceOptions, {"det_sizes": [SIZE], **options}, "options")
    _, loading = timed(lambda: open_detector("retinaface", model, options, device, threads))
    settings = {"backend": "retinaface", "model": model, "options": options, "device": device, "threads": threads}
    _, all_of_it = timed(lambda: detect_faces(clip, frames, output, **settings))
    return output, all_of_it - loading


def main_person(detections: Path, folder: Path) -> TrialFaces:
    """What the most prominent person shows."""
    assign_persons(
        detections, folder / "frames.parquet", {"v": "main"}, folder / "persons.parquet", options=TrackingOptions()
    )
    return read_trial(folder / "persons.parquet", "v")


def person_errors(reference: list[np.ndarray], full: TrialFaces, rows: TrialFaces) -> tuple[np.ndarray, int]:
    """Mean landmark distance per frame that full detection finds the person in (NaN where lost), and the longest loss.

    The truth is the plain loop's face at the place where full detection sees the person.
    """
    errors, lost, longest = [], 0, 0
    for frame in np.flatnonzero(full.source == "detected"):
        found = reference[frame]
        if not len(found):
            continue
        truth = found[np.linalg.norm(found - full.points5[frame], axis=2).mean(axis=1).argmin()]
        distance = np.linalg.norm(rows.points5[frame] - truth, axis=1).mean() / np.linalg.norm(truth[0] - truth[1])
        gone = rows.source[frame] != "detected" or distance > 1
        errors.append(np.nan if gone else distance)
        lost = lost + 1 if gone else 0
        longest = max(longest, lost)
    return np.array(errors), longest


def compare_speed(arguments: argparse.Namespace) -> None:
    """One line per clip and one for all."""
    total = {name: np.zeros(3) for name in ("plain", "full", "follow")}
    everyone: dict[str, list[np.ndarray]] = {"full": [], "follow": []}
    shares, follow = [], json.loads(arguments.follow)
    common = (arguments.model, arguments.device, arguments.threads)
    for clip in arguments.clips:
        with tempfile.TemporaryDirectory() as scratch:
            folder, full = Path(scratch), None
            reference, plain = plain_loop(clip, *common)
            count = len(reference)
            total["plain"] += plain
            words = [f"{clip.stem[:24]:24s} {count:4d} frames, plain {count / plain[0]:6.1f}/s"]
            for name, options in (("full", {}), ("follow", {"follow": follow})):
                output, spent = stage(clip, folder, *common, **options)
                total[name] += spent
                ratio = plain / spent
                words.append(f"{name} {count / spent[0]:6.1f}/s, x{ratio[0]:.2f} wall x{ratio[1]:.2f} cpu")
                rows = main_person(output, folder)
                if name == "full":
                    full, alone = rows, count * network_alone(clip, *common)
                    shares.append((alone[0] / spent[0], alone[1] / max(spent[2], spent[1] - spent[2])))
                    words.append("{:.0%} of the network's own rate, {:.0%} with free cores".format(*shares[-1]))
                errors, longest = person_errors(reference, full, rows)
                everyone[name].append(errors)
                words.append(f"within 2 %: {within(errors):.1%} (lost {np.isnan(errors).sum()}, run {longest})")
            print(" | ".join(words), flush=True)
    for name in ("full", "follow"):
        errors, ratio = np.concatenate(everyone[name]), total["plain"] / total[name]
        print(
            f"all clips, {name}: x{ratio[0]:.2f} wall, x{ratio[1]:.2f} cpu; within 2 % of the eye distance: "
            f"{within(errors):.2%} of {len(errors)} frames; lost in {np.isnan(errors).sum()}"
        )
    wall, free = np.array(shares).T
    print(
        f"stage at {np.median(wall):.0%} of the network's own rate here, {np.median(free):.0%} with free cores (medians)"
    )


def within(errors: np.ndarray) -> float:
    """Share of the frames in which the person was found whose landmarks are within 2 %."""
    return float((errors[~np.isnan(errors)] < 0.02).mean()) if len(errors) else float("nan")


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
        count = int(read_detections(output).frame.max(initial=-1)) + 1
    # Not getrusage: that counts what the parent had in memory when it started this process.
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 2**10
    print(f"{count} frames, {count / spent[0]:.1f} frames/s wall, {count / spent[1]:.1f} cpu, peak {peak:.0f} MiB")


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of uint8 pictures."""
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


def compare_crops(arguments: argparse.Namespace) -> None:
    """Processor time of decoding, cutting and encoding, and bytes and PSNR by JPEG quality."""
    full = {"444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420}
    templates = {name: template for name, template in all_templates().items() if template.view == "face"}
    crops: dict[str, list[np.ndarray]] = {name: [] for name in templates}
    for clip in arguments.clips:
        with tempfile.TemporaryDirectory() as scratch:
            output, _ = stage(clip, Path(scratch), arguments.model, "cpu", 1, follow={})
            assign_persons(
                output,
                Path(scratch) / "frames.parquet",
                {"v": "main"},
                Path(scratch) / "p.parquet",
                options=TrackingOptions(),
            )
            rows = read_trial(Path(scratch) / "p.parquet", "v")
        pictures, decoding = timed(lambda clip=clip: [picture for _, picture in islice(decode(clip), 60)])
        chosen = [(picture, frame) for frame, picture in enumerate(pictures) if rows.valid[frame]]
        words = [
            f"{clip.stem[:24]:24s} {pictures[0].shape[1]}x{pictures[0].shape[0]} decode {ms(decoding, len(pictures))}"
        ]
        for name, template in templates.items() if chosen else ():
            cuts, cutting = timed(
                lambda t=template, chosen=chosen, rows=rows: [
                    warp(p, t, crop_transform(t, rows.points5[f], rows.boxes[f])) for p, f in chosen
                ]
            )
            _, encoding = timed(lambda cuts=cuts, t=template: [encode_image(crop, t.encoding) for crop in cuts])
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
