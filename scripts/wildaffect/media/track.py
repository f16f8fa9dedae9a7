"""A mono audio track of fixed length to which blocks of samples are written at given positions."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
import soundfile

from wildaffect.media.timestamps import Clock

FULL_SCALE = 32767 / 32768
SILENT_PEAK = 0.001  # -60 dBFS
# The mix of unrelated channels has 1 / channels of their mean power; with less than a tenth of that they cancel each other.
CANCELS = 0.1
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
        peaks, energies: Largest magnitude, and sum of squares, of each channel, (channels,).
        loud, cancelled: Samples of blocks above -60 dBFS, and of these those whose channels cancel each other in the mix.
    """

    def __init__(self, file: soundfile.SoundFile, length: int, channel: int | None = None) -> None:
        """Start a track.

        Args:
            file: File to write.
            length: Samples of the track.
            channel: The channel to write; None: the mean of all.
        """
        self.file, self.length, self._channel = file, length, channel
        self.written = self.decoded = self.clipped = 0
        self.head = self.tail = self.gaps = self.overlaps = self.trimmed = 0
        self.offset: int | None = None
        self.peak = 0.0
        self.peaks = self.energies = np.zeros(0)
        self.loud = self.cancelled = 0
        self._bits = 24 if file.subtype == "PCM_24" else 16

    def add(self, start: int, samples: np.ndarray) -> None:
        """Write a block, averaged over its channels or one of them.

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
        sizes = np.abs(samples)
        self.clipped += int((sizes >= FULL_SCALE).any(axis=0).sum())
        mix = samples.mean(axis=0)
        if len(samples) > 1:
            self._compare(samples, sizes, mix)
        if self._channel is not None:
            mix = samples[min(self._channel, len(samples) - 1)]
        self.peak = max(self.peak, float(np.abs(mix).max()))
        self.decoded += len(mix)
        self._write(mix)

    def _compare(self, samples: np.ndarray, sizes: np.ndarray, mix: np.ndarray) -> None:
        """Note what each channel holds, and whether they cancel each other."""
        squares = (samples**2).sum(axis=1)
        grown = max(len(samples), len(self.peaks))
        self.peaks = np.maximum(_widened(self.peaks, grown), _widened(sizes.max(axis=1), grown))
        self.energies = _widened(self.energies, grown) + _widened(squares, grown)
        if sizes.max() >= SILENT_PEAK:
            self.loud += len(mix)
            if (mix**2).sum() < CANCELS / len(samples) * squares.mean():
                self.cancelled += len(mix)

    def _silence(self, count: int) -> None:
        for begin in range(0, count, _CHUNK):
            self._write(np.zeros(min(_CHUNK, count - begin)))

    def _write(self, mix: np.ndarray) -> None:
        """Write integers of the file's scale: libsndfile would scale floats by 32767 and be off by one step."""
        top = 2 ** (self._bits - 1)
        steps = np.clip(np.rint(mix * top), -top, top - 1)
        self.file.write(steps.astype(np.int16) if self._bits == 16 else steps.astype(np.int32) << 8)
        self.written += len(mix)


def _widened(values: np.ndarray, length: int) -> np.ndarray:
    return np.pad(values, (0, length - len(values)))


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


# Audio of a recording begins and ends this close to its frames; of audio and frames joined in one file both clocks step together.
NEAR_S = 2.0
# A longer step back is a clock of its own; a shorter one is an overlap of two blocks.
LONGEST_OVERLAP_S = 0.5


def follow(
    blocks: Iterable[tuple[int, np.ndarray]], clocks: Sequence[Clock], rate: int, unplaced: list[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Positions of blocks of audio when the clock of the frames steps inside a file: the audio makes the same steps.

    A step of the audio belongs to one of the frames' clock if both agree in size (within half of it, and two seconds) and the audio goes
    on within two seconds of the new clock's first frame. Other steps forward are gaps. Where another step leads back, or where several
    clocks fit and not all are met, the position is not known: the audio then goes on without the step.

    Args:
        blocks: Position by the file's clock, in samples from the first frame, and samples (channels, S); steps of `dejitter`.
        clocks: Clocks of the frames, in samples from the first frame; `frame` is not used.
        rate: Samples per second.
        unplaced: Gets the position from which on it is not known, if there is one.

    Yields:
        Position on the frames' times and samples of each block.
    """
    part, shift, expected, doubtful = 0, 0, None, None
    for start, samples in blocks:
        if expected is None:
            part = next((k for k, clock in enumerate(clocks) if _within(start, clock, rate)), 0)
            shift = round(clocks[part].shift) if clocks else 0
        elif start != expected:
            fitting = [
                later
                for later in range(part + 1, len(clocks))
                if _same_step(start - expected, start, clocks[part], clocks[later], rate)
            ]
            if fitting:
                if len(fitting) > 1 and doubtful is None:
                    doubtful = expected + shift
                part, shift = fitting[0], round(clocks[fitting[0]].shift)
            elif start - expected < -LONGEST_OVERLAP_S * rate:
                unplaced.append(expected + shift)
                shift += expected - start
        yield start + shift, samples
        expected = start + samples.shape[1]
    if doubtful is not None and part < len(clocks) - 1:
        unplaced.append(doubtful)


def _within(start: int, clock: Clock, rate: int) -> bool:
    return clock.begin - NEAR_S * rate <= start < clock.end


def _same_step(step: int, start: int, before: Clock, after: Clock, rate: int) -> bool:
    stated = after.begin - before.end
    allowed = min(abs(stated) / 2, NEAR_S * rate)
    return abs(step - stated) <= allowed and abs(start - after.begin) <= NEAR_S * rate
