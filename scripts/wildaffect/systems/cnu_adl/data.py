"""CNU_ADL samples: frames of a trial, each with the block of frames that ends at it (CNU_ADL spec 2.4, 2.5, 4)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from wildaffect.corpus.label_spaces import EXPRESSIONS7
from wildaffect.systems.cnu_adl.spec import Augmentation
from wildaffect.systems.toolbox import check_classes
from wildaffect.systems.types import Target, TrialData

SIDE = 224
# The original trains on the middle of images of this size.
ENLARGED = 260
PUBLISHED = Augmentation()


def known_labels(trial: TrialData, target: Target) -> dict[str, np.ndarray]:
    """Labels float32 (N, columns) per task of ``target``, NaN where missing; valence and arousal count together or not at all.

    :class:`InputError` for an expression that CNU_ADL does not have.
    """
    found = {}
    for task, columns in target.labels.items():
        found[task] = np.full((len(trial.times), len(columns)), np.nan, np.float32)
        if task in trial.labels:
            given = trial.labels[task]
            found[task][given.valid] = given.values[given.valid]
    if "expr" in found:
        check_classes("CNU_ADL", trial.name, found["expr"])
    return found


def closed_blocks(rows: np.ndarray, length: int) -> np.ndarray:
    """Blocks (K, length) of ``rows`` (K,) as the original makes them: what is between two rows is skipped, the first is repeated before
    the start, and the block of the last row is that row alone, repeated (CNU_ADL spec 2.5, #5, #6).
    """
    positions = np.arange(len(rows))[:, None] + np.arange(1 - length, 1)
    blocks = rows[positions.clip(0)]
    blocks[-1:] = rows[-1:, None]
    return blocks


def held_blocks(rows: np.ndarray, seen: np.ndarray, length: int) -> np.ndarray:
    """Blocks (K, length) of consecutive decoded frames; one that is not ``seen`` (N,), or lies before the start, is replaced by the last
    seen before it, or else by the first of all. ``rows`` are those seen.
    """
    held = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), -1))
    held = np.where(held < 0, rows.min(initial=len(seen)), held)
    return held[(rows[:, None] + np.arange(1 - length, 1)).clip(0)]


def hold(values: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Values (K, columns) of ``rows`` for all ``count`` rows: each keeps the last one before it, the first ones get the first."""
    return values[(np.searchsorted(rows, np.arange(count), side="right") - 1).clip(0)]


def interpolate(values: np.ndarray, rows: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Values (K, columns) of ``rows`` for all rows, linear along ``axis`` (N,), level beyond both ends."""
    return np.stack([np.interp(axis, axis[rows], column) for column in values.T], axis=1)


@dataclass(frozen=True)
class TrialBlocks:
    """Rows (K,) of one trial to be sampled, their blocks (K, T), labels per task (N, columns), and whether these rows stand for all."""

    trial: TrialData
    rows: np.ndarray
    blocks: np.ndarray
    labels: Mapping[str, np.ndarray]
    complete: bool


def moved(
    image: np.ndarray, rng: np.random.Generator, enlarge: bool, augmentation: Augmentation = PUBLISHED
) -> np.ndarray:
    """A face (224, 224, 3) shifted, scaled, turned and mirrored at random; ``enlarge``: the middle of 260 pixels is shown, as published.

    It is moved, by ``augmentation``, and mirrored with a probability of 1/2 each. What comes into the image from outside is its reflection.
    """
    matrix = np.eye(3)
    if enlarge:
        matrix = _scaled(ENLARGED / SIDE)
    if rng.random() < 0.5:
        angle = rng.uniform(-augmentation.turn, augmentation.turn)
        scale = 1 + rng.uniform(-augmentation.scale, augmentation.scale)
        turn = np.vstack([cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), angle, scale), [0, 0, 1]])
        turn[:2, 2] += SIDE * rng.uniform(-augmentation.shift, augmentation.shift, 2)
        matrix = turn @ matrix
    if rng.random() < 0.5:
        matrix = np.array([[-1, 0, SIDE - 1], [0, 1, 0], [0, 0, 1.0]]) @ matrix
    if (matrix == np.eye(3)).all():
        return image
    return cv2.warpAffine(image, matrix[:2], (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101)


def moved_together(images: np.ndarray, rng: np.random.Generator, augmentation: Augmentation = PUBLISHED) -> np.ndarray:
    """One rng for all images (P, 224, 224, 3) of a sample."""
    seed = int(rng.integers(2**32))
    return np.stack(
        [moved(image, np.random.default_rng(seed), enlarge=False, augmentation=augmentation) for image in images]
    )


def moved_apart(images: np.ndarray, rng: np.random.Generator, augmentation: Augmentation = PUBLISHED) -> np.ndarray:
    """A rng for every image, and all enlarged, as published (#7, #8)."""
    return np.stack([moved(image, rng, enlarge=True, augmentation=augmentation) for image in images])


def _scaled(factor: float) -> np.ndarray:
    """The map that enlarges a image about its middle."""
    middle = (SIDE - 1) / 2 * (1 - factor)
    return np.array([[factor, 0, middle], [0, factor, middle], [0, 0, 1]])


class BlockSamples:
    """Chunks of ``chunk`` rows with their blocks; see :class:`wildaffect.systems.types.Samples`.

    A sample has ``block`` int64 (chunk, T): for each row the positions of its block's frames in ``images`` uint8 (P, 224, 224, 3), or in
    ``vectors`` float32 (P, columns) where a feature is read; P is the most that any chunk needs. Labels of the
    tasks that the parts have are float32 (chunk, columns), NaN where missing or past the end of the trial.
    """

    def __init__(
        self,
        parts: Sequence[TrialBlocks],
        *,
        template: str,
        feature: str | None,
        chunk: int,
        block: int,
        labelled_only: bool,
        balance: bool,
        augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None,
        finish: Callable[[np.ndarray, TrialBlocks], np.ndarray],
        columns: int,
    ) -> None:
        """``labelled_only``: chunks without any label are left out. ``balance``: of the others the expressions take turns. ``augment``
        changes images (P, …) by a rng. ``finish`` turns outputs (K, …) into the part's predictions (N, columns).
        """
        self._parts, self._template, self._feature, self._chunk = parts, template, feature, chunk
        self._augment, self._finish, self._columns = augment, finish, columns
        counts = [-(-len(part.rows) // chunk) for part in parts]
        self._chunks = [(number, start * chunk) for number, count in enumerate(counts) for start in range(count)]
        self._starts = np.cumsum([0, *counts])
        self._served = np.arange(len(self._chunks))
        if labelled_only:
            buckets = self._buckets()
            kept = np.flatnonzero(buckets >= 0)
            self._served = in_turn(kept, buckets[kept]) if balance else kept
        self._room = chunk if block == 1 else max(map(self._needed, np.unique(self._served)), default=1)

    def __len__(self) -> int:
        return len(self._served)

    def read(self, index: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One chunk; past the end of the trial its last block is repeated."""
        number, start = self._chunks[self._served[index]]
        part = self._parts[number]
        blocks, rows = self._blocks(part, start), part.rows[start : start + self._chunk]
        wanted, positions = np.unique(blocks, return_inverse=True)
        wanted = np.append(wanted, np.repeat(wanted[-1:], self._room - len(wanted)))
        sample = {"block": positions.reshape(blocks.shape)}
        if self._feature is not None:
            sample["vectors"] = np.asarray(part.trial.features[self._feature][wanted], np.float32)
        else:
            images = part.trial.crops[self._template].read(wanted)
            sample["images"] = images if rng is None or self._augment is None else self._augment(images, rng)
        for task, values in part.labels.items():
            sample[task] = np.full((self._chunk, values.shape[1]), np.nan, np.float32)
            sample[task][: len(rows)] = values[rows]
        return sample

    def to_frames(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Predictions per trial, NaN in rows that nothing stands for."""
        found = []
        for part, start, stop in zip(self._parts, self._starts, self._starts[1:], strict=False):
            if len(part.rows):
                values = outputs[start:stop].reshape(-1, outputs.shape[-1])[: len(part.rows)]
                found.append(self._finish(values.astype(np.float64), part))
            else:
                found.append(np.full((len(part.trial.times), self._columns), np.nan))
        return found

    def _blocks(self, part: TrialBlocks, start: int) -> np.ndarray:
        blocks = part.blocks[start : start + self._chunk]
        return np.append(blocks, np.repeat(blocks[-1:], self._chunk - len(blocks), axis=0), axis=0)

    def _needed(self, number: int) -> int:
        part, start = self._chunks[number]
        return len(np.unique(self._parts[part].blocks[start : start + self._chunk]))

    def _buckets(self) -> np.ndarray:
        """Class of every chunk by the label in its middle (without one: the class after the last), -1 where no row has a label."""
        found = np.full(len(self._chunks), -1)
        for position, (number, start) in enumerate(self._chunks):
            part = self._parts[number]
            rows = part.rows[start : start + self._chunk]
            if any(not np.isnan(values[rows]).all() for values in part.labels.values()):
                label = part.labels["expr"][rows[len(rows) // 2], 0] if "expr" in part.labels else np.nan
                found[position] = len(EXPRESSIONS7) if np.isnan(label) else int(label)
        return found


def in_turn(items: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """``items`` so that their classes take turns, until the largest has been through; the others begin again (CNU_ADL spec 4, "max")."""
    groups = [items[classes == value] for value in np.unique(classes)]
    longest = max(map(len, groups), default=0)
    return np.stack([np.resize(group, longest) for group in groups], axis=1).ravel() if groups else items
