"""Samples of sequence: windows of consecutive frames."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from wildaffect.systems.toolbox import average, windows
from wildaffect.systems.types import TrialData


class Windows:
    """Windows of all trials, in order; see :class:`wildaffect.systems.types.Samples`.

    A sample has ``values`` float32 (window, columns of all inputs) in units of their deviation, ``labels`` float32 (window, label
    columns), NaN where there is none, ``weights`` float32 of the same shape, and ``real`` bool (window,), false for padding at the end.
    """

    def __init__(
        self,
        trials: Sequence[TrialData],
        labels: Sequence[np.ndarray],
        scales: Sequence[Mapping[str, Any]],
        *,
        inputs: Sequence[str],
        weigh: Callable[[np.ndarray], np.ndarray],
        finish: Callable[[np.ndarray], np.ndarray],
        window: int,
        hop: int,
        drop_input: float,
        drop_columns: float,
    ) -> None:
        """``labels``: all label columns (N, columns) of each trial; ``scales``: mean and deviation of each of its ``inputs``. ``weigh``
        gives the weights of labels, ``finish`` predictions from outputs."""
        self._trials, self._labels, self._scales, self._inputs = trials, labels, scales, inputs
        self._weigh, self._finish = weigh, finish
        self._window, self._hop = window, hop
        self._drop_input, self._drop_columns = drop_input, drop_columns
        self._ranges = [
            (index, start, stop)
            for index, trial in enumerate(trials)
            for start, stop in windows(len(trial.times), window, hop)
        ]

    def __len__(self) -> int:
        return len(self._ranges)

    def read(self, index: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One window; with ``rng``, moved by up to half a hop, and without some inputs and columns."""
        position, start, stop = self._ranges[index]
        if rng is not None:
            moved = start + int(rng.integers(-(self._hop // 2), self._hop // 2 + 1))
            start = min(max(moved, 0), max(len(self._trials[position].times) - self._window, 0))
            stop = start + (stop - self._ranges[index][1])
        kept = self._kept(rng)
        parts = [
            _scaled(self._trials[position].features[name][start:stop], self._scales[position][name]) * np.float32(keep)
            for name, keep in zip(self._inputs, kept, strict=True)
        ]
        values = np.concatenate(parts, axis=1)
        if rng is not None:
            values *= rng.random(values.shape[1]) >= self._drop_columns
        padding = ((0, self._window - (stop - start)), (0, 0))
        labels = np.pad(self._labels[position][start:stop], padding, constant_values=np.nan).astype(np.float32)
        return {
            "values": np.pad(values, padding),
            "labels": labels,
            "weights": self._weigh(labels).astype(np.float32),
            "real": np.arange(self._window) < stop - start,
        }

    def to_frames(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Mean of all windows that cover a frame."""
        pieces = (
            (index, slice(start, stop), self._finish(output[: stop - start]))
            for (index, start, stop), output in zip(self._ranges, outputs, strict=True)
        )
        return average(pieces, [len(trial.times) for trial in self._trials], outputs.shape[-1])

    def _kept(self, rng: np.random.Generator | None) -> np.ndarray:
        """Which inputs are shown, bool (inputs,): all, or by ``rng`` at least one."""
        count = len(self._inputs)
        if rng is None or count == 1:
            return np.ones(count, bool)
        kept = rng.random(count) >= self._drop_input
        kept[rng.integers(count)] |= not kept.any()
        return kept


def _scaled(rows: np.ndarray, scale: Mapping[str, Sequence[float]]) -> np.ndarray:
    mean, std = (np.asarray(scale[name], np.float32) for name in ("mean", "std"))
    return (np.asarray(rows, np.float32) - mean) / std
