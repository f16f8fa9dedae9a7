"""TSAV's losses, our own choice (TSAV spec 5): each over the labels that are there, zero and without gradient where there are none."""

import torch
from torch import Tensor
from torch.nn import functional as F

from wildaffect.systems.losses import concordance


def valence_arousal_loss(raw: Tensor, truth: Tensor) -> Tensor:
    """Mean of 1 - CCC of both columns over the labelled rows of (B, 2), population moments; 0 with fewer than two such rows."""
    known = ~truth.isnan().any(dim=1)
    if known.sum() < 2:
        return raw.sum() * 0
    return (1 - concordance(raw[None], truth[None], known[None], mixed=False)).mean()


def expression_loss(raw: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the cross-entropy of (B, classes) against class numbers (B, 1); weight (B, 1), 0 where the label is missing."""
    each = F.cross_entropy(raw, truth[:, 0].nan_to_num().long(), reduction="none")
    return _weighted_mean(each, weight[:, 0])


def unit_loss(raw: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of the binary cross-entropy of logits (B, units); weight (B, units), 0 where the label is missing."""
    return _weighted_mean(F.binary_cross_entropy_with_logits(raw, truth.nan_to_num(), reduction="none"), weight)


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)
