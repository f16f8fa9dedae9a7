"""Memory layout of images in convolutional networks."""

import torch
from torch import Tensor, nn

SAFE_CHANNELS = 8


def channels_last(images: Tensor, network: nn.Module) -> Tensor:
    """``images`` (n, c, H, W) as ``network`` computes them fastest; the values stay.

    Channels innermost take a third less time on CPUs. They are not used where a strided 1x1 convolution has fewer than 8 input channels:
    on processors with AVX2 but without AVX-512, oneDNN's backward pass of such a convolution (PyTorch 2.11) writes beyond its buffers.
    """
    return images.contiguous(memory_format=torch.channels_last) if _is_safe(network) else images.contiguous()


def _is_safe(network: nn.Module) -> bool:
    return not any(
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and layer.stride != (1, 1)
        and layer.in_channels < SAFE_CHANNELS
        for layer in network.modules()
    )
