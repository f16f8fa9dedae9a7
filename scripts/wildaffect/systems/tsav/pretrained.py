"""Initial weights from torchvision's files, cut to TSAV's inputs (TSAV spec 3.2)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, WeightsEnum
from torchvision.models.video import R2Plus1D_18_Weights

from wildaffect.errors import InputError
from wildaffect.systems.tsav.model import TwoStream
from wildaffect.systems.weights import load_state, read_weights

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
