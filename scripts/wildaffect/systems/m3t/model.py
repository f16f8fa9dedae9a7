"""The M3T networks: a 3-D CNN in two towers, recurrent layers over them, the audio and both together (M3T spec 3).

Parameter names and order are those of the original checkpoints.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wildaffect.errors import InputError
from wildaffect.systems.m3t.checkpoint import AUDIO, CHANNELS, POSITIONS, VARIANTS, VECTORS, advice, is_identity
from wildaffect.systems.toolbox import with_statistics
from wildaffect.weights import read_weights

# Blocks whose output is pooled (M3T spec 3.1).
POOLED = 3


def build(
    variant: str,
    *,
    outputs: int | None = None,
    channels: Sequence[int] = CHANNELS,
    hidden: int = 512,
    audio_hidden: int = 256,
    split_layer: int = 3,
    fc_layers: int = 2,
    vectors: int = VECTORS,
    arousal_vectors: int | None = None,
    image_pooling: int = 1,
    backend: str = "gru",
    audio_columns: int = AUDIO,
    dropout: float = 0.0,
    window_statistics: bool = False,
) -> "Network":
    """One of the five variants; without options it is the published one.

    ``outputs``: 9 (seven expressions, valence, arousal) or 2 (valence, arousal), by default those of the variant. ``vectors``: length of
    the face vectors that both towers receive; with ``arousal_vectors`` the arousal tower receives other ones, of that length (M3T spec
    2.6). ``split_layer``: number of convolutions that the towers share; 5 = all, and one recurrent network for everything.
    ``image_pooling`` 2 averages squares of 2 x 2 pixels first and leaves out the first pooling layer. ``channels`` of the five
    convolutions, ``hidden`` units of the visual and joint recurrent networks, ``audio_hidden`` of that of the audio: for small machines.
    ``audio_columns``: length of the audio's rows. ``dropout``, ``window_statistics``: see :class:`Recurrent`.
    ``backend`` ``tcn_simple``: two convolutions over time instead of the recurrent network of each visual tower (M3T spec 3.8).
    """
    form = VARIANTS[variant]
    outputs = form.outputs if outputs is None else outputs
    if form.modality == "audio":
        return Audio(audio_columns, audio_hidden, outputs, fc_layers, dropout, window_statistics=window_statistics)
    tower = (channels, hidden, split_layer, fc_layers, vectors, arousal_vectors, image_pooling, backend, dropout)
    if form.modality == "visual":
        return Visual(VisualStream(*tower, outputs=outputs, window_statistics=window_statistics))
    return AudioVisual(
        VisualStream(*tower, outputs=0),
        audio_columns,
        audio_hidden,
        hidden,
        outputs,
        fc_layers,
        form.attention,
        dropout,
        window_statistics=window_statistics,
    )


class Recurrent(nn.Module):
    """Bidirectional GRU (B, T, inputs) -> (B, T, 2 * hidden) from a zero state, and a head per time step if there are ``outputs``.

    ``dropout`` acts on the inputs, between the layers and on the states. With ``window_statistics`` the head also reads mean and deviation
    of the states over all T frames.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int = 0,
        fc_layers: int = 2,
        layers: int = 2,
        dropout: float = 0.0,
        *,
        window_statistics: bool = False,
    ) -> None:
        super().__init__()
        self.window_statistics = window_statistics and outputs > 0
        between = dropout if layers > 1 else 0.0
        self.gru = nn.GRU(inputs, hidden, layers, batch_first=True, dropout=between, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        if outputs:
            sizes = [(6 if self.window_statistics else 2) * hidden, *[hidden] * (fc_layers - 1)]
            inner = [layer for size in sizes[:-1] for layer in (nn.Linear(size, hidden), nn.ReLU())]
            last = nn.Linear(sizes[-1], outputs)
            self.fc: nn.Module = nn.Sequential(*inner, last) if inner else last
        else:
            self.fc = nn.Identity()
        self._initialise(inputs, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """States, or raw outputs."""
        states = self.gru(self.dropout(x))[0]
        if self.window_statistics:
            states = with_statistics(states)
        return self.fc(self.dropout(states))

    def _initialise(self, inputs: int, hidden: int) -> None:
        """The bound follows the first layer's inputs in all layers, as published (M3T spec 3.2)."""
        bound = math.sqrt(3) * math.sqrt(2 / (inputs + hidden))
        for name, parameter in self.gru.named_parameters():
            if name.startswith("weight_ih"):
                nn.init.uniform_(parameter, -bound, bound)
            elif name.startswith("weight_hh"):
                for gate in parameter.detach().split(hidden):
                    nn.init.orthogonal_(gate)
            else:
                nn.init.zeros_(parameter)


class Convolutional(nn.Module):
    """The backend ``tcn_simple``: (B, T, inputs) -> (B, T, outputs) by two convolutions over five frames and a linear layer (M3T spec 3.8).

    Names of parameters and PyTorch's default initialisation are assumptions.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.tcn = nn.Sequential(
            nn.Conv1d(inputs, hidden, 5, padding=2), nn.BatchNorm1d(hidden), nn.ReLU(),
            nn.Conv1d(hidden, hidden, 5, padding=2), nn.BatchNorm1d(hidden), nn.ReLU(),
        )  # fmt: skip
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Raw outputs."""
        return self.fc(self.tcn(x.transpose(1, 2)).transpose(1, 2))


class VisualStream(nn.Module):
    """3-D CNN, then one recurrent network per tower over its features and the face vectors (M3T spec 3.1)."""

    def __init__(
        self,
        channels: Sequence[int],
        hidden: int,
        split_layer: int,
        fc_layers: int,
        vectors: int,
        arousal_vectors: int | None,
        image_pooling: int,
        backend: str,
        dropout: float,
        *,
        outputs: int,
        window_statistics: bool = False,
    ) -> None:
        super().__init__()
        statistics = {"window_statistics": window_statistics}
        self.one_tower = split_layer == len(channels)
        self.image_pooling = image_pooling
        self.states = (2 if self.one_tower else 4) * hidden
        arousal = vectors if arousal_vectors is None else arousal_vectors
        self.shared = nn.Sequential(*_blocks(channels, 0, split_layer, image_pooling))
        if self.one_tower:
            # Where both towers receive the same vectors they stand here twice, as published.
            self.gru = Recurrent(
                channels[-1] + vectors + arousal, hidden, outputs, fc_layers, dropout=dropout, **statistics
            )
        else:
            self.v_private = nn.Sequential(*_blocks(channels, split_layer, len(channels), image_pooling))
            self.a_private = nn.Sequential(*_blocks(channels, split_layer, len(channels), image_pooling))
            inputs = channels[-1] + vectors, channels[-1] + arousal
            if backend == "tcn_simple":
                self.gru_v: nn.Module = Convolutional(inputs[0], hidden, outputs - 1)
                self.gru_a: nn.Module = Convolutional(inputs[1], hidden, 1)
            else:
                self.gru_v = Recurrent(inputs[0], hidden, max(outputs - 1, 0), fc_layers, dropout=dropout, **statistics)
                self.gru_a = Recurrent(inputs[1], hidden, min(outputs, 1), fc_layers, dropout=dropout, **statistics)

    def forward(self, video: Tensor, vectors: Tensor, arousal_vectors: Tensor) -> Tensor:
        """``video`` (B, 3, T, 112, 112) in [-1, 1], vectors (B, n, T) -> (B, T, outputs or states): valence tower first."""
        if self.image_pooling > 1:
            video = F.avg_pool3d(video, (1, self.image_pooling, self.image_pooling))
        features = self.shared(video)
        if self.one_tower:
            return self.gru(_rows(features, vectors, arousal_vectors))
        valence = self.gru_v(_rows(self.v_private(features), vectors))
        arousal = self.gru_a(_rows(self.a_private(features), arousal_vectors))
        return torch.cat([valence, arousal], dim=2)


class AttentionFusion(nn.Module):
    """Weighted sum of both modalities; each weight lies between 0.269 and 0.731, as scores pass a sigmoid first (M3T spec 3.4)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scorer_a = Recurrent(size, size // 4, 1, fc_layers=1, layers=1)
        self.scorer_v = Recurrent(size, size // 4, 1, fc_layers=1, layers=1)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """Two (B, T, size) -> (B, T, size)."""
        scores = torch.cat([self.scorer_v(video), self.scorer_a(audio)], dim=2)
        weights = torch.sigmoid(scores).softmax(dim=2)
        return weights[..., :1] * video + weights[..., 1:] * audio


class Network(nn.Module):
    """What all variants share. Outputs (B, T, 9): seven expressions, valence, arousal; or (B, T, 2). None is limited in any way."""

    def explain(self, state: Mapping[str, Tensor]) -> str:
        """What ``state``, which does not fit, belongs to."""
        return advice(state)


class Visual(Network):
    """Faces and face vectors."""

    def __init__(self, visual: VisualStream) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, video: Tensor, se_features: Tensor, au_features: Tensor | None = None) -> Tensor:
        """``video`` float32 (B, 3, T, 112, 112), blue first, 0 ... 255; ``se_features`` (B, vectors, T).

        ``au_features`` (B, arousal_vectors, T) for the arousal tower; without them it receives ``se_features`` too.
        """
        return self.visual(normalised(video), se_features, se_features if au_features is None else au_features)


class Audio(Network):
    """Audio alone."""

    def __init__(
        self, columns: int, hidden: int, outputs: int, fc_layers: int, dropout: float, *, window_statistics: bool
    ) -> None:
        super().__init__()
        self.audio = Recurrent(
            columns, hidden, outputs, fc_layers, dropout=dropout, window_statistics=window_statistics
        )

    def forward(self, audio: Tensor) -> Tensor:
        """``audio`` (B, T, columns)."""
        return self.audio(audio)


class AudioVisual(Network):
    """Both, joined one after the other or by :class:`AttentionFusion`, and a recurrent network over that."""

    def __init__(
        self,
        visual: VisualStream,
        audio_columns: int,
        audio_hidden: int,
        hidden: int,
        outputs: int,
        fc_layers: int,
        attention: bool,
        dropout: float,
        *,
        window_statistics: bool,
    ) -> None:
        super().__init__()
        size = 2 * audio_hidden
        self.visual = visual
        self.audio = Recurrent(audio_columns, audio_hidden, dropout=dropout)
        self.proj_v = nn.Linear(visual.states, size)
        self.att_fuse = AttentionFusion(size) if attention else None
        joined = size if attention else 2 * size
        self.fusion = Recurrent(
            joined, hidden, outputs, fc_layers, dropout=dropout, window_statistics=window_statistics
        )

    def forward(self, video: Tensor, se_features: Tensor, audio: Tensor, au_features: Tensor | None = None) -> Tensor:
        """Inputs as for :class:`Visual` and :class:`Audio`."""
        arousal = se_features if au_features is None else au_features
        seen = self.proj_v(self.visual(normalised(video), se_features, arousal))
        heard = self.audio(audio)
        joined = torch.cat([heard, seen], dim=2) if self.att_fuse is None else self.att_fuse(heard, seen)
        return self.fusion(joined)


def normalised(video: Tensor) -> Tensor:
    """0 ... 255 as -1 ... 1."""
    return (video - 127.5) / 127.5


def _blocks(channels: Sequence[int], start: int, stop: int, image_pooling: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for block in range(start, stop):
        inputs = channels[block - 1] if block else 3
        stride, padding = (1, 2, 2) if block == 0 else 1, (1, 0, 0)
        conv = nn.Conv3d(inputs, channels[block], 3, stride, padding)
        nn.init.normal_(conv.weight, std=math.sqrt(2 / (27 * channels[block])))
        nn.init.zeros_(conv.bias)
        layers += [conv, nn.BatchNorm3d(channels[block]), nn.ReLU()]
        if block < POOLED:
            layers.append(nn.Identity() if block == 0 and image_pooling > 1 else nn.MaxPool3d((1, 2, 2)))
    return layers


def _rows(features: Tensor, *vectors: Tensor) -> Tensor:
    """(B, C, T, 1, 1) and (B, n, T) -> (B, T, C + n ...). A batch of one stays a batch."""
    return torch.cat([features.squeeze(4).squeeze(3), *vectors], dim=1).transpose(1, 2)


def load_stream(model: nn.Module, stream: str, path: str | Path, split_layer: int) -> dict[str, Any]:
    """Load one stream of a file into ``model``: of the identity pre-training of faces, a visual or an audio model (M3T spec 3.6).

    Heads are left out where the model has none. Everything else of the stream must be in the file, but for the recurrent networks over an
    identity pre-training, which has none.

    Args:
        model: A visual, audio or audio-visual network.
        stream: ``visual`` or ``audio``.
        path: The file.
        split_layer: Number of convolutions that the towers of ``model`` share.

    Returns:
        The record of the file.
    """
    state, digest = read_weights(path)
    identity = stream == "visual" and is_identity(state)
    state = from_identity(state, split_layer) if identity else dict(state)
    own = {key: value for key, value in model.state_dict().items() if key.startswith(f"{stream}.")}
    given = {key: value for key, value in state.items() if key in own}
    missing = [key for key in own if key not in given and not (identity and ".gru" in key)]
    shapes = [key for key in given if given[key].shape != own[key].shape]
    if missing or shapes:
        raise InputError(
            f"{path}: does not fit the {stream} stream: {len(missing)} tensors missing, {len(shapes)} of other shape "
            f"({', '.join((missing + shapes)[:3])}). Check recipe.network and the file."
        )
    model.load_state_dict(given, strict=False)
    return {"part": stream, "file": str(path), "sha256": digest, "tensors": len(given)}


def from_identity(state: Mapping[str, Tensor], split_layer: int) -> dict[str, Tensor]:
    """The convolutions of an identity pre-training under the names of a model: the first ones shared, the others for both towers."""
    first = (*POSITIONS, None)[split_layer]
    found = {}
    for key, value in state.items():
        prefix, _, rest = key.partition("visual.v2p.")
        position, _, name = rest.partition(".")
        if prefix or not position.isdigit():
            continue
        if first is None or int(position) < first:
            found[f"visual.shared.{position}.{name}"] = value
        else:
            found |= {f"visual.{tower}.{int(position) - first}.{name}": value for tower in ("v_private", "a_private")}
    return found
