"""LFAN samples: windows of consecutive frames (LFAN spec 4.2, 4.3)."""

from collections.abc import Mapping, Sequence

import numpy as np

from wildaffect.systems.lfan.model import IMAGE
from wildaffect.systems.toolbox import RowSelection, average, windows
from wildaffect.systems.types import TrialData


class WindowSamples:
    """Windows of all selections, in order; see :class:`wildaffect.systems.types.Samples`.

    A sample has ``frame`` uint8 (window, 40, 40, 3), ``number`` int64 (window,), which is equal for equal frames of different windows, a
    float32 (1, window, dim) array under the id of each feature, ``label`` float32 (window, columns) and ``counts`` bool (window,). Padding
    is zero before normalisation: black images, (0 - mean) / std, label 0; its number is -1.
    """

    def __init__(
        self,
        selections: Sequence[RowSelection],
        statistics: Mapping[str, Mapping],
        *,
        template: str,
        features: Sequence[str],
        window: int,
        hop: int,
        augment: bool,
        pad_counts: bool,
        only_counting: bool,
    ) -> None:
        """``features``: ids of what is read beside the images. Without ``augment`` images are never varied.

        ``pad_counts``: padding takes part in the loss (B18).

        ``only_counting`` leaves out windows with fewer than two counting rows, from which nothing can be learnt.
        """
        self._selections, self._statistics = selections, statistics
        self._template, self._features = template, features
        self._window, self._augment, self._pad_counts = window, augment, pad_counts
        self._first = np.cumsum([0, *(len(part.trial.times) for part in selections)])
        self._ranges = [
            (index, start, stop)
            for index, part in enumerate(selections)
            for start, stop in windows(len(part.rows), window, hop)
            if not only_counting or part.counts[start:stop].sum() >= 2
        ]

    def __len__(self) -> int:
        return len(self._ranges)

    def read(self, index: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One window; with ``rng``, one random cut and one coin for mirroring for the whole window."""
        position, start, stop = self._ranges[index]
        part = self._selections[position]
        rows = part.rows[start:stop]
        padding = self._window - len(rows)
        sample = {
            "frame": _pad(self._images(part.trial, rows, rng if self._augment else None), padding),
            "number": np.pad(self._first[position] + rows, (0, padding), constant_values=-1),
        }
        for feature in self._features:
            values = _pad(np.asarray(part.trial.features[feature][rows], np.float32), padding)
            scale = self._statistics[feature]
            centred = (values - np.asarray(scale["mean"], np.float32)) / np.asarray(scale["std"], np.float32)
            sample[feature] = centred[None].astype(np.float32, copy=False)
        sample["label"] = _pad(np.asarray(part.labels[start:stop], np.float32), padding)
        sample["counts"] = np.concatenate([part.counts[start:stop], np.full(padding, self._pad_counts)])
        return sample

    def to_frames(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Plain mean of all windows that cover a row (LFAN spec 6.1), float64."""
        pieces = (
            (index, self._selections[index].rows[start:stop], output[: stop - start])
            for (index, start, stop), output in zip(self._ranges, outputs, strict=True)
        )
        return average(pieces, [len(part.trial.times) for part in self._selections], outputs.shape[-1])

    def _images(self, trial: TrialData, rows: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        images = trial.crops[self._template].read(rows)
        slack = images.shape[1] - IMAGE
        top, left = (slack // 2, slack // 2) if rng is None else rng.integers(0, slack + 1, size=2)
        cut = images[:, top : top + IMAGE, left : left + IMAGE]
        return cut[:, :, ::-1] if rng is not None and rng.random() < 0.5 else cut


def _pad(values: np.ndarray, padding: int) -> np.ndarray:
    return np.pad(values, [(0, padding)] + [(0, 0)] * (values.ndim - 1))
