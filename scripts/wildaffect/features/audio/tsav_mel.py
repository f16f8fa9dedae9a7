"""Audio of TSAV: a log-mel image of about ten seconds around each frame (TSAV spec 2.8, 2.9).

An image is far too large to be stored for every frame (256 kB), so what is stored per video is a signal on its own clock, which begins
at the time of frame 0, and the images are cut from it when they are asked for:

``tsav_mel``   float32 (R, 64), mel power on the 10 ms grid  -> `centred_images`
``tsav_wave``  int16 (S,), mono waveform at 44.1 kHz         -> `faithful_images`

The published images begin at arbitrary samples and are padded by reflection at their own ends; so no spectrogram serves them all, and
they are made from the waveform. Of one image only the first and the last column see its ends (a window reaches 441 samples, one hop, to
either side), hence images that begin on the same of the 441 phases share all other columns. At 30 frames per second there are six
phases (three, and each also one sample earlier, where the original's product is rounded down), at 25 two; at 29.97 the same phase comes
again only after ten seconds, when the images have no audio in common.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wildaffect.features.frames import Clock
from wildaffect.features.signal import RANGE_DB, decibel, hann, htk_filters, piece, row_blocks
from wildaffect.features.spec import signal
from wildaffect.features.store import Rows

RATE = 44_100
WINDOW, HOP, FFT, BANDS = 882, 441, 1024, 64
COLUMNS = 1001
MEAN_DB, STD_DB = -14.8, 19.895

FEATURES = (
    signal(
        __name__,
        columns=tuple(f"mel{k}" for k in range(BANDS)),
        rows_per_second=100,
        description="mel power every 10 ms, from which TSAV's corrected windows are cut",
    ),
)

_SPAN = 441_000  # samples of a complete image, ten seconds
_LEAD = 220_500
_SHORTEST = 513  # fewer samples cannot be extended by reflection
_HANN = hann(WINDOW)
_FILTERS = htk_filters(RATE, FFT, BANDS, 0.0, RATE / 2)
_SILENCE_DB = np.float32(-100)
_ROWS = 256  # rows transformed at a time

SILENCE = (_SILENCE_DB - np.float32(MEAN_DB)) / np.float32(STD_DB)
"""Every value of an image without audio."""


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    return {
        "rate_hz": RATE,
        "window_s": 0.02,
        "hop_s": 0.01,
        "window": "periodic Hann",
        "spectrum": "power, 1024 points, rows centred",
        "mel_bands": BANDS,
        "mel_scale": "HTK, triangles of height 1",
        "band_hz": [0, 22050],
    }


def frame_values(wave: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """The signal ``tsav_mel`` of the whole ``wave``: float32 (1 + S // 441, 64) in blocks; ``clock`` is not needed."""
    return row_blocks(wave, 0, HOP, 1 + len(wave) // HOP, _HANN, FFT, _FILTERS)


@dataclass(frozen=True)
class Images(Sequence[np.ndarray]):
    """Normalised log-mel images float32 (1, 64, 1001), cut one by one from the levels that they share.

    Attributes:
        levels: float32 (64, R) in dB.
        begins: First column of each image in ``levels``, int (n,).
        columns: Number of columns of each image; silence before them fills it up, int (n,).
        ends: Replaces the first and the last column of each image, float32 (n, 64, 2) in dB; None keeps them.
    """

    levels: np.ndarray
    begins: np.ndarray
    columns: np.ndarray
    ends: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.begins)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices
        begin, columns = self.begins[index], self.columns[index]
        image = np.empty((1, BANDS, COLUMNS), np.float32)
        image[..., : COLUMNS - columns] = _SILENCE_DB
        if columns:
            image[0, :, COLUMNS - columns :] = self.levels[:, begin : begin + columns]
            if self.ends is not None:
                image[0, :, [-columns, -1]] = self.ends[index].T
        np.maximum(image, image.max() - np.float32(RANGE_DB), out=image)
        image -= np.float32(MEAN_DB)
        image /= np.float32(STD_DB)
        return image


def centred_images(power: np.ndarray, times: np.ndarray) -> Images:
    """Images of frames, in the middle of which the frame is: column 500 is the 10 ms row nearest to it.

    Where the audio does not reach there is silence, on that side.

    Args:
        power: The signal ``tsav_mel``, float32 (R, 64).
        times: Seconds from frame 0, float64 (n,).
    """
    starts = np.rint(np.asarray(times) * 100).astype(np.int64) - COLUMNS // 2
    begins, pieces = _shared(starts, np.full(len(starts), COLUMNS))
    return Images(
        _joined(_padded(power, first, count) for first, count in pieces), begins, np.full(len(begins), COLUMNS)
    )


def faithful_images(wave: np.ndarray, times: np.ndarray) -> Images:
    """Images of frames as published.

    The audio begins five seconds before the frame, or at the beginning, and lasts ten seconds, or as long as the frame is from the
    beginning: there is no look-ahead in the first five seconds. Missing columns are silence on the left, also at the end of the audio.
    Where too little audio is left for one column the original stops; here such an image is silence.

    Args:
        wave: The signal ``tsav_wave``, int16 (S,) at 44.1 kHz.
        times: Seconds from frame 0, float64 (n,).
    """
    starts, lengths = published_ranges(np.asarray(times), len(wave))
    columns = np.where(lengths >= _SHORTEST, 1 + lengths // HOP, 0)
    begins, width, parts = np.zeros(len(starts), np.int64), 0, []
    for phase in np.unique(starts[columns > 0] % HOP):
        chosen = np.flatnonzero((starts % HOP == phase) & (columns > 0))
        offsets, pieces = _shared(starts[chosen] // HOP, columns[chosen])
        begins[chosen] = width + offsets
        parts += [_levels(wave, first * HOP + phase, count) for first, count in pieces]
        width += sum(count for _, count in pieces)
    return Images(_joined(parts), begins, columns, _ends(wave, starts, lengths, columns))


def published_ranges(times: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """First sample and number of samples that the original reads for each frame; products are cut to integers."""
    at = times * RATE
    starts = np.maximum(at - _SPAN + _LEAD, 0).astype(np.int64)
    wanted = np.minimum(np.maximum(at, WINDOW), _SPAN).astype(np.int64)
    return starts, np.clip(samples - starts, 0, wanted)


def _shared(starts: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Where images of ``columns`` rows from ``starts`` on begin in a joint series of only the rows that one of them shows, and the pieces
    (first row, number of rows) of that series.
    """
    begins, pieces, width = np.empty(len(starts), np.int64), [], 0
    order = np.argsort(starts, kind="stable")
    reached = np.maximum.accumulate((starts + columns)[order])
    for members in np.split(order, np.flatnonzero(starts[order][1:] > reached[:-1]) + 1):
        if len(members):
            first = int(starts[members[0]])
            count = int((starts + columns)[members].max()) - first
            begins[members] = starts[members] - first + width
            pieces.append((first, count))
            width += count
    return begins, pieces


def _joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Levels (rows, 64) of all pieces as one array (64, rows)."""
    return np.concatenate([np.empty((0, BANDS), np.float32), *parts]).T.copy()


def _padded(power: np.ndarray, first: int, count: int) -> np.ndarray:
    """Levels (count, 64) of the rows of ``power`` from ``first`` on, silence before and behind it."""
    levels = np.full((count, BANDS), _SILENCE_DB)
    inside = slice(max(first, 0), max(first + count, 0))
    found = decibel(np.asarray(power[inside]))
    levels[inside.start - first : inside.start - first + len(found)] = found
    return levels


def _levels(wave: np.ndarray, first: int, count: int) -> np.ndarray:
    """Rows centred at sample ``first``, ``first + 441``, … in dB.

    Faster than the power of `frame_values`, and equal to a few units of the last place of float32.
    """
    levels = np.empty((count, BANDS), np.float32)
    for begin in range(0, count, _ROWS):
        number = min(_ROWS, count - begin)
        start = first + begin * HOP - HOP
        part = piece(wave, start, start + (number - 1) * HOP + WINDOW)
        segments = np.lib.stride_tricks.sliding_window_view(part, WINDOW, writeable=True)  # PyTorch wants it so
        levels[begin : begin + number] = _decibel_of(segments[::HOP])
    return levels


def _ends(wave: np.ndarray, starts: np.ndarray, lengths: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Levels (n, 64, 2) of the first and the last column of each image, whose audio is reflected at its own ends."""
    ends = np.empty((len(starts), BANDS, 2), np.float32)
    for begin in range(0, len(starts), _ROWS):
        chosen = np.flatnonzero(columns[begin : begin + _ROWS]) + begin
        if not len(chosen):
            continue
        last = lengths[chosen, None] - 1
        for side, centre in enumerate((np.zeros(len(chosen), np.int64), lengths[chosen] // HOP * HOP)):
            at = np.abs(centre[:, None] + np.arange(-HOP, HOP))
            samples = np.asarray(wave)[starts[chosen, None] + np.where(at > last, 2 * last - at, at)]
            ends[chosen, :, side] = _decibel_of(samples / np.float64(32768))
    return ends


def _decibel_of(segments: np.ndarray) -> np.ndarray:
    """Levels float32 (C, 64) of segments float64 (C, 882), at least one."""
    import torch  # its transform takes half the time of NumPy's

    padded = torch.zeros(len(segments), FFT, dtype=torch.float64)
    torch.mul(torch.from_numpy(segments), torch.from_numpy(_HANN), out=padded[:, :WINDOW])
    spectra = torch.fft.rfft(padded)
    power = spectra.real.square().addcmul_(spectra.imag, spectra.imag).float()
    return decibel((power @ torch.from_numpy(_FILTERS).float()).numpy())
