"""Face detectors behind one interface.

A detector is an object with

* ``find(images) -> list[Faces]``: the faces of each image (uint8 RGB (H, W, 3), perhaps with padding between rows); an image
  without a face gives zero rows, never the whole image;
* ``search() -> VideoSearch``: a search through the successive images of one video, which may use earlier ones;
* ``identify(image, faces, row) -> float32 vector``: the identity vector of one of those faces, comparable by
  Euclidean distance; only if ``identity`` is not None;
* ``batch``: best number of images per call;
* ``about``: plain values for the metadata (model files with SHA-256, licence, provider really bound, options);
* ``identity``: None, or the distance below which two vectors are taken for one person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.options import DetectionOptions

BACKENDS = ("retinaface", "dlib")


@dataclass(frozen=True)
class Faces:
    """The faces of one image, in pixels of that image.

    Attributes:
        boxes: float32 (n, 4) as x0, y0, x1, y1.
        scores: float32 (n,), higher is surer, comparable within one detector only.
        points5: float32 (n, 5, 2): image-left eye, image-right eye, nose tip, image-left and image-right mouth corner.
        points68: float32 (n, 68, 2) in the usual order of the 68-point scheme, or None where the detector has none.
    """

    boxes: np.ndarray
    scores: np.ndarray
    points5: np.ndarray
    points68: np.ndarray | None


class Detector(Protocol):
    about: dict[str, Any]
    identity: float | None
    batch: int

    def find(self, images: list[np.ndarray]) -> list[Faces]: ...

    def search(self) -> "VideoSearch": ...

    def identify(self, image: np.ndarray, faces: Faces, row: int) -> np.ndarray: ...


class VideoSearch(Protocol):
    """A search through one video. ``find`` takes its images in order and whether a new shot begins with each."""

    def find(self, images: list[np.ndarray], new_shots: list[bool]) -> list[Faces]: ...


class EveryImage:
    """Searches each image for itself."""

    def __init__(self, detector: Detector):
        self._detector = detector

    def find(self, images: list[np.ndarray], new_shots: list[bool]) -> list[Faces]:
        """See `VideoSearch`."""
        return self._detector.find(images)


def open_detector(
    backend: str, model: str, options: DetectionOptions, device: str, threads: int, models_dir: Path | None = None
) -> Detector:
    """The detector ``backend`` ("retinaface" or "dlib") with its weights loaded.

    ``options`` are those of the backend (see `detector_options`). ``model``: for retinaface a pack name
    looked up in ``models_dir`` or the path of an ONNX file; for dlib "hog" or "cnn". ``device``: "cpu" or "cuda"; "cuda"
    raises `InputError` where CUDA cannot be bound.
    """
    return _module(backend).open_detector(model, options, device, threads, models_dir)


def detector_options(backend: str, values: Mapping[str, Any]) -> DetectionOptions:
    """Options of a backend from their plain values, which were checked when the run was planned."""
    return _module(backend).Options.from_plain(values)


def _module(backend: str) -> ModuleType:
    if backend not in BACKENDS:
        raise InputError(f"faces.backend: unknown detector {backend!r}, use 'retinaface' or 'dlib'.")
    # By name: what one backend needs is loaded, and counts as code of the job, only where it is chosen.
    return import_module(f"{__name__}.{backend}")


def points5_from_68(points68: np.ndarray) -> np.ndarray:
    """Compute five points (n, 5, 2) from 68 (n, 68, 2): eye means, nose tip, mouth corners (TSAV spec 2.3)."""
    eyes = points68[:, 36:42].mean(axis=1), points68[:, 42:48].mean(axis=1)
    return np.stack([*eyes, points68[:, 30], points68[:, 48], points68[:, 54]], axis=1).astype(np.float32)
