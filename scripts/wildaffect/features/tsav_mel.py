"""Sound of TSAV: a log-mel image of about ten seconds around each frame (TSAV spec 2.8, 2.9).

An image is far too large to be stored for every frame (256 kB), so what is stored per video is a signal on its own clock, which begins
at the time of frame 0, and the images are cut from it when they are asked for:

``tsav_mel``   float32 (R, 64), mel power on the 10 ms grid  -> :func:`centred_windows`
``tsav_wave``  int16 (S,), mono waveform at 44.1 kHz         -> :func:`faithful_windows`

The published images begin at arbitrary samples and are padded by reflection at their own ends; so no spectrogram serves them all, and
they are made from the waveform. Of one image only the first and the last column see its ends (a window reaches 441 samples, one hop, to
either side), hence images that begin on the same of the 441 phases share all other columns.
"""

from collections.abc import Iterator

import numpy as np

from wildaffect.features.arrays import Rows
from wildaffect.features.grid import Clock
from wildaffect.features.spectrogram import (
    RANGE_DB,
    decibel,
    hann,
    htk_filters,
    mel_power,
    piece,
    regular_rows,
    row_blocks,
)

RATE = 44_100
WINDOW, HOP, FFT, BANDS = 882, 441, 1024, 64
COLUMNS = 1001
MEAN_DB, STD_DB = -14.8, 19.895

PARAMETERS = {
    "rate_hz": RATE,
    "window_s": 0.02,
    "hop_s": 0.01,
    "window": "periodic Hann",
    "spectrum": "power, 1024 points, rows centred",
    "mel_bands": BANDS,
    "mel_scale": "HTK, triangles of height 1",
    "band_hz": [0, 22050],
}

_SPAN = 441_000  # samples of a complete image, ten seconds
_LEAD = 220_500
_SHORTEST = 513  # fewer samples cannot be extended by reflection
_HANN = hann(WINDOW)
_FILTERS = htk_filters(RATE, FFT, BANDS, 0.0, RATE / 2)
_SILENCE_DB = np.float32(-100)


def frame_values(wave: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """The signal ``tsav_mel`` of the whole ``wave``: float32 (1 + S // 441, 64) in blocks; ``clock`` is not needed."""
    return row_blocks(wave, 0, HOP, 1 + len(wave) // HOP, _HANN, FFT, _FILTERS)


def power_rows(wave: np.ndarray, first: int, count: int) -> np.ndarray:
    """Mel power of ``count`` rows, the first centred at sample ``first`` of int16 (S,) at 44.1 kHz -> float32 (count, 64).

    There is silence before the first and behind the last sample.
    """
    return regular_rows(wave, first, HOP, count, _HANN, FFT, _FILTERS)


def centred_windows(power: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Images of frames at ``times`` float64 (n,) s, cut from ``power`` float32 (R, 64) -> float32 (n, 1, 64, 1001).

    Column 500 is the 10 ms row nearest to the frame. Where the sound does not reach there is silence, on that side.
    """
    images = np.empty((len(times), 1, BANDS, COLUMNS), np.float32)
    starts = np.rint(np.asarray(times) * 100).astype(np.int64) - COLUMNS // 2
    for members, first, count in _runs(starts):
        levels = np.full((count, BANDS), _SILENCE_DB)
        inside = slice(max(first, 0), max(first + count, 0))
        found = decibel(np.asarray(power[inside]))
        levels[inside.start - first : inside.start - first + len(found)] = found
        for index in members:
            begin = starts[index] - first
            images[index, 0] = _normalised(levels[begin : begin + COLUMNS].T)
    return images


def faithful_windows(wave: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Images of frames at ``times`` float64 (n,) s as published, from ``wave`` int16 (S,) -> float32 (n, 1, 64, 1001).

    The sound begins five seconds before the frame, or at the beginning, and lasts ten seconds, or as long as the frame is from the
    beginning: there is no look-ahead in the first five seconds. Missing columns are silence on the left, also at the end of the sound.
    Where too little sound is left for one column the original stops; here such an image is silence.
    """
    images = np.full((len(times), 1, BANDS, COLUMNS), _normalised(_SILENCE_DB[None]), np.float32)
    starts, lengths = _published_ranges(np.asarray(times), len(wave))
    usable = np.flatnonzero(lengths >= _SHORTEST)
    for phase in np.unique(starts[usable] % HOP):
        chosen = usable[starts[usable] % HOP == phase]
        rows = starts[chosen] // HOP
        for members, first, count in _runs(rows):
            inner = decibel(power_rows(wave, first * HOP + phase, count))
            for index in members:
                frame, begin = chosen[index], rows[index] - first
                columns = 1 + lengths[frame] // HOP
                levels = np.full((COLUMNS, BANDS), _SILENCE_DB)
                levels[-columns:] = inner[begin : begin + columns]
                levels[[-columns, -1]] = decibel(_ends(wave, starts[frame], lengths[frame]))
                images[frame, 0] = _normalised(levels.T)
    return images


def _published_ranges(times: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """First sample and number of samples that the original reads for each frame; products are cut to integers."""
    at = times * RATE
    starts = np.maximum(at - _SPAN + _LEAD, 0).astype(np.int64)
    wanted = np.minimum(np.maximum(at, WINDOW), _SPAN).astype(np.int64)
    return starts, np.clip(samples - starts, 0, wanted)


def _ends(wave: np.ndarray, start: int, length: int) -> np.ndarray:
    """Mel power (2, 64) of the first and the last column of an image, whose sound is reflected at its own ends."""
    kept = min(length, FFT)
    head = np.pad(piece(wave, start, start + kept), (HOP, HOP), mode="reflect")[:WINDOW]
    tail = np.pad(piece(wave, start + length - kept, start + length), (HOP, HOP), mode="reflect")
    place = length // HOP * HOP - (length - kept)  # the column's first sample in ``tail``
    return mel_power(np.stack([head, tail[place : place + WINDOW]]), _HANN, FFT, _FILTERS)


def _runs(starts: np.ndarray) -> Iterator[tuple[np.ndarray, int, int]]:
    """Images that overlap, to be served by the same rows: their indices, the first row and the number of rows."""
    order = np.argsort(starts, kind="stable")
    apart = np.flatnonzero(np.diff(starts[order]) > COLUMNS) + 1
    for members in np.split(order, apart):
        if len(members):
            first = int(starts[members[0]])
            yield members, first, int(starts[members[-1]]) - first + COLUMNS


def _normalised(levels: np.ndarray) -> np.ndarray:
    return (np.maximum(levels, levels.max() - np.float32(RANGE_DB)) - np.float32(MEAN_DB)) / np.float32(STD_DB)
