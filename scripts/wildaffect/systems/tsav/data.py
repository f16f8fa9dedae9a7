"""TSAV samples: one frame with the clip that ends at it and the audio around it (TSAV spec 2.4, 2.9, 4), its labels and their weights."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from wildaffect.corpus.label_spaces import EXPRESSIONS7
from wildaffect.features.audio.tsav_mel import SILENCE
from wildaffect.features.audio.tsav_mel import Images as MelImages
from wildaffect.systems.toolbox import check_classes, masked
from wildaffect.systems.tsav.spec import TEMPLATE
from wildaffect.systems.types import Target, TrialData

CLIP = 8
# Images kept of what was read last. A clip of consecutive frames uses each image 8 times, at most 42 frames apart.
KEPT = 64
# Frames whose mel images share their columns when frames are asked for in order.
BLOCK = 256
# Bytes per frame up to which mel images pay to be kept: half of what clips take. An image that shares nothing has ten times as many.
MOST_KEPT = 112 * 112 * 4 // 2
# Largest shifts of hue (of 180), saturation and value (TSAV spec 4).
COLOUR_SHIFTS = (10, 25, 20)
# Greys of the brows and of the eyes, left and right exchanged.
EXCHANGED = np.arange(256, dtype=np.uint8)
EXCHANGED[[223, 191, 159, 127]] = [191, 223, 127, 159]
NEUTRAL, HAPPINESS, SADNESS = (EXPRESSIONS7.index(name) for name in ("Neutral", "Happiness", "Sadness"))
NEUTRAL_RADIUS = 0.5


def known_labels(trial: TrialData, target: Target) -> dict[str, np.ndarray]:
    """Labels float32 (N, columns) per task of ``target``, NaN where missing.

    Valence and arousal count together or not at all, units one by one.

    Raises:
        InputError: A class that TSAV does not have.
    """
    found = {}
    for task, columns in target.labels.items():
        values = np.full((len(trial.times), len(columns)), np.nan, np.float32)
        if task in trial.labels:
            given = trial.labels[task]
            values = np.where(given.valid[:, None], given.values, np.nan).astype(np.float32)
        found[task] = values
    if "expr" in found:
        check_classes("TSAV", trial.name, found["expr"])
    return found


def without_contradictions(labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``labels`` without expression, valence and arousal where these do not go together (TSAV spec 5, after a third party).

    Happiness with negative valence, sadness with positive valence, neutral farther than 0.5 from the origin. Units stay.
    """
    if not {"expr", "va"} <= set(labels):
        return dict(labels)
    expression, valence = labels["expr"][:, 0], labels["va"][:, 0]
    strange = (
        ((expression == HAPPINESS) & (valence < 0))
        | ((expression == SADNESS) & (valence > 0))
        | ((expression == NEUTRAL) & (np.hypot(*labels["va"].T) > NEUTRAL_RADIUS))
    )[:, None]
    return dict(labels) | {task: np.where(strange, np.float32(np.nan), labels[task]) for task in ("expr", "va")}


def count_labels(labels: Sequence[Mapping[str, np.ndarray]]) -> dict[str, list[int]]:
    """Frames of every expression, and active and inactive frames of every unit, as far as the tasks are there."""
    found = {}
    if labels and "expr" in labels[0]:
        values = np.concatenate([part["expr"][:, 0] for part in labels])
        found["expressions"] = np.bincount(values[~np.isnan(values)].astype(int), minlength=len(EXPRESSIONS7)).tolist()
    if labels and "au" in labels[0]:
        values = np.concatenate([part["au"] for part in labels])
        found |= {"active": (values == 1).sum(axis=0).tolist(), "inactive": (values == 0).sum(axis=0).tolist()}
    return found


def label_weights(
    labels: Mapping[str, np.ndarray], counts: Mapping[str, Sequence[int]], balance: float
) -> dict[str, np.ndarray]:
    """Weight of every label in the loss: float32 ``expr_weight`` (N, 1) and ``au_weight`` (N, units), 0 where the label is missing.

    A class weighs (mean count / its count) ** ``balance``, an active unit (inactive / active) ** ``balance`` times an inactive one; what
    never occurs in training weighs as if it had occurred once.
    """
    found = {}
    if "expr" in labels:
        occurred = np.maximum(np.asarray(counts["expressions"], float), 1)
        of_class = (occurred.mean() / occurred) ** balance
        known = ~np.isnan(labels["expr"])
        found["expr_weight"] = np.where(known, of_class[np.where(known, labels["expr"], 0).astype(int)], 0)
    if "au" in labels:
        active, inactive = (np.maximum(np.asarray(counts[name], float), 1) for name in ("active", "inactive"))
        known = ~np.isnan(labels["au"])
        found["au_weight"] = known * np.where(labels["au"] == 1, (inactive / active) ** balance, 1)
    return {name: values.astype(np.float32) for name, values in found.items()}


def clip_rows(frame: int, dilation: int = 6) -> np.ndarray:
    """The rows (8,) of the clip that ends at ``frame``, in time order; negative ones lie before the start and are black."""
    return frame + dilation * np.arange(1 - CLIP, 1)


def grid(count: int, stride: int) -> np.ndarray:
    """Every ``stride``-th of ``count`` frames, and the last one, so that all others lie between two of them."""
    frames = np.arange(0, count, stride)
    return frames if not count or frames[-1] == count - 1 else np.append(frames, count - 1)


def fill(values: np.ndarray, frames: np.ndarray, count: int) -> np.ndarray:
    """Values (k, columns) of ``frames`` as float64 (count, columns), linear in the frame number between them."""
    if len(frames) == count:
        return values.astype(np.float64)
    return np.stack([np.interp(np.arange(count), frames, column) for column in values.T], axis=1)


class Planes:
    """Images with the landmark drawing as a fourth channel; the last ones are kept, because neighbouring clips share most of theirs."""

    def __init__(self, trials: Sequence[TrialData]) -> None:
        self._trials = trials
        self._kept: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    def read(self, number: int, rows: np.ndarray) -> np.ndarray:
        """uint8 (n, 112, 112, 4) of the trial ``number``; black where there is no face and for negative rows."""
        wanted = [(number, row) for row in rows.tolist() if row >= 0]
        missing = [key for key in wanted if key not in self._kept]
        for key, image in zip(missing, self._load(number, missing), strict=True):
            self._kept[key] = image
        found = []
        for key in wanted:
            self._kept.move_to_end(key)
            found.append(self._kept[key])
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        clip = np.empty((len(rows), *found[0].shape), np.uint8)
        before = len(rows) - len(found)
        clip[:before] = 0
        np.stack(found, out=clip[before:])
        return clip

    def _load(self, number: int, keys: Sequence[tuple[int, int]]) -> np.ndarray:
        rows = np.array([row for _, row in keys], int)
        trial = self._trials[number]
        masks = trial.masks[TEMPLATE].read(rows)
        faces = trial.crops[TEMPLATE].read(rows)
        planes = np.empty((*faces.shape[:3], 4), np.uint8)
        if len(rows):
            cv2.mixChannels([_sheet(faces), _sheet(masks[..., None])], [_sheet(planes)], [0, 0, 1, 1, 2, 2, 3, 3])
        return planes


def _sheet(images: np.ndarray) -> np.ndarray:
    """Images (n, height, width, channels) below each other, for what OpenCV does with single pixels and lines."""
    return images.reshape(-1, *images.shape[2:])


def mirrored(clip: np.ndarray, exchange_sides: bool) -> np.ndarray:
    """The clip (n, height, width, 4) mirrored; ``exchange_sides`` also exchanges the greys that tell left from right."""
    turned = cv2.flip(_sheet(clip), 1)
    if exchange_sides:
        cv2.insertChannel(cv2.LUT(cv2.extractChannel(turned, 3), EXCHANGED), turned, 3)
    return turned.reshape(clip.shape)


@dataclass(frozen=True)
class Picked:
    """Frames of one trial to be sampled, with what is known of them: named float32 arrays of one row per frame."""

    trial: TrialData
    frames: np.ndarray
    known: Mapping[str, np.ndarray]


class ClipSamples:
    """Frames with their clips and mel images; see :class:`wildaffect.systems.types.Samples`.

    A sample has ``clip`` uint8 (8, 112, 112, 4) and ``audio_features`` float32 (1, 64, 1001), as far as they are read, and the entries of
    :class:`Picked`. Augmented clips come with ``shifts`` int16 (3,) of their colours and ``shown`` bool (8,), false for images that stay
    black: see :func:`wildaffect.systems.tsav.colour.recoloured`.
    """

    def __init__(
        self,
        picked: Sequence[Picked],
        *,
        seen: bool,
        feature: str | None,
        images: Callable[[np.ndarray, np.ndarray], MelImages],
        dilation: int,
        exchange_sides: bool,
        augment: bool,
        mask_columns: int,
        mask_bands: int,
        drop_audio: float,
        finish: Callable[[np.ndarray], np.ndarray],
        in_order: bool,
    ) -> None:
        """``seen``: clips are read. ``images`` cuts mel images from ``feature``; None: none are read. ``finish`` turns raw outputs into
        predictions. ``mask_columns``, ``mask_bands``: longest runs masked at random. ``drop_audio``: share of augmented clips that lose
        their audio. ``in_order``: samples will be read one after the other, so it pays to prepare the images of many at once. Those of a
        trial with `room` are prepared here: all processes that read share them.
        """
        self._picked, self._seen, self._feature, self._cut = picked, seen, feature, images
        self._dilation, self._exchange, self._finish = dilation, exchange_sides, finish
        self._augment, self._drop_audio = augment, drop_audio
        self._mask_columns, self._mask_bands = mask_columns, mask_bands
        self._block = BLOCK if in_order else 1
        self._planes = Planes([part.trial for part in picked])
        counts = [len(part.frames) for part in picked]
        self._numbers = np.repeat(np.arange(len(picked)), counts)
        self._starts = np.cumsum([0, *counts])
        self._first = 0
        self._images: Sequence[np.ndarray] = ()
        self._kept = {
            number: images(part.trial.features[feature], part.trial.times[part.frames])
            for number, part in enumerate(picked)
            if feature is not None and part.trial.room
        }
        for kept in self._kept.values():
            kept.prepare()

    def __len__(self) -> int:
        return len(self._numbers)

    def read(self, index: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One frame; where it is augmented, one coin for mirroring, one shift of colours for the whole clip, one coin for its audio, then
        what masks the audio. Audio without a clip is never dropped.
        """
        number = int(self._numbers[index])
        part, position = self._picked[number], index - self._starts[number]
        varied = rng if self._augment else None
        sample: dict[str, np.ndarray] = {}
        if self._seen:
            sample |= self._clip(number, int(part.frames[position]), varied)
        if self._feature is not None:
            image = self._kept[number][position] if number in self._kept else self._image(index, self._feature)
            dropped = self._seen and varied is not None and varied.random() < self._drop_audio
            if rng is not None and (self._mask_columns or self._mask_bands):
                image = masked(image, rng, self._mask_columns, self._mask_bands, image.min())
            sample["audio_features"] = np.full_like(image, SILENCE) if dropped else image
        return sample | {name: values[position] for name, values in part.known.items()}

    def to_frames(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Predictions per trial; frames between the sampled ones are interpolated."""
        finished = self._finish(outputs)
        return [
            fill(finished[start:stop], part.frames, len(part.trial.times))
            for part, start, stop in zip(self._picked, self._starts, self._starts[1:], strict=False)
        ]

    def _clip(self, number: int, frame: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """The clip that ends at ``frame`` of the trial ``number``, varied by ``rng``; its colours are shifted on the device."""
        rows = clip_rows(frame, self._dilation)
        clip = self._planes.read(number, rows)
        if not self._augment:
            return {"clip": clip}
        if rng is not None and rng.random() < 0.5:
            clip = mirrored(clip, self._exchange)
        shifts = [0 if rng is None else int(rng.uniform(-most, most)) for most in COLOUR_SHIFTS]
        shown = (rows >= 0) & self._picked[number].trial.crops[TEMPLATE].valid[rows.clip(0)]
        return {"clip": clip, "shifts": np.array(shifts, np.int16), "shown": shown}

    def _image(self, index: int, feature: str) -> np.ndarray:
        """The mel image of one sample; what it shares with its neighbours is kept until a sample of another block is asked for."""
        if not 0 <= index - self._first < len(self._images):
            number = int(self._numbers[index])
            start = index // self._block * self._block
            first, last = max(start, self._starts[number]), min(start + self._block, self._starts[number + 1])
            trial, frames = self._picked[number].trial, self._picked[number].frames
            chosen = frames[first - self._starts[number] : last - self._starts[number]]
            self._first, self._images = first, self._cut(trial.features[feature], trial.times[chosen])
        return self._images[index - self._first]
