"""The NTUA networks: a ResNet per stream, their features joined, a recurrent layer over the frames (NTUA spec 3).

Parameter names and order are those of the original checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torchvision.models import resnet18, resnet50

from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.systems.ntua.spec import STREAMS
from wildaffect.systems.toolbox import scale_channels, scaled
from wildaffect.systems.weights import load_state
from wildaffect.weights import read_weights

TRUNKS = {"resnet18": resnet18, "resnet50": resnet50}
CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
# Outputs that the reference networks have; the other number is as good.
OUTPUTS = {"visual": len(VALENCE_AROUSAL), "aural": len(EXPRESSIONS7), "face": len(EXPRESSIONS7)}
# ImageNet's mean and standard deviation of red, green, blue (NTUA spec 2.7).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Positions of torchvision's layers in a trunk (NTUA spec 3.4).
POSITIONS = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def build(
    variant: str,
    *,
    outputs: int | None = None,
    streams: Sequence[str] | None = None,
    face: str | None = None,
    scene: str = "resnet50",
    cell: str = "lstm",
    hidden: int = 512,
    layers: int = 1,
    dropout: float = 0.1,
    width: float = 1.0,
    image_pooling: int = 1,
    mel_pooling: int = 1,
    feature_dropout: float = 0.0,
) -> "StreamNetwork":
    """``visual``, ``aural`` or ``face`` with ``outputs`` 2 (valence, arousal) or 7 (expression logits), in the published form by default.

    ``streams`` leaves some of the variant's out, ``face`` is the trunk of the face or of the audio, ``scene`` that of body and context;
    see spec.py for the rest.
    """
    chosen = [name for name in STREAMS[variant] if streams is None or name in streams]
    kind = face or ("resnet18" if variant == "aural" else "resnet50")
    # In the order of the original's checkpoints, which is not that of joining; the first release had one trunk and called it otherwise.
    first = "features" if variant == "face" else "face_model"
    names = {"body": "body_model", "context": "context_model", "face": first, "audio": first}
    return StreamNetwork(
        {name: (names[name], scene if name in ("body", "context") else kind) for name in names if name in chosen},
        joined=chosen,
        recurrent=partial(
            CELLS[cell],
            hidden_size=hidden,
            num_layers=layers,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,  # nowhere to drop in a single layer; torch would warn
            bidirectional=variant != "face",
        ),
        outputs=outputs or OUTPUTS[variant],
        width=width,
        dropout=feature_dropout,
        poolings={name: (1, mel_pooling) if name == "audio" else (image_pooling,) * 2 for name in chosen},
    )


class StreamNetwork(nn.Module):
    """Images of every stream of B chunks of t frames -> raw outputs (B * t, outputs), no activation on them (NTUA spec 3.3)."""

    def __init__(
        self,
        trunks: Mapping[str, tuple[str, str]],
        *,
        joined: Sequence[str],
        recurrent: Callable[[int], nn.RNNBase],
        outputs: int,
        width: float,
        dropout: float,
        poolings: Mapping[str, tuple[int, int]],
    ) -> None:
        """``trunks``: module name and kind of each stream, in the order of the parameters; ``joined``: the order of the features.

        ``recurrent`` makes the recurrent layer for a number of features. ``dropout`` acts on what it reads and on its states.
        ``poolings``: rows and columns averaged before each trunk.
        """
        super().__init__()
        self.streams = tuple(joined)
        self.modules_of = {name: module for name, (module, _) in trunks.items()}
        self._poolings = poolings
        size = 0
        for module, kind in trunks.values():
            network = TRUNKS[kind](weights=None)
            size += scaled(network.fc.in_features, width)
            if width != 1:
                scale_channels(network, width)
            setattr(self, module, nn.Sequential(*list(network.children())[:-1]))
        self.rnn = recurrent(size)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.rnn.hidden_size * (1 + self.rnn.bidirectional), outputs)

    def forward(self, valid: Tensor | None = None, **streams: Tensor) -> Tensor:
        """``streams``: normalised float32 (B, t, 3, H, W) of each; audio windows are images too, of mel bands and columns.

        Images of one channel are repeated to three; how the original made three of an audio window is not known.

        ``valid`` bool (B, t) says which frames are not padding, the first ones of each chunk. The others are then shown to no layer, nor do
        they count in batch statistics; their outputs mean nothing. None takes all frames, padding too, as the original does.
        """
        features = self.dropout(torch.cat([self.encode(name, streams[name], valid) for name in self.streams], dim=2))
        if valid is None:
            states, _ = self.rnn(features)
        else:
            lengths = valid.sum(dim=1).cpu()
            packed, _ = self.rnn(pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False))
            states, _ = pad_packed_sequence(packed, batch_first=True, total_length=features.shape[1])
        return self.fc(self.dropout(states.flatten(0, 1)))

    def encode(self, stream: str, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Features (B, t, d) of one stream, zero where not ``valid``."""
        chunks, frames = images.shape[:2]
        flat = images.flatten(0, 1) if valid is None else images[valid]
        if max(self._poolings[stream]) > 1:
            flat = F.avg_pool2d(flat, self._poolings[stream])
        if flat.shape[1] == 1:
            flat = flat.expand(-1, 3, -1, -1)
        vectors = self.get_submodule(self.modules_of[stream])(flat).flatten(1)
        if valid is None:
            return vectors.unflatten(0, (chunks, frames))
        spread = vectors.new_zeros(chunks, frames, vectors.shape[1])
        spread[valid] = vectors
        return spread


def normalised(images: Tensor) -> Tensor:
    """uint8 (B, t, H, W, 3) -> float32 (B, t, 3, H, W) as ImageNet's weights want it; a black image does not become zero."""
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, STD))
    planes = images.permute(0, 1, 4, 2, 3).contiguous().float()
    return planes.div_(255).sub_(mean).div_(std)


def load_trunk(trunk: nn.Sequential, path: str | Path) -> dict[str, Any]:
    """Load initial weights of a ResNet, in torchvision's names, into a trunk of its kind (NTUA spec 3.2); returns the record of the file.

    The classifier ``fc`` is left out, whatever its size, and the prefix ``module.`` of networks on several GPUs is cut. Files of before
    2018 do not count batches; that number has no use.
    """
    state, digest = read_weights(path)
    counters = {key: value for key, value in trunk.state_dict().items() if key.endswith("num_batches_tracked")}
    renamed = {}
    for key, value in state.items():
        layer, _, rest = key.removeprefix("module.").partition(".")
        if layer != "fc":
            renamed[f"{POSITIONS.get(layer, layer)}.{rest}"] = value
    load_state(trunk, counters | renamed, path)
    return {"file": str(path), "sha256": digest}
