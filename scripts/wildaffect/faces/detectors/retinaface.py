"""The RetinaFace family (SCRFD included) from ONNX files: whole images, or known faces followed between scans."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from insightface.app.common import Face
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.landmark import Landmark

from wildaffect.errors import InputError
from wildaffect.faces.detectors import EveryImage, Faces, VideoSearch
from wildaffect.faces.detectors.following import Follower
from wildaffect.faces.detectors.scrfd import DetectorNetwork, Found, Scanner
from wildaffect.faces.options import PACKS, pack_files
from wildaffect.faces.options import RetinaFaceOptions as Options
from wildaffect.files import sha256
from wildaffect.sessions import bind_session

LICENCE = "insightface code MIT; weights of its model packs for non-commercial research only"
# Distance of unit ArcFace vectors that corresponds to a cosine of 0.3.
SAME_PERSON_DISTANCE = 1.18
# Images of one network call where the configuration does not say: a CPU gains nothing from more than one.
BATCH = {"cpu": 1, "cuda": 8}


class RetinaFaceDetector:
    """A model pack (detector, 68 landmarks, identity) or a single detector file (then without the other two)."""

    def __init__(self, model: str, options: Options, device: str, threads: int, models_dir: Path | None):
        files = pack_files(model, models_dir)
        batch = options.batch or BATCH[device]
        network = DetectorNetwork(files["detector"], device, threads, options.threshold, batch)
        self.batch = network.batch
        self._scanner = Scanner(network, options.det_sizes, options.nms)
        self._scanner.check(files["detector"].name)
        self._follow = options.follow
        if self._follow and network.fixed:
            raise InputError(f"{files['detector']}: takes one image size only, so faces cannot be followed in windows.")
        sessions = {
            role: bind_session(path, path, device, threads) for role, path in files.items() if role != "detector"
        }
        self._landmarks: Any = None
        self._recogniser: Any = None
        self.identity = None
        if "landmarks" in files:
            self._landmarks = Landmark(str(files["landmarks"]), sessions["landmarks"])
        if "identity" in files:
            self._recogniser = ArcFaceONNX(str(files["identity"]), sessions["identity"])
            self.identity = SAME_PERSON_DISTANCE
        self.about = {
            "backend": "retinaface",
            "model": model if model in PACKS else files["detector"].name,
            "version": f"onnxruntime {onnxruntime.__version__}",
            "files": {path.name: sha256(path) for path in files.values()},
            "licence": LICENCE,
            "provider": network.provider,
            "batch": network.batch,
            "options": options.search(),
        }

    def find(self, images: list[np.ndarray]) -> list[Faces]:
        """See `wildaffect.faces.detectors`."""
        found = self._scanner.scan(images)
        return [self._faces(image, faces) for image, faces in zip(images, found, strict=True)]

    def search(self) -> VideoSearch:
        """See `wildaffect.faces.detectors`."""
        if self._follow is None:
            return EveryImage(self)
        return FollowedFaces(Follower(self._scanner, self._follow), self._faces)

    def _faces(self, image: np.ndarray, found: Found) -> Faces:
        points68 = None
        if self._landmarks is not None:
            bgr = np.ascontiguousarray(image[:, :, ::-1]) if len(found.boxes) else image
            found68 = [self._landmarks.get(bgr, Face(bbox=box))[:, :2] for box in found.boxes]
            points68 = np.array(found68, np.float32).reshape(-1, 68, 2)
        return Faces(found.boxes, found.scores, found.points, points68)

    def identify(self, image: np.ndarray, faces: Faces, row: int) -> np.ndarray:
        """ArcFace vector of unit length."""
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        vector = self._recogniser.get(bgr, Face(kps=faces.points5[row]))
        return (vector / np.linalg.norm(vector)).astype(np.float32)


class FollowedFaces:
    """Faces followed through a video, completed by ``complete(image, found) -> Faces``."""

    def __init__(self, follower: Follower, complete: Callable[[np.ndarray, Found], Faces]):
        self._follower, self._complete = follower, complete

    def find(self, images: list[np.ndarray], new_shots: list[bool]) -> list[Faces]:
        """See `wildaffect.faces.detectors.VideoSearch`."""
        found = [(image, self._follower(image, new)) for image, new in zip(images, new_shots, strict=True)]
        return [self._complete(image, faces) for image, faces in found]


def open_detector(
    model: str, options: Options, device: str, threads: int, models_dir: Path | None
) -> RetinaFaceDetector:
    """See `wildaffect.faces.detectors.open_detector`."""
    return RetinaFaceDetector(model, options, device, threads, models_dir)
