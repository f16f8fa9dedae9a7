"""The portrait that the demo warps, and how affect moves its landmarks."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import dlib
import numpy as np
from skimage import data

from wildaffect.errors import InputError

ZOOM = 1.5
"""Portrait pixels are enlarged once by this factor, so that the face has its natural size in a 320-pixel frame."""

_REGION = (slice(0, 330), slice(60, 390))
"""Rows and columns of the 512-pixel portrait that hold head and shoulders."""


@dataclass(frozen=True)
class Portrait:
    """``texture`` uint8 RGB (H,W,3), ``outline`` uint8 (H,W) 255 on the subject, ``landmarks`` float64 (68,2) x,y."""

    texture: np.ndarray
    outline: np.ndarray
    landmarks: np.ndarray


def landmark_weights() -> Path:
    """Path of dlib's 68-point weights in the package ``face_recognition_models``; `InputError` without it.

    The package is located and not imported: importing it needs ``pkg_resources``, which newer setuptools lack.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("Package face_recognition_models not found. Install it: pip install face_recognition_models")
    return Path(spec.submodule_search_locations[0]) / "models" / "shape_predictor_68_face_landmarks.dat"


@cache
def portrait() -> Portrait:
    """Load the portrait (NASA photograph of Eileen Collins, public domain, ``skimage.data.astronaut``)."""
    frame = np.ascontiguousarray(data.astronaut()[_REGION])
    texture = cv2.resize(frame, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC)
    faces = dlib.get_frontal_face_detector()(texture, 0)
    parts = dlib.shape_predictor(str(landmark_weights()))(texture, faces[0]).parts()
    return Portrait(texture, _outline(frame, texture.shape[:2]), np.array([(p.x, p.y) for p in parts], np.float64))


def _outline(frame: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cut the subject out of the studio with GrabCut, started from a rough head-and-shoulders drawing."""
    guess = np.full(frame.shape[:2], cv2.GC_BGD, np.uint8)
    cv2.ellipse(guess, (167, 92), (90, 96), 0, 0, 360, cv2.GC_PR_BGD, -1)
    cv2.rectangle(guess, (0, 150), (329, 329), cv2.GC_PR_BGD, -1)
    cv2.ellipse(guess, (167, 75), (62, 55), 0, 0, 360, cv2.GC_PR_FGD, -1)
    shoulders = np.array([(110, 170), (220, 170), (290, 250), (310, 329), (0, 329), (20, 270)])
    cv2.fillPoly(guess, [shoulders], cv2.GC_PR_FGD)
    cv2.ellipse(guess, (165, 110), (42, 60), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.rectangle(guess, (125, 160), (205, 215), cv2.GC_FGD, -1)
    cv2.rectangle(guess, (40, 290), (260, 329), cv2.GC_FGD, -1)
    cv2.setRNGSeed(0)  # GrabCut starts from k-means with random centres
    cv2.grabCut(frame, guess, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    subject = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    silhouettes, _ = cv2.findContours(subject, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    subject = cv2.drawContours(np.zeros_like(subject), [max(silhouettes, key=cv2.contourArea)], -1, 255, cv2.FILLED)
    subject = cv2.erode(subject, np.ones((3, 3), np.uint8))
    return cv2.GaussianBlur(cv2.resize(subject, shape[::-1], interpolation=cv2.INTER_LINEAR), (0, 0), 2)


PORTRAIT_SMILE = 0.5
"""The portrait smiles: it is drawn as this valence."""

CORNER_LIFT = 10.0  # height that a lip corner gains per unit of valence
MOUTH_WIDTH = 5.0  # distance that a lip corner moves outwards per unit of valence
CLOSED, OPEN = 1.5, 25.0  # distance of the inner lips at arousal -1 and +1
BROW_RAISE = 5.0  # per unit of arousal
EYE_OPENING = 2.0  # per unit of arousal

_JAW, _MOUTH = slice(0, 17), slice(48, 68)
_UPPER_LIP, _LOWER_LIP = [49, 50, 51, 52, 53, 61, 62, 63], [55, 56, 57, 58, 59, 65, 66, 67]
_UPPER_LIDS, _LOWER_LIDS = [37, 38, 43, 44], [40, 41, 46, 47]


@dataclass(frozen=True)
class Physique:
    """How one subject's face differs from the portrait; factors are near 1, lengths in pixels."""

    width: float  # of the face
    length: float  # of the face below the eyes
    nose: float  # width
    mouth: float  # width
    brows: float  # height added at rest
    smile: float  # valence added at rest: some people always look a little pleased
    vividness: float  # how strongly affect shows


def draw_physique(rng: np.random.Generator) -> Physique:
    """A random physique."""
    return Physique(
        width=rng.uniform(0.94, 1.06),
        length=rng.uniform(0.95, 1.04),
        nose=rng.uniform(0.85, 1.2),
        mouth=rng.uniform(0.9, 1.1),
        brows=rng.uniform(-2, 2),
        smile=rng.uniform(-0.15, 0.15),
        vividness=rng.uniform(0.9, 1.05),
    )


def landmarks(rest: np.ndarray, physique: Physique, valence: float, arousal: float) -> np.ndarray:
    """The portrait's landmarks ``rest`` (68,2) moved to show ``valence`` and ``arousal``, float64 (68,2)."""
    valence, arousal = physique.vividness * valence + physique.smile, physique.vividness * arousal
    points = rest.copy()
    x, y = points.T

    mouth_x = rest[_MOUTH, 0].mean()
    reach = np.clip((rest[:, 0] - mouth_x) / (rest[54, 0] - rest[48, 0]) * 2, -1, 1)  # -1 and 1 at the lip corners
    smile = valence - PORTRAIT_SMILE
    bend = np.abs(reach[_MOUTH]) ** 1.5
    x[_MOUTH] += reach[_MOUTH] * (MOUTH_WIDTH * smile + (physique.mouth - 1) * 34)
    y[_MOUTH] -= smile * (CORNER_LIFT * bend - 2 * (1 - bend))

    gap = rest[66, 1] - rest[62, 1]
    opening = CLOSED + (OPEN - CLOSED) * np.clip((arousal + 1) / 2, 0, 1.05) - gap
    bow = np.sqrt(1 - reach**2)  # the corners stay, the middle opens
    y[_UPPER_LIP] -= 0.25 * opening * bow[_UPPER_LIP]
    y[_LOWER_LIP] += 0.75 * opening * bow[_LOWER_LIP]
    y[_JAW] += 0.55 * opening * np.sin(np.pi * np.arange(17) / 16) ** 3

    y[17:27] -= BROW_RAISE * arousal + physique.brows
    y[[20, 21, 22, 23]] -= 2.5 * valence
    x[[20, 21]] -= 1.5 * valence
    x[[22, 23]] += 1.5 * valence
    y[_UPPER_LIDS] -= EYE_OPENING * arousal
    y[_LOWER_LIDS] += 0.7 * arousal - 1.2 * smile

    middle, eyes = rest[27:31, 0].mean(), rest[36:48, 1].mean()
    x[31:36] += (physique.nose - 1) * (rest[31:36, 0] - middle)
    x += (physique.width - 1) * (x - middle)
    y += (physique.length - 1) * np.maximum(y - eyes, 0)
    return points
