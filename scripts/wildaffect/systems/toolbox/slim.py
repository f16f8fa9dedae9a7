"""Convolutional networks with fewer channels than published, for small machines."""

from torch import nn

# Layers with so few channels take the images themselves.
INPUTS = 4


def scaled(channels: int, width: float) -> int:
    """Channels of a layer that has ``channels`` in the published network; those of the inputs stay."""
    return channels if channels <= INPUTS else max(1, round(channels * width))


def scale_channels(network: nn.Module, width: float) -> None:
    """Replace all convolutions and batch norms, in place, by ones with ``width`` times the channels, initialised as torchvision does.

    Every layer is scaled by the same rule, so they still fit together; names and number of the parameters stay.
    """
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            shape = (layer.kernel_size, layer.stride, layer.padding)
            new: nn.Module = type(layer)(
                scaled(layer.in_channels, width), scaled(layer.out_channels, width), *shape, bias=False
            )
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            new = type(layer)(scaled(layer.num_features, width))
        else:
            continue
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, new)
