"""What networks that make features have in common: loading weights, and memory layout."""

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from wildaffect.errors import InputError


def load_exactly(network: torch.nn.Module, state: Mapping[str, torch.Tensor], path: str | os.PathLike) -> None:
    """Load ``state``, read from ``path``: every tensor of ``network`` required, in its shape, and no other accepted.

    Only the counters of batch normalisation, which old files lack and evaluation does not use, may be absent.
    """
    name, own = type(network).__name__, network.state_dict()
    state = {key: value for key, value in own.items() if key.endswith(".num_batches_tracked")} | dict(state)
    if state.keys() != own.keys():
        missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        raise InputError(f"{path}: not weights of {name} (missing: {missing[:4]}, not expected: {extra[:4]}).")
    for key, value in own.items():
        if state[key].shape != value.shape:
            raise InputError(f"{path}: {key} has shape {tuple(state[key].shape)}, {name} needs {tuple(value.shape)}.")
    # Half-precision files are computed with in single precision; counters stay whole numbers.
    single = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    network.load_state_dict(single, assign=True)


SAFE_CHANNELS = 8


def channels_last(images: Tensor, network: nn.Module) -> Tensor:
    """``images`` (n, c, H, W) as ``network`` computes them fastest; the values stay.

    Channels innermost take a third less time on CPUs. They are not used where a strided 1x1 convolution has fewer than 8 input channels:
    on processors with AVX2 but without AVX-512, oneDNN's backward pass of such a convolution (PyTorch 2.11) writes beyond its buffers.
    """
    return images.contiguous(memory_format=torch.channels_last) if innermost_is_safe(network) else images.contiguous()


def innermost_is_safe(network: nn.Module) -> bool:
    """Whether no layer of ``network`` is one that channels innermost would break, see `channels_last`."""
    return not any(
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and layer.stride != (1, 1)
        and layer.in_channels < SAFE_CHANNELS
        for layer in network.modules()
    )
