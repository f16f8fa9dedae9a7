"""Batch norms of a model that several processes train together: each sees the rows of a batch on all of them, frozen ones too.

PyTorch has such a norm for GPUs alone.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


class GpuNorm(nn.SyncBatchNorm):
    """PyTorch's norm.

    Attributes:
        counts: Whether the rows of this process are part of the batch. A batch may have fewer rows than there are processes; each still
            needs a row to compute with.
    """

    counts: bool = True

    def forward(self, input: Tensor) -> Tensor:
        """(n, channels, ...), normalised."""
        return _counted(self, super().forward, input) if self.training else super().forward(input)


class CpuNorm(_BatchNorm):
    """The same on CPUs; ``counts`` is that of :class:`GpuNorm`."""

    counts: bool = True

    def forward(self, input: Tensor) -> Tensor:
        """(n, channels, ...), normalised."""
        return _counted(self, self._together, input) if self.training else super().forward(input)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any is right: each norm stands for one that has been chosen for its input."""

    def _together(self, own: Tensor) -> Tensor:
        """By the moments of the rows of all processes, through which gradients flow back to all of them."""
        axes, shape = [0, *range(2, own.dim())], [1, -1, *[1] * (own.dim() - 2)]
        rows = own.to(torch.promote_types(own.dtype, torch.float32))
        size = torch.tensor(float(own.numel() // self.num_features), dtype=rows.dtype)
        torch.distributed.all_reduce(size)
        mean = all_reduce(rows.sum(axes)) / size
        centred = rows - mean.view(shape)
        variance = all_reduce(centred.square().sum(axes)) / size
        self._remember(mean.detach(), variance.detach() * size / (size - 1).clamp(min=1))
        found = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            found = found * self.weight.view(shape) + self.bias.view(shape)
        return found.to(own.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)


def share_norms(model: nn.Module, device: str) -> list[GpuNorm | CpuNorm]:
    """Replace all batch norms of ``model``, in place, by ones that see the batch of all processes, and return those.

    ``device``: ``cpu`` or ``cuda``.
    """
    kind = GpuNorm if device == "cuda" else CpuNorm
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, _BatchNorm):
                setattr(parent, name, _of(kind, layer))
    return [layer for layer in model.modules() if isinstance(layer, kind)]


def _of(kind: type[GpuNorm] | type[CpuNorm], norm: _BatchNorm) -> GpuNorm | CpuNorm:
    """A norm of another kind with the tensors and the state of ``norm``."""
    shared = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    shared._parameters, shared._buffers, shared.training = norm._parameters, norm._buffers, norm.training
    return shared


def _counted(norm: GpuNorm | CpuNorm, together: Callable[[Tensor], Tensor], input: Tensor) -> Tensor:
    """``together`` of the rows that count. Others, which no one reads, are normalised as in prediction, in the same exchange."""
    if norm.counts:
        return together(input)
    if norm.running_mean is None or norm.running_var is None:
        return input + together(input[:0]).sum()
    known = norm.running_mean.clone(), norm.running_var.clone()  # these change before gradients are computed
    return F.batch_norm(input, *known, norm.weight, norm.bias, eps=norm.eps) + together(input[:0]).sum()
