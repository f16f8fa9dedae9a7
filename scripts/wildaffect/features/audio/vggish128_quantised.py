"""VGGish embeddings as AudioSet publishes its own: after ReLU, principal components, clipped and quantised to 0 … 255.

The raw vector loses its negative half in the ReLU that closed the network at the time, is centred, turned and whitened by fixed matrices
(S. Hershey et al., 2017), clipped to [-2, 2] and cut to one of 256 steps. No system here uses it: it is for those who compare with
AudioSet.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.features.audio import vggish128
from wildaffect.features.frames import Clock
from wildaffect.features.state_dicts import UNREADABLE, read_state
from wildaffect.features.store import Rows
from wildaffect.models import resolve

LOW, HIGH, STEPS = -2.0, 2.0, 255
PARAMETERS = vggish128.PARAMETERS | {
    "output": "last fully connected layer, ReLU, principal components, clipped to [-2, 2], quantised to 0 … 255 (cut, not rounded)"
}
_VECTORS, _MEANS = "pca_eigen_vectors", "pca_means"


def frame_values(
    speech: Rows, clock: Clock, *, pca: str, models_dir: str | os.PathLike, **options
) -> Iterator[np.ndarray]:
    """float32 (frames, 128) of whole numbers in blocks; ``pca`` is a name in the manifest or a path, ``options`` are those of
    :func:`~wildaffect.features.audio.vggish128.frame_values`.
    """
    vectors, means = read_pca(resolve(pca, models_dir).path)
    for raw in vggish128.frame_values(speech, clock, models_dir=models_dir, **options):
        yield quantised(raw, vectors, means)


def quantised(raw: np.ndarray, vectors: np.ndarray, means: np.ndarray) -> np.ndarray:
    """``raw`` (N, 128) embeddings by ``vectors`` (128, 128), a component a row, around ``means`` (128,) -> float32 (N, 128), 0 … 255."""
    components = (np.maximum(raw, 0) - means) @ vectors.T
    return np.floor((np.clip(components, LOW, HIGH) - LOW) * (STEPS / (HIGH - LOW))).astype(np.float32)


def read_pca(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float64 (128, 128) and means (128,) from ``.npz``, ``.pth``, ``.pt`` or ``.safetensors`` with the published names."""
    path = Path(path)
    try:
        found = dict(np.load(path)) if path.suffix == ".npz" else {k: v.numpy() for k, v in read_state(path).items()}
        return found[_VECTORS].astype(np.float64).reshape(128, 128), found[_MEANS].astype(np.float64).reshape(128)
    except (*UNREADABLE, KeyError) as error:
        raise InputError(f"{path}: not a file with {_VECTORS} (128, 128) and {_MEANS} (128) ({error}).") from error


def describe_weights(weights: str, models_dir: str | os.PathLike, pca: str) -> dict:
    """What ``weights`` are, and the file of the components."""
    file = resolve(pca, models_dir)
    about = {name: getattr(file, name) for name in ("name", "sha256", "verified", "licence", "citation")}
    return vggish128.describe_weights(weights, models_dir) | {"pca": about}
