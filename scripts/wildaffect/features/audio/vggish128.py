"""VGGish as a feature: one raw 128-value embedding per video frame (LFAN spec 2.7)."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from wildaffect.features.frames import BY_PATCH, Clock
from wildaffect.features.spec import pair
from wildaffect.features.store import Rows

NOTICE = "Architecture of S. Hershey et al., CNN Architectures for Large-Scale Audio Classification, ICASSP 2017."
FEATURES = pair(
    __name__,
    columns=tuple(f"vggish{k}" for k in range(128)),
    source="VGGish",
    indexed=BY_PATCH,
    description="raw VGGish embedding of the 0.96 s that begin at the frame, before any ReLU, PCA or quantisation",
    notice=NOTICE,
    weights="vggish",
)


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    output = "last fully connected layer, no ReLU, no PCA, no quantisation"
    from wildaffect.features import vggish

    return vggish.PARAMETERS | {"patch_s": 0.96, "output": output}


def frame_values(
    speech: Rows, clock: Clock, *, weights: str, models_dir: str | os.PathLike, device: str, threads: int
) -> Iterator[np.ndarray]:
    """Embeddings of the patches that begin at the frames.

    Args:
        speech: int16 (S,) at 16 kHz.
        clock: Picks the first row of each frame's patch among the rows at which a patch fits.
        weights: ``seeded``, a name in the manifest or a path.
        models_dir: Folder of model files.
        device: ``cpu`` or ``cuda``.
        threads: PyTorch's number of threads, set for this process.

    Returns:
        float32 (frames, 128) in blocks.
    """
    from wildaffect.features.vggish import embed, open_network, patch_starts

    network = open_network(weights, models_dir, device, threads)
    return embed(network, speech, clock.rows(patch_starts(len(speech))), device)


def describe_weights(weights: str, models_dir: str | os.PathLike) -> dict[str, Any]:
    """What ``weights`` are: name, hash, whether trained and verified, licence."""
    from wildaffect.features import vggish

    return vggish.describe_weights(weights, models_dir)
