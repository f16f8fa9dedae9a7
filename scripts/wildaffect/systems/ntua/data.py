"""NTUA samples: chunks of consecutive frames, with their crops or audio windows (NTUA spec 2.8, 2.10)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wildaffect.features.audio.ntua_mel import silence, windows
from wildaffect.systems.toolbox import RowSelection, masked
from wildaffect.systems.types import TrialData


def chunks(length: int, duration: int) -> list[tuple[int, int]]:
    """Half-open ranges of ``duration`` rows side by side; the last one may be shorter."""
    return [(start, min(start + duration, length)) for start in range(0, length, duration)]


def padded(start: int, stop: int, duration: int, repeat: str) -> np.ndarray:
    """Rows ``start`` to ``stop`` int (duration,), filled up with the last one (``edge``) or from the first one again (``wrap``)."""
    return np.pad(np.arange(start, stop), (0, duration - (stop - start)), mode=repeat)


def nominal_times(times: np.ndarray, rate: float | None = None) -> np.ndarray:
    """Frame index / frame rate (N,) s, as the original has it: the rate that the file states, or the mean one where none is known."""
    if rate is None:
        rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 1.0
    return np.arange(len(times)) / rate


@dataclass(frozen=True)
class AudioWindows:
    """How the audio windows of frames are cut.

    ``nominal``: times are index / stated rate. ``silent``: what is missing or masked is silence, not 0 dB. ``centred``, ``seconds``: see
    :func:`~wildaffect.features.audio.ntua_mel.windows`. ``columns``, ``bands``: largest masks; ``always``: also where nothing is drawn.
    ``moved``: largest number of bands to move by in training. ``mean``, ``std``: of the training audio in dB, or 0 and 1.
    """

    feature: str
    nominal: bool
    silent: bool
    centred: bool
    seconds: float
    columns: int
    bands: int
    moved: int
    always: bool
    mean: float = 0.0
    std: float = 1.0

    def level(self, trial: TrialData) -> np.float32:
        """What stands where there is no audio, in dB."""
        return silence(trial.features[self.feature]) if self.silent else np.float32(0)

    def read(self, trial: TrialData, rows: np.ndarray, level: float, rng: np.random.Generator | None) -> np.ndarray:
        """float32 (n, bands, columns) of the frames ``rows``, masked by ``rng``."""
        times = (nominal_times(trial.times, trial.nominal_rate) if self.nominal else trial.times)[rows]
        images = windows(trial.features[self.feature], times, level, self.centred, self.seconds)
        shown = images if rng is None else self._varied(images, level, rng)
        return (shown - np.float32(self.mean)) / np.float32(self.std)

    def _varied(self, images: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
        if self.moved:
            images = np.stack([moved(image, int(rng.integers(-self.moved, self.moved + 1))) for image in images])
        return masked(images, rng, self.columns, self.bands, level)


def moved(image: np.ndarray, bands: int) -> np.ndarray:
    """``image`` (bands, columns) with every row ``bands`` higher; the outermost row fills what is left free."""
    rows = np.arange(len(image)) - bands
    return image[np.clip(rows, 0, len(image) - 1)]


class ChunkSamples:
    """Chunks of all selections, in order; see :class:`wildaffect.systems.types.Samples`.

    A sample has uint8 (duration, 112, 112, 3) for each image stream, float32 (duration, 128, columns) ``audio`` if there is any, float32
    (duration, columns) ``labels``, and bool (duration,) ``valid`` (no padding) and ``counts`` (takes part in the loss).
    """

    def __init__(
        self,
        selections: Sequence[RowSelection],
        *,
        templates: Mapping[str, str],
        audio: AudioWindows | None,
        duration: int,
        repeat: Callable[[RowSelection], str],
        padding_counts: bool,
        faceless_count: bool,
        least: int,
        finish: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """``templates``: crop template of each stream. ``repeat``: how chunks of a selection are filled up, see :func:`padded`.

        Chunks with fewer than ``least`` counting frames are left out. ``finish`` turns raw outputs into predictions.
        """
        self._selections, self._templates, self._audio = selections, templates, audio
        self._duration, self._repeat = duration, repeat
        self._padding_counts, self._finish = padding_counts, finish
        self._levels = [audio.level(part.trial) if audio else 0.0 for part in selections]
        self._counts = [part.counts & (faceless_count | self._faces(part)) for part in selections]
        self._ranges = [
            (index, start, stop)
            for index, part in enumerate(selections)
            for start, stop in chunks(len(part.rows), duration)
            if self._counts[index][start:stop].sum() >= least
        ]

    def __len__(self) -> int:
        return len(self._ranges)

    def read(self, index: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One chunk. Images are never varied."""
        position, start, stop = self._ranges[index]
        part = self._selections[position]
        padded_rows = padded(start, stop, self._duration, self._repeat(part))
        rows, valid = part.rows[padded_rows], np.arange(self._duration) < stop - start
        sample = {stream: part.trial.crops[template].read(rows) for stream, template in self._templates.items()}
        if self._audio:
            if rng is None and self._audio.always:
                rng = np.random.default_rng(index)
            sample["audio"] = self._audio.read(part.trial, rows, self._levels[position], rng)
        sample["labels"] = part.labels[padded_rows].astype(np.float32)
        return sample | {"valid": valid, "counts": self._counts[position][padded_rows] & (valid | self._padding_counts)}

    def to_frames(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Predictions float64 (N, columns) per trial."""
        values = [np.full((len(part.trial.times), outputs.shape[-1]), np.nan) for part in self._selections]
        for (index, start, stop), output in zip(self._ranges, self._finish(outputs), strict=True):
            values[index][self._selections[index].rows[start:stop]] = output[: stop - start]
        return values

    def _faces(self, part: RowSelection) -> np.ndarray:
        """Which frames of ``part`` have a face; all if no stream shows one."""
        template = self._templates.get("face")
        return part.trial.crops[template].valid[part.rows] if template else np.ones(len(part.rows), bool)
