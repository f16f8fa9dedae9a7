"""Samples in batches, and a model over them."""

import gc
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from wildaffect.errors import InputError
from wildaffect.systems.base import Predictor, Recipe
from wildaffect.systems.types import Samples

Wanted = tuple[int, tuple[int, ...] | None]
"""Index of a sample, and the seed of its random numbers; None: it is not varied."""


class _Reader(Dataset):
    """Samples by all that decides about them, so that neither the number of workers nor an interruption changes one."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __getitems__(self, wanted: list[Wanted]) -> dict[str, Tensor] | InputError:
        """The samples of a batch. An error of the input is a result: torch would put it into a traceback of the process."""
        try:
            return default_collate([self._samples.read(index, _rng(seed)) for index, seed in wanted])
        except InputError as error:
            return error


def _rng(seed: tuple[int, ...] | None) -> np.random.Generator | None:
    return None if seed is None else np.random.default_rng(seed)


class _Pass:
    """What is read in the pass that comes next; a loader that keeps its workers cannot be given another list."""

    parts: Iterable[list[Wanted]] = ()

    def __iter__(self) -> Iterator[list[Wanted]]:
        return iter(self.parts)


class Batches:
    """The samples of a partition in batches, read ahead by ``workers`` processes or, with 0, as they are asked for.

    Workers are forked with the first batch and stay. They share the files mapped into memory, and the images kept there, with this process,
    and end when it ends, however it does.
    """

    def __init__(self, samples: Samples, batch: int, fabric: Fabric, workers: int = 0) -> None:
        self._count, self._batch, self._fabric, self._pass = len(samples), batch, fabric, _Pass()
        self._loader = DataLoader(
            _Reader(samples),
            batch_sampler=self._pass,  # type: ignore[arg-type]  # no length is needed
            collate_fn=_unchanged,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context="fork" if workers else None,
            worker_init_fn=_start_worker,
            pin_memory=fabric.device.type == "cuda",
            generator=torch.Generator(),  # its own, or each pass would move the one that dropout draws from
        )

    def __len__(self) -> int:
        """Number of samples."""
        return self._count

    @property
    def count(self) -> int:
        """Number of batches that all samples make."""
        return -(-self._count // self._batch)

    def read(self, order: np.ndarray, seed: tuple[int, ...] | None = None) -> Iterator[tuple[dict[str, Tensor], int]]:
        """This process's part of each batch, on the device, and the size of the batch; the last one may be smaller.

        Parts are neighbouring rows, the last ones shorter; a process without a row (see :func:`has_rows`) reads the last one of the batch,
        which :func:`gather` cuts off.

        Args:
            order: Indices of the samples.
            seed: Of augmentation; None: there is none.
        """
        sizes = [min(self._batch, len(order) - start) for start in range(0, len(order), self._batch)]
        self._pass.parts = (
            [
                (int(order[position]), None if seed is None else (*seed, position))
                for position in _part(number * self._batch, size, self._fabric)
            ]
            for number, size in enumerate(sizes)
        )
        for size, content in zip(sizes, self._loader, strict=True):
            if isinstance(content, InputError):
                raise content
            yield self._fabric.to_device(content), size


def _unchanged(content: dict[str, Tensor] | InputError) -> dict[str, Tensor] | InputError:
    return content


def _start_worker(number: int) -> None:
    gc.freeze()  # what the other process no longer needs is not for this one to end
    cv2.setNumThreads(0)  # a fork has none of OpenCV's threads, and would wait for them


def _part(start: int, size: int, fabric: Fabric) -> list[int]:
    """Positions in the order that this process reads of a batch."""
    count = -(-size // fabric.world_size)
    own = range(size)[fabric.global_rank * count :][:count] or [size - 1]
    return [start + row for row in own]


@contextmanager
def watched_workers() -> Iterator[None]:
    """Say plainly, wherever the block is by then, if a process that reads samples dies.

    Raises:
        InputError: One died.
    """
    try:
        yield
    except RuntimeError as error:
        if not re.match(r"DataLoader worker \(pid", str(error)):
            raise
        raise InputError(
            f"a process that reads samples ended without a result ({str(error).splitlines()[0]}). Mostly memory has run out, the job's or "
            "that of /dev/shm: give the job fewer threads (fewer processes then read), a smaller training.cache_mib, or more memory. Then "
            "run again; a training goes on where it was."
        ) from error


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


def has_rows(size: int, fabric: Fabric) -> bool:
    """Whether this process has a part of a batch of ``size`` rows."""
    return fabric.global_rank * -(-size // fabric.world_size) < size


def outputs_of(
    recipe: Predictor, model: nn.Module, batches: Batches, fabric: Fabric
) -> Iterator[tuple[Tensor, GatheredBatch]]:
    """Outputs of a model in evaluation mode for each batch of all samples, in order, with the batch."""
    model.eval()
    with torch.inference_mode():
        for part, count in batches.read(np.arange(len(batches))):
            yield gather(recipe.forward(model, part), count, fabric), GatheredBatch(part, count, fabric)


def validate(
    recipe: Recipe, model: nn.Module, samples: Samples, batches: Batches, fabric: Fabric
) -> tuple[list[np.ndarray], float]:
    """Predictions (N, columns) per trial of a model in evaluation mode, and its mean loss over ``samples``, which ``batches`` reads.

    Nothing is taken from the device before the end, so that it is never waited for.
    """
    outputs, losses = [], []
    with torch.inference_mode():
        for output, content in outputs_of(recipe, model, batches, fabric):
            outputs.append(output.float())
            losses.append(recipe.loss(output, content))
    if not outputs:
        return samples.to_frames(np.empty((0, len(recipe.target.columns)), np.float32)), float("nan")
    loss = np.average(torch.stack(losses).tolist(), weights=[len(output) for output in outputs])
    return samples.to_frames(as_array(outputs)), float(loss)


def as_array(outputs: list[Tensor]) -> np.ndarray:
    """Outputs of batches as one float32 array."""
    return torch.cat(outputs).float().cpu().numpy()
