"""LFAN networks with the parameter names and order of the original checkpoints (LFAN spec 3)."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wildaffect.features.networks import channels_last

IMAGE = 40
CHANNELS = (64, 64, 128, 256, 512)
UNITS = (3, 4, 14, 3)
WIDTHS = (128, 39)
"""Columns of VGGish and MFCC."""
VISUAL_CHANNELS = 128
AUDIO_CHANNELS = 32
TOKEN = 32


def build(
    variant: str,
    *,
    units: Sequence[int] = UNITS,
    channels: Sequence[int] = CHANNELS,
    embedding: int = 512,
    pooling: int = 1,
    dropout: float = 0.4,
    widths: Sequence[int] = WIDTHS,
    causal: bool = True,
    temporal_dropout: float = 0.1,
    outputs: int = 1,
) -> nn.Module:
    """``unimodal`` or ``multimodal`` model with one output, or two for both emotions.

    ``widths``: columns of each feature of ``multimodal``. ``causal`` and ``temporal_dropout`` belong to the temporal networks, the other
    options to the face network. The defaults are the published network.
    """
    backbone = Ir50(units, channels, embedding, pooling, dropout)
    temporal = partial(TemporalNetwork, causal=causal, dropout=temporal_dropout)
    if variant == "unimodal":
        return Unimodal(backbone, embedding, temporal, outputs)
    return LeaderFollower(backbone, embedding, temporal, widths, outputs)


class ResidualUnit(nn.Module):
    """Improved-residual unit: norm, conv, PReLU, strided conv, norm; nothing after the sum (LFAN spec 3.1)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        if inputs == outputs:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class Ir50(nn.Module):
    """IR network for (n, 3, 40, 40) images in [-1, 1] -> unit vectors (n, embedding).

    Its first layers run in inference mode as far as they are frozen and in evaluation mode; after them training begins.
    """

    def __init__(
        self, units: Sequence[int], channels: Sequence[int], embedding: int, pooling: int, dropout: float
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.units = tuple(units)
        stem, *stages = channels
        self.input_layer = nn.Sequential(nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.PReLU(stem))
        side = IMAGE // pooling
        for _ in stages[1:]:
            side = math.ceil(side / 2)
        # Registered before the body, as in the original: the order of parameters is part of its checkpoints.
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(stages[-1]),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(stages[-1] * side * side, embedding),
            nn.BatchNorm1d(embedding),
        )
        widths = [(stem, stages[0]), *pairwise(stages)]
        self.body = nn.Sequential(
            *(
                ResidualUnit(inputs if unit == 0 else outputs, outputs, 2 if unit == 0 and stage > 0 else 1)
                for stage, (inputs, outputs) in enumerate(widths)
                for unit in range(units[stage])
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.pooling > 1:
            x = F.avg_pool2d(x, self.pooling)
        x = channels_last(x, self)
        parts = self.parts()
        learning = next((number for number, part in enumerate(parts) if not _rests(part)), len(parts))
        if learning and torch.is_grad_enabled():
            with torch.inference_mode():
                x = _run(parts[:learning], x)
            x = x.clone()  # made outside, so that what follows may be differentiated
            parts = parts[learning:]
        x = _run(parts, x)
        return x / x.norm(dim=1, keepdim=True)

    def parts(self) -> list[nn.Module]:
        """Input layer, residual units and output layer, in the order of computation."""
        return [self.input_layer, *self.body, self.output_layer]

    def release_groups(self) -> list[list[nn.Module]]:
        """Layers in the order of their gradual release (LFAN spec 5.3): output layer, last stage, last three units of the stage before."""
        last = sum(self.units[:3])
        return [[self.output_layer], [*self.body[last:]], [*self.body[max(last - 3, sum(self.units[:2])) : last]]]


def _rests(part: nn.Module) -> bool:
    return not part.training and not any(parameter.requires_grad for parameter in part.parameters())


def _run(parts: Sequence[nn.Module], x: Tensor) -> Tensor:
    for part in parts:
        x = part(x)
    return x


class WeightNormConv1d(nn.Module):
    """1-D convolution whose kernel is ``weight_g * weight_v / |weight_v|`` per output channel; old parameter names and order.

    The norm starts at that of PyTorch's default kernel: the original's Xavier initialisation never reached these layers (LFAN spec B17).
    ``causal``: an output sees the past alone; otherwise as much of the future as of the past.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int, *, causal: bool) -> None:
        super().__init__()
        plain = nn.Conv1d(inputs, outputs, kernel)
        self.dilation = dilation
        reach = (kernel - 1) * dilation
        self.padding = (reach, 0) if causal else (reach // 2, reach - reach // 2)
        self.bias = nn.Parameter(plain.bias.detach().clone())
        self.weight_g = nn.Parameter(plain.weight.detach().norm(dim=(1, 2), keepdim=True))
        self.weight_v = nn.Parameter(plain.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(1, 2), keepdim=True))
        return F.conv1d(F.pad(x, self.padding), kernel, self.bias, dilation=self.dilation)


class TemporalBlock(nn.Module):
    """Two convolutions with a residual path; the convolutions carry two names each, as in the original files."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int, *, causal: bool, dropout: float) -> None:
        super().__init__()
        self.conv1 = WeightNormConv1d(inputs, outputs, kernel, dilation, causal=causal)
        self.conv2 = WeightNormConv1d(outputs, outputs, kernel, dilation, causal=causal)
        # The convolution pads by itself, so the places of the original's cutting layers (1 and 5) are empty.
        self.net = nn.Sequential(
            self.conv1, nn.Identity(), nn.LeakyReLU(0.01), nn.Dropout1d(dropout),
            self.conv2, nn.Identity(), nn.LeakyReLU(0.01), nn.Dropout1d(dropout),
        )  # fmt: skip
        self.downsample = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None
        if self.downsample is not None:
            nn.init.xavier_uniform_(self.downsample.weight, gain=math.sqrt(2))

    def forward(self, x: Tensor) -> Tensor:
        residual = x if self.downsample is None else self.downsample(x)
        return F.leaky_relu(self.net(x) + residual, 0.01)


class TemporalNetwork(nn.Module):
    """Temporal convolution network (batch, channels, time): 4 blocks, kernel 5, dilations 1 to 8.

    An output sees 121 frames: the present and those before it, or, if not ``causal``, 60 on either side.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        blocks: int = 4,
        kernel: int = 5,
        *,
        causal: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.network = nn.Sequential(
            *(
                TemporalBlock(inputs if i == 0 else channels, channels, kernel, 2**i, causal=causal, dropout=dropout)
                for i in range(blocks)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


Temporal = Callable[[int, int], TemporalNetwork]
"""Makes a temporal network for so many inputs, with so many channels."""


class VisualBranch(nn.Module):
    """Face network per frame, then the visual temporal network."""

    def __init__(self, backbone: Ir50, embedding: int, temporal: Temporal) -> None:
        super().__init__()
        self.spatial = backbone
        self.temporal = temporal(embedding, VISUAL_CHANNELS)

    def visual(self, frame: Tensor, number: Tensor | None) -> Tensor:
        """(B, T, 3, 40, 40) -> (B, T, 128).

        In evaluation mode the face network sees frames of equal ``number`` (B, T), which windows share, once; None: all are different.
        """
        images = frame.flatten(0, 1)
        vectors = self.spatial(images) if number is None or self.training else self._once(images, number.flatten())
        vectors = vectors.unflatten(0, frame.shape[:2])
        return self.temporal(vectors.transpose(1, 2)).transpose(1, 2)

    def _once(self, images: Tensor, number: Tensor) -> Tensor:
        """Vectors of all ``images``, those of equal ``number`` computed together."""
        distinct, which = number.unique(return_inverse=True)
        any_of = which.new_empty(len(distinct)).scatter_(0, which, torch.arange(len(which)).to(which))
        return self.spatial(images[any_of])[which]


class Unimodal(VisualBranch):
    """Face crops -> ``outputs`` values per frame (LFAN spec 3.3)."""

    def __init__(self, backbone: Ir50, embedding: int, temporal: Temporal, outputs: int) -> None:
        super().__init__(backbone, embedding, temporal)
        self.regressor = nn.Linear(VISUAL_CHANNELS, outputs)

    def forward(self, frame: Tensor, number: Tensor | None = None) -> Tensor:
        """``frame`` float32 (B, T, 3, 40, 40) in [-1, 1], with its ``number`` as in `visual` -> (B, T, outputs)."""
        return self.regressor(self.visual(frame, number))


class LeaderFollower(VisualBranch):
    """Face crops and features -> ``outputs`` values per frame; the visual branch leads (LFAN spec 3.4).

    Modality 1 is the visual one, the features (published: VGGish and MFCC) are those after it; features have temporal networks of their
    own, counted from 1.
    """

    def __init__(self, backbone: Ir50, embedding: int, temporal: Temporal, widths: Sequence[int], outputs: int) -> None:
        super().__init__(backbone, embedding, temporal)
        self.modalities = 1 + len(widths)
        for number, width in enumerate(widths, 1):
            self.add_module(f"temporal{number}", temporal(width, AUDIO_CHANNELS))
        for name, inputs in (("encoder", AUDIO_CHANNELS), ("encoderQ", TOKEN), ("encoderV", TOKEN)):
            for number, width in enumerate([VISUAL_CHANNELS, *[inputs] * len(widths)], 1):
                self.add_module(f"{name}{number}", nn.Linear(width, TOKEN))
        self.gn1 = nn.GroupNorm(8, TOKEN)  # gn1, gn2: in every checkpoint, never used (B16)
        self.gn2 = nn.GroupNorm(8, TOKEN)
        self.ln = nn.LayerNorm([self.modalities, TOKEN])
        self.regressor = nn.Linear(VISUAL_CHANNELS + self.modalities * TOKEN, outputs)

    def attend(self, visual: Tensor, *audio: Tensor) -> Tensor:
        """Attention among the M modalities of one frame: (B, T, 128), then (B, T, 32) each -> (B, T, M, 32).

        Queries and values of the audio tokens come from their keys (B14) and the softmax runs over queries (B15): checkpoints depend
        on both.
        """
        keys = self._encoded("encoder", visual, *audio)
        queries, values = (self._encoded(name, visual, *keys.unbind(dim=-2)[1:]) for name in ("encoderQ", "encoderV"))
        attention = torch.softmax(keys @ queries.transpose(-1, -2) / math.sqrt(TOKEN), dim=-1)
        return self.ln(attention @ values + values)

    def _encoded(self, name: str, *tokens: Tensor) -> Tensor:
        """Each modality by its own encoder (B, T, M, 32)."""
        return torch.stack(
            [self.get_submodule(f"{name}{number}")(token) for number, token in enumerate(tokens, 1)], dim=-2
        )

    def forward(self, frame: Tensor, *features: Tensor, number: Tensor | None = None) -> Tensor:
        """``frame`` and ``number`` as in the unimodal model, ``features`` (B, 1, T, columns) each -> (B, T, outputs)."""
        visual = self.visual(frame, number)
        audio = [
            self.get_submodule(f"temporal{place}")(values.squeeze(1).transpose(1, 2)).transpose(1, 2)
            for place, values in enumerate(features, 1)
        ]
        followers = self.attend(visual, *audio)
        return self.regressor(torch.cat([visual, followers.flatten(-2)], dim=-1))


def normalised(frame: Tensor) -> Tensor:
    """uint8 (B, T, H, W, 3) -> float32 (B, T, 3, H, W) in [-1, 1]; the channels stay innermost in memory."""
    return frame.float().div_(127.5).sub_(1).movedim(-1, 2)
