"""Audio signals as features read them, and their spectrograms: windows, mel filters, levels."""

import os
from collections.abc import Callable, Iterator

import numpy as np

from wildaffect.errors import InputError
from wildaffect.features.store import Rows, Spool
from wildaffect.integrity import check, intact

RATE = 16_000
_SAMPLES_AT_ONCE = 1 << 20


def read_speech(audio: str | os.PathLike, rate: int = RATE) -> Spool:
    """Samples of a mono audio file of any rate; sample 0 stays sample 0.

    Decoded, resampled (soxr, high quality) and rounded block by block onto the disk: 115 MB per hour at 16 kHz, none of it in memory. Full
    scale is clipped, never wrapped. The published pipelines resample with FFmpeg instead, so where the rate changes single samples may
    differ from theirs.

    Args:
        audio: Path of the file.
        rate: Sampling rate of the result in Hz.

    Returns:
        int16 (S,) on disk.

    Raises:
        InputError: The file cannot be read or is not mono.
    """
    # Planning imports the features, but reads no audio.
    import soundfile
    import soxr

    speech = Spool(np.int16)
    check(audio)
    with intact(audio, "a readable audio file"), soundfile.SoundFile(audio) as file:
        if file.channels != 1:
            raise InputError(f"{audio}: has {file.channels} channels, expected mono. Make it again from the video.")
        convert = _passed if file.samplerate == rate else soxr.ResampleStream(file.samplerate, rate, 1).resample_chunk
        for block in file.blocks(_SAMPLES_AT_ONCE, dtype="float32"):
            speech.append(_rounded(convert(block)))
        speech.append(_rounded(convert(np.zeros(0, np.float32), last=True)))
    return speech


def _passed(block: np.ndarray, last: bool = False) -> np.ndarray:
    return block


def _rounded(block: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(block * 32768.0), -32768, 32767).astype(np.int16)


_BLOCK = 512  # rows transformed at a time: the intermediate arrays stay in the processor's cache
_FLOOR, _FLOOR_DB = 1e-10, -100.0
RANGE_DB = 80.0
# O'Shaughnessy's formula (HTK); Slaney's is linear below 1 kHz and logarithmic above (Auditory Toolbox, 1998).
_LINEAR_HZ, _BEND_HZ, _STEP = 200 / 3, 1000.0, np.log(6.4) / 27


def hann(samples: int) -> np.ndarray:
    """Periodic Hann window, float64 (samples,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)


def htk_filters(rate: int, fft: int, bands: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Triangles of height 1, equally wide on the HTK mel scale.

    Args:
        rate: Sampling rate in Hz.
        fft: Points of the transform.
        bands: Number of triangles.
        low_hz: Lower end of the first.
        high_hz: Upper end of the last.

    Returns:
        float64 (fft // 2 + 1, bands).
    """
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (low_hz, high_hz))
    edges = 700 * (10 ** (np.linspace(low, high, bands + 2) / 2595) - 1)
    return _triangles(rate, fft, edges)


def slaney_filters(rate: int, fft: int, bands: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Triangles of area 1 Hz, equally wide on Slaney's mel scale; otherwise as `htk_filters`."""
    mel = np.linspace(_slaney(low_hz), _slaney(high_hz), bands + 2)
    bend = _BEND_HZ / _LINEAR_HZ
    edges = np.where(mel < bend, mel * _LINEAR_HZ, _BEND_HZ * np.exp(_STEP * (mel - bend)))
    return _triangles(rate, fft, edges) * 2 / (edges[2:] - edges[:-2])


def mel_power(samples: np.ndarray, window: np.ndarray, fft: int, filters: np.ndarray) -> np.ndarray:
    """Mel-weighted power spectra of segments: ``samples`` (C, W), ``window`` (W,) -> float32 (C, bands)."""
    spectra = np.fft.rfft(samples * window, fft)
    return ((spectra.real**2 + spectra.imag**2) @ filters).astype(np.float32)


def row_blocks(
    signal: Rows,
    first: int,
    hop: int,
    count: int,
    window: np.ndarray,
    fft: int,
    filters: np.ndarray,
    edges: str = "constant",
) -> Iterator[np.ndarray]:
    """Rows of `mel_power` at regular distances.

    Args:
        signal: int16 (S,), taken as [-1, 1), or floating point.
        first: Sample at which the first row is centred.
        hop: Samples between rows.
        count: Number of rows.
        window: Window (W,).
        fft: Points of the transform.
        filters: Mel filters (fft // 2 + 1, bands).
        edges: What lies beyond the ends of ``signal``, see `piece`.

    Yields:
        Blocks of float32 (count, bands).
    """
    width = len(window)
    for begin in range(0, count, _BLOCK):
        size = min(_BLOCK, count - begin)
        start = first + begin * hop - width // 2
        part = piece(signal, start, start + (size - 1) * hop + width, edges)
        yield mel_power(np.lib.stride_tricks.sliding_window_view(part, width)[::hop], window, fft, filters)


def piece(signal: Rows, start: int, stop: int, edges: str = "constant") -> np.ndarray:
    """Samples ``start`` to ``stop`` of a signal in the precision of the calculation.

    Args:
        signal: int16 (S,), scaled to [-1, 1), or floating point.
        start: First sample; may lie before the signal.
        stop: End; may lie behind the signal.
        edges: Beyond the ends there is silence (``constant``) or the signal again, backwards and without its last sample (``reflect``; only
            as far as it is long).

    Returns:
        float64 or the signal's type, (stop - start,).
    """
    inside = np.asarray(signal[max(start, 0) : max(stop, 0)])
    scale = 32768 if inside.dtype == np.int16 else 1
    size = len(signal)
    if edges == "reflect":
        lead = signal[max(1 - stop, 1) : 1 - start][::-1] if start < 0 else inside[:0]
        trail = signal[2 * size - 1 - stop : size - 1][::-1] if stop > size else inside[:0]
        return np.concatenate([lead, inside, trail]) / np.float64(scale)
    missing = stop - start - len(inside)
    lead = min(max(-start, 0), missing)
    part = inside / np.float64(scale)
    return np.pad(part, (lead, missing - lead)) if missing else part


def levels(power: Callable[[], Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Decibels of blocks, no value further than 80 below the loudest of all.

    Args:
        power: Gives the blocks; it is called twice, so that they need not be kept.

    Yields:
        A block in dB for each block of ``power``.
    """
    top = max(decibel(block).max() for block in power())
    return (np.maximum(decibel(block), top - np.float32(RANGE_DB)) for block in power())


def decibel(power: np.ndarray) -> np.ndarray:
    """10 log10 of ``power``, never below -100 dB; the same shape and precision."""
    # The outer limit removes the rounding of the logarithm.
    return np.maximum(
        10 * np.log10(np.maximum(power, np.asarray(_FLOOR, power.dtype))), np.asarray(_FLOOR_DB, power.dtype)
    )


def _triangles(rate: int, fft: int, edges: np.ndarray) -> np.ndarray:
    hz = np.linspace(0, rate / 2, fft // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    return np.maximum(0.0, np.minimum((hz - left) / (centre - left), (right - hz) / (right - centre)))


def _slaney(hz: float) -> float:
    if hz < _BEND_HZ:
        return hz / _LINEAR_HZ
    return _BEND_HZ / _LINEAR_HZ + np.log(hz / _BEND_HZ) / _STEP
