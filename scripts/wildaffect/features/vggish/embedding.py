"""Embeddings of patches by the VGGish network, in batches."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from wildaffect.errors import InputError
from wildaffect.features.spec import SEEDED
from wildaffect.features.store import Rows, pieces
from wildaffect.features.vggish import frontend
from wildaffect.features.vggish.frontend import PATCH
from wildaffect.features.vggish.network import VGGish
from wildaffect.features.vggish.weights import SEED, load_network, seeded_network
from wildaffect.models import resolve

# Patches at a time: more are no faster. Activations take 0.1 GB and 0.8 GB.
_BATCH = {"cpu": 64, "cuda": 512}
# Up to this mean distance of patches, in rows, it pays to share the work between them (video at 12.5 frames/s or more).
_SHARING_HOP = 8


def open_network(weights: str, models_dir: str | os.PathLike, device: str, threads: int) -> VGGish:
    """The network, ready to evaluate.

    Args:
        weights: ``seeded``, a name in the manifest or a path.
        models_dir: Folder of model files.
        device: ``cpu`` or ``cuda``.
        threads: PyTorch's number of threads, set for this process.

    Raises:
        InputError: The device is not there, or the weights cannot be used.
    """
    check_device(device)
    torch.set_num_threads(threads)
    network = seeded_network() if weights == SEEDED else load_network(resolve(weights, models_dir).path)
    # Channels last is the layout in which oneDNN and cuDNN are fastest.
    return network.to(device, memory_format=torch.channels_last).eval()


def embed(network: nn.Module, speech: Rows, starts: np.ndarray, device: str = "cpu") -> Iterator[np.ndarray]:
    """Embeddings of patches.

    Patches go through the network in batches, the spectrogram of a batch is made with it and dropped after it, and a
    patch asked for several times in a row is computed once: memory does not depend on the length.

    Args:
        network: As :class:`VGGish`.
        speech: int16 (S,) at 16 kHz.
        starts: Spectrogram rows at which the patches begin, int (N,).
        device: Where ``network`` is.

    Yields:
        Blocks of float32 (N, 128).
    """
    for wanted in pieces(starts, _BATCH[device]):
        distinct, index = np.unique(wanted, return_inverse=True)
        # Entered for each batch: a generator must not leave the caller in these modes. TensorFloat-32 would cost three digits.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            values = _embed_batch(network, speech, distinct, device).cpu().numpy()
        yield values[index]


def describe_weights(weights: str, models_dir: str | os.PathLike) -> dict[str, Any]:
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


def check_device(device: str) -> None:
    """Raise :class:`InputError` if ``device`` is not known or not there."""
    if device not in _BATCH:
        raise InputError(f"device '{device}' is not known: use 'cpu' or 'cuda'.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but PyTorch sees no CUDA device. Ask for 'cpu' or fix the node.")


def _embed_batch(network: nn.Module, speech: Rows, starts: np.ndarray, device: str) -> torch.Tensor:
    if starts[-1] - starts[0] <= _SHARING_HOP * (len(starts) - 1):
        rows = frontend.log_mel(speech, np.arange(starts[0], starts[-1] + PATCH))
        begin = torch.from_numpy(starts - starts[0])
        return network.overlapping(torch.from_numpy(rows).to(device), begin.to(device))
    rows, index = np.unique(starts[:, None] + np.arange(PATCH), return_inverse=True)
    examples = frontend.log_mel(speech, rows)[index.reshape(len(starts), 1, PATCH)]
    return network(torch.from_numpy(examples).to(device))
