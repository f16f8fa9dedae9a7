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

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
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
_FILTERS_32 = _FILTERS.astype(np.float32)
_SILENCE_DB = np.float32(-100)
_ROWS = 128  # rows transformed at a time

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


@dataclass
class Images(Sequence[np.ndarray]):
    """Normalised log-mel images float32 (1, 64, 1001), cut one by one from the levels that they share.

    An image has the same bits whichever others it is made with.

    Attributes:
        make: Gives the levels in pieces of float32 (rows, 64) in dB.
        width: Rows of all pieces together.
        begins: First row of each image in the joined pieces, int (n,).
        columns: Number of columns of each image; silence before them fills it up, int (n,).
        ends: ``ends(index)`` replaces the first and the last column of an image, float32 (2, 64) in dB; None keeps them.
    """

    make: Callable[[], Iterable[np.ndarray]]
    width: int
    begins: np.ndarray
    columns: np.ndarray
    ends: Callable[[int], np.ndarray] | None = None
    _levels: np.ndarray | None = field(default=None, init=False, repr=False)

    @property
    def nbytes(self) -> int:
        """Memory that the levels take once they are made."""
        return self.width * BANDS * np.dtype(np.float32).itemsize

    def prepare(self) -> np.ndarray:
        """Make the levels float32 (64, width), unless they are made; else the first image does."""
        if self._levels is None:
            self._levels, begin = np.empty((BANDS, self.width), np.float32), 0
            for part in self.make():
                self._levels[:, begin : begin + len(part)] = part.T
                begin += len(part)
        return self._levels

    def __len__(self) -> int:
        return len(self.begins)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices
        begin, columns = self.begins[index], self.columns[index]
        image = np.empty((1, BANDS, COLUMNS), np.float32)
        image[..., : COLUMNS - columns] = _SILENCE_DB
        if columns:
            image[0, :, COLUMNS - columns :] = self.prepare()[:, begin : begin + columns]
            if self.ends is not None:
                image[0, :, [-columns, -1]] = self.ends(index)
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
    columns = np.full(len(starts), COLUMNS)
    begins, pieces = _shared(starts, columns)
    return Images(lambda: (_padded(power, first, count) for first, count in pieces), _width(pieces), begins, columns)


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
    for phase in np.unique(starts[columns > 0] % HOP).tolist():
        chosen = np.flatnonzero((starts % HOP == phase) & (columns > 0))
        offsets, pieces = _shared(starts[chosen] // HOP, columns[chosen])
        begins[chosen] = width + offsets
        parts += [(phase, first, count) for first, count in pieces]
        width += _width(pieces)
    return Images(
        lambda: (_levels(wave, *part) for part in parts), width, begins, columns, partial(_ends, wave, starts, lengths)
    )


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


def _width(pieces: Iterable[tuple[int, int]]) -> int:
    return sum(count for _, count in pieces)


def _padded(power: np.ndarray, first: int, count: int) -> np.ndarray:
    """Levels (count, 64) of the rows of ``power`` from ``first`` on, silence before and behind it."""
    levels = np.full((count, BANDS), _SILENCE_DB)
    inside = slice(max(first, 0), max(first + count, 0))
    found = decibel(np.asarray(power[inside]))
    levels[inside.start - first : inside.start - first + len(found)] = found
    return levels


def _levels(wave: np.ndarray, phase: int, first: int, count: int) -> np.ndarray:
    """Rows ``first`` to ``first + count`` of those centred at samples ``phase``, ``phase + 441``, … in dB.

    Faster than the power of `frame_values`, and equal to a few units of the last place of float32. Rows are transformed in blocks that
    begin at fixed ones: the last bits depend on the number that is transformed together.
    """
    blocks = range(first // _ROWS * _ROWS, first + count, _ROWS)
    levels = np.concatenate([_block(wave, phase + row * HOP) for row in blocks])
    return levels[first - blocks.start :][:count]


def _block(wave: np.ndarray, centre: int) -> np.ndarray:
    part = piece(wave, centre - HOP, centre - HOP + (_ROWS - 1) * HOP + WINDOW)
    segments = np.lib.stride_tricks.sliding_window_view(part, WINDOW, writeable=True)  # PyTorch wants it so
    return _decibel_of(segments[::HOP])


def _ends(wave: np.ndarray, starts: np.ndarray, lengths: np.ndarray, index: int) -> np.ndarray:
    """Levels (2, 64) of the first and the last column of an image, whose audio is reflected at its own ends."""
    start, last = int(starts[index]), int(lengths[index]) - 1
    at = np.abs(np.array([[0], [(last + 1) // HOP * HOP]]) + np.arange(-HOP, HOP))
    samples = np.asarray(wave[start : start + last + 1])[np.where(at > last, 2 * last - at, at)]
    return _decibel_of(samples / np.float64(32768))


def _decibel_of(segments: np.ndarray) -> np.ndarray:
    """Levels float32 (C, 64) of segments float64 (C, 882), at least one."""
    import torch  # its transform takes half the time of NumPy's

    padded = torch.zeros(len(segments), FFT, dtype=torch.float64)
    torch.mul(torch.from_numpy(segments), torch.from_numpy(_HANN), out=padded[:, :WINDOW])
    squares = torch.view_as_real(torch.fft.rfft(padded)).float().square_()
    power = squares[..., 0] + squares[..., 1]
    return decibel((power @ torch.from_numpy(_FILTERS_32)).numpy())
