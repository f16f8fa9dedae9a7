"""M3T's losses (M3T spec 5.1). Labels that are missing are NaN and have no gradient."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from wildaffect.systems.losses import concordance

# The published loss has none; this one only keeps a batch without any variation from giving NaN.
EPSILON = 1e-12


def ccc_losses(raw: Tensor, truth: Tensor, *, mixed: bool) -> Tensor:
    """1 - CCC of valence and arousal (2,), all frames of the batch (B, T, 2) as one series; ``mixed`` moments as published."""
    known = ~truth.isnan().any(dim=2)
    series = (raw.flatten(0, 1)[None], truth.flatten(0, 1)[None], known.flatten()[None])
    return 1 - concordance(*series, mixed=mixed, epsilon=EPSILON)[0]


def square_losses(raw: Tensor, truth: Tensor, *, mixed: bool) -> Tensor:
    """Mean square errors of valence and arousal (2,); ``mixed`` makes no difference."""
    known = ~truth.isnan().any(dim=2, keepdim=True)
    errors = (raw - truth.nan_to_num()).square() * known
    return errors.sum(dim=(0, 1)) / known.sum().clamp(min=1)


AFFECT: dict[str, Callable[..., Tensor]] = {"ccc": ccc_losses, "mse": square_losses}


def expression_loss(raw: Tensor, truth: Tensor, *, over_all: bool) -> Tensor:
    """Cross-entropy of (B, T, classes) against class numbers (B, T, 1), its sum over labelled frames divided by their number.

    ``over_all`` divides by the number of all frames, as published, so that it weighs the less the fewer are labelled.
    """
    known = ~truth.isnan()
    classes = truth.nan_to_num().long().flatten()
    each = F.cross_entropy(raw.flatten(0, 1), classes, reduction="none") * known.flatten()
    count = torch.as_tensor(known.numel()) if over_all else known.sum().clamp(min=1)
    return each.sum() / count
