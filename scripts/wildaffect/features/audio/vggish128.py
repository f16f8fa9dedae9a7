"""VGGish as a feature: one raw 128-value embedding per video frame (LFAN spec 2.7)."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from wildaffect.errors import InputError
from wildaffect.features.frames import Clock
from wildaffect.features.registry import SEEDED
from wildaffect.features.store import Rows, pieces
from wildaffect.features.vggish import frontend as frontend
from wildaffect.features.vggish.network import PATCH
from wildaffect.features.vggish.weights import SEED, load_network, seeded_network
from wildaffect.models import resolve

PARAMETERS = frontend.PARAMETERS | {
    "patch_s": 0.96,
    "output": "last fully connected layer, no ReLU, no PCA, no quantisation",
}
# Patches at a time: more are no faster. Activations take 0.1 GB and 0.8 GB.
_BATCH = {"cpu": 64, "cuda": 512}
# Up to this mean distance of patches, in rows, it pays to share the work between them (video at 12.5 frames/s or more).
_SHARING_HOP = 8


def frame_values(
    speech: Rows,
    clock: Clock,
    *,
    weights: str,
    models_dir: str | os.PathLike,
    device: str,
    threads: int,
) -> Iterator[np.ndarray]:
    """float32 (frames, 128) in blocks, of int16 (S,) at 16 kHz; ``clock`` picks the first row of each frame's patch among the rows
    at which a patch fits.

    ``weights`` is ``seeded``, a name in the manifest or a path. Sets PyTorch's number of threads for this process.
    """
    _require(device)
    torch.set_num_threads(threads)
    network = seeded_network() if weights == SEEDED else load_network(resolve(weights, models_dir).path)
    # Channels last is the layout in which oneDNN and cuDNN are fastest.
    network = network.to(device, memory_format=torch.channels_last).eval()
    return embed(network, speech, clock.rows(frontend.row_count(len(speech) + frontend.TAIL) - PATCH + 1), device)


def embed(network: nn.Module, speech: Rows, starts: np.ndarray, device: str = "cpu") -> Iterator[np.ndarray]:
    """Embeddings of the patches that begin at spectrogram rows ``starts`` int (N,) -> float32 (N, 128) in blocks.

    Patches go through the network in batches, the spectrogram of a batch is made with it and dropped after it, and a
    patch asked for several times in a row is computed once: memory does not depend on the length.
    """
    for wanted in pieces(starts, _BATCH[device]):
        distinct, place = np.unique(wanted, return_inverse=True)
        # Entered for each batch: a generator must not leave the caller in these modes. TensorFloat-32 would cost three digits.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found = _embed_batch(network, speech, distinct, device).cpu().numpy()
        yield found[place]


def _embed_batch(network: nn.Module, speech: Rows, starts: np.ndarray, device: str) -> torch.Tensor:
    if starts[-1] - starts[0] <= _SHARING_HOP * (len(starts) - 1):
        rows = frontend.log_mel(speech, np.arange(starts[0], starts[-1] + PATCH))
        begin = torch.from_numpy(starts - starts[0])
        return network.overlapping(torch.from_numpy(rows).to(device), begin.to(device))
    rows, place = np.unique(starts[:, None] + np.arange(PATCH), return_inverse=True)
    examples = frontend.log_mel(speech, rows)[place.reshape(len(starts), 1, PATCH)]
    return network(torch.from_numpy(examples).to(device))


def describe_weights(weights: str, models_dir: str | os.PathLike) -> dict:
    """What ``weights`` are: name, hash, whether trained and verified, licence."""
    if weights == SEEDED:
        note = "Untrained network: the values are a random projection of the spectrogram, not a learnt embedding."
        return {"name": SEEDED, "trained": False, "seed": SEED, "sha256": None, "note": note}
    file = resolve(weights, models_dir)
    return {
        "name": file.name,
        "trained": True,
        "sha256": file.sha256,
        "verified": file.verified,
        "licence": file.licence,
        "citation": file.citation,
    }


def _require(device: str) -> None:
    if device not in _BATCH:
        raise InputError(f"device '{device}' is not known: use 'cpu' or 'cuda'.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but PyTorch sees no CUDA device. Ask for 'cpu' or fix the node.")
