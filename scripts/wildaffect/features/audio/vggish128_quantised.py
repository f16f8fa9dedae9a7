"""VGGish embeddings as AudioSet publishes its own: after ReLU, principal components, clipped and quantised to 0 … 255.

The raw vector loses its negative half in the ReLU that closed the network at the time, is centred, turned and whitened by fixed matrices
(S. Hershey et al., 2017), clipped to [-2, 2] and cut to one of 256 steps. No system here uses it: it is for those who compare with
AudioSet.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wildaffect.features.audio import vggish128
from wildaffect.features.frames import BY_PATCH, Clock
from wildaffect.features.spec import pair
from wildaffect.features.store import Rows
from wildaffect.integrity import foreign
from wildaffect.models import resolve

LOW, HIGH, STEPS = -2.0, 2.0, 255
FEATURES = pair(
    __name__,
    columns=tuple(f"component{k}" for k in range(128)),
    source="VGGish",
    indexed=BY_PATCH,
    description="VGGish embedding of the 0.96 s that begin at the frame as AudioSet publishes it: ReLU, PCA, 8 bits",
    notice=vggish128.NOTICE,
    weights="vggish",
    pca="vggish_pca",
)
_VECTORS, _MEANS = "pca_eigen_vectors", "pca_means"


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    output = "last fully connected layer, ReLU, principal components, clipped to [-2, 2], quantised to 0 … 255 (cut, not rounded)"
    return vggish128.parameters() | {"output": output}


def frame_values(
    speech: Rows, clock: Clock, *, pca: str, models_dir: str | os.PathLike, **options: Any
) -> Iterator[np.ndarray]:
    """Quantised embeddings of the patches that begin at the frames.

    Args:
        speech: int16 (S,) at 16 kHz.
        clock: The frames.
        pca: File of the components, a name in the manifest or a path.
        models_dir: Folder of model files.
        **options: As for `wildaffect.features.audio.vggish128.frame_values`.

    Yields:
        Blocks of float32 (frames, 128), whole numbers.
    """
    vectors, means = read_pca(resolve(pca, models_dir).path)
    for raw in vggish128.frame_values(speech, clock, models_dir=models_dir, **options):
        yield quantised(raw, vectors, means)


def quantised(raw: np.ndarray, vectors: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Quantised components of embeddings.

    Args:
        raw: Embeddings (N, 128).
        vectors: A component a row, (128, 128).
        means: Centre of the embeddings, (128,).

    Returns:
        float32 (N, 128), whole numbers 0 … 255.
    """
    components = (np.maximum(raw, 0) - means) @ vectors.T
    return np.floor((np.clip(components, LOW, HIGH) - LOW) * (STEPS / (HIGH - LOW))).astype(np.float32)


def read_pca(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float64 (128, 128) and means (128,) from ``.npz``, ``.pth``, ``.pt`` or ``.safetensors`` with the published names."""
    from wildaffect.weights import read_arrays, read_weights

    path = Path(path)
    found = read_arrays(path) if path.suffix == ".npz" else read_weights(path)[0]
    with foreign(path, f"a file with {_VECTORS} (128, 128) and {_MEANS} (128)"):
        vectors, means = (np.asarray(found[name], np.float64) for name in (_VECTORS, _MEANS))
        return vectors.reshape(128, 128), means.reshape(128)


def describe_weights(weights: str, models_dir: str | os.PathLike, pca: str) -> dict[str, Any]:
    """What ``weights`` are, and the file of the components."""
    about = resolve(pca, models_dir)
    facts = {name: getattr(about, name) for name in ("name", "sha256", "verified", "licence", "citation")}
    return vggish128.describe_weights(weights, models_dir) | {"pca": facts}
