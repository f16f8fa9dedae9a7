"""The RetinaFace family (SCRFD included) from ONNX files, decoded by insightface."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from insightface.app.common import Face
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.landmark import Landmark
from insightface.model_zoo.onnxruntime_utils import preload_cuda_libraries
from insightface.model_zoo.scrfd import SCRFD

from wildaffect.errors import InputError
from wildaffect.faces.detectors import Faces
from wildaffect.faces.geometry import pairwise_iou
from wildaffect.faces.packs import pack_files
from wildaffect.files import sha256

LICENCE = "insightface code MIT; weights of its model packs for non-commercial research only"
# Distance of unit ArcFace vectors that corresponds to a cosine of 0.3.
SAME_PERSON_DISTANCE = 1.18


@dataclass(frozen=True)
class RetinaFaceOptions:
    """How the network searches.

    det_sizes: sides of the square the picture is fitted into, one search each. These networks lose faces that fill
        the picture at 640 and small ones at 256; a face found at several sizes is kept from the first, so put the
        largest first (its landmarks are the most precise).
    threshold: lowest score, 0 to 1. nms: overlap above which two boxes are one face.
    """

    det_sizes: tuple[int, ...] = (640, 256)
    threshold: float = 0.5
    nms: float = 0.4


class RetinaFaceDetector:
    """A model pack (detector, 68 landmarks, identity) or a single detector file (then without the other two)."""

    def __init__(self, model: str, options: RetinaFaceOptions, device: str, threads: int, models_dir: Path | None):
        files = pack_files(model, models_dir)
        sessions = {role: _open_session(path, device, threads) for role, path in files.items()}
        self._options = options
        self._search = SCRFD(session=sessions["detector"])
        self._search.prepare(0, det_thresh=options.threshold, nms_thresh=options.nms)
        if not self._search.use_kps:
            raise InputError(f"{files['detector']}: this detector gives no landmarks; choose one with five points.")
        self._landmarks, self._recogniser, self.identity = None, None, None
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
            "provider": sessions["detector"].get_providers()[0],
            "options": asdict(options),
        }

    def find(self, pictures: list[np.ndarray]) -> list[Faces]:
        """See :mod:`wildaffect.faces.detectors`. Pictures run one by one: the published graphs have batch size 1."""
        return [self._find_one(picture) for picture in pictures]

    def _find_one(self, picture: np.ndarray) -> Faces:
        bgr = np.ascontiguousarray(picture[:, :, ::-1])
        boxes, points = np.zeros((0, 5), np.float32), np.zeros((0, 5, 2), np.float32)
        for side in self._options.det_sizes:
            found, found_points = self._search.detect(bgr, input_size=(side, side))
            # A coarser search may only add faces; it never replaces a finer one's.
            new = (pairwise_iou(found[:, :4], boxes[:, :4]) <= self._options.nms).all(axis=1)
            boxes, points = np.concatenate([boxes, found[new]]), np.concatenate([points, found_points[new]])
        points68 = None
        if self._landmarks is not None:
            found68 = [self._landmarks.get(bgr, Face(bbox=box[:4]))[:, :2] for box in boxes]
            points68 = np.array(found68, np.float32).reshape(-1, 68, 2)
        return Faces(boxes[:, :4], boxes[:, 4], points.astype(np.float32), points68)

    def identify(self, picture: np.ndarray, faces: Faces, row: int) -> np.ndarray:
        """ArcFace vector of unit length."""
        bgr = np.ascontiguousarray(picture[:, :, ::-1])
        vector = self._recogniser.get(bgr, Face(kps=faces.points5[row]))
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def _open_session(path: Path, device: str, threads: int) -> onnxruntime.InferenceSession:
    """A session on exactly the asked device: ONNX Runtime falls back to the CPU in silence, this does not."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = threads
    providers = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}[device]
    missing = providers[0] not in onnxruntime.get_available_providers()
    if not missing:
        preload_cuda_libraries(providers)
        try:
            session = onnxruntime.InferenceSession(str(path), settings, providers=providers)
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf as error:
            raise InputError(f"{path}: not a readable ONNX model ({error}). Fetch it again.") from error
        missing = session.get_providers()[0] != providers[0]
    if missing:
        raise InputError(
            f"device {device}: ONNX Runtime {onnxruntime.__version__} cannot bind {providers[0]} for {path.name}. "
            "Install onnxruntime-gpu in place of onnxruntime with matching CUDA libraries, or use device cpu."
        )
    return session
