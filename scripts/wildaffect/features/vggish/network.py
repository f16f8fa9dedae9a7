"""The VGGish network (LFAN spec 2.7; S. Hershey et al., CNN Architectures for Large-Scale Audio Classification, 2017)."""

import torch
import torch.nn.functional as F
from torch import nn

from wildaffect.features.vggish.frontend import PATCH

# Rows at either end of a patch, after each of the first three blocks, that the zeros beyond the patch have reached:
# a 3x3 convolution moves the border by one row, pooling halves the distance (rounded up).
_TOUCHED = (1, 1, 2)


class VGGish(nn.Module):
    """(N, 1, 96, 64) log-mel examples float32 -> (N, 128): 3x3 convolutions, then three fully connected layers.

    ``state_dict`` keys are those of the common PyTorch port. No ReLU follows the last layer, and the feature map is
    flattened in (time, mel, channel) order as TensorFlow does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolution(1, 64),
            nn.MaxPool2d(2),
            *_convolution(64, 128),
            nn.MaxPool2d(2),
            *_convolution(128, 256),
            *_convolution(256, 256),
            nn.MaxPool2d(2),
            *_convolution(256, 512),
            *_convolution(512, 512),
            nn.MaxPool2d(2),
        )
        self.embeddings = nn.Sequential(
            nn.Linear(6 * 4 * 512, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 128),
        )

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        return self.embeddings(self.features(examples).permute(0, 2, 3, 1).flatten(1))

    def overlapping(self, spectrogram: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """What :meth:`forward` gives for the patches of ``spectrogram`` (R, 64) at ``starts`` int64 (N,) -> (N, 128).

        Equal to ``forward`` up to the order of sums, in about 60 % of the time for patches that overlap as those of
        neighbouring video frames do. In the first three blocks a row of a patch differs from the same row of another
        patch only near the ends, where the convolutions meet the zeros beyond the patch. So the blocks run once over
        the whole spectrogram, for the inner rows of all patches, and once over the few rows at the ends of each.

        Pooling pairs rows from the patch's first row on. Hence there are two versions of the pooled rows after the
        first block, four after the second, eight after the third: ``streams`` (phase, channel, row, band), where the
        rows of a patch begin at ``start // phases`` in the stream ``start % phases``.
        """
        *blocks, last = self._blocks()
        # The streams of odd phases need rows beyond the last patch; nothing that is used depends on their values.
        streams = F.pad(spectrogram, (0, 0, 0, 2 ** len(blocks)))[None, None]
        streams = streams.contiguous(memory_format=torch.channels_last)
        height, touched = PATCH, 0
        head: list[torch.Tensor] = []
        tail: list[torch.Tensor] = []
        for convolutions, touches in zip(blocks, _TOUCHED, strict=True):
            needed = 2 * touches + len(convolutions)
            head = [*head, _rows(streams, starts, touched, needed)]
            tail = [_rows(streams, starts, height - needed, height - touched), *tail]
            head = [_pool(_convolve(convolutions, torch.cat(head, 2), above=1, below=0))]
            tail = [_pool(_convolve(convolutions, torch.cat(tail, 2), above=0, below=1))]
            rows = _convolve(convolutions, streams)
            even = (rows.shape[2] - 1) // 2 * 2
            streams = torch.cat([_pool(rows[:, :, :even]), _pool(rows[:, :, 1 : even + 1])])
            height, touched = height // 2, touches
        patches = torch.cat([*head, _rows(streams, starts, touched, height - touched), *tail], 2)
        return self.embeddings(_pool(_convolve(last, patches)).permute(0, 2, 3, 1).flatten(1))

    def _blocks(self) -> list[list[nn.Conv2d]]:
        """The convolutions between the poolings."""
        blocks: list[list[nn.Conv2d]] = [[]]
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                blocks[-1].append(layer)
            elif isinstance(layer, nn.MaxPool2d):
                blocks.append([])
        return blocks[:-1]


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)


def _convolve(convolutions: list[nn.Conv2d], maps: torch.Tensor, above: int = 1, below: int = 1) -> torch.Tensor:
    """Convolutions with ReLU, zeros outside the bands, and outside the rows only ``above`` and ``below``."""
    for layer in convolutions:
        padded = F.pad(maps, (0, 0, above, below))
        maps = F.relu(F.conv2d(padded, layer.weight, layer.bias, padding=(0, 1)), inplace=True)
    return maps


def _pool(maps: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(maps, 2)


def _rows(streams: torch.Tensor, starts: torch.Tensor, first: int, stop: int) -> torch.Tensor:
    """Rows ``first`` to ``stop`` of every patch, from the stream of its phase -> (N, channel, stop - first, band)."""
    phases, channels, height, bands = streams.shape
    begin = starts % phases * height + starts // phases
    index = (begin[:, None] + torch.arange(first, stop, device=starts.device)).flatten()
    flat = streams.permute(0, 2, 3, 1).reshape(phases * height, bands * channels)
    return flat[index].view(len(starts), stop - first, bands, channels).permute(0, 3, 1, 2)
