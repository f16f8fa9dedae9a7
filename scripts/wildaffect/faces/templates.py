"""Named crop templates: where five landmarks (or the box) go and how large the picture is.

What the sources leave open, and what is assumed here:

* The five points of ``arcface112`` are the standard ArcFace targets (TSAV spec 2.3 lists them). The organisers'
  ``cropped_aligned`` pictures (112 pixels; NTUA spec 2.4, CNU_ADL spec 2.1) have no published template, so this one
  stands for them too.
* ``tsav112``: the authors say only "similar to InsightFace's alignment"; the default ArcFace points are the first of the
  two candidates, with their bicubic warp and black border (TSAV spec 2.3).
* ``lfan48``: the organisers' 112-pixel crop, a JPEG, shrunk to 48 by Pillow's bicubic filter (LFAN spec 2.3); the workflow
  makes it from the stored ``arcface112`` crops (:mod:`wildaffect.faces.catalogue`).
* ``m3t256``: geometry unknown (M3T spec 2.2). Chosen so that the network's own centre crop, 224 of 256 shrunk to 112
  (M3T spec 2.3), shows exactly ``arcface112``; the 16 pixels around it are disposable.
* ``cnu_aligned224``: the aligned 112-pixel crop stretched to 224 (CNU_ADL spec 2.1), made in the same way.
* ``cnu224``: the organisers' ``cropped`` boxes come from an unknown detector; here the detector's own box, stretched to
  a square without keeping its shape (CNU_ADL spec 2.1).
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from wildaffect.errors import InputError

ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])


@dataclass(frozen=True, eq=False)
class Template:
    """A crop of ``size`` x ``size`` pixels.

    The face is warped to ``warp_size`` with ``interpolation`` (border black), then, if the sizes differ, shrunk to
    ``size`` by Pillow's antialiased bicubic filter. points: targets (5, 2) in the warped picture, or None: the box is
    stretched to the whole picture.
    """

    size: int
    warp_size: int
    points: np.ndarray | None
    interpolation: Literal["bilinear", "bicubic"]


TEMPLATES = {
    "arcface112": Template(112, 112, ARCFACE, "bilinear"),
    "tsav112": Template(112, 112, ARCFACE, "bicubic"),
    "lfan48": Template(48, 112, ARCFACE, "bilinear"),
    "m3t256": Template(256, 256, 2 * ARCFACE + 16, "bilinear"),
    "cnu224": Template(224, 224, None, "bilinear"),
    "cnu_aligned224": Template(224, 224, 2 * ARCFACE, "bilinear"),
}


def get_template(name: str) -> Template:
    """The template called ``name``; :class:`InputError` lists the names there are."""
    if name not in TEMPLATES:
        raise InputError(f"crops: unknown template {name!r}; known are {', '.join(TEMPLATES)}.")
    return TEMPLATES[name]


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, uniform scale and shift (2, 3) that takes points (k, 2) nearest to their targets.

    Least squares over the four free numbers, without reflection (Umeyama 1991, whose solution in the plane this is).
    NaN if all source points coincide.
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
    """The map (2, 3) from picture to warped crop for a face with landmarks (5, 2) and box (4,)."""
    if template.points is not None:
        return similarity(points5, template.points)
    scale = template.warp_size / np.maximum(box[2:] - box[:2], 1e-6)
    # Pixel centres lie at whole numbers: the box's edges go to the crop's edges, half a pixel outside its outer centres.
    return np.column_stack([np.diag(scale), -scale * box[:2] + 0.5 * (scale - 1)]).astype(np.float64)


def map_points(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) moved by an affine map (2, 3)."""
    return points @ transform[:, :2].T + transform[:, 2]


def cut(picture: np.ndarray, template: Template, transform: np.ndarray) -> np.ndarray:
    """The crop uint8 (size, size, 3) of a picture uint8 (H, W, 3)."""
    flag = cv2.INTER_CUBIC if template.interpolation == "bicubic" else cv2.INTER_LINEAR
    side = (template.warp_size, template.warp_size)
    warped = cv2.warpAffine(picture, transform, side, flags=flag, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return warped if template.size == template.warp_size else resized(warped, template.size)


def resized(picture: np.ndarray, size: int) -> np.ndarray:
    """A square picture uint8 (n, n, 3) as (size, size, 3) by Pillow's antialiased bicubic filter."""
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))
