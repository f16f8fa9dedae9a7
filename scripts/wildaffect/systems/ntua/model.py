"""The NTUA networks: a ResNet per stream, their features joined, a recurrent layer over the frames (NTUA spec 3).

Parameter names and order are those of the original checkpoints.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torchvision.models import resnet18, resnet50

from wildaffect.systems.ntua.spec import EXPRESSIONS, STREAMS, VALENCE_AROUSAL
from wildaffect.systems.widths import scaled, widen

TRUNKS = {"resnet18": resnet18, "resnet50": resnet50}
CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
# Outputs that the reference networks have; the other number is as good.
OUTPUTS = {"visual": len(VALENCE_AROUSAL), "aural": len(EXPRESSIONS), "face": len(EXPRESSIONS)}
# ImageNet's mean and standard deviation of red, green, blue (NTUA spec 2.7).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


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
    picture_pooling: int = 1,
    mel_pooling: int = 1,
) -> "StreamNetwork":
    """``visual``, ``aural`` or ``face`` with ``outputs`` 2 (valence, arousal) or 7 (expression logits), in the published form by default.

    ``streams`` leaves some of the variant's out, ``face`` is the trunk of the face or of the sound, ``scene`` that of body and context;
    see schema.yaml for the rest.
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
        poolings={name: (1, mel_pooling) if name == "audio" else (picture_pooling,) * 2 for name in chosen},
    )


class StreamNetwork(nn.Module):
    """Pictures of every stream of B chunks of t frames -> raw outputs (B * t, outputs), no activation on them (NTUA spec 3.3)."""

    def __init__(
        self,
        trunks: Mapping[str, tuple[str, str]],
        *,
        joined: Sequence[str],
        recurrent: Callable[[int], nn.RNNBase],
        outputs: int,
        width: float,
        poolings: Mapping[str, tuple[int, int]],
    ) -> None:
        """``trunks``: module name and kind of each stream, in the order of the parameters; ``joined``: the order of the features.

        ``recurrent`` makes the recurrent layer for a number of features. ``poolings``: rows and columns averaged before each trunk.
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
                widen(network, width)
            setattr(self, module, nn.Sequential(*list(network.children())[:-1]))
        self.rnn = recurrent(size)
        self.fc = nn.Linear(self.rnn.hidden_size * (1 + self.rnn.bidirectional), outputs)

    def forward(self, valid: Tensor | None = None, **streams: Tensor) -> Tensor:
        """``streams``: normalised float32 (B, t, 3, H, W) of each; sound windows are pictures too, of mel bands and columns.

        Pictures of one channel are repeated to three; how the original made three of a sound window is not known.

        ``valid`` bool (B, t) says which frames are not padding, the first ones of each chunk. The others are then shown to no layer, nor do
        they count in batch statistics; their outputs mean nothing. None takes all frames, padding too, as the original does.
        """
        features = torch.cat([self.encode(name, streams[name], valid) for name in self.streams], dim=2)
        if valid is None:
            states, _ = self.rnn(features)
        else:
            lengths = valid.sum(dim=1).cpu()
            packed, _ = self.rnn(pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False))
            states, _ = pad_packed_sequence(packed, batch_first=True, total_length=features.shape[1])
        return self.fc(states.flatten(0, 1))

    def encode(self, stream: str, pictures: Tensor, valid: Tensor | None = None) -> Tensor:
        """Features (B, t, d) of one stream, zero where not ``valid``."""
        chunks, frames = pictures.shape[:2]
        flat = pictures.flatten(0, 1) if valid is None else pictures[valid]
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


def normalised(pictures: Tensor) -> Tensor:
    """uint8 (B, t, H, W, 3) -> float32 (B, t, 3, H, W) as ImageNet's weights want it; a black picture does not become zero."""
    mean, std = (torch.tensor(values, device=pictures.device)[:, None, None] for values in (MEAN, STD))
    planes = pictures.permute(0, 1, 4, 2, 3).contiguous().float()
    return planes.div_(255).sub_(mean).div_(std)
