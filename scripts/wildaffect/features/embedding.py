"""Vectors of a frozen image network for every frame of a trial, so that training need not run the network again."""

import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile
from wildaffect.files import atomic


def embed_crops(
    network: nn.Module,
    prepare: Callable[[Tensor], Tensor],
    crops: CropFile,
    output: str | os.PathLike,
    *,
    batch: int = 64,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Write ``network(prepare(pictures))`` of every row of ``crops`` to ``output`` (``.npy``), float32 (frames, dim).

    ``prepare`` turns pictures uint8 (n, size, size, 3) RGB on ``device`` into the network's input; ``network`` answers (n, dim).

    A frame without a face gets the vector of a black picture, computed once: it is what the network would say to the black picture that
    systems put there. Which rows these are is said by ``CropFile.valid`` of the same trial, the only place where it is kept.

    The network runs in evaluation mode, without gradients and in single precision (no TensorFloat-32), and is left in evaluation mode on
    ``device``. One batch of pictures and vectors is in memory at a time. Raises :class:`InputError` for a device that is not there, an
    answer that is not (n, dim), and values that are not finite.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but PyTorch sees no CUDA device. Ask for 'cpu' or fix the node.")
    torch.set_num_threads(threads)
    network = network.to(device).eval()

    def vectors(pictures: np.ndarray) -> np.ndarray:
        found = network(prepare(torch.from_numpy(pictures).to(device))).float().cpu().numpy()
        if found.ndim != 2 or len(found) != len(pictures):
            raise InputError(
                f"{crops.path}: the network answered {found.shape} to {len(pictures)} pictures, not a vector each."
            )
        if not np.isfinite(found).all():
            raise InputError(f"{crops.path}: the network's vectors are not finite. Check its weights and 'prepare'.")
        return found

    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False), atomic(output) as partial:
        black = vectors(np.zeros((1, crops.size, crops.size, 3), np.uint8))[0]
        # An empty file cannot be mapped into memory.
        rows = _new(partial, len(crops), len(black)) if len(crops) else np.zeros((0, len(black)), np.float32)
        for first in range(0, len(crops), batch):
            valid = crops.valid[first : first + batch]
            rows[first : first + batch] = black
            if valid.any():
                rows[first : first + batch][valid] = vectors(crops.read(first + np.flatnonzero(valid)))
        if len(crops):
            rows.flush()
        else:
            np.save(partial, rows)


def _new(path: os.PathLike, frames: int, dim: int) -> np.memmap:
    return np.lib.format.open_memmap(path, "w+", np.float32, (frames, dim))
