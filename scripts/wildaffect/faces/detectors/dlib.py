"""dlib's detectors (HOG or CNN), 68 landmarks and 128-d identity vectors, all from pip packages."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.detectors import EveryImage, Faces, points5_from_68
from wildaffect.faces.options import DlibOptions as Options
from wildaffect.files import sha256

LICENCE = (
    "dlib code Boost-1.0; weights of dlib-models CC0 except shape_predictor_68_face_landmarks, "
    "which was trained on iBUG 300-W: no commercial use"
)
# dlib's documentation of the network: faces nearer than this are the same person.
SAME_PERSON_DISTANCE = 0.6
# Images given to each thread at once: threads wait for each other at the end of a batch.
IMAGES_PER_THREAD = 4


class DlibDetector:
    """HOG (``model="hog"``) or max-margin CNN (``model="cnn"``) with the 300-W shape predictor."""

    def __init__(self, model: str, options: Options, device: str, threads: int):
        if model not in ("hog", "cnn"):
            raise InputError(f"faces.model: unknown dlib detector {model!r}, use 'hog' or 'cnn'.")
        if device == "cuda" and not dlib.DLIB_USE_CUDA:
            raise InputError("device cuda: this dlib was built without CUDA. Use device cpu or the retinaface backend.")
        weights = _weights_folder()
        used = {"landmarks": landmark_file()}
        if model == "cnn":
            used["detector"] = weights / "mmod_human_face_detector.dat"
        if options.identity:
            used["identity"] = weights / "dlib_face_recognition_resnet_model_v1.dat"
        self._options = options
        # A dlib detector keeps scratch space between calls, so each thread gets its own.
        count = threads if model == "hog" else 1
        self.batch = IMAGES_PER_THREAD * count
        self._detectors = [_open_search(model, used, options) for _ in range(count)]
        self._predictor = dlib.shape_predictor(str(used["landmarks"]))
        self._recogniser: Any = dlib.face_recognition_model_v1(str(used["identity"])) if options.identity else None
        self.identity = SAME_PERSON_DISTANCE if options.identity else None
        self.about = {
            "backend": "dlib",
            "model": model,
            "version": dlib.__version__,
            "files": {path.name: sha256(path) for path in used.values()},
            "licence": LICENCE,
            "provider": "cuda" if dlib.DLIB_USE_CUDA and model == "cnn" else "cpu",
            "options": options.search(),
        }

    def find(self, images: list[np.ndarray]) -> list[Faces]:
        """See `wildaffect.faces.detectors`; dlib releases Python's lock, so images run on several threads."""
        parts = [range(start, len(images), len(self._detectors)) for start in range(len(self._detectors))]

        def work(search, part):
            return [(index, self._find_one(search, images[index])) for index in part]

        with ThreadPoolExecutor(len(self._detectors)) as pool:
            found = dict(item for results in pool.map(work, self._detectors, parts) for item in results)
        return [found[index] for index in range(len(images))]

    def search(self) -> EveryImage:
        """See `wildaffect.faces.detectors`."""
        return EveryImage(self)

    def _find_one(self, search, image: np.ndarray) -> Faces:
        image = np.ascontiguousarray(image)  # dlib's wrapper does not always honour padded rows
        factor = _shrink_factor(image, self._options.max_side)
        small = image if factor == 1 else cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        scale = np.array([small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]] * 2)
        boxes, scores = search(small)
        boxes = (boxes / scale).astype(np.float32).reshape(-1, 4)
        points68 = np.array([_points(self._predictor(image, _rectangle(box))) for box in boxes], np.float32)
        points68 = points68.reshape(-1, 68, 2)
        return Faces(boxes, np.asarray(scores, np.float32), points5_from_68(points68), points68)

    def identify(self, image: np.ndarray, faces: Faces, row: int) -> np.ndarray:
        """128-d vector of one face from its 68 landmarks (dlib's ResNet on a 150-pixel chip)."""
        points = dlib.points([dlib.point(round(float(x)), round(float(y))) for x, y in np.asarray(faces.points68)[row]])
        shape = dlib.full_object_detection(_rectangle(faces.boxes[row]), points)
        return np.array(self._recogniser.compute_face_descriptor(np.ascontiguousarray(image), shape), np.float32)


def open_detector(model: str, options: Options, device: str, threads: int, models_dir: Path | None) -> DlibDetector:
    """See `wildaffect.faces.detectors.open_detector`; the weights come with a Python package."""
    return DlibDetector(model, options, device, threads)


def _open_search(model: str, used: dict[str, Path], options: Options):
    """A function image -> (boxes (n, 4), scores (n,)) for one thread."""
    if model == "hog":
        detector = dlib.get_frontal_face_detector()

        def search(image):
            rectangles, scores, _ = detector.run(image, options.upsample, options.threshold)
            return _corners(rectangles), list(scores)
    else:
        detector = dlib.cnn_face_detection_model_v1(str(used["detector"]))

        def search(image):
            found = [face for face in detector(image, options.upsample) if face.confidence >= options.threshold]
            return _corners([face.rect for face in found]), [face.confidence for face in found]

    return search


def _corners(rectangles) -> np.ndarray:
    # dlib's right and bottom are the last pixel inside; ours are the edge after it.
    corners = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in rectangles]
    return np.array(corners, np.float64).reshape(-1, 4)


def _rectangle(box: np.ndarray) -> dlib.rectangle:
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    return dlib.rectangle(x0, y0, x1 - 1, y1 - 1)


def _points(shape: dlib.full_object_detection) -> list[tuple[int, int]]:
    return [(point.x, point.y) for point in shape.parts()]


def _shrink_factor(image: np.ndarray, max_side: int) -> float:
    """The shorter side keeps one pixel at least."""
    longer, shorter = max(image.shape[:2]), min(image.shape[:2])
    return max(min(1.0, max_side / longer), 1 / shorter) if max_side else 1.0


def landmark_file() -> Path:
    """Weights of the 300-W shape predictor, which finds 68 landmarks in the box of a face.

    Raises:
        InputError: The Python package that has it is missing.
    """
    return _weights_folder() / "shape_predictor_68_face_landmarks.dat"


def _weights_folder() -> Path:
    # The package is located but not imported: importing it needs pkg_resources, which newer setuptools lack.
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("dlib's weights are missing: install the Python package face_recognition_models.")
    return Path(spec.submodule_search_locations[0]) / "models"
