"""The TSAV network: R(2+1)D-18 over a clip, ResNet-18 over a mel image, one linear layer (TSAV spec 3).

Parameter names and order are those of the original checkpoint. Initial weights come from torchvision's files, cut to
TSAV's inputs (TSAV spec 3.2).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet18_Weights, WeightsEnum, resnet18
from torchvision.models.video import R2Plus1D_18_Weights, r2plus1d_18

from wildaffect.errors import InputError
from wildaffect.systems.toolbox import scale_channels, scaled
from wildaffect.systems.tsav.spec import OUTPUTS
from wildaffect.systems.weights import load_state
from wildaffect.weights import read_weights

STREAMS = ("audio", "video")
CHANNELS = 4
FEATURES = 512
# Red, green, blue of Kinetics-400, and the landmark drawing (TSAV spec 4).
MEAN = (0.43216, 0.394666, 0.37645, 0.5)
STD = (0.22803, 0.22145, 0.216989, 0.225)


def build(
    variant: str,
    *,
    width: float = 1.0,
    image_pooling: int = 1,
    mel_pooling: int = 1,
    dropout: float = 0.0,
    streams: Sequence[str] = STREAMS,
) -> "TwoStream":
    """The one variant, ``two_stream``. The options make it another than published: see :class:`TwoStream`."""
    return {"two_stream": TwoStream}[variant](width, image_pooling, mel_pooling, dropout, streams)


class TwoStream(nn.Module):
    """Clip (B, 4, 8, 112, 112) and mel image (B, 1, 64, 1001) -> raw outputs (B, 17); no activation on any of them.

    ``width`` multiplies the number of channels of every layer. ``image_pooling`` averages squares of that many pixels before the first
    video layer, ``mel_pooling`` that many neighbouring columns before the first audio layer. ``streams`` may leave one out. The defaults
    are the published network.
    """

    def __init__(
        self,
        width: float = 1.0,
        image_pooling: int = 1,
        mel_pooling: int = 1,
        dropout: float = 0.0,
        streams: Sequence[str] = STREAMS,
    ) -> None:
        super().__init__()
        if "audio" in streams:
            self.audio_model = AudioStream(width)
        if "video" in streams:
            self.video_model = VideoStream(width)
        # The published dropout never drops anything; it gives the linear layer its name.
        self.fc = nn.Sequential(nn.Dropout(dropout), nn.Linear(len(streams) * scaled(FEATURES, width), len(OUTPUTS)))
        self._image_pooling, self._mel_pooling = image_pooling, mel_pooling

    def forward(self, clip: Tensor | None = None, audio_features: Tensor | None = None) -> Tensor:
        """Normalised inputs of the streams that there are; the audio's half of the joint vector comes first."""
        vectors = []
        if audio_features is not None:
            if self._mel_pooling > 1:
                audio_features = F.avg_pool2d(audio_features, (1, self._mel_pooling))
            vectors.append(self.audio_model(audio_features))
        if clip is not None:
            if self._image_pooling > 1:
                clip = F.avg_pool3d(clip, (1, self._image_pooling, self._image_pooling))
            vectors.append(self.video_model(clip))
        return self.fc(torch.cat(vectors, dim=1))


class AudioStream(nn.Module):
    """ResNet-18 with one input channel and no classifier: (B, 1, 64, T) -> (B, 512)."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.resnet = resnet18(weights=None)
        self.resnet.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.resnet.fc = nn.Identity()
        if width != 1:
            scale_channels(self.resnet, width)

    def forward(self, image: Tensor) -> Tensor:
        """Globally pooled features."""
        return self.resnet(image)


class VideoStream(nn.Module):
    """R(2+1)D-18 with a fourth input channel and no classifier: (B, 4, T, H, W) -> (B, 512)."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.r2plus1d = r2plus1d_18(weights=None)
        self.r2plus1d.stem[0] = nn.Conv3d(CHANNELS, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
        self.r2plus1d.fc = nn.Identity()
        if width != 1:
            scale_channels(self.r2plus1d, width)

    def forward(self, clip: Tensor) -> Tensor:
        """Globally pooled features."""
        return self.r2plus1d(clip)


def normalised(clip: Tensor) -> Tensor:
    """uint8 (B, T, H, W, 4) or float32, then overwritten, -> float32 (B, 4, T, H, W) as the network wants it; black does not become zero.

    The channels stay innermost in memory, which saves moving them and costs the network nothing.
    """
    mean, std = (torch.tensor(values, device=clip.device).repeat(clip.shape[3]) for values in (MEAN, STD))
    lines = clip.flatten(3).float()  # whole lines of pixels: long enough to be processed at full speed
    return lines.mul_(1 / (255 * std)).sub_(mean / std).unflatten(3, (-1, CHANNELS)).permute(0, 4, 1, 2, 3)


State = dict[str, Tensor]


def load_video(model: TwoStream, path: str | Path) -> dict[str, Any]:
    """Kinetics-400 weights into the video stream; returns the record of the file. The fourth input keeps its random weights."""
    network = model.video_model.r2plus1d

    def fit(state: State) -> State:
        own = network.stem[0].weight.detach()
        return state | {"stem.0.weight": torch.cat([state["stem.0.weight"], own[:, 3:].cpu()], dim=1)}

    return _load(network, path, R2Plus1D_18_Weights.KINETICS400_V1, "stem.0.weight", fit)


def load_audio(model: TwoStream, path: str | Path) -> dict[str, Any]:
    """ImageNet weights into the audio stream, the first layer averaged over the colours; returns the record of the file."""

    def fit(state: State) -> State:
        return state | {"conv1.weight": state["conv1.weight"].mean(dim=1, keepdim=True)}

    return _load(model.audio_model.resnet, path, ResNet18_Weights.IMAGENET1K_V1, "conv1.weight", fit)


def _load(
    network: nn.Module, path: str | Path, source: WeightsEnum, first: str, fit: Callable[[State], State]
) -> dict[str, Any]:
    path, official = Path(path), source.url.rpartition("/")[2]
    if not path.is_file():
        raise InputError(f"{path}: weight file not found. Download {source.url} ({source}), or set the option to null.")
    state, digest = read_weights(path)
    # torchvision names a file after the first digits of its hash.
    if path.name == official and not digest.startswith(path.stem.rpartition("-")[2]):
        raise InputError(f"{path}: SHA-256 is {digest}, which is not what its name says. Download {source.url} again.")
    outputs = network.get_submodule(first.removesuffix(".weight")).out_channels
    if first not in state or tuple(state[first].shape[:2]) != (outputs, 3):
        raise InputError(
            f"{path}: does not fit: {first} should have {outputs} outputs and 3 inputs. Expected {source}, which fits a network of "
            "width 1 only."
        )
    kept = {key: value for key, value in fit(state).items() if not key.startswith("fc.")}
    load_state(network, kept, path)
    return {"file": str(path), "sha256": digest}
