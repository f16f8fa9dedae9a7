"""The VGGish network (LFAN spec 2.7; S. Hershey et al., CNN Architectures for Large-Scale Audio Classification, 2017).

Front end, network, weights and embeddings (LFAN spec 2.7).
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from wildaffect.errors import InputError
from wildaffect.features.networks import load_exactly
from wildaffect.features.signal import RATE
from wildaffect.features.spec import SEEDED
from wildaffect.features.store import Rows, pieces
from wildaffect.models import resolve
from wildaffect.weights import read_arrays, read_weights

WINDOW, HOP, FFT = 400, 160, 512  # 25 ms, 10 ms at 16 kHz
BANDS, LOWEST_HZ, HIGHEST_HZ, OFFSET = 64, 125.0, 7500.0, 0.01
PATCH = 96  # rows of one example
TAIL = RATE  # the last sample is repeated for one second, so that the last frames have a patch too

PARAMETERS = {
    "rate_hz": RATE,
    "window_s": 0.025,
    "hop_s": 0.01,
    "window": "periodic Hann",
    "spectrum": "magnitude, 512 points",
    "mel_bands": BANDS,
    "band_hz": [LOWEST_HZ, HIGHEST_HZ],
    "log_offset": OFFSET,
    "tail": "last sample repeated for 1 s",
}


def _mel(hz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hz) / 700.0)


def mel_matrix() -> np.ndarray:
    """float64 (257, 64): triangles with edges equally spaced in mel and sides linear in mel; no weight on the DC bin."""
    bins = _mel(np.arange(FFT // 2 + 1) * RATE / FFT)[:, None]
    edges = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), BANDS + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    matrix = np.maximum(0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))
    matrix[0] = 0.0
    return matrix


_MEL = mel_matrix()
_HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


def row_count(samples: int) -> int:
    """Spectrogram rows of a signal of at least one window; what remains at the end gives no row."""
    return 1 + (samples - WINDOW) // HOP


def patch_starts(samples: int) -> int:
    """Rows at which a patch can start in a signal of ``samples`` samples and its tail."""
    return row_count(samples + TAIL) - PATCH + 1


def log_mel(speech: Rows, rows: np.ndarray) -> np.ndarray:
    """Rows of the log-mel spectrogram: natural logarithm of mel-weighted magnitudes plus 0.01.

    Every row depends on its own 400 samples only. Behind the end the last sample is repeated (silence where there is none).

    Args:
        speech: int16 (S,) at 16 kHz.
        rows: Wanted rows int (R,), ascending; row r starts at sample 160 r.

    Returns:
        float32 (R, 64).
    """
    stretches = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return np.concatenate([_stretch(speech, int(part[0]), len(part)) for part in stretches])


def _stretch(speech: Rows, first: int, count: int) -> np.ndarray:
    size = (count - 1) * HOP + WINDOW
    found = speech[first * HOP : first * HOP + size]
    if len(found) < size:
        found = np.concatenate([found, np.full(size - len(found), (*speech[-1:], 0)[0], found.dtype)])
    frames = np.lib.stride_tricks.sliding_window_view(found, WINDOW)[::HOP] / 32768.0
    magnitude = np.abs(np.fft.rfft(frames * _HANN, FFT))
    return np.log(magnitude @ _MEL + OFFSET).astype(np.float32)


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
        """What `forward` gives for the patches of ``spectrogram`` (R, 64) at ``starts`` int64 (N,) -> (N, 128).

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


SEED = 2021

# Layer of the network -> scope of the TensorFlow checkpoint (LFAN spec 2.7).
TENSORFLOW = {
    "features.0": "vggish/conv1",
    "features.3": "vggish/conv2",
    "features.6": "vggish/conv3/conv3_1",
    "features.8": "vggish/conv3/conv3_2",
    "features.11": "vggish/conv4/conv4_1",
    "features.13": "vggish/conv4/conv4_2",
    "embeddings.0": "vggish/fc1/fc1_1",
    "embeddings.2": "vggish/fc1/fc1_2",
    "embeddings.4": "vggish/fc2",
}

_NAMES = {
    f"{scope}/{tf}": f"{layer}.{own}"
    for layer, scope in TENSORFLOW.items()
    for tf, own in (("weights", "weight"), ("biases", "bias"))
}


_CONVERT = """use the same weights as .pth ('wildaffect models' says where they are), or convert it once where TensorFlow is installed:
  import numpy, tensorflow
  reader = tensorflow.train.load_checkpoint("vggish_model.ckpt")
  names = [name for name in reader.get_variable_to_shape_map() if name.startswith("vggish/")]
  numpy.savez("vggish.npz", **{name: reader.get_tensor(name) for name in names})"""


def seeded_network(seed: int = SEED) -> VGGish:
    """An untrained network that is the same everywhere: a random projection of the spectrogram, not a learnt embedding.

    Normal deviates of PCG64, scaled by sqrt(2 / fan-in) so that the layers keep the signal's size (K. He et al., ICCV
    2015), biases zero, drawn in the order of the keys.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    network = _empty()
    state = {key: torch.zeros(tensor.shape) for key, tensor in network.state_dict().items()}
    for key in sorted(key for key in state if key.endswith("weight")):
        values = generator.standard_normal(tuple(state[key].shape), np.float32)
        state[key] = torch.from_numpy(values * np.float32(math.sqrt(2 / values[0].size)))
    network.load_state_dict(state, assign=True)
    return network


def load_network(path: str | os.PathLike) -> VGGish:
    """The network with the weights of a file, every tensor required and no other accepted.

    Args:
        path: ``.safetensors``, ``.pth`` or ``.pt``: a state dict with the keys of `VGGish`, read without running pickled code.
            ``.npz``: the variables of the TensorFlow checkpoint under their own names, as ``numpy.savez`` writes a dict of them.

    Raises:
        InputError: The file cannot be read, is of another format or of another network.
    """
    network = _empty()
    load_exactly(network, _read(Path(path)), path)
    return network


def from_tensorflow(variables: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """State dict from the checkpoint's variables; a name that is no variable of VGGish is kept as it is.

    Kernels go from (height, width, in, out) to (out, in, height, width), matrices from (in, out) to (out, in). The first
    matrix needs no further care, because the network flattens in TensorFlow's order.
    """
    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    return {
        _NAMES.get(name, name): torch.from_numpy(np.ascontiguousarray(value.transpose(axes.get(value.ndim))))
        for name, value in variables.items()
    }


def _empty() -> VGGish:
    with torch.device("meta"):  # 288 MB of initial values that would be replaced
        return VGGish()


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".ckpt":
        raise InputError(f"{path}: a TensorFlow checkpoint is not read; {_CONVERT}")
    if path.suffix != ".npz":
        return read_weights(path)[0]
    return from_tensorflow(read_arrays(path))


# Patches at a time: more are no faster. Activations take 0.1 GB and 0.8 GB.
_BATCH = {"cpu": 64, "cuda": 512}
# Up to this mean distance of patches, in rows, it pays to share the work between them (video at 12.5 frames/s or more).
_SHARING_HOP = 8


def open_network(weights: str, models_dir: str | os.PathLike, device: str, threads: int) -> VGGish:
    """The network, ready to evaluate.

    Args:
        weights: ``seeded``, a name in the manifest or a path.
        models_dir: Folder of model files.
        device: ``cpu`` or ``cuda``.
        threads: PyTorch's number of threads, set for this process.

    Raises:
        InputError: The device is not there, or the weights cannot be used.
    """
    check_device(device)
    torch.set_num_threads(threads)
    network = seeded_network() if weights == SEEDED else load_network(resolve(weights, models_dir).path)
    # Channels last is the layout in which oneDNN and cuDNN are fastest.
    return network.to(device, memory_format=torch.channels_last).eval()


def embed(network: nn.Module, speech: Rows, starts: np.ndarray, device: str = "cpu") -> Iterator[np.ndarray]:
    """Embeddings of patches.

    Patches go through the network in batches, the spectrogram of a batch is made with it and dropped after it, and a
    patch asked for several times in a row is computed once: memory does not depend on the length.

    Args:
        network: As `VGGish`.
        speech: int16 (S,) at 16 kHz.
        starts: Spectrogram rows at which the patches begin, int (N,).
        device: Where ``network`` is.

    Yields:
        Blocks of float32 (N, 128).
    """
    for wanted in pieces(starts, _BATCH[device]):
        distinct, index = np.unique(wanted, return_inverse=True)
        # Entered for each batch: a generator must not leave the caller in these modes. TensorFloat-32 would cost three digits.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            values = _embed_batch(network, speech, distinct, device).cpu().numpy()
        yield values[index]


def describe_weights(weights: str, models_dir: str | os.PathLike) -> dict[str, Any]:
    """What ``weights`` are: name, hash, whether trained and verified, licence."""
    if weights == SEEDED:
        note = "Untrained network: the values are a random projection of the spectrogram, not a learnt embedding."
        return {"name": SEEDED, "trained": False, "seed": SEED, "sha256": None, "note": note}
    file = resolve(weights, models_dir)
    return {
        "name": file.name,
        "trained": True,
        "sha256": file.sha256,
        "verified": file.verified,
        "licence": file.licence,
        "citation": file.citation,
    }


def check_device(device: str) -> None:
    """Raise `InputError` if ``device`` is not known or not there."""
    if device not in _BATCH:
        raise InputError(f"device '{device}' is not known: use 'cpu' or 'cuda'.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but PyTorch sees no CUDA device. Ask for 'cpu' or fix the node.")


def _embed_batch(network: nn.Module, speech: Rows, starts: np.ndarray, device: str) -> torch.Tensor:
    if starts[-1] - starts[0] <= _SHARING_HOP * (len(starts) - 1):
        rows = log_mel(speech, np.arange(starts[0], starts[-1] + PATCH))
        begin = torch.from_numpy(starts - starts[0])
        return network.overlapping(torch.from_numpy(rows).to(device), begin.to(device))
    rows, index = np.unique(starts[:, None] + np.arange(PATCH), return_inverse=True)
    examples = log_mel(speech, rows)[index.reshape(len(starts), 1, PATCH)]
    return network(torch.from_numpy(examples).to(device))
