"""The networks of sequence: inputs side by side, one of three temporal networks, a linear output."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from wildaffect.systems.toolbox import with_statistics


def build(
    variant: str,
    *,
    widths: Sequence[int],
    outputs: int,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    dropout: float = 0.3,
    window_statistics: bool = False,
) -> nn.Module:
    """Network of a variant with random weights.

    Args:
        variant: ``gru``, ``tcn`` or ``transformer``.
        widths: Columns of each input.
        outputs: Columns of the output.
        hidden: Width of everything in between.
        layers: Of the temporal network.
        heads: Of attention.
        dropout: After the inputs and within the temporal network.
        window_statistics: The output also reads mean and deviation of what the temporal network says in the window.
    """
    temporal = {
        "gru": lambda: Gru(hidden, layers, dropout),
        "tcn": lambda: Tcn(hidden, layers, dropout),
        "transformer": lambda: Transformer(hidden, layers, heads, dropout),
    }[variant]()
    return FrameNetwork(widths, outputs, hidden, temporal, dropout, window_statistics=window_statistics)


class FrameNetwork(nn.Module):
    """Inputs (B, T, sum of widths) and which rows are real bool (B, T) -> (B, T, outputs); padding is at the end and changes nothing."""

    def __init__(
        self,
        widths: Sequence[int],
        outputs: int,
        hidden: int,
        temporal: nn.Module,
        dropout: float,
        *,
        window_statistics: bool,
    ) -> None:
        super().__init__()
        self.widths, self.window_statistics = tuple(widths), window_statistics
        self.inputs = nn.ModuleList(nn.Linear(width, hidden) for width in widths)
        self.norm, self.dropout = nn.LayerNorm(hidden), nn.Dropout(dropout)
        self.temporal, self.output = temporal, nn.Linear(3 * hidden if window_statistics else hidden, outputs)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        parts = zip(self.inputs, values.split(self.widths, dim=-1), strict=True)
        joined = self.dropout(gelu(self.norm(sum(layer(part) for layer, part in parts))))
        states = self.temporal(joined, real)
        if self.window_statistics:
            states = self.dropout(with_statistics(states, real))
        return self.output(states)


class Gru(nn.Module):
    """Forwards and backwards."""

    def __init__(self, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.cells = nn.GRU(
            hidden, hidden // 2, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        lengths = real.sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.cells(packed)[0], batch_first=True, total_length=values.shape[1])[0]


class Tcn(nn.Module):
    """Residual convolutions over three rows, their distance doubled from layer to layer."""

    def __init__(self, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(hidden, hidden, 3, padding="same", dilation=2**depth) for depth in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        for norm, layer in zip(self.norms, self.layers, strict=True):
            shown = norm(values) * real[..., None]
            values = values + self.dropout(gelu(layer(shown.transpose(1, 2)).transpose(1, 2)))
        return values


class Transformer(nn.Module):
    """Self-attention over the window, with sines and cosines of the position."""

    def __init__(self, hidden: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(hidden, heads, 2 * hidden, dropout, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        return self.encoder(values + positions(*values.shape[1:]).to(values), src_key_padding_mask=~real)


def positions(count: int, width: int) -> Tensor:
    """Sines and cosines (count, width), as in "Attention is all you need"."""
    angles = torch.arange(count)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
