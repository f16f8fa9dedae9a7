"""Cost per frame of the face stage, one part at a time, on one video.

    python benchmarks/faces.py VIDEO [--model DETECTOR.onnx] [--frames 100] [--threads 1]

Prints one line per part: milliseconds of processor time and of wall clock per frame. Processor time is the number to
compare on a shared machine.
"""

import argparse
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from wildaffect.faces.crops import encode
from wildaffect.faces.cuts import CutFinder
from wildaffect.faces.detectors import open_detector
from wildaffect.faces.landmarks import draw_landmarks
from wildaffect.faces.templates import TEMPLATES, crop_transform, cut
from wildaffect.media.decode import decode


def measure(name: str, frames: int, work: Callable[[], object]) -> object:
    """Run ``work`` once and print its cost per frame."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{name:44s} {1000 * processor / frames:8.2f} ms cpu {1000 * wall / frames:8.2f} ms wall per frame")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", help="ONNX detector for the retinaface backend")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    pictures = [picture for _, picture in islice(decode(arguments.video), arguments.frames)]
    count = len(pictures)
    print(f"{arguments.video.name}: {count} frames of {pictures[0].shape[1]} x {pictures[0].shape[0]}")
    measure("decode", count, lambda: sum(1 for _ in islice(decode(arguments.video, arguments.threads), count)))
    finder = CutFinder()
    measure("cut finder", count, lambda: [finder(picture) for picture in pictures])
    settings = [("dlib", "hog", {"max_side": side, "identity": False}) for side in (320, 384, 640)]
    if arguments.model:
        settings += [("retinaface", arguments.model, {"det_sizes": sizes}) for sizes in ([320], [640], [640, 256])]
    found = []
    for backend, model, options in settings:
        detector = open_detector(backend, model, options, "cpu", arguments.threads)
        found.append(measure(f"{backend} {options}", count, lambda d=detector: d.find(pictures)))
        print(f"{'':44s} {np.mean([len(faces.boxes) for faces in found[-1]]):8.2f} faces per frame")
    faces = [(picture, faces) for picture, faces in zip(pictures, found[0], strict=True) if len(faces.boxes)]
    if not faces:
        return
    identifier = open_detector("dlib", "hog", {"max_side": 320}, "cpu", 1)
    few = faces[:10]
    measure("dlib identity vector", len(few), lambda: [identifier.identify(p, f, 0) for p, f in few])
    measure("landmark mask", len(faces), lambda: [draw_landmarks(f.points68[0] / 4) for _, f in faces])
    for name, template in TEMPLATES.items():
        crops = measure(
            f"crop {name}",
            len(faces),
            lambda t=template: [cut(p, t, crop_transform(t, f.points5[0], f.boxes[0])) for p, f in faces],
        )
        data = measure(f"JPEG {name}", len(faces), lambda c=crops: [encode(crop) for crop in c])
        print(f"{'':44s} {np.mean([len(item) for item in data]):8.0f} bytes per crop")


if __name__ == "__main__":
    main()
