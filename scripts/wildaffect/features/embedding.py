"""Vectors of a frozen image network for every frame of a trial, so that training need not run the network again."""

import os
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile
from wildaffect.features.arrays import save_blocks
from wildaffect.features.validity import write_valid


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
    systems put there. Which rows these are is written beside them, see :mod:`~wildaffect.features.validity`.

    The network runs in evaluation mode, without gradients and in single precision (no TensorFloat-32), and is left in evaluation mode on
    ``device``. One batch of pictures and vectors is in memory at a time. Raises :class:`InputError` for a device that is not there, an
    answer that is not (n, dim), and values that are not finite.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but PyTorch sees no CUDA device. Ask for 'cpu' or fix the node.")
    torch.set_num_threads(threads)
    network = network.to(device).eval()

    def vectors(pictures: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found = network(prepare(torch.from_numpy(pictures).to(device))).float().cpu().numpy()
        if found.ndim != 2 or len(found) != len(pictures):
            raise InputError(
                f"{crops.path}: the network answered {found.shape} to {len(pictures)} pictures, not a vector each."
            )
        if not np.isfinite(found).all():
            raise InputError(f"{crops.path}: the network's vectors are not finite. Check its weights and 'prepare'.")
        return found

    black = vectors(np.zeros((1, crops.size, crops.size, 3), np.uint8))[0]

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, len(crops), batch):
            valid = crops.valid[first : first + batch]
            rows = np.tile(black, (len(valid), 1))
            if valid.any():
                rows[valid] = vectors(crops.read(first + np.flatnonzero(valid)))
            yield rows

    save_blocks(output, blocks(), black.shape)
    write_valid(output, crops.valid)
