"""What training and prediction are given, and the trials read from it."""

import hashlib
import json
import mmap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.corpus.folds import FOLDS, fold_trials
from wildaffect.corpus.labels import labels_schema
from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile
from wildaffect.faces.landmarks import LandmarkMasks
from wildaffect.features.spec import find_feature, of_configuration, rows_per_second
from wildaffect.features.store import open_array
from wildaffect.files import sha256
from wildaffect.media.frames import read_frames
from wildaffect.systems.types import Images, Labels, Needs, Target, TrialData
from wildaffect.tables import read_schema, read_table


@dataclass(frozen=True)
class JobInputs:
    """Files by trial.

    Attributes:
        frames: Frame tables, ``{trial: path}``.
        crops: Crop files, ``{template: {trial: path}}``.
        features: Arrays, ``{feature: {trial: path}}``.
        persons: Tables of persons, ``{trial: path}``, for systems that draw landmarks.
        subjects: Whom a trial shows, where that is known, for systems that ask for it.
    """

    frames: Mapping[str, Path]
    crops: Mapping[str, Mapping[str, Path]]
    features: Mapping[str, Mapping[str, Path]]
    persons: Mapping[str, Path] = field(default_factory=dict)
    subjects: Mapping[str, str] = field(default_factory=dict)

    def of(self, trial: str, needs: Needs) -> dict[str, Path]:
        """All files of one trial that ``needs`` asks for, by kind.

        Raises:
            InputError: One was not given.
        """
        wanted = {
            "frames": self.frames,
            **{f"crop {name}": self.crops.get(name, {}) for name in needs.crops},
            **{f"feature {name}": self.features.get(name, {}) for name in needs.features},
            **({"persons": self.persons} if needs.masks else {}),
        }
        for kind, paths in wanted.items():
            if trial not in paths:
                raise InputError(f"trial {trial}: no file given for {kind}.")
        return {kind: Path(paths[trial]) for kind, paths in wanted.items()}


@dataclass(frozen=True)
class FoldData:
    """What a training knows of the corpus.

    Attributes:
        fold: Index of the fold.
        folds: The fold table.
        labels: Label tables by task.
        videos: Source video by trial, for targets of several tasks: none of them is then trained on a video that another holds out.
    """

    fold: int
    folds: Path
    labels: Mapping[str, Path]
    videos: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Runtime:
    """The machine, as far as a job uses it, and how it computes.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: Numeric precision, one of :data:`wildaffect.training.runtime.PRECISIONS`.
        deterministic: Only kernels that always give the same values.
        compiled: Networks are compiled for the training.
        threads: CPU threads of the job, see :func:`wildaffect.training.runtime.divide_threads`.
        workers: Processes that read samples, beside as many threads; None: as many of the threads as pays.
        cache_mib: Decoded images up to this many MiB are kept in memory.
    """

    device: str = "cpu"
    precision: str = "float32"
    deterministic: bool = True
    compiled: bool = False
    threads: int = 1
    workers: int | None = None
    cache_mib: int = 4096


class CachedImages:
    """The images of one trial, decoded or drawn when they are first asked for and kept, in memory that forked processes share."""

    def __init__(self, images: Images) -> None:
        self.valid = np.asarray(images.valid)
        self._source = images
        self._images = _shared((len(self.valid), *images.read(np.arange(0)).shape[1:]), np.uint8)
        self._known = _shared(self.valid.shape, bool)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """uint8 (n, size, size, 3), drawings without the last axis."""
        missing = np.unique(rows[~self._known[rows]])
        if len(missing):
            self._images[missing] = self._source.read(missing)
            self._known[missing] = True  # last, so that another process finds whole images or decodes them too
        return self._images[rows]


def _shared(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Zeros that forked processes write to and read from together; memory is taken as it is written to."""
    count = int(np.prod(shape))
    return np.frombuffer(mmap.mmap(-1, max(1, count * np.dtype(dtype).itemsize)), dtype, count).reshape(shape)


def open_trial(
    name: str, files: Mapping[str, Path], needs: Needs, labels: Mapping[str, Labels], subject: str | None = None
) -> TrialData:
    """Open the files of one trial; :class:`InputError` where one should have a row per decoded frame and does not."""
    frames = read_frames(files["frames"])
    times = frames.times
    crops = {template: CropFile(files[f"crop {template}"]) for template in needs.crops}
    masks = {template: LandmarkMasks(files["persons"], name, jpeg=needs.jpeg_masks) for template in needs.masks}
    features = {feature: open_array(files[f"feature {feature}"]) for feature in needs.features}
    rows = {
        **{f"crop {template}": len(crop.valid) for template, crop in crops.items()},
        **{f"feature {name}": len(values) for name, values in features.items() if rows_per_second(name) is None},
    }
    if masks:
        rows["persons"] = len(next(iter(masks.values())).valid)
    for kind, count in rows.items():
        if count != len(times):
            raise InputError(
                f"{files[kind]}: {count} rows, but {files['frames']} has {len(times)} frames. Delete the file and run again."
            )
    for task, part in labels.items():
        if len(part.valid) != len(times):
            raise InputError(
                f"trial {name}: {len(part.valid)} rows in the {task} labels, but {files['frames']} has {len(times)} frames. "
                "Delete the label table and run again."
            )
    return TrialData(name, times, crops, features, labels, masks, frames.nominal_rate, subject)


def check_columns(
    trials: Iterable[TrialData],
    files: Mapping[str, Mapping[str, Path]],
    known: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, list[int]]:
    """Check that the rows of a feature are what a model is given in all trials.

    Args:
        trials: Opened trials.
        files: Files of each trial, as `JobInputs.of` gives them.
        known: Shape of a row by feature, as the training had it. Of features without an entry it is that of their definition or, of vectors
            that come from elsewhere, of the first trial.

    Returns:
        Shape of a row by feature.

    Raises:
        InputError: Names feature, file, what was expected and what was found.
    """
    shapes: dict[str, list[int]] = {}
    known = known or {}
    for trial in trials:
        for feature, values in trial.features.items():
            expected = shapes.setdefault(feature, list(known.get(feature) or _own_shape(feature, values)))
            if list(values.shape[1:]) != expected or values.dtype.kind not in "fiu":
                like = (
                    "in the training"
                    if feature in known
                    else "in the other trials"
                    if of_configuration(feature)
                    else "it is defined"
                )
                raise InputError(
                    f"{files[trial.name][f'feature {feature}']}: feature {feature} of trial {trial.name} has rows of shape "
                    f"{values.shape[1:]} and type {values.dtype}; expected are numbers of shape {tuple(expected)}, as {like}. Delete the "
                    "file and run again, or look at where the feature comes from."
                )
    return shapes


def _own_shape(feature: str, values: np.ndarray) -> tuple[int, ...]:
    if of_configuration(feature):
        return values.shape[1:2] or (1,)
    columns = len(find_feature(feature).columns)
    return () if rows_per_second(feature) and columns == 1 else (columns,)


def partition_trials(
    folds: Path, target: Target, fold: int, partition: str, videos: Mapping[str, str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Trials of a partition for every task of ``target``, in the order of the fold table.

    ``videos`` (the source video of each trial) is needed for targets of several tasks, see :func:`wildaffect.corpus.folds.members`.
    """
    if videos is None and len(target.labels) > 1:
        raise InputError(f"target {target.name} learns several tasks: give the source video of every trial.")
    table = read_table(folds, FOLDS)
    rows = table.filter(pc.equal(table["fold"], pa.scalar(fold, pa.int32()))).to_pylist()
    divisions: dict[str, dict[str, list[str]]] = {task: {} for task in target.labels}
    for row in rows:
        if row["task"] in divisions:
            divisions[row["task"]].setdefault(row["partition"], []).append(row["trial"])
    chosen = fold_trials(divisions, partition, videos or {})
    if not any(chosen.values()):
        raise InputError(f"{folds}: fold {fold} has no {partition} trials for {', '.join(target.labels)}.")
    return chosen


def read_labels(
    paths: Mapping[str, Path], target: Target, chosen: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, Labels]]:
    """``{trial: {task: labels}}`` of the columns ``target`` learns, of the trials ``chosen`` for each task that are annotated.

    Action units that the table does not have are NaN throughout, see :func:`unlabelled_units`.
    """
    found: dict[str, dict[str, Labels]] = {}
    for task, columns in target.labels.items():
        if task not in paths:
            raise InputError(f"target {target.name}: no label table given for task {task}.")
        absent = _absent_columns(paths[task], task, target)
        present = [column for column in columns if column not in absent]
        table = read_table(paths[task], labels_schema(task, present))
        names = table["trial"].combine_chunks()
        values = np.full((len(table), len(columns)), np.nan, np.float32)
        for column in present:
            values[:, columns.index(column)] = table[column].cast(pa.float32()).to_numpy(zero_copy_only=False)
        valid = table["valid"].to_numpy(zero_copy_only=False)
        wanted = set(chosen[task])
        for name, rows in _runs(paths[task], names, table["frame"].to_numpy()).items():
            if name in wanted:
                found.setdefault(name, {})[task] = Labels(values[rows], valid[rows])
    return found


def unlabelled_units(paths: Mapping[str, Path], target: Target) -> list[str]:
    """Action units that ``target`` predicts and no label table has: editions label different ones, and each is learnt by itself."""
    return [column for task in target.labels for column in _absent_columns(paths[task], task, target)]


def _absent_columns(path: Path, task: str, target: Target) -> list[str]:
    """Units that are not labelled; :class:`InputError` if none is, or for columns of another task."""
    present = read_schema(path).names
    absent = [column for column in target.labels[task] if column not in present]
    if absent and (task != "au" or len(absent) == len(target.labels[task])):
        raise InputError(
            f"{path}: has no labels of {', '.join(absent)}, which target {target.name} learns. The corpus is of another edition; "
            "choose other targets."
        )
    return absent


def _runs(path: Path, names: pa.Array, frames: np.ndarray) -> dict[str, slice]:
    """Rows of each trial; they stand together with frames counted from 0."""
    encoded = names.dictionary_encode()
    codes = encoded.indices.to_numpy()
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]]) if len(codes) else np.array([], int)
    stops = np.r_[starts[1:], len(codes)].astype(int)
    runs = {}
    for start, stop in zip(starts, stops, strict=True):
        name = encoded.dictionary[codes[start]].as_py()
        if name in runs or not np.array_equal(frames[start:stop], np.arange(stop - start)):
            raise InputError(
                f"{path}: the rows of trial {name} are not frames 0, 1, 2, … in one piece. Delete it and run again."
            )
        runs[name] = slice(int(start), int(stop))
    return runs


def cache_images(
    trials: Sequence[TrialData], limit_mib: int, room: Callable[[TrialData], int] = lambda trial: 0
) -> list[TrialData]:
    """The trials; as many of them as fit into ``limit_mib``, from the first on, keep their images once these are decoded.

    ``room`` gives the bytes that samples would take for what they make of the features of a trial. These come first, because they save more
    time for their size, and become its `room` where they fit.
    """
    left, rooms = _fitting([room(trial) for trial in trials], limit_mib * 2**20)
    trials = [replace(trial, room=size) for trial, size in zip(trials, rooms, strict=True)]
    _, images = _fitting([_images_bytes(trial) for trial in trials], left)
    return [
        replace(trial, crops=_cached(trial.crops), masks=_cached(trial.masks)) if size else trial
        for trial, size in zip(trials, images, strict=True)
    ]


def _fitting(sizes: Sequence[int], left: int) -> tuple[int, list[int]]:
    """What is left of ``left`` after as many of ``sizes`` as fit, from the first on, and these, 0 in place of the others."""
    found = [0] * len(sizes)
    for place, size in enumerate(sizes):
        if size <= left:
            left -= size
            found[place] = size
    return left, found


def _images_bytes(trial: TrialData) -> int:
    return sum(map(_decoded_bytes, (*trial.crops.values(), *trial.masks.values())))


def _decoded_bytes(images: Images) -> int:
    return len(images.valid) * int(np.prod(images.read(np.arange(0)).shape[1:]))


def _cached(images: Mapping[str, Images]) -> dict[str, Images]:
    return {name: CachedImages(kind) for name, kind in images.items()}


def data_hash(tables: Iterable[Path], files: Mapping[str, Mapping[str, Path]]) -> str:
    """SHA-256 over the content of ``tables`` and over name, kind and size of every trial's files; paths and dates do not enter."""
    facts = {
        "tables": [sha256(path) for path in tables],
        "trials": {
            trial: {kind: path.stat().st_size for kind, path in kinds.items()} for trial, kinds in files.items()
        },
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
