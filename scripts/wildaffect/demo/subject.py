"""A subject: the portrait with another physique, colours and background, drawn with any expression and pose."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import dlib
import numpy as np
from scipy.spatial import Delaunay
from skimage import data

from wildaffect.demo.affect import affect, sines
from wildaffect.demo.plan import SIZE
from wildaffect.faces.detectors.dlib import landmark_file

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


@cache
def portrait() -> Portrait:
    """Load the portrait (NASA photograph of Eileen Collins, public domain, ``skimage.data.astronaut``)."""
    frame = np.ascontiguousarray(data.astronaut()[_REGION])
    texture = cv2.resize(frame, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC)
    faces = dlib.get_frontal_face_detector()(texture, 0)
    parts = dlib.shape_predictor(str(landmark_file()))(texture, faces[0]).parts()
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


FACE = (140, 95, 360, 325)
"""x0, y0, x1, y1 of the part of the portrait that an expression may move; its border stays."""

_BORDER_POINTS = 6  # per side
_MOUTH_COLOUR, _TEETH_COLOUR = (48, 18, 24, 255), (168, 158, 150, 255)
_SUBPIXEL = 4  # fractional bits of drawn polygons


def mesh(rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fixed border points (B,2) and the triangles (T,3) over ``[landmarks, border]``, from the landmarks at rest."""
    x0, y0, x1, y1 = FACE
    steps = np.linspace(0, 1, _BORDER_POINTS, endpoint=False)
    xs, ys = x0 + (x1 - x0) * steps, y0 + (y1 - y0) * steps
    sides = ((xs, y0), (x1, ys), (x0 + x1 - xs, y1), (x0, y0 + y1 - ys))
    border = np.concatenate([np.stack(np.broadcast_arrays(*side), 1) for side in sides])
    return border, Delaunay(np.concatenate([rest, border])).simplices


@dataclass(frozen=True)
class Subject:
    """Everything about one subject that does not change from frame to frame."""

    traits: int
    physique: Physique
    texture: np.ndarray  # uint8 RGBA
    background: np.ndarray  # uint8 RGB (SIZE, SIZE, 3)
    mirrored: bool


def draw_subject(traits: int) -> Subject:
    """The subject that the seed ``traits`` stands for."""
    rng = np.random.default_rng([traits, 3])
    physique = draw_physique(rng)
    return Subject(traits, physique, _texture(rng), _background(rng), bool(rng.random() < 0.5))


def poses(subject: Subject, times: np.ndarray) -> np.ndarray:
    """Affine matrices float64 (N,2,3) from portrait to frame: turning, shifting and scaling unrelated to affect."""
    rng = np.random.default_rng([subject.traits, 4])
    turn, right, down, size = (np.tanh(sines(rng, rng.uniform(0.04, 0.25, 3), times)) for _ in range(4))
    angle = np.deg2rad(rng.uniform(-4, 4) + 8 * turn)
    scale = rng.uniform(0.85, 1.0) * (1 + 0.08 * size)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    turning = np.stack([np.stack([cosine, -sine], 1), np.stack([sine, cosine], 1)], 1)
    target = np.array([SIZE / 2, SIZE * 0.56]) + np.stack([22 * right, 14 * down], 1)
    pivot = np.array([(FACE[0] + FACE[2]) / 2, (FACE[1] + FACE[3]) / 2])
    return np.concatenate([turning, (target - turning @ pivot)[:, :, None]], axis=2)


def frames(subject: Subject, seconds: float, times: np.ndarray, present: np.ndarray) -> Iterator[np.ndarray]:
    """Yield one RGB frame (SIZE, SIZE, 3) per time: the subject, or only its background where not ``present``."""
    rest = portrait().landmarks
    border, triangles = mesh(rest)
    valence, arousal = affect(subject.traits, seconds, times)
    for index, pose in enumerate(poses(subject, times)):
        if not present[index]:
            yield subject.background
            continue
        points = landmarks(rest, subject.physique, valence[index], arousal[index])
        face = express(subject.texture, np.concatenate([rest, border]), np.concatenate([points, border]), triangles)
        layer = cv2.warpAffine(face, pose, (SIZE, SIZE))
        if subject.mirrored:
            layer = cv2.flip(layer, 1)
        yield _over(layer, subject.background)


def express(texture: np.ndarray, source: np.ndarray, target: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Move the texture's mesh from points ``source`` to ``target`` (P,2), triangle by triangle, and fill the mouth.

    The first 68 points are the landmarks. Only the part inside `FACE` changes.
    """
    x0, y0, x1, y1 = FACE
    ones = np.ones((len(triangles), 3, 1))
    back = np.linalg.solve(np.concatenate([target[triangles], ones], 2), source[triangles])  # (T,3,2)
    labels = np.zeros((y1 - y0, x1 - x0), np.int32)
    for label, corners in enumerate(_fixed(target[triangles] - (x0, y0))):
        cv2.fillConvexPoly(labels, corners, label, shift=_SUBPIXEL)
    per_pixel = back.astype(np.float32)[labels]
    xs, ys = np.arange(x0, x1, dtype=np.float32)[None, :, None], np.arange(y0, y1, dtype=np.float32)[:, None, None]
    where = per_pixel[:, :, 0] * xs + per_pixel[:, :, 1] * ys + per_pixel[:, :, 2]
    result = texture.copy()
    result[y0:y1, x0:x1] = cv2.remap(texture, where, None, cv2.INTER_LINEAR)
    _fill_mouth(result, target[60:68])
    return result


def _fill_mouth(frame: np.ndarray, lips: np.ndarray) -> None:
    """Paint the dark inside of the mouth, with the upper teeth, between the inner lips (8,2)."""
    cv2.fillPoly(frame, [_fixed(lips)], _MOUTH_COLOUR, cv2.LINE_AA, _SUBPIXEL)
    upper, lower = lips[1:4], lips[[7, 6, 5]]
    gap = lower - upper
    if gap[1, 1] > 4:
        teeth = np.concatenate([upper, (upper + min(0.3, 4 / gap[1, 1]) * gap)[::-1]])
        cv2.fillPoly(frame, [_fixed(teeth)], _TEETH_COLOUR, cv2.LINE_AA, _SUBPIXEL)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Coordinates as OpenCV's fixed-point integers."""
    return np.round(points * (1 << _SUBPIXEL)).astype(np.int32)


def _over(layer: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Lay an RGBA frame over an RGB frame."""
    weight = layer[:, :, 3].astype(np.float32) / 255
    return cv2.blendLinear(np.ascontiguousarray(layer[:, :, :3]), background, weight, 1 - weight)


def _texture(rng: np.random.Generator) -> np.ndarray:
    """The portrait in the subject's colours and light, RGBA."""
    source = portrait()
    height, width = source.outline.shape
    suit = np.clip((np.arange(height, dtype=np.float32)[:, None, None] - 285) / 15, 0, 1)
    hue, saturation, value = cv2.split(cv2.cvtColor(source.texture, cv2.COLOR_RGB2HSV))
    other = ((hue.astype(int) + rng.integers(180)) % 180).astype(np.uint8)
    dyed = cv2.cvtColor(cv2.merge([other, saturation, value]), cv2.COLOR_HSV2RGB)
    frame = source.texture * (1 - suit) + dyed * suit

    face = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(source.landmarks.astype(np.int32)), 255)
    hair = 1 - cv2.GaussianBlur(face, (0, 0), 4)[:, :, None] / 255
    hair = hair * np.clip((215 - np.arange(height)[:, None, None]) / 15, 0, 1)
    frame *= 1 - hair * (1 - rng.uniform(0.35, 1.0) * rng.uniform(0.85, 1.15, 3))

    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    light = 1 + rng.uniform(-0.25, 0.25) * across + rng.uniform(-0.15, 0.15) * down
    tone = rng.uniform(0.75, 1.1) * rng.uniform(0.92, 1.08, 3)
    frame = 255 * (np.clip(frame * tone * light[:, :, None], 0, 255) / 255) ** rng.uniform(0.8, 1.3)
    return np.dstack([np.round(frame).astype(np.uint8), source.outline])


def _background(rng: np.random.Generator) -> np.ndarray:
    """Soft patches of colour."""
    patches = rng.uniform(40, 200, 3) + rng.normal(0, 25, (5, 5, 3))
    smooth = cv2.resize(patches, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255).astype(np.uint8)
