"""M3T samples: windows of consecutive frames, and which are trained on (M3T spec 2.3, 2.5, 4)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from wildaffect.errors import InputError
from wildaffect.features.audio.m3t_mel import BANDS
from wildaffect.systems.m3t.spec import MEL, TEMPLATE, ZEROS
from wildaffect.systems.toolbox import average
from wildaffect.systems.types import Images, Target, TrialData

SIDE = 112
CUT = 2 * SIDE
# What covers an image in Cutout: the middle of the range, zero once normalised.
GREY = 127.5
# Fraction of a window's labels and of its faces that may be missing when resampling.
TOLERATED = 0.25


def task_labels(trial: TrialData, target: Target, task: str, rows: np.ndarray | slice = np.s_[:]) -> np.ndarray:
    """Labels float32 (n, columns) of a task in ``rows``, NaN where missing."""
    if task not in trial.labels:
        return np.full((len(trial.times[rows]), len(target.labels[task])), np.nan, np.float32)
    given = trial.labels[task]
    return np.where(given.valid[rows, None], given.values[rows], np.nan).astype(np.float32)


def good_starts(labelled: np.ndarray, seen: np.ndarray, window: int, tolerated: float = 0.0) -> np.ndarray:
    """First frames of windows in which at most a fraction ``tolerated`` of the labels, and of the faces, is missing."""
    if len(labelled) < window:
        return np.empty(0, int)
    missing = [np.lib.stride_tricks.sliding_window_view(~known, window).sum(axis=1) for known in (labelled, seen)]
    return np.flatnonzero(np.max(missing, axis=0) <= tolerated * window)


def training_starts(trial: TrialData, target: Target, window: int, *, uses_video: bool, resample: bool) -> np.ndarray:
    """Where training windows may begin (M3T spec 4), faces counted if the variant ``uses_video``.

    With ``resample`` those of negative mean valence are listed twice.
    """
    values = task_labels(trial, target, "va")
    labelled = ~np.isnan(values).any(axis=1)
    seen = trial.crops[TEMPLATE].valid if uses_video else np.ones(len(labelled), bool)
    if not resample:
        return good_starts(labelled, seen, window)
    starts = good_starts(labelled, seen, window, TOLERATED)
    sums = np.cumsum(np.append(0.0, np.nan_to_num(values[:, 0])))
    negative = sums[starts + window] < sums[starts]
    return np.sort(np.concatenate([starts, starts[negative]]))


def choices(starts: Sequence[np.ndarray], per_trial: int, equal_trials: bool) -> list[np.ndarray]:
    """For every training sample the windows that it is drawn from, int (k, 2): index of the trial and first frame.

    Either ``per_trial`` samples of every trial with any window, however long it is, or as many in total, evenly spread over all windows.
    """
    trials = np.repeat(np.arange(len(starts)), np.array([len(own) for own in starts], int))
    windows = np.stack([trials, np.concatenate([np.empty(0, int), *starts])], axis=1).astype(int)
    counts = np.array([len(own) for own in starts if len(own)], int)
    if equal_trials:
        borders = np.append(0, np.cumsum(counts))
        return [windows[a:b] for a, b in pairwise(borders) for _ in range(per_trial)]
    total = per_trial * len(counts)
    first = np.arange(total) * len(windows) // max(total, 1)
    last = np.maximum((np.arange(total) + 1) * len(windows) // max(total, 1), first + 1)
    return [windows[a:b] for a, b in zip(first, last, strict=True)]


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
class Audio:
    """The rows of ``feature``, as they are or less ``mean`` and divided by ``std`` (both float (columns,)).

    ``frames``, ``bands``: longest runs that are masked at random; ``dropped``: chance of each band to be masked.
    """

    feature: str
    mean: np.ndarray | float = 0.0
    std: np.ndarray | float = 1.0
    frames: int = 0
    bands: int = 0
    dropped: float = 0.0

    def read(self, trial: TrialData, rows: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """float32 (n, columns), masked by ``rng``."""
        values = ((np.asarray(trial.features[self.feature][rows]) - self.mean) / self.std).astype(np.float32)
        if rng is not None:
            parted = values.reshape(len(values), -1, BANDS if self.feature.startswith(MEL) else values.shape[1])
            if self.frames or self.bands:
                mask(parted, rng, self.frames, self.bands)
            if self.dropped:
                parted[..., rng.random(parted.shape[2]) < self.dropped] = parted.mean()
        return values


def mask(values: np.ndarray, rng: np.random.Generator, frames: int, bands: int) -> None:
    """Set a run of at most ``frames`` frames and ``bands`` bands of ``values`` (frames, rows, bands), in place, to their mean."""
    for axis, most in ((0, frames), (2, bands)):
        length = int(rng.integers(0, min(most, values.shape[axis]) + 1))
        start = int(rng.integers(0, values.shape[axis] - length + 1))
        np.moveaxis(values, axis, 0)[start : start + length] = values.mean()


@dataclass(frozen=True)
class Reader:
    """How a window becomes a sample.

    Attributes:
        target: Whose labels are read.
        window: Frames.
        uses_video: Whether the variant reads crops.
        vectors: Face vectors by model input.
        audio: None for variants without audio.
        nearest: A frame without a face has the trial's last image before it, or the first one after; otherwise the last one within the
            window, or black.
        augment: Cut and mirror at random.
        cutout: Cover a part of the images.
        unlabelled: Value of missing labels of valence and arousal.
    """

    target: Target
    window: int
    uses_video: bool
    vectors: Mapping[str, Vectors]
    audio: Audio | None
    nearest: bool
    augment: bool = False
    cutout: bool = False
    unlabelled: float = float("nan")

    def read(self, trial: TrialData, start: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One window; behind the trial's end its last frame is repeated, without labels."""
        count = min(self.window, len(trial.times) - start)
        rows = start + np.minimum(np.arange(self.window), count - 1)
        sample = {name: vectors.read(trial, rows) for name, vectors in self.vectors.items()}
        if self.uses_video:
            sample["video"] = self._video(trial.crops[TEMPLATE], rows, rng)
        if self.audio:
            sample["audio"] = self.audio.read(trial, rows, rng)
        for task in self.target.labels:
            sample[task] = task_labels(trial, self.target, task, rows)
            sample[task][count:] = np.nan
        sample["va"][:count] = np.nan_to_num(sample["va"][:count], nan=self.unlabelled)
        return sample

    def _video(self, crops: Images, rows: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """float32 (3, window, 112, 112), blue first, 0 ... 255; with ``rng`` one cut and one coin for the whole window."""
        shown = shown_rows(crops.valid, rows, self.nearest)
        seen = crops.read(np.maximum(shown, 0))
        slack = seen.shape[1] - CUT
        varied = rng if self.augment else None
        left, top = varied.integers(0, slack + 1, size=2) if varied is not None else (slack // 2, slack // 2)
        cuts = seen[:, top : top + CUT, left : left + CUT]
        small = np.stack([cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for cut in cuts])
        small[shown < 0] = 0
        if varied is not None and varied.random() < 0.5:
            small = small[:, :, ::-1]
        video = np.ascontiguousarray(small[..., ::-1].transpose(3, 0, 1, 2), np.float32)
        if self.cutout and rng is not None:
            cover(video, rng)
        return video


def cover(video: np.ndarray, rng: np.random.Generator) -> None:
    """Cover all images (..., side, side), in place, by one square of their size whose middle lies anywhere in them: a quarter to all."""
    side = video.shape[-1]
    middle = rng.integers(0, side, size=2)
    first, last = np.maximum(middle - side // 2, 0), middle + side // 2
    video[..., first[0] : last[0], first[1] : last[1]] = GREY


def shown_rows(valid: np.ndarray, rows: np.ndarray, nearest: bool) -> np.ndarray:
    """Rows whose images stand for ``rows``, -1 for black; see :class:`Reader`."""
    if not nearest:
        return np.maximum.accumulate(np.where(valid[rows], rows, -1))
    known = np.flatnonzero(valid)
    if not len(known):
        return np.full(len(rows), -1)
    return known[np.maximum(np.searchsorted(known, rows, "right") - 1, 0)]


class WindowSamples:
    """Windows; see :class:`wildaffect.systems.types.Samples`. Where a sample has several to choose from, ``rng`` picks one.

    A sample has, as far as the variant reads them, ``video`` float32 (3, window, 112, 112), ``se_features`` and ``au_features`` float32
    (columns, window), ``audio`` float32 (window, columns), and labels ``va`` (window, 2) and ``expr`` (window, 1), NaN where missing.
    """

    def __init__(
        self,
        trials: Sequence[TrialData],
        chosen: Sequence[np.ndarray],
        reader: Reader,
        finish: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """``chosen``: windows int (k, 2) for every sample, see :func:`choices`; ``finish`` turns raw outputs into predictions."""
        self._trials, self._chosen, self._reader, self._finish = trials, chosen, reader, finish

    def __len__(self) -> int:
        return len(self._chosen)

    def read(self, index: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One window."""
        options = self._chosen[index]
        trial, start = options[0 if rng is None else rng.integers(len(options))]
        return self._reader.read(self._trials[trial], int(start), rng)

    def to_frames(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Plain mean of all windows that cover a frame; the published code halves the sum where it knows of two (M3T spec 6.1)."""
        lengths = [len(trial.times) for trial in self._trials]
        pieces, finished = [], self._finish(outputs)
        for (trial, start), output in zip((options[0] for options in self._chosen), finished, strict=True):
            stop = min(start + self._reader.window, lengths[trial])
            pieces.append((trial, slice(start, stop), output[: stop - start]))
        return average(pieces, lengths, outputs.shape[-1])
