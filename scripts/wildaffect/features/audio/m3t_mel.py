"""Five mel rows of 40 bands per frame, in dB (M3T spec 2.4, 2.5).

Rows are a third of a frame apart, ``floor(16000 / (3 * frame rate))`` samples. By the published rule ``third`` frame ``i`` takes rows
``3i … 3i + 4``: since three truncated hops are shorter than a frame, the audio falls behind the video, by 1.46 s in 10 000 frames at
30 frames/s. Rows behind the end are 0 dB, which is loud, and videos below 15 frames/s have no audio. The rule ``third_time`` begins with
the row nearest to the frame's timestamp, fills with the quietest level of the video, and serves all rates.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from wildaffect.features.frames import BY_THIRD, BY_THIRD_TIME, LOWEST_FPS, Clock, hop_samples
from wildaffect.features.signal import RATE, hann, levels, row_blocks, slaney_filters
from wildaffect.features.spec import pair
from wildaffect.features.store import Rows, Spool, pieces

WINDOW, FFT, BANDS, ROWS = 400, 512, 40, 5
FEATURES = pair(
    __name__,
    columns=tuple(f"row{row}_mel{band}" for row in range(ROWS) for band in range(BANDS)),
    rule=BY_THIRD_TIME,
    indexed=BY_THIRD,
    description="five log-mel rows of 40 bands, a third of a frame apart (M3T)",
)
_FRAMES = 1024  # at a time
_HANN = hann(WINDOW)
_FILTERS = slaney_filters(RATE, FFT, BANDS, 0.0, RATE / 2)


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    return {
        "rate_hz": RATE,
        "window_s": 0.025,
        "hop": "floor(16000 / (3 * average frame rate)) samples",
        "window": "periodic Hann",
        "spectrum": "power, 512 points, rows centred, ends reflected",
        "mel_bands": BANDS,
        "mel_scale": "Slaney, triangles of area 1 Hz",
        "band_hz": [0, 8000],
        "unit": "dB, at most 80 below the loudest value of the video",
        "rows_per_frame": ROWS,
    }


def rows(speech: Rows, hop: int, edges: str = "reflect") -> Spool:
    """Mel spectrogram in dB.

    Args:
        speech: int16 (S,) at 16 kHz.
        hop: Samples between rows; row r is centred at sample ``r * hop``.
        edges: What lies beyond the audio: ``reflect`` (librosa 0.7, of the system's time) or ``constant`` (silence, librosa from 0.9).

    Returns:
        float32 (1 + S // hop, 40) on disk.
    """
    count = 1 + len(speech) // hop
    if len(speech) <= FFT // 2:  # cannot be reflected
        speech = np.pad(speech[:], (0, FFT // 2 + 1 - len(speech)))
    db = Spool(np.float32, (BANDS,))
    for block in levels(lambda: row_blocks(speech, 0, hop, count, _HANN, FFT, _FILTERS, edges)):
        db.append(block)
    return db


def five_rows(db: Rows, first: np.ndarray, fill: float) -> np.ndarray:
    """Rows ``first`` … ``first + 4``, one after the other.

    Args:
        db: Spectrogram (R, 40).
        first: First row of each frame, int (N,).
        fill: Value behind the end.

    Returns:
        float32 (N, 200).
    """
    low = first.min()
    near = db[low : first.max() + ROWS]
    padded = np.vstack([near, np.full((1, BANDS), fill, np.float32)])
    return padded[np.minimum(first[:, None] - low + np.arange(ROWS), len(near))].reshape(len(first), ROWS * BANDS)


def frame_values(speech: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """Five rows for each frame by the rule of ``clock``, BY_THIRD or BY_THIRD_TIME: float32 (frames, 200) in blocks."""
    if clock.rule is BY_THIRD and clock.fps < LOWEST_FPS:
        yield np.zeros((len(clock.times), ROWS * BANDS), np.float32)
        return
    hop = hop_samples(clock.fps)
    db = rows(speech, hop)
    if clock.rule is BY_THIRD:
        first, fill = 3 * np.arange(len(clock.times)), 0.0
    else:
        first, fill = (
            np.rint(clock.times * RATE / hop).astype(np.int64),
            min(part.min() for part in pieces(db, _FRAMES)),
        )
    for wanted in pieces(first, _FRAMES):
        yield five_rows(db, wanted, fill)
