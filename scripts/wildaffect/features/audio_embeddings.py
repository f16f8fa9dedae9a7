"""Vectors of a frozen self-supervised network of speech, one per video frame: wav2vec 2.0, HuBERT or WavLM, as torchaudio defines them.

A network has a row per 20 ms. A frame takes the row whose centre is nearest to its own timestamp.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchaudio
from torch import Tensor, nn
from torchaudio.models.wav2vec2.utils.import_huggingface import transform_wavlm_encoder_state

from wildaffect.errors import InputError
from wildaffect.features.extract import finite, frame_clock
from wildaffect.features.frames import Rule, has_audio
from wildaffect.features.networks import load_exactly
from wildaffect.features.signal import RATE, piece, read_speech
from wildaffect.features.spec import AUDIO_EMBED_PREFIX, OWN_NOTICE, SEEDED, FeatureSpec, write_about
from wildaffect.features.store import Rows, pieces, save_blocks, write_valid
from wildaffect.media.audio import read_about
from wildaffect.models import resolve
from wildaffect.weights import read_weights

SEED = 2021
WINDOW, CONTEXT = 1000, 100
"""Rows that the network sees at a time (20 s), and of these the rows at either end (2 s) that are used only at the ends of the audio."""
_SAMPLES = 1 << 20
_STABLE = 1e-5
_PREFIXES = ("wav2vec2.", "hubert.", "wavlm.")
_RENAMED = {".weight_g": ".parametrizations.weight.original0", ".weight_v": ".parametrizations.weight.original1"}


@dataclass(frozen=True)
class Grid:
    """Where the rows of a network lie in the audio.

    Attributes:
        field: Samples that a row is computed from, before any attention.
        hop: Samples between rows.
    """

    field: int
    hop: int

    def count(self, samples: int) -> int:
        """Rows of a signal; one that is shorter than a row has one, of which silence is the rest."""
        return max(0, samples - self.field) // self.hop + 1

    def rows(self, times: np.ndarray, fps: float, available: int) -> np.ndarray:
        """As `wildaffect.features.frames.by_time`, by the centres of the rows."""
        nearest = np.rint((times * RATE - self.field / 2) / self.hop)
        return np.clip(nearest, 0, available - 1).astype(np.int64)

    @property
    def rule(self) -> Rule:
        """How its rows belong to frames."""
        return Rule("centre", "the row whose centre is nearest to the frame's own timestamp", self.rows)


def grid_of(network: nn.Module) -> Grid:
    """Of the convolutions of a network of torchaudio; 400 and 320 samples for the published ones."""
    field, hop = 1, 1
    for layer in network.feature_extractor.conv_layers:
        field, hop = field + (layer.kernel_size - 1) * hop, hop * layer.stride
    return Grid(field, hop)


def open_network(name: str, weights: str, models_dir: str | os.PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """A network of speech without its last layer for letters, and what its weights are.

    Args:
        name: A key of `wildaffect.features.spec.SPEECH_NETWORKS`.
        weights: A name in the manifest, a path, or ``seeded``: an untrained network that is the same in every run.
        models_dir: Folder of model files.

    Raises:
        InputError: The file is absent or not of this network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = getattr(torchaudio.models, name)()
    if weights == SEEDED:
        note = "Untrained network: the values are a random projection of the audio, not a learnt embedding."
        return network, {"name": SEEDED, "trained": False, "seed": SEED, "sha256": None, "note": note}
    file = resolve(weights, models_dir)
    load_exactly(network, in_layout(read_weights(file.path)[0], network), file.path)
    about = {key: getattr(file, key) for key in ("name", "sha256", "verified", "licence", "citation")}
    return network, about | {"trained": True}


def in_layout(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a file by torchaudio's names, without what is there for letters or for pre-training only.

    Known are torchaudio's own files and those of Hugging Face's transformers, which differ as
    `torchaudio.models.wav2vec2.utils.import_huggingface_model` says. A name of neither is kept as it is, and refused later.
    """
    inner = next((prefix for prefix in _PREFIXES if any(key.startswith(prefix) for key in state)), "")
    found = {key.removeprefix(inner): value for key, value in state.items() if key.startswith(inner)}
    for old, new in _RENAMED.items():
        found = {key.removesuffix(old) + new if key.endswith(old) else key: value for key, value in found.items()}
    if any(key.startswith("feature_projection.") for key in found):
        encoder = {key.removeprefix("encoder."): found.pop(key) for key in [*found] if key.startswith("encoder.")}
        if any("rel_attn_embed" in key for key in encoder) and "layers.0.attention.q_proj.weight" in encoder:
            transform_wavlm_encoder_state(encoder, len(network.encoder.transformer.layers))
        found = {
            f"encoder.{key}" if key.startswith("feature_projection.") else key: value for key, value in found.items()
        } | {f"encoder.transformer.{key}": value for key, value in encoder.items()}
    beside = ("aux.", "lm_head.", "masked_spec_embed")
    return {key: value for key, value in found.items() if not key.startswith(beside)}


def vectors(
    network: nn.Module,
    speech: Rows,
    index: np.ndarray,
    layers: Sequence[int],
    combine: str,
    *,
    device: str = "cpu",
    window: int = WINDOW,
    context: int = CONTEXT,
) -> Iterator[np.ndarray]:
    """Chosen rows of layers of a network.

    Audio of at most ``window`` rows goes through at once. Longer audio goes through in overlapping windows of that length, so memory does
    not depend on the length; what is further away than the window is not attended to. A row is at least ``context`` rows from the ends of
    its window, but for the ends of the audio.

    Args:
        network: Of torchaudio, in evaluation mode on ``device``.
        speech: int16 (S,) at 16 kHz.
        index: Wanted rows, int (N,), ascending.
        layers: Layers, counted from 1.
        combine: ``mean`` of the layers, or ``concatenate``.
        device: Where ``network`` is.
        window: Rows of a window.
        context: Rows at its ends that are not used.

    Yields:
        Blocks of float32 (n, columns), together (N, columns).
    """
    grid = grid_of(network)
    total, step = grid.count(len(speech)), window - 2 * context
    mean, deviation = _level(speech) if _normalised(network) else (0.0, 1.0)
    for begin in range(0, total, step):
        wanted = index[np.searchsorted(index, begin) : np.searchsorted(index, begin + step)]
        if not len(wanted):
            continue
        first = max(0, min(begin - context, total - window))
        size = min(window, total - first)
        start = first * grid.hop
        stop = start + (size - 1) * grid.hop + grid.field
        # The last samples are in no row, but group norm counts them.
        stop = max(stop, len(speech)) if first + size == total else stop
        signal = (piece(speech, start, stop) - mean) / deviation
        # Entered for each window: a generator must not leave the caller in these modes.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            audio = torch.from_numpy(signal.astype(np.float32)).to(device)[None]
            found = network.extract_features(audio, num_layers=max(layers))[0]
            rows = [found[layer - 1][0][torch.from_numpy(wanted - first).to(device)] for layer in layers]
            joined = torch.cat(rows, dim=1) if combine == "concatenate" else torch.stack(rows).mean(0)
        yield joined.float().cpu().numpy()


def _normalised(network: nn.Module) -> bool:
    """Whether a network was trained on audio of mean 0 and variance 1: by torchaudio's list those with a norm in all convolutions."""
    return network.feature_extractor.conv_layers[-1].layer_norm is not None


def _level(speech: Rows) -> tuple[float, float]:
    """Mean and deviation of the whole signal, block by block."""
    total = square = 0.0
    for block in pieces(speech, _SAMPLES):
        values = np.asarray(block, np.float64) / 32768
        total, square = total + values.sum(), square + np.square(values).sum()
    mean = total / max(1, len(speech))
    return mean, float(np.sqrt(max(0.0, square / max(1, len(speech)) - mean**2) + _STABLE))


def embed_audio(
    name: str,
    output: str | os.PathLike,
    audio: str | os.PathLike,
    frames: str | os.PathLike,
    *,
    network: str,
    weights: str,
    layers: Sequence[int],
    combine: str,
    models_dir: str | os.PathLike,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Write the feature ``audio_embed.<name>`` of one video as ``.npy``, float32 (frames, columns), a row per decoded frame.

    A file without audio gives the analysis of silence; `wildaffect.features.store` says which frames have audio.

    Args:
        name: Name in the configuration.
        output: Path of the array.
        audio: The video's ``audio.flac``.
        frames: The video's frame table.
        network: As for `open_network`.
        weights: As for `open_network`.
        layers: As for `vectors`.
        combine: As for `vectors`.
        models_dir: Folder of model files.
        device: ``cpu`` or ``cuda``.
        threads: PyTorch's number of threads, set for this process.

    Raises:
        InputError: Unusable weights, a missing device, files that cannot be read, or values that are not finite.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but PyTorch sees no CUDA device. Ask for 'cpu' or fix the node.")
    torch.set_num_threads(threads)
    opened, _ = open_network(network, weights, models_dir)
    opened = opened.to(device).eval()
    spec = _spec(name, opened, network, layers, combine, OWN_NOTICE)
    speech, clock = read_speech(audio), frame_clock(frames, spec)
    rows = clock.rows(grid_of(opened).count(len(speech)))
    blocks = vectors(opened, speech, rows, layers, combine, device=device)
    save_blocks(output, finite(blocks, f"{audio}: {spec.id}", "frame"), (spec.dim,))
    write_valid(output, has_audio(read_about(audio), clock))


def describe_audio_embedding(
    name: str,
    output: str | os.PathLike,
    *,
    network: str,
    weights: str,
    layers: Sequence[int],
    combine: str,
    models_dir: str | os.PathLike,
) -> None:
    """Write ``about.json`` of the feature ``audio_embed.<name>``; arguments as for `embed_audio`."""
    opened, about = open_network(network, weights, models_dir)
    notice = f"Weights: {about['licence']}. {about['citation']}".strip() if about["trained"] else OWN_NOTICE
    grid = grid_of(opened)
    parameters = {
        "network": network,
        "layers": list(layers),
        "combine": combine,
        "rate_hz": RATE,
        "row_s": grid.field / RATE,
        "hop_s": grid.hop / RATE,
        "normalised": _normalised(opened),
        "window_rows": WINDOW,
        "context_rows": CONTEXT,
    }
    spec = _spec(name, opened, network, layers, combine, notice)
    resampling = f"soxr, high quality, to {RATE / 1000:g} kHz and 16 bit"
    write_about(output, spec, parameters=parameters, resampling=resampling, weights=about)


def _spec(name: str, opened: nn.Module, network: str, layers: Sequence[int], combine: str, notice: str) -> FeatureSpec:
    width = opened.encoder.feature_projection.projection.out_features
    columns = [f"{name}_{layer}_{k}" for layer in layers for k in range(width)]
    several = f"{combine} of layers" if len(layers) > 1 else "layer"
    return FeatureSpec(
        id=AUDIO_EMBED_PREFIX + name,
        columns=tuple(columns if combine == "concatenate" else [f"{name}{k}" for k in range(width)]),
        source="torchaudio",
        module=__name__,
        rule=grid_of(opened).rule,
        description=f"{network}, {several} {', '.join(map(str, layers))}, at the frames' true timestamps",
        notice=notice,
    )
