"""VGGish: one raw 128-value embedding per video frame (LFAN spec 2.7; S. Hershey et al., ICASSP 2017)."""

import numpy as np
import torch
from torch import nn

from wildaffect.errors import InputError
from wildaffect.features import vggish_frontend as frontend

PARAMETERS = {
    "rate_hz": frontend.RATE,
    "window_s": 0.025,
    "hop_s": 0.01,
    "window": "periodic Hann",
    "spectrum": "magnitude, 512 points",
    "mel_bands": frontend.BANDS,
    "band_hz": [frontend.LOWEST_HZ, frontend.HIGHEST_HZ],
    "log_offset": frontend.OFFSET,
    "patch_s": 0.96,
    "tail": "last sample repeated for 1 s",
    "output": "last fully connected layer, no ReLU, no PCA, no quantisation",
}
_BATCH = {"cpu": 32, "cuda": 512}  # patches at a time: the fastest on each, and 50 MB or 800 MB of activations


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
            nn.Linear(6 * 4 * 512, 4096), nn.ReLU(True), nn.Linear(4096, 4096), nn.ReLU(True), nn.Linear(4096, 128)
        )

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        return self.embeddings(self.features(examples).permute(0, 2, 3, 1).flatten(1))


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(True)


def embed(network: VGGish, speech: np.ndarray, starts: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Embeddings of the patches that begin at spectrogram rows ``starts`` -> float32 (len(starts), 128).

    ``network`` is on ``device`` already (:func:`on_device`); ``speech`` is int16 (S,) with its tail padded
    (:func:`~wildaffect.features.vggish_frontend.pad_tail`). Patches go
    through the network in batches, the spectrogram of a batch is made with it and dropped after it, and a patch asked
    for several times is computed once: memory beyond the result does not depend on the length.
    """
    distinct, place = np.unique(starts, return_inverse=True)
    result = np.empty((len(distinct), 128), np.float32)
    # TensorFloat-32 would cost three digits.
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for first in range(0, len(distinct), _BATCH[device]):
            batch = slice(first, first + _BATCH[device])
            examples = torch.from_numpy(_examples(speech, distinct[batch])).to(device)
            result[batch] = network(examples).cpu().numpy()
    return result[place]


def _examples(speech: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """float32 (N, 1, 96, 64): neighbouring patches share most rows, so every row is analysed once."""
    rows, place = np.unique(starts[:, None] + np.arange(frontend.PATCH), return_inverse=True)
    return frontend.log_mel(speech, rows)[place.reshape(len(starts), 1, frontend.PATCH)]


def on_device(network: nn.Module, device: str) -> nn.Module:
    """``network`` moved to ``device``, in evaluation mode and in the layout in which oneDNN and cuDNN are fastest."""
    return network.to(device, memory_format=torch.channels_last).eval()


def require_device(device: str) -> None:
    """:class:`InputError` unless ``device`` is ``cpu``, or ``cuda`` and PyTorch sees such a device."""
    if device not in _BATCH:
        raise InputError(f"device '{device}' is not known: use 'cpu' or 'cuda'.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but PyTorch sees no CUDA device. Ask for 'cpu' or fix the node.")
