"""The one picture behind all subjects: a public-domain portrait, its outline and its 68 landmarks."""

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
    """Path of dlib's 68-point weights in the package ``face_recognition_models``; :class:`InputError` without it.

    The package is located and not imported: importing it needs ``pkg_resources``, which newer setuptools lack.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("Package face_recognition_models not found. Install it: pip install face_recognition_models")
    return Path(spec.submodule_search_locations[0]) / "models" / "shape_predictor_68_face_landmarks.dat"


@cache
def portrait() -> Portrait:
    """Load the portrait (NASA photograph of Eileen Collins, public domain, ``skimage.data.astronaut``)."""
    picture = np.ascontiguousarray(data.astronaut()[_REGION])
    texture = cv2.resize(picture, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC)
    faces = dlib.get_frontal_face_detector()(texture, 0)
    parts = dlib.shape_predictor(str(landmark_weights()))(texture, faces[0]).parts()
    return Portrait(texture, _outline(picture, texture.shape[:2]), np.array([(p.x, p.y) for p in parts], np.float64))


def _outline(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cut the subject out of the studio with GrabCut, started from a rough head-and-shoulders drawing."""
    guess = np.full(picture.shape[:2], cv2.GC_BGD, np.uint8)
    cv2.ellipse(guess, (167, 92), (90, 96), 0, 0, 360, cv2.GC_PR_BGD, -1)
    cv2.rectangle(guess, (0, 150), (329, 329), cv2.GC_PR_BGD, -1)
    cv2.ellipse(guess, (167, 75), (62, 55), 0, 0, 360, cv2.GC_PR_FGD, -1)
    shoulders = np.array([(110, 170), (220, 170), (290, 250), (310, 329), (0, 329), (20, 270)])
    cv2.fillPoly(guess, [shoulders], cv2.GC_PR_FGD)
    cv2.ellipse(guess, (165, 110), (42, 60), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.rectangle(guess, (125, 160), (205, 215), cv2.GC_FGD, -1)
    cv2.rectangle(guess, (40, 290), (260, 329), cv2.GC_FGD, -1)
    cv2.setRNGSeed(0)  # GrabCut starts from k-means with random centres
    cv2.grabCut(picture, guess, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    subject = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    silhouettes, _ = cv2.findContours(subject, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    subject = cv2.drawContours(np.zeros_like(subject), [max(silhouettes, key=cv2.contourArea)], -1, 255, cv2.FILLED)
    subject = cv2.erode(subject, np.ones((3, 3), np.uint8))
    return cv2.GaussianBlur(cv2.resize(subject, shape[::-1], interpolation=cv2.INTER_LINEAR), (0, 0), 2)
