"""Face alignment: the crop that a template describes, and the warp from a frame to it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""The five ArcFace targets in a crop of 112 pixels: eyes, nose tip, mouth corners (TSAV spec 2.3 lists them)."""

Points = tuple[tuple[float, float], ...]
Resizing = Literal["antialiased_bicubic", "antialiased_bilinear", "bilinear", "nearest"]


@dataclass(frozen=True)
class Template:
    """A square crop: what it shows, where the face goes in it and how large it is. Plain values, equal if all are equal.

    Attributes:
        name: Name of the template and of the folder of its crops.
        view: ``face``, or of a scene the whole ``frame``, the ``body`` in it, or the ``context`` without that body.
        size: Side in pixels.
        warp_size: Side that a face is warped to before it is resized to ``size``, if that is smaller.
        points: Where the five landmarks go in the warped crop; None: the box is stretched to the whole crop.
        interpolation: Of the warp.
        resized_from: Name of the template whose stored images this one is resized from.
        resizing: Filter by which images of another size are resized, see `resize`.
        encoding: How crops are stored: JPEG of quality 95 with full or half colour resolution, or losslessly. ``unchanged``: the images
            that this template is resized from are stored as they are, and resized when they are read.
        official: Kinds of folders whose images can stand for this crop, the best first, each with the black pixels around such an
            image; a negative number: the pixels of the image that are left off on each side.
        margin: Pixels of the frame around the box, which is first rounded to whole pixels and made square; None: the box as it is.
    """

    name: str
    view: Literal["face", "frame", "body", "context"]
    size: int
    warp_size: int
    points: Points | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    resized_from: str | None = None
    resizing: Resizing = "antialiased_bicubic"
    encoding: Literal["jpeg444", "jpeg420", "png", "unchanged"] = "jpeg444"
    official: tuple[tuple[str, int], ...] = ()
    margin: int | None = None

    @property
    def needs_bodies(self) -> bool:
        """Whether the table of bodies decides what the crop shows."""
        return self.view in ("body", "context")


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Find the rotation, uniform scale and shift that take points nearest to their targets.

    Least squares over the four free numbers, without reflection (Umeyama 1991, whose solution in the plane this is).

    Args:
        source: Points (k, 2).
        target: Where they should go (k, 2).

    Returns:
        Affine map float64 (2, 3); NaN if all source points coincide.
    """
    start, end = np.asarray(source, np.float64), np.asarray(target, np.float64)
    middle, goal = start.mean(axis=0), end.mean(axis=0)
    start, end = start - middle, end - goal
    spread = (start**2).sum()
    if spread == 0:
        return np.full((2, 3), np.nan)
    a = (start * end).sum() / spread
    b = (start[:, 0] * end[:, 1] - start[:, 1] * end[:, 0]).sum() / spread
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, goal - turn @ middle])


def crop_transform(template: Template, points5: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Map a frame to the warped crop of one face.

    Args:
        template: The crop.
        points5: Landmarks (5, 2) in pixels of the frame.
        box: Box (4,) in pixels of the frame, used where the template has no points or the landmarks are of no use.

    Where the landmarks are of no use (`misaligned`), an ordinary face in the box stands for them.

    Returns:
        Affine map float64 (2, 3).
    """
    if template.points is not None:
        return align(points5, box, template.points)
    if template.margin is not None:
        box = _squared(box, template.margin)
    scale = template.warp_size / np.maximum(box[2:] - box[:2], 1e-6)
    # Pixel centres lie at whole numbers: the box's edges go to the crop's edges, half a pixel outside its outer centres.
    return np.column_stack([np.diag(scale), -scale * box[:2] + 0.5 * (scale - 1)]).astype(np.float64)


def _squared(box: np.ndarray, margin: int) -> np.ndarray:
    """A box in whole pixels, made square by its longer side, with a margin: an odd pixel is added to the right or below."""
    low, high = np.rint(box[:2]), np.rint(box[2:])
    sides = high - low
    low = low - (sides.max() - sides) // 2
    return np.concatenate([low - margin, low + sides.max() + margin])


def align(points5: np.ndarray, box: np.ndarray, target: np.ndarray | Points) -> np.ndarray:
    """Find the `similarity` that takes a face to the ``target`` of its landmarks (5, 2), by its box (4,) if they are of no use."""
    useless = misaligned(points5[None], box[None])[0]
    return similarity(points_of_box(box) if useless else points5, np.asarray(target))


# Of 7,000 faces in 12 real clips, found by SCRFD or dlib and mapped by their landmarks to the ArcFace targets in 112 pixels, profiles
# among them, the boxes have sides of 67 to 115 pixels and centres within 25 of the middle one, and landmarks miss their targets by 17.
SIDES = (50.0, 150.0)
MIDDLE = np.array([56.0, 66.0])
FARTHEST = 35.0
LARGEST_MISS = 20.0


def misaligned(points5: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Find faces whose landmarks would turn, shift or enlarge the crop so that it does not show what is in the box.

    The landmarks of a profile may all but coincide, and those of a false or hidden face lie anywhere.

    Args:
        points5: Landmarks (n, 5, 2) in pixels of the frame.
        boxes: Boxes (n, 4) in pixels of the frame; one that is empty or NaN says nothing about its landmarks.

    Returns:
        Bool (n,).
    """
    sides = np.asarray(boxes[:, 2:] - boxes[:, :2], np.float64)
    side = np.sqrt(np.clip(sides, 0, None).prod(axis=1))
    centre = points5.mean(axis=1, dtype=np.float64)
    goal = ARCFACE.mean(axis=0)
    # `similarity` of all at once, in complex numbers: one factor turns and scales.
    start = (points5 - centre[:, None]) @ np.array([1, 1j])
    end = (ARCFACE - goal) @ np.array([1, 1j])
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = (start.conj() * end).sum(axis=1) / (np.abs(start) ** 2).sum(axis=1)
        miss = np.sqrt((np.abs(factor[:, None] * start - end) ** 2).mean(axis=1))
        middle = factor * (((boxes[:, :2] + boxes[:, 2:]) / 2 - centre) @ np.array([1, 1j]))
        away = np.abs(middle - (MIDDLE - goal) @ np.array([1, 1j]))
        shown = np.abs(factor) * side
        fits = (shown >= SIDES[0]) & (shown <= SIDES[1]) & (away <= FARTHEST) & (miss <= LARGEST_MISS)
    return (side > 0) & ~fits


# The longer side of the box in 112 pixels, and the point of them where its middle goes: the whole box is in the crop.
BOX_SIDE = 100.0
BOX_MIDDLE = np.array([56.0, 60.0])


def points_of_box(box: np.ndarray) -> np.ndarray:
    """Place the five landmarks (5, 2) of an upright face that looks ahead into a box (4,)."""
    middle = (box[:2] + box[2:]) / 2
    return middle + (ARCFACE - BOX_MIDDLE) * (box[2:] - box[:2]).max() / BOX_SIDE


def map_points(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Move points (..., 2) by an affine map (2, 3)."""
    return points @ transform[:, :2].T + transform[:, 2]


def warp(frame: np.ndarray, template: Template, transform: np.ndarray) -> np.ndarray:
    """Cut the crop of a template out of a frame.

    Args:
        frame: RGB uint8 (H, W, 3).
        template: The crop.
        transform: Affine map (2, 3) of `crop_transform`.

    Returns:
        RGB uint8 (size, size, 3), black outside the frame.
    """
    import cv2  # here, so that the plan can read templates without it

    flag = cv2.INTER_CUBIC if template.interpolation == "bicubic" else cv2.INTER_LINEAR
    side = (template.warp_size, template.warp_size)
    warped = cv2.warpAffine(frame, transform, side, flags=flag, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return resize(warped, template.size, template.resizing)


def resize(image: np.ndarray, size: int, resizing: Resizing) -> np.ndarray:
    """Squeeze an image uint8 (H, W, 3) of any shape into a square (size, size, 3).

    Pillow's filters are antialiased: shrinking averages what falls into a pixel. OpenCV's ``bilinear`` and ``nearest`` look at the nearest
    pixels alone, as in originals that resize with OpenCV.
    """
    if image.shape[:2] == (size, size):
        return image
    if resizing in ("bilinear", "nearest"):
        import cv2

        flag = cv2.INTER_LINEAR if resizing == "bilinear" else cv2.INTER_NEAREST
        return cv2.resize(image, (size, size), interpolation=flag)
    from PIL import Image

    kind = Image.Resampling.BICUBIC if resizing == "antialiased_bicubic" else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((size, size), kind))


def fit(image: np.ndarray, size: int, border: int, resizing: Resizing) -> np.ndarray:
    """Make a crop of an image that others cut.

    Args:
        image: uint8 (H, W, 3).
        size: Side of the crop.
        border: Black pixels of the crop on each side; negative: pixels of the image that are left off on each side.
        resizing: As for `resize`.

    Returns:
        uint8 (size, size, 3).
    """
    if border <= 0:
        return resize(image[-border : image.shape[0] + border, -border : image.shape[1] + border], size, resizing)
    crop = np.zeros((size, size, 3), np.uint8)
    crop[border:-border, border:-border] = resize(image, size - 2 * border, resizing)
    return crop
