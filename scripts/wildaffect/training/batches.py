"""Samples in batches, and a model over them."""

from collections.abc import Iterator

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


def batches(
    samples: Samples,
    order: np.ndarray,
    batch: int,
    fabric: Fabric,
    seed: tuple[int, ...] | None = None,
    workers: int = 0,
) -> Iterator[dict[str, Tensor]]:
    """Batches on the device; the last one may be smaller. Without ``seed`` samples are not augmented."""
    on_gpu = fabric.device.type == "cuda"
    loader = DataLoader(_Sequence(samples, order, seed), batch, num_workers=workers, pin_memory=on_gpu)
    for content in loader:
        yield fabric.to_device(content)


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
        for content in batches(samples, np.arange(len(samples)), batch, fabric, workers=workers):
            output = recipe.forward(model, content)
            outputs.append(output.float().cpu().numpy())
            if with_loss:
                losses.append(float(recipe.loss(output, content)))
                sizes.append(len(output))
    loss = float(np.average(losses, weights=sizes)) if losses else float("nan")
    empty = np.empty((0, len(recipe.target.columns)), np.float32)
    return samples.combine(np.concatenate(outputs) if outputs else empty), loss
