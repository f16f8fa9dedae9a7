"""M3T samples: windows of consecutive frames (M3T spec 2.3, 2.5, 4)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from wildaffect.errors import InputError
from wildaffect.systems.interface import Pictures, Target, TrialData
from wildaffect.systems.m3t.sampling import task_labels
from wildaffect.systems.m3t.spec import TEMPLATE, ZEROS
from wildaffect.systems.windows import average

SIDE = 112
CUT = 2 * SIDE
# What covers a picture in Cutout: the middle of the range, zero once normalised.
GREY = 127.5


@dataclass(frozen=True)
class Vectors:
    """The first ``columns`` of ``feature``; of :data:`ZEROS` there are none, and the place stays zero."""

    feature: str
    columns: int

    def read(self, trial: TrialData, rows: np.ndarray) -> np.ndarray:
        """float32 (columns, n)."""
        if self.feature == ZEROS:
            return np.zeros((self.columns, len(rows)), np.float32)
        values = trial.features[self.feature]
        if values.shape[1] < self.columns:
            raise InputError(
                f"trial {trial.name}: {self.feature} has {values.shape[1]} columns, but M3T should read {self.columns}. Set "
                "recipe.face_columns or recipe.arousal_columns to what there is."
            )
        return np.ascontiguousarray(values[rows, : self.columns].T, np.float32)


@dataclass(frozen=True)
class Sound:
    """The mel rows, as they are or less ``mean`` and divided by ``std`` (both float (200,))."""

    feature: str
    mean: np.ndarray | float = 0.0
    std: np.ndarray | float = 1.0

    def read(self, trial: TrialData, rows: np.ndarray) -> np.ndarray:
        """float32 (n, 200)."""
        return ((np.asarray(trial.features[self.feature][rows]) - self.mean) / self.std).astype(np.float32)


@dataclass(frozen=True)
class Reader:
    """How a window becomes a sample.

    ``vectors`` maps model inputs to face vectors; ``sound`` is None for variants that hear nothing, ``sees`` False for those without faces.
    ``nearest``: a frame without a face shows the trial's last one before it, or the first one after; otherwise the last one within the
    window, or black. ``unlabelled``: value of missing labels of valence and arousal.
    """

    target: Target
    window: int
    sees: bool
    vectors: Mapping[str, Vectors]
    sound: Sound | None
    nearest: bool
    augment: bool = False
    cutout: bool = False
    unlabelled: float = float("nan")

    def read(self, trial: TrialData, start: int, draw: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One window; behind the trial's end its last frame is repeated, without labels."""
        count = min(self.window, len(trial.times) - start)
        rows = start + np.minimum(np.arange(self.window), count - 1)
        sample = {name: vectors.read(trial, rows) for name, vectors in self.vectors.items()}
        if self.sees:
            sample["video"] = self._video(trial.crops[TEMPLATE], rows, draw)
        if self.sound:
            sample["audio"] = self.sound.read(trial, rows)
        for task in self.target.labels:
            sample[task] = task_labels(trial, self.target, task, rows)
            sample[task][count:] = np.nan
        sample["va"][:count] = np.nan_to_num(sample["va"][:count], nan=self.unlabelled)
        return sample

    def _video(self, pictures: Pictures, rows: np.ndarray, draw: np.random.Generator | None) -> np.ndarray:
        """float32 (3, window, 112, 112), blue first, 0 ... 255; with ``draw`` one cut and one coin for the whole window."""
        shown = shown_rows(pictures.valid, rows, self.nearest)
        seen = pictures.read(np.maximum(shown, 0))
        slack = seen.shape[1] - CUT
        varied = self.augment and draw is not None
        left, top = draw.integers(0, slack + 1, size=2) if varied else (slack // 2, slack // 2)
        cuts = seen[:, top : top + CUT, left : left + CUT]
        small = np.stack([cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for cut in cuts])
        small[shown < 0] = 0
        if varied and draw.random() < 0.5:
            small = small[:, :, ::-1]
        video = np.ascontiguousarray(small[..., ::-1].transpose(3, 0, 1, 2), np.float32)
        if self.cutout and draw is not None:
            cover(video, draw)
        return video


def cover(video: np.ndarray, draw: np.random.Generator) -> None:
    """Cover all pictures (..., side, side), in place, by one square of their size whose middle lies anywhere in them: a quarter to all."""
    side = video.shape[-1]
    middle = draw.integers(0, side, size=2)
    first, last = np.maximum(middle - side // 2, 0), middle + side // 2
    video[..., first[0] : last[0], first[1] : last[1]] = GREY


def shown_rows(valid: np.ndarray, rows: np.ndarray, nearest: bool) -> np.ndarray:
    """Rows whose pictures stand for ``rows``, -1 for black; see :class:`Reader`."""
    if not nearest:
        return np.maximum.accumulate(np.where(valid[rows], rows, -1))
    known = np.flatnonzero(valid)
    if not len(known):
        return np.full(len(rows), -1)
    return known[np.maximum(np.searchsorted(known, rows, "right") - 1, 0)]


class WindowSamples:
    """Windows; see :class:`wildaffect.systems.interface.Samples`. Where a sample has several to choose from, ``draw`` picks one.

    A sample has, as far as the variant reads them, ``video`` float32 (3, window, 112, 112), ``se_features`` and ``au_features`` float32
    (columns, window), ``audio`` float32 (window, 200), and labels ``va`` (window, 2) and ``expr`` (window, 1), NaN where missing.
    """

    def __init__(
        self,
        trials: Sequence[TrialData],
        chosen: Sequence[np.ndarray],
        reader: Reader,
        finish: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """``chosen``: windows int (k, 2) for every sample, see :func:`.sampling.choices`; ``finish`` turns raw outputs into predictions."""
        self._trials, self._chosen, self._reader, self._finish = trials, chosen, reader, finish

    def __len__(self) -> int:
        return len(self._chosen)

    def read(self, index: int, draw: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One window."""
        options = self._chosen[index]
        number, start = options[0 if draw is None else draw.integers(len(options))]
        return self._reader.read(self._trials[number], int(start), draw)

    def combine(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Plain mean of all windows that cover a frame; the published code halves the sum where it knows of two (M3T spec 6.1)."""
        lengths = [len(trial.times) for trial in self._trials]
        pieces, finished = [], self._finish(outputs)
        for (number, start), output in zip((options[0] for options in self._chosen), finished, strict=True):
            stop = min(start + self._reader.window, lengths[number])
            pieces.append((number, slice(start, stop), output[: stop - start]))
        return average(pieces, lengths, outputs.shape[-1])
