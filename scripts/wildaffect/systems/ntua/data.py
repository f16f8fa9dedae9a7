"""NTUA samples: chunks of consecutive frames, with their pictures or sound windows (NTUA spec 2.8, 2.10)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wildaffect.features.audio.ntua_mel import silence, windows
from wildaffect.systems.axes import Axis
from wildaffect.systems.interface import TrialData


def chunks(length: int, duration: int) -> list[tuple[int, int]]:
    """Half-open ranges of ``duration`` rows side by side; the last one may be shorter."""
    return [(start, min(start + duration, length)) for start in range(0, length, duration)]


def padded(start: int, stop: int, duration: int, repeat: str) -> np.ndarray:
    """Rows ``start`` to ``stop`` int (duration,), filled up with the last one (``edge``) or from the first one again (``wrap``)."""
    return np.pad(np.arange(start, stop), (0, duration - (stop - start)), mode=repeat)


def nominal_times(times: np.ndarray) -> np.ndarray:
    """Frame index / mean frame rate (N,) s, as the original has it; its rate is that of the container."""
    count = len(times)
    return np.arange(count) * ((times[-1] - times[0]) / (count - 1) if count > 1 else 0.0)


@dataclass(frozen=True)
class Sound:
    """How the sound windows of frames are cut.

    ``nominal``: times are index / rate. ``silent``: what is missing or masked is silence, not 0 dB. ``centred``: see
    :func:`~wildaffect.features.audio.ntua_mel.windows`. ``columns``, ``bands``: largest masks; ``always``: also where nothing is drawn.
    """

    feature: str
    nominal: bool
    silent: bool
    centred: bool
    columns: int
    bands: int
    always: bool

    def level(self, trial: TrialData) -> np.float32:
        """What stands where there is no sound, in dB."""
        return silence(trial.features[self.feature]) if self.silent else np.float32(0)

    def read(self, trial: TrialData, rows: np.ndarray, level: float, draw: np.random.Generator | None) -> np.ndarray:
        """float32 (n, bands, columns) of the frames ``rows``, masked by ``draw``."""
        times = (nominal_times(trial.times) if self.nominal else trial.times)[rows]
        images = windows(trial.features[self.feature], times, level, self.centred)
        return images if draw is None else masked(images, draw, self.columns, self.bands, level)


def masked(images: np.ndarray, draw: np.random.Generator, columns: int, bands: int, fill: float) -> np.ndarray:
    """``images`` (n, bands, columns) with a run of up to ``columns`` columns and one of up to ``bands`` bands set to ``fill``.

    Drawn for each image by itself: a length below the largest, then a place, both uniform (NTUA spec 2.8).
    """
    masked = images.copy()
    for image in masked:
        for axis, most in ((1, columns), (0, bands)):
            length = draw.uniform(0, min(most, image.shape[axis]))
            start = int(draw.uniform(0, image.shape[axis] - length))
            np.moveaxis(image, axis, 0)[start : start + int(length)] = fill
    return masked


class ChunkSamples:
    """Chunks of all axes, in order; see :class:`wildaffect.systems.interface.Samples`.

    A sample has uint8 (duration, 112, 112, 3) for each picture stream, float32 (duration, 128, 861) ``audio`` if there is sound, float32
    (duration, columns) ``labels``, and bool (duration,) ``valid`` (no padding) and ``counts`` (takes part in the loss).
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        *,
        templates: Mapping[str, str],
        sound: Sound | None,
        duration: int,
        repeat: Callable[[Axis], str],
        padding_counts: bool,
        faceless_count: bool,
        least: int,
        finish: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """``templates``: crop template of each stream. ``repeat``: how chunks of an axis are filled up, see :func:`padded`.

        Chunks with fewer than ``least`` counting frames are left out. ``finish`` turns raw outputs into predictions.
        """
        self._axes, self._templates, self._sound = axes, templates, sound
        self._duration, self._repeat = duration, repeat
        self._padding_counts, self._finish = padding_counts, finish
        self._levels = [sound.level(axis.trial) if sound else 0.0 for axis in axes]
        self._counts = [axis.counts & (faceless_count | self._faces(axis)) for axis in axes]
        self._ranges = [
            (number, start, stop)
            for number, axis in enumerate(axes)
            for start, stop in chunks(len(axis.rows), duration)
            if self._counts[number][start:stop].sum() >= least
        ]

    def __len__(self) -> int:
        return len(self._ranges)

    def read(self, index: int, draw: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One chunk. Pictures are never varied."""
        number, start, stop = self._ranges[index]
        axis = self._axes[number]
        places = padded(start, stop, self._duration, self._repeat(axis))
        rows, valid = axis.rows[places], np.arange(self._duration) < stop - start
        sample = {stream: axis.trial.crops[template].read(rows) for stream, template in self._templates.items()}
        if self._sound:
            if draw is None and self._sound.always:
                draw = np.random.default_rng(index)
            sample["audio"] = self._sound.read(axis.trial, rows, self._levels[number], draw)
        sample["labels"] = axis.labels[places].astype(np.float32)
        return sample | {"valid": valid, "counts": self._counts[number][places] & (valid | self._padding_counts)}

    def combine(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Predictions float64 (N, columns) per trial."""
        values = [np.full((len(axis.trial.times), outputs.shape[-1]), np.nan) for axis in self._axes]
        for (number, start, stop), output in zip(self._ranges, self._finish(outputs), strict=True):
            values[number][self._axes[number].rows[start:stop]] = output[: stop - start]
        return values

    def _faces(self, axis: Axis) -> np.ndarray:
        """Which frames of ``axis`` have a face; all if no stream shows one."""
        template = self._templates.get("face")
        return axis.trial.crops[template].valid[axis.rows] if template else np.ones(len(axis.rows), bool)
