"""A mono audio track of fixed length to which blocks of samples are written at given positions."""

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

import numpy as np
import soundfile

FULL_SCALE = 32767 / 32768
_CHUNK = 1 << 16


class Track:
    """Writes exactly `length` samples to a file: silence where no block is, nothing outside.

    Attributes:
        offset: Position of the first block; None before there is one.
        head: Samples of silence before the first block.
        tail: Samples of silence after the last block.
        gaps: Samples of silence between blocks.
        overlaps: Samples cut from blocks that begin before the end of their predecessor.
        trimmed: Samples outside the track.
        decoded: Samples written from blocks.
        clipped: Of these, samples with a channel at full scale.
        peak: Largest magnitude of the written mix.
    """

    def __init__(self, file: soundfile.SoundFile, length: int) -> None:
        self.file, self.length = file, length
        self.written = self.decoded = self.clipped = 0
        self.head = self.tail = self.gaps = self.overlaps = self.trimmed = 0
        self.offset: int | None = None
        self.peak = 0.0
        self._bits = 24 if file.subtype == "PCM_24" else 16

    def add(self, start: int, samples: np.ndarray) -> None:
        """Write a block, averaged over its channels.

        Args:
            start: Position of its first sample; may be negative.
            samples: float (channels, S) in [-1, 1].
        """
        if self.offset is None:
            self.offset = start
        begin, end = max(start, 0), min(start + samples.shape[1], self.length)
        self.trimmed += samples.shape[1] - max(0, end - begin)
        if end <= begin:
            return
        fresh = min(max(begin, self.written), end)
        self.overlaps += fresh - begin
        if fresh > self.written:
            if self.decoded:
                self.gaps += fresh - self.written
            else:
                self.head += fresh - self.written
            self._silence(fresh - self.written)
        kept = samples[:, fresh - start : end - start]
        if kept.shape[1]:
            self._block(kept)

    def close(self) -> None:
        """Fill the rest of the track with silence."""
        self.tail = self.length - self.written
        self._silence(self.tail)

    def _block(self, samples: np.ndarray) -> None:
        self.clipped += int((np.abs(samples) >= FULL_SCALE).any(axis=0).sum())
        mix = samples.mean(axis=0)
        self.peak = max(self.peak, float(np.abs(mix).max()))
        self.decoded += len(mix)
        self._write(mix)

    def _silence(self, count: int) -> None:
        for begin in range(0, count, _CHUNK):
            self._write(np.zeros(min(_CHUNK, count - begin)))

    def _write(self, mix: np.ndarray) -> None:
        """Write integers of the file's scale: libsndfile would scale floats by 32767 and be off by one step."""
        top = 2 ** (self._bits - 1)
        steps = np.clip(np.rint(mix * top), -top, top - 1)
        self.file.write(steps.astype(np.int16) if self._bits == 16 else steps.astype(np.int32) << 8)
        self.written += len(mix)


def dejitter(blocks: Iterable[tuple[int | None, np.ndarray]], tolerance: int) -> Iterator[tuple[int, np.ndarray]]:
    """Positions of successive blocks without the jitter of their timestamps.

    A block follows its predecessor without a step unless its own and the next block's timestamps both differ from that by `tolerance`
    samples or more. A first block without a timestamp starts at 0.

    Args:
        blocks: Position in samples by timestamp, or None, and samples (channels, S).
        tolerance: Smallest step, in samples, that is no jitter.

    Yields:
        Position and samples of each block.

    Examples:
        >>> ten = np.zeros((1, 10))
        >>> [start for start, _ in dejitter([(0, ten), (11, ten), (20, ten), (90, ten), (100, ten)], tolerance=5)]
        [0, 10, 20, 90, 100]
    """
    clock = None
    for (start, samples), (following, _) in pairwise(chain(blocks, [(None, None)])):
        if clock is None:
            clock = start or 0
        elif start is not None and abs(start - clock) >= tolerance:
            back = following is not None and abs(following - clock - samples.shape[1]) < tolerance
            clock = clock if back else start
        yield clock, samples
        clock += samples.shape[1]
