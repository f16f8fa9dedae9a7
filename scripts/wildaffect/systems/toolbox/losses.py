"""Losses shared by systems."""

import torch
from torch import Tensor


def concordance(
    prediction: Tensor, truth: Tensor, mask: Tensor | None = None, *, mixed: bool, epsilon: float = 1e-8
) -> Tensor:
    """Concordance correlation along axis 1 of (batch, time, outputs) -> (batch, outputs), after Lin (1989).

    ``mask`` bool (batch, time) or (batch, time, outputs) selects positions. ``mixed`` takes the covariance with 1/N but the variances with
    1/(N-1), as several published systems do by mixing library defaults (LFAN spec 5.2); a perfect prediction then scores (N-1)/N.
    Otherwise all moments have 1/N. A series without variation scores 0 and has no gradient; so does one with fewer than two positions.
    """
    weight = torch.ones_like(truth) if mask is None else _expand(mask, truth)
    count = weight.sum(dim=1)
    at_least_one = count.clamp(min=1)

    def mean(values: Tensor) -> Tensor:
        return (values * weight).sum(dim=1) / at_least_one

    truth = torch.where(weight > 0, truth, torch.zeros_like(truth))  # NaN times zero would stay NaN
    mean_p, mean_t = mean(prediction), mean(truth)
    delta_p, delta_t = prediction - mean_p[:, None], truth - mean_t[:, None]
    covariance = mean(delta_p * delta_t)
    variances = mean(delta_p.square()) + mean(delta_t.square())
    if mixed:
        variances = variances * (count / (count - 1).clamp(min=1))
    return 2 * covariance / (variances + (mean_p - mean_t).square() + epsilon)


def _expand(mask: Tensor, like: Tensor) -> Tensor:
    return (mask if mask.dim() == like.dim() else mask[..., None]).to(like.dtype).expand_as(like)
