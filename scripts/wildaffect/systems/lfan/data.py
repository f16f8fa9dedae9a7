"""LFAN samples: windows of consecutive frames (LFAN spec 4.2, 4.3)."""

from collections.abc import Mapping, Sequence

import numpy as np

from wildaffect.systems.axes import Axis
from wildaffect.systems.interface import TrialData
from wildaffect.systems.lfan.model import PICTURE


def windows(length: int, window: int, hop: int) -> list[tuple[int, int]]:
    """Half-open ranges that cover ``length`` rows: one every ``hop``, and always one that ends with the last row.

    A series shorter than ``window`` gives one short range, to be padded at its end; an empty one gives none.
    """
    if length <= window:
        return [(0, length)] if length else []
    return [(start, start + window) for start in range(0, length - window, hop)] + [(length - window, length)]


class WindowSamples:
    """Windows of all axes, in order; see :class:`wildaffect.systems.interface.Samples`.

    A sample has ``frame`` float32 (window, 3, 40, 40) in [-1, 1], one float32 (1, window, dim) array per feature, ``label`` float32
    (window, 1) and ``counts`` bool (window,). Padding is zero before normalisation: black pictures, (0 - mean) / std, label 0.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        statistics: Mapping[str, Mapping],
        *,
        template: str,
        features: Mapping[str, str],
        window: int,
        hop: int,
        augment: bool,
        pad_counts: bool,
        only_counting: bool,
    ) -> None:
        """``features`` maps model inputs to feature ids. Without ``augment`` pictures are never varied.

        ``pad_counts``: padding takes part in the loss (B18).

        ``only_counting`` leaves out windows with fewer than two counting rows, from which nothing can be learnt.
        """
        self._axes, self._statistics = axes, statistics
        self._template, self._features = template, features
        self._window, self._augment, self._pad_counts = window, augment, pad_counts
        self._ranges = [
            (number, start, stop)
            for number, axis in enumerate(axes)
            for start, stop in windows(len(axis.rows), window, hop)
            if not only_counting or axis.counts[start:stop].sum() >= 2
        ]

    def __len__(self) -> int:
        return len(self._ranges)

    def read(self, index: int, draw: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One window; with ``draw``, one random cut and one coin for mirroring for the whole window."""
        number, start, stop = self._ranges[index]
        axis = self._axes[number]
        rows = axis.rows[start:stop]
        padding = self._window - len(rows)
        sample = {"frame": self._pictures(axis.trial, rows, draw if self._augment else None)}
        for name, feature in self._features.items():
            values = _pad(np.asarray(axis.trial.features[feature][rows], np.float32), padding)
            scale = self._statistics[feature]
            centred = (values - np.asarray(scale["mean"], np.float32)) / np.asarray(scale["std"], np.float32)
            sample[name] = centred[None].astype(np.float32, copy=False)
        sample["label"] = _pad(np.asarray(axis.labels[start:stop], np.float32), padding)
        sample["counts"] = np.concatenate([axis.counts[start:stop], np.full(padding, self._pad_counts)])
        return sample

    def combine(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Plain mean of all windows that cover a row (LFAN spec 6.1), float64."""
        columns = outputs.shape[-1]
        sums = [np.zeros((len(axis.trial.times), columns)) for axis in self._axes]
        covers = [np.zeros((len(axis.trial.times), 1)) for axis in self._axes]
        for (number, start, stop), output in zip(self._ranges, outputs, strict=True):
            rows = self._axes[number].rows[start:stop]
            sums[number][rows] += output[: stop - start]
            covers[number][rows] += 1
        return [
            np.divide(total, cover, out=np.full_like(total, np.nan), where=cover > 0)
            for total, cover in zip(sums, covers, strict=True)
        ]

    def _pictures(self, trial: TrialData, rows: np.ndarray, draw: np.random.Generator | None) -> np.ndarray:
        pictures = trial.crops[self._template].read(rows)
        slack = pictures.shape[1] - PICTURE
        top, left = (slack // 2, slack // 2) if draw is None else draw.integers(0, slack + 1, size=2)
        cut = pictures[:, top : top + PICTURE, left : left + PICTURE]
        if draw is not None and draw.random() < 0.5:
            cut = cut[:, :, ::-1]
        black = np.full((self._window, 3, PICTURE, PICTURE), -1, np.float32)
        black[: len(rows)] = cut.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1
        return black


def _pad(values: np.ndarray, padding: int) -> np.ndarray:
    return np.pad(values, [(0, padding)] + [(0, 0)] * (values.ndim - 1))
