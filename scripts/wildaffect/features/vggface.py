"""ResNet-50 of VGGFace2 as Keras computes it, with a layer of features and one of seven expressions behind it (CNU_ADL spec 3.1).

Q. Cao et al., VGGFace2: A dataset for recognising faces across pose and age, FG 2018.

Strides sit on the first 1x1 convolution of a stage. Convolutions are padded as TensorFlow pads them ("same"), pooling not at all: the maps
have 112, 55, 55, 28, 14 and 7 pixels a side. torchvision's network of the same name differs in all of this.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wildaffect.features.networks import channels_last

CHANNELS = (64, 256, 512, 1024, 2048)
"""Outputs of the first layer and of the four stages."""
FEATURES = 2048
# Blue, green, red of VGGFace2; nothing is divided.
MEAN = (91.4953, 103.8827, 131.0912)
PREPARATION = f"BGR, 224 pixels (bilinear), minus {MEAN}"
SIDE = 224


def scaled(channels: int, width: float) -> int:
    """Channels of a layer in a narrower network."""
    return max(1, round(channels * width))


def prepared(images: Tensor) -> Tensor:
    """Images uint8 RGB (n, S, S, 3) -> float32 BGR (n, 3, 224, 224) minus the mean."""
    mean = torch.tensor(MEAN, device=images.device)
    # Channel by channel takes half the time of permuting the whole image.
    planes = torch.stack([images[..., channel].float() for channel in (2, 1, 0)], dim=1).sub_(mean[:, None, None])
    return planes if planes.shape[2] == SIDE else F.interpolate(planes, (SIDE, SIDE), mode="bilinear")


def padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """``x`` (n, c, H, W) with the zeros that TensorFlow's "same" puts around it: what is odd goes below and to the right."""
    missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
    (top, left), (bottom, right) = ([side // 2 for side in missing], [side - side // 2 for side in missing])
    return F.pad(x, (left, right, top, bottom)) if any(missing) else x


class ConvNorm(nn.Module):
    """Convolution without bias and batch norm with Keras' constants."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        nn.init.orthogonal_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(padded(x, self.conv.kernel_size[0], self.conv.stride[0])))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a sum with the input, which is projected where ``project``."""

    def __init__(self, inputs: int, outputs: int, stride: int, project: bool) -> None:
        super().__init__()
        inner = max(1, outputs // 4)
        self.reduce = ConvNorm(inputs, inner, 1, stride)
        self.middle = ConvNorm(inner, inner, 3)
        self.increase = ConvNorm(inner, outputs)
        self.proj = ConvNorm(inputs, outputs, 1, stride) if project else None

    def forward(self, x: Tensor) -> Tensor:
        residual = self.increase(self.middle(self.reduce(x).relu()).relu())
        return (residual + (x if self.proj is None else self.proj(x))).relu()


class VggFace(nn.Module):
    """Prepared images (n, 3, 224, 224) -> the 2048 features after ReLU and, with ``classes``, their probabilities behind them.

    The defaults are the published network.

    Args:
        width: Multiplies all channels.
        units: Bottlenecks per stage.
        picture_pooling: Averages squares of so many pixels a side before the first layer.
        classes: Number of classes; 0 for features alone.
    """

    def __init__(
        self, width: float = 1.0, units: Sequence[int] = (3, 4, 6, 3), picture_pooling: int = 1, classes: int = 7
    ) -> None:
        super().__init__()
        self._pooling = picture_pooling
        channels = [scaled(count, width) for count in CHANNELS]
        self.conv1 = ConvNorm(3, channels[0], 7, 2)
        for stage, count in enumerate(units, 2):
            before, after = channels[stage - 2], channels[stage - 1]
            for number in range(1, count + 1):
                first = number == 1
                stride = 2 if first and stage > 2 else 1
                setattr(self, f"conv{stage}_{number}", Bottleneck(before if first else after, after, stride, first))
        self.features = nn.Linear(channels[-1], scaled(FEATURES, width))
        self.predictions = nn.Linear(scaled(FEATURES, width), classes, bias=False) if classes else None

    def forward(self, x: Tensor) -> Tensor:
        if self._pooling > 1:
            x = F.avg_pool2d(x, self._pooling)
        x = channels_last(x, self)
        x = F.max_pool2d(self.conv1(x).relu(), 3, 2)
        for _, unit in self.units():
            x = unit(x)
        x = self.features(x.mean(dim=(2, 3))).relu()
        return x if self.predictions is None else torch.cat([x, self.predictions(x).softmax(dim=1)], dim=1)

    def units(self) -> list[tuple[str, Bottleneck]]:
        """Bottlenecks by name, in the order of computation."""
        return [(name, part) for name, part in self.named_children() if isinstance(part, Bottleneck)]

    def lower(self) -> list[nn.Module]:
        """Everything before the third stage, which the authors froze."""
        return [self.conv1, *(part for name, part in self.units() if name.startswith(("conv2", "conv3")))]
