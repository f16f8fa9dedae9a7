"""Samples in batches, and a model over them."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from wildaffect.systems.base import Predictor, Recipe
from wildaffect.systems.types import Samples


class _Sequence(Dataset):
    """Samples in a given order; each has its own random numbers, so neither workers nor interruptions change them."""

    def __init__(self, samples: Samples, order: np.ndarray, seed: tuple[int, ...] | None) -> None:
        self._samples, self._order, self._seed = samples, order, seed

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> dict[str, np.ndarray]:
        rng = None if self._seed is None else np.random.default_rng([*self._seed, position])
        return self._samples.read(int(self._order[position]), rng)


class GatheredBatch(Mapping):
    """The entries of a batch that several processes hold parts of, gathered when they are asked for; of one process, the batch itself.

    Every process must ask for the same entries in the same order.
    """

    def __init__(self, part: dict[str, Tensor], count: int, fabric: Fabric) -> None:
        self._part, self._count, self._fabric = part, count, fabric

    def __getitem__(self, name: str) -> Tensor:
        return gather(self._part[name], self._count, self._fabric)

    def __iter__(self) -> Iterator[str]:
        return iter(self._part)

    def __len__(self) -> int:
        return len(self._part)


def gather(part: Tensor, count: int, fabric: Fabric) -> Tensor:
    """The ``count`` rows of which each process holds a part, on each of them; gradients flow back to where a row came from."""
    if fabric.world_size == 1:
        return part
    missing = -(-count // fabric.world_size) - len(part)
    if missing:  # parts that are exchanged have one size
        part = torch.cat([part, part.new_zeros(missing, *part.shape[1:])])
    return fabric.all_gather(part, sync_grads=part.requires_grad).flatten(0, 1)[:count]


def batches(
    samples: Samples,
    order: np.ndarray,
    batch: int,
    fabric: Fabric,
    seed: tuple[int, ...] | None = None,
    workers: int = 0,
) -> Iterator[tuple[dict[str, Tensor], int]]:
    """This process's part of each batch, on the device, and the size of the batch; the last one may be smaller.

    Without ``seed`` samples are not augmented. Parts are neighbouring rows, the last ones shorter; a process without a row (see
    :func:`has_rows`) reads the last one of the batch, which :func:`gather` cuts off.
    """
    on_gpu = fabric.device.type == "cuda"
    sizes = [min(batch, len(order) - start) for start in range(0, len(order), batch)]
    parts = [_part(index * batch, size, fabric) for index, size in enumerate(sizes)]
    loader = DataLoader(_Sequence(samples, order, seed), batch_sampler=parts, num_workers=workers, pin_memory=on_gpu)
    for size, content in zip(sizes, loader, strict=True):
        yield fabric.to_device(content), size


def _part(start: int, size: int, fabric: Fabric) -> list[int]:
    """Positions in the order that this process reads of a batch."""
    count = -(-size // fabric.world_size)
    own = range(size)[fabric.global_rank * count :][:count] or [size - 1]
    return [start + row for row in own]


def has_rows(size: int, fabric: Fabric) -> bool:
    """Whether this process has a part of a batch of ``size`` rows."""
    return fabric.global_rank * -(-size // fabric.world_size) < size


def outputs_of(
    recipe: Predictor, model: nn.Module, samples: Samples, fabric: Fabric, *, batch: int, workers: int = 0
) -> Iterator[tuple[Tensor, GatheredBatch]]:
    """Outputs of a model in evaluation mode for each batch of all samples, in order, with the batch."""
    model.eval()
    with torch.inference_mode():
        for part, count in batches(samples, np.arange(len(samples)), batch, fabric, workers=workers):
            yield gather(recipe.forward(model, part), count, fabric), GatheredBatch(part, count, fabric)


def validate(
    recipe: Recipe, model: nn.Module, samples: Samples, fabric: Fabric, *, batch: int, workers: int = 0
) -> tuple[list[np.ndarray], float]:
    """Predictions (N, columns) per trial of a model in evaluation mode, and its mean loss over samples."""
    outputs, losses = [], []
    with torch.inference_mode():
        for output, content in outputs_of(recipe, model, samples, fabric, batch=batch, workers=workers):
            outputs.append(as_array(output))
            losses.append(float(recipe.loss(output, content)))
    loss = float(np.average(losses, weights=[len(output) for output in outputs])) if losses else float("nan")
    empty = np.empty((0, len(recipe.target.columns)), np.float32)
    return samples.to_frames(np.concatenate(outputs) if outputs else empty), loss


def as_array(output: Tensor) -> np.ndarray:
    """Outputs of a batch as float32."""
    return output.float().cpu().numpy()
