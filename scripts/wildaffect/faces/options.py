"""Options of face detection and tracking, and the files of model packs; nothing heavy is imported, so that the workflow can check them."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from wildaffect.config import Fraction, Natural, Positive, Section
from wildaffect.errors import InputError


class DetectionOptions(Section):
    """What every detector can do."""

    identity_every: Positive = 30
    """Frames between two identity vectors of a known face. They are slow; a new face gets one at once, and while two faces touch they are
    computed five times as often."""

    def search(self) -> dict[str, Any]:
        """Plain values of what decides where faces are found."""
        return self.model_dump(mode="json", exclude={"identity_every"})

    def smallest_face(self, longer: int) -> float:
        """Side in pixels of about the smallest face that is found in an image whose longer side is ``longer`` pixels; 0: unknown."""
        return 0.0


class FollowOptions(Section):
    """Following known faces between scans of the whole image, see docs/faces.md."""

    every: Positive = 12
    """Frames from one scan of the whole image to the next; a new face is found that late at worst."""


class RetinaFaceOptions(DetectionOptions):
    """Options of the backend `retinaface`."""

    det_sizes: Annotated[tuple[Annotated[int, Field(ge=32, multiple_of=32)], ...], Field(min_length=1)] = (640, 256)
    """Longer sides in pixels to which the image is scaled, one search each. The networks miss faces that fill the image at 640 and
    small ones at 256. A face found at several sizes is kept from the first, so name the largest first: its landmarks are the most
    precise. An image in which a face of a quarter of its longer side was found is searched at no further size."""

    threshold: Fraction = 0.5
    """Lowest detection score."""

    nms: Fraction = 0.4
    """Overlap (intersection over union) above which two boxes are one face."""

    batch: Positive | None = None
    """Images per network call, if the model accepts several; null: 1 on a CPU, 8 on a GPU."""

    follow: FollowOptions | None = None
    """Follow known faces between scans of the whole image, which takes a CPU about half the time; null: scan every image. `{}` follows
    by the defaults."""

    def smallest_face(self, longer: int) -> float:
        """See `DetectionOptions`; measured with SCRFD 500m and 2.5g: half of the faces of 17 pixels in the scaled image, none of 12."""
        return 16 * longer / max(self.det_sizes)


class DlibOptions(DetectionOptions):
    """Options of the backend `dlib`."""

    max_side: Natural = 640
    """Length in pixels to which the longer side of the image is shrunk for detection; 0: never. Landmarks and identity vectors always
    come from the full image. The smallest face found by `hog` has about 80 pixels in the shrunken image."""

    upsample: Natural = 0
    """How often the shrunken image is doubled in size for detection. Each time halves the smallest face and takes four times as long."""

    threshold: float = 0.0
    """Lowest detection score; 0 is the working point of the detector."""

    identity: bool = True
    """Compute identity vectors, about 75 ms each on one core."""

    def smallest_face(self, longer: int) -> float:
        """See `DetectionOptions`; dlib's detectors were trained for faces of 80 pixels."""
        return 80 * max(1.0, longer / (self.max_side or longer)) / 2**self.upsample


class TrackingOptions(Section):
    """How detections become tracks, and how their gaps are treated."""

    max_gap: Natural = 15
    """Most frames without a detection after which a face still continues its track."""

    interpolate: Natural = 15
    """Longest gap in frames, between two detections of one track in one shot, that is filled by interpolation; 0: none."""

    hold: Natural = 0
    """Frames by which a detection is repeated into a gap that is too long to interpolate, at either end."""


DETECTORS: dict[str, type[DetectionOptions]] = {"retinaface": RetinaFaceOptions, "dlib": DlibOptions}
"""Options of each backend."""


# Files of the packs: detector, 68 landmarks, identity.
PACKS = {
    "buffalo_l": ("det_10g.onnx", "1k3d68.onnx", "w600k_r50.onnx"),
    "buffalo_m": ("det_2.5g.onnx", "1k3d68.onnx", "w600k_r50.onnx"),
    "buffalo_s": ("det_500m.onnx", "1k3d68.onnx", "w600k_mbf.onnx"),
    "antelopev2": ("scrfd_10g_bnkps.onnx", "1k3d68.onnx", "glintr100.onnx"),
}


# The field that every ONNX file begins with: the version of the format.
_ONNX = b"\x08"


def pack_paths(model: str, models_dir: Path | None) -> dict[str, Path]:
    """Where the files of a pack lie by role (detector, landmarks, identity), below ``models_dir``, or of one ONNX file (detector alone).

    Raises `InputError` for an unknown name; the files may be absent.
    """
    if model not in PACKS:
        path = Path(model)
        if path.suffix != ".onnx":
            raise InputError(
                f"faces.model: {model!r} is neither a pack ({', '.join(PACKS)}) nor the path of a .onnx file."
            )
        return {"detector": path}
    if models_dir is None:
        raise InputError(f"faces.model: the pack {model!r} needs models_dir, the folder that holds {model}/.")
    names = zip(("detector", "landmarks", "identity"), PACKS[model], strict=True)
    return {role: Path(models_dir) / model / name for role, name in names}


def pack_files(model: str, models_dir: Path | None) -> dict[str, Path]:
    """The same as `pack_paths`; raises `InputError` if any of the files is not there and names all of these."""
    files = pack_paths(model, models_dir)
    absent = [str(path) for path in files.values() if not path.is_file()]
    if absent:
        raise InputError(
            f"{', '.join(absent)}: model file not found. Put it there ('wildaffect models' says where it comes from) or name another model "
            "in faces.model."
        )
    for path in files.values():
        with path.open("rb") as file:
            if file.read(1) != _ONNX:
                raise InputError(f"{path}: not an ONNX model. Fetch it again or name another model in faces.model.")
    return files
