"""Samples in batches, and a model over them."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from wildaffect.systems.interface import Recipe, Samples


class _Sequence(Dataset):
    """Samples in a given order; each has its own random numbers, so neither workers nor interruptions change them."""

    def __init__(self, samples: Samples, order: np.ndarray, seed: tuple[int, ...] | None) -> None:
        self._samples, self._order, self._seed = samples, order, seed

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        draw = None if self._seed is None else np.random.default_rng([*self._seed, position])
        return self._samples.read(int(self._order[position]), draw)


class Whole(Mapping):
    """The entries of a batch that several processes share, put together when they are asked for; alone, the batch itself.

    Every process must ask for the same entries in the same order.
    """

    def __init__(self, share: dict[str, Tensor], count: int, fabric: Fabric) -> None:
        self._share, self._count, self._fabric = share, count, fabric

    def __getitem__(self, name: str) -> Tensor:
        return gather(self._share[name], self._count, self._fabric)

    def __iter__(self) -> Iterator[str]:
        return iter(self._share)

    def __len__(self) -> int:
        return len(self._share)


def gather(share: Tensor, count: int, fabric: Fabric) -> Tensor:
    """The ``count`` rows whose shares the processes hold, on each of them; gradients flow back to where a row came from."""
    if fabric.world_size == 1:
        return share
    return fabric.all_gather(share, sync_grads=share.requires_grad).flatten(0, 1)[:count]


def batches(
    samples: Samples,
    order: np.ndarray,
    batch: int,
    fabric: Fabric,
    seed: tuple[int, ...] | None = None,
    workers: int = 0,
) -> Iterator[tuple[dict[str, Tensor], int]]:
    """This process's share of each batch, on the device, and the size of the batch; the last one may be smaller.

    Without ``seed`` samples are not augmented. Shares are neighbouring rows, all of one size: the last sample fills up what is missing,
    and :func:`gather` cuts it off.
    """
    on_gpu = fabric.device.type == "cuda"
    sizes = [min(batch, len(order) - start) for start in range(0, len(order), batch)]
    shares = [_share(number * batch, size, fabric) for number, size in enumerate(sizes)]
    loader = DataLoader(_Sequence(samples, order, seed), batch_sampler=shares, num_workers=workers, pin_memory=on_gpu)
    for size, content in zip(sizes, loader, strict=True):
        yield fabric.to_device(content), size


def _share(start: int, size: int, fabric: Fabric) -> list[int]:
    """Positions in the order that this process reads of a batch."""
    part = -(-size // fabric.world_size)
    return [start + min(fabric.global_rank * part + row, size - 1) for row in range(part)]


def infer(
    recipe: Recipe,
    model: nn.Module,
    samples: Samples,
    fabric: Fabric,
    *,
    batch: int,
    workers: int = 0,
    with_loss: bool = False,
) -> tuple[list[np.ndarray], float]:
    """Per-trial predictions (N, columns) of a model in evaluation mode, and its mean loss over samples (NaN unless ``with_loss``)."""
    model.eval()
    outputs, losses, sizes = [], [], []
    with torch.inference_mode():
        for share, count in batches(samples, np.arange(len(samples)), batch, fabric, workers=workers):
            output = gather(recipe.forward(model, share), count, fabric)
            outputs.append(output.float().cpu().numpy())
            if with_loss:
                losses.append(float(recipe.loss(output, Whole(share, count, fabric))))
                sizes.append(len(output))
    loss = float(np.average(losses, weights=sizes)) if losses else float("nan")
    empty = np.empty((0, len(recipe.target.columns)), np.float32)
    return samples.combine(np.concatenate(outputs) if outputs else empty), loss
