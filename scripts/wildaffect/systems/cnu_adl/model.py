"""The CNU_ADL networks (CNU_ADL spec 3). The originals are Keras models: the names of the tensors are ours, keras_files.py maps them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from wildaffect.features.vggface import FEATURES, VggFace, prepared, scaled
from wildaffect.systems.cnu_adl.spec import NETWORK_CLASSES

CLASSES = len(NETWORK_CLASSES)
BRANCHES = {"class": CLASSES, "aro": 1, "val": 1, "aroval": 5}
"""The four heads and their outputs, in the original's order."""

HIDDEN = {
    "image": ((1024, 1024), (1024, 1024)),
    "frames_stat": ((1024,), (1024, 1024)),
    "stat_bilstm": ((1024,), (1024, 1024)),
}
"""Published hidden layers of the classification head and of the other three (CNU_ADL spec 3.3): t8 and t15, t31, t45."""

# Pictures that the face network sees at once when it only predicts.
AT_ONCE = 64


def build(
    variant: str,
    *,
    classification: Sequence[int] | None = None,
    regression: Sequence[int] | None = None,
    dropout: float = 0.1,
    repeat_dropout: bool = False,
    lstm_units: int = 1024,
    width: float = 1.0,
    units: Sequence[int] = (3, 4, 6, 3),
    image_pooling: int = 1,
    norm_momentum: float = 0.01,
    with_face: bool = True,
) -> "Affect":
    """``image`` (t8, t15; t12 with hidden layers (2048,) in all heads), ``frames_stat`` (t31) or ``stat_bilstm`` (t45).

    ``classification`` and ``regression``: hidden layers of the heads, None for the variant's published ones. ``repeat_dropout``: the
    classification head of the frame variants drops twice before its output, as the original does. ``width``, ``units`` and
    ``image_pooling`` shrink the face network, see :class:`VggFace`; its batch norms remember ``norm_momentum`` of a batch.
    Without a face network (``with_face``) the model works on stored vectors of one.
    """
    frames = variant != "image"
    hidden = [
        published if given is None else tuple(given)
        for published, given in zip(HIDDEN[variant], (classification, regression), strict=True)
    ]
    classes = CLASSES if frames else 0
    face = VggFace(width, units, image_pooling, classes) if with_face else None
    for layer in face.modules() if face is not None else ():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = norm_momentum
    temporal = BiLstm(lstm_units, dropout) if variant == "stat_bilstm" else None
    features = scaled(FEATURES, width)
    inputs = features + 4 * CLASSES * frames + (2 * lstm_units if temporal is not None else 0)
    heads = nn.ModuleDict(
        {
            name: Head(inputs, hidden[name != "class"], outputs, dropout, repeat_dropout and frames and name == "class")
            for name, outputs in BRANCHES.items()
        }
    )
    return Affect(face, temporal, heads, features, frames)


class BiLstm(nn.Module):
    """Two stacked bidirectional LSTMs over probabilities (n, T, 7) -> final states of both directions (n, 2 units).

    Dropout is constant over time, as in Keras, on the inputs of both layers; the original also drops recurrent states, for which PyTorch's
    layer has no means (CNU_ADL spec 7.3).
    """

    def __init__(self, units: int, dropout: float) -> None:
        super().__init__()
        self.layer1 = nn.LSTM(CLASSES, units, batch_first=True, bidirectional=True)
        self.layer2 = nn.LSTM(2 * units, units, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, series: Tensor) -> Tensor:
        series, _ = self.layer1(series * self._kept(series))
        _, (state, _) = self.layer2(series * self._kept(series))
        return torch.cat([state[0], state[1]], dim=1)

    def _kept(self, series: Tensor) -> Tensor:
        return self.dropout(torch.ones_like(series[:, :1]))


class Head(nn.Module):
    """Dropout, hidden layers with ReLU and dropout after each, output without activation (CNU_ADL spec 3.2)."""

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, dropout: float, repeat_dropout: bool) -> None:
        super().__init__()
        sizes = [inputs, *hidden]
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.predictions = nn.Linear(sizes[-1], outputs)
        self.dropout = nn.Dropout(dropout)
        self.repeated = nn.Dropout(dropout if repeat_dropout else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(x)
        for layer in self.hidden:
            x = self.dropout(layer(x).relu())
        return self.predictions(self.repeated(x))


class Affect(nn.Module):
    """Faces -> (B, L, 14): scores of the seven expressions in the network's order; arousal, valence, five auxiliary values in [-1, 1].

    ``images`` uint8 RGB (B, P, S, S, 3): the P images that the L frames of a sample need together, or in their place ``vectors``
    (B, P, features + 7), what a face network says to them. ``block`` int64 (B, L, T): for each frame the images of its block among these,
    itself last. Every image passes the face network once, however many blocks show it; the original passes T + 2 per frame.
    """

    def __init__(
        self, face: VggFace | None, temporal: BiLstm | None, heads: nn.ModuleDict, features: int, frames: bool
    ) -> None:
        """``features``: columns of the face network; ``frames``: blocks are summed up, not only the frame itself is used."""
        super().__init__()
        self.face: Any = face
        self.temporal, self.heads = temporal, heads
        self._features, self._frames = features, frames

    def forward(self, block: Tensor, images: Tensor | None = None, vectors: Tensor | None = None) -> Tensor:
        if vectors is None:
            if self.face is None or images is None:
                raise ValueError("a sample needs images and a face network, or vectors")
            vectors = self._face_vectors(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        sample = torch.arange(len(block), device=block.device)[:, None]
        joint = vectors[sample, block[..., -1]]
        if self._frames:
            probabilities = vectors[sample[..., None], block][..., -CLASSES:]
            summary = [probabilities.amax(dim=2), probabilities.amin(dim=2), probabilities.mean(dim=2)]
            joint = torch.cat([*summary, joint], dim=2)
            if self.temporal is not None:
                states = self.temporal(probabilities.flatten(0, 1)).unflatten(0, block.shape[:2])
                joint = torch.cat([joint, states], dim=2)
        else:
            joint = joint[..., : self._features]
        found = {name: head(joint) for name, head in self.heads.items()}
        return torch.cat([value if name == "class" else value.tanh() for name, value in found.items()], dim=2)

    def _face_vectors(self, images: Tensor) -> Tensor:
        """Vectors of images (n, S, S, 3), in parts where this changes nothing."""
        parts = [images] if self.training else images.split(AT_ONCE)
        return torch.cat([self.face(prepared(part)) for part in parts])
