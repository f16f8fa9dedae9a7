"""Folds: which trials each task trains on, validates on and tests, and the groups of trials that folds consist of."""

import random
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from wildaffect.corpus.trials import TASKS, TRIALS, Trial, groups_of
from wildaffect.errors import InputError
from wildaffect.tables import write_table

FOLDS = pa.schema(
    [
        ("task", pa.string()),
        ("fold", pa.int32()),
        ("trial", pa.string()),
        ("partition", pa.string()),
        ("scheme", pa.string()),
    ]
)
SCHEMES = ("official", "lfan", "grouped")
LFAN_FOLDS = 6


Division = Mapping[str, Sequence[str]]
"""Trials of each partition of one task in one fold."""

Split = tuple[list[str], list[str]]
"""Names of the training and of the validation trials of one fold."""


def make_folds(trials: Sequence[Trial], scheme: str, count: int, seed: int) -> pa.Table:
    """Table of `fold_rows`."""
    return pa.Table.from_pylist(fold_rows(trials, scheme, count, seed), schema=FOLDS)


def fold_rows(trials: Sequence[Trial], scheme: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of the table `FOLDS` for every task; within a fold they are in the order in which a system trains.

    Args:
        trials: Trials of the corpus, in its order.
        scheme: How training trials are divided.

            - `official`: fold 0 only, the official partitions.
            - `lfan`: the training list is cut into five runs of neighbours, the official validation list is the sixth part, and fold k
              validates on part (5 - k) mod 6 (LFAN spec 4.1).
            - `grouped`: the same rotation with `count` parts, the training videos first shuffled by `seed`; a corpus without official
              validation trials is cut into `count` parts altogether. Videos that any task trains on are divided once for all tasks, so
              that a model of several tasks loses no training video to another task's fold.

            What `groups_of` keeps together, a video or all videos of a subject, lies in one part.
        count: Number of folds of `grouped`.
        seed: Seed of its shuffling.

    Raises:
        InputError: A task has fewer training videos than parts.
    """
    rows = []
    group_of = groups_of(trials)
    for task in TASKS:
        test = _names(trials, task, "test")
        for fold, (train, validation) in enumerate(_splits(trials, group_of, task, scheme, count, seed)):
            for partition, names in (("train", train), ("validation", validation), ("test", test)):
                rows += [
                    {"task": task, "fold": fold, "trial": name, "partition": partition, "scheme": scheme}
                    for name in names
                ]
    return rows


def _splits(
    trials: Sequence[Trial], group_of: Mapping[str, str], task: str, scheme: str, count: int, seed: int
) -> list[Split]:
    """Training and validation trials of each fold of one task."""
    train, validation = _names(trials, task, "train"), _names(trials, task, "validation")
    if scheme == "official" or not train:
        return [(train, validation)]
    parts_of_train = (LFAN_FOLDS if scheme == "lfan" else count) - bool(validation)
    labelled = set(train)
    groups = _groups(trials, group_of, task, scheme, seed)
    parts = [[name for name in part if name in labelled] for part in _cut(groups, parts_of_train)]
    if not all(parts):
        videos = {trial.video for trial in trials if trial.partition(task) == "train"}
        together = {group_of[name] for name in train}
        subjects = f" of {len(together)} subjects or groups" if len(together) < len(videos) else ""
        raise InputError(
            f"folds: {len(videos)} training videos of task {task}{subjects} do not fill {parts_of_train} parts; lower folds.count "
            "or use folds.scheme: official."
        )
    return _rotations([*parts, validation] if validation else parts)


def _names(trials: Sequence[Trial], task: str, partition: str) -> list[str]:
    return [trial.trial for trial in trials if trial.partition(task) == partition]


def _groups(trials: Sequence[Trial], group_of: Mapping[str, str], task: str, scheme: str, seed: int) -> list[list[str]]:
    """Training trials that belong together; `grouped`: those of all tasks, groups shuffled."""
    if scheme != "grouped":
        return _together(_names(trials, task, "train"), group_of)
    groups = _together([trial.trial for trial in trials if "train" in map(trial.partition, TASKS)], group_of)
    random.Random(seed).shuffle(groups)
    return groups


def _rotations(parts: Sequence[list[str]]) -> list[Split]:
    """One fold per part: fold k validates on the k-th part from the end and trains on the others, beginning with the next one."""
    folds = []
    for k in range(len(parts)):
        held_out = len(parts) - 1 - k
        train = [name for part in (*parts[held_out + 1 :], *parts[:held_out]) for name in part]
        folds.append((train, parts[held_out]))
    return folds


def _together(names: Sequence[str], group_of: Mapping[str, str]) -> list[list[str]]:
    """Trial names by group, groups in order of first appearance."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(group_of[name], []).append(name)
    return list(groups.values())


def _cut(groups: list[list[str]], parts: int) -> list[list[str]]:
    """Cut into runs of neighbours, each of n // parts trials, the last with the rest; a group is never cut.

    351 trials in five parts give 70, 70, 70, 70, 71 (LFAN spec 4.1).
    """
    size = sum(map(len, groups)) // parts
    runs: list[list[str]] = [[] for _ in range(parts)]
    current = 0
    for index, group in enumerate(groups):
        remaining = parts - 1 - current
        full = len(runs[current]) + len(group) > size or len(groups) - index <= remaining
        if runs[current] and remaining and full:
            current += 1
        runs[current] += group
    return runs


def fold_trials(
    divisions: Mapping[str, Division], partition: str, groups: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Trials of one partition for a model of several tasks.

    The official divisions of the tasks disagree: a video may be a training video of one task and a test video of another. A model of both
    would then be tested on what it was trained on, so it is trained on no video that any of its tasks holds out. A single task keeps its
    division unchanged.

    Args:
        divisions: Trials by task and partition, of one fold.
        partition: `train`, `validation` or `test`.
        groups: By trial what must not be divided, its video or more; see `groups_of`.

    Returns:
        Trials by task.

    Examples:
        >>> divisions = {"va": {"train": ["a", "b"]}, "au": {"train": ["a"], "test": ["b"]}}
        >>> fold_trials(divisions, "train", {"a": "a", "b": "b"})
        {'va': ('a',), 'au': ('a',)}
    """
    chosen = {task: tuple(division.get(partition, ())) for task, division in divisions.items()}
    if partition != "train" or len(divisions) == 1:
        return chosen
    held_out = {
        groups[trial]
        for division in divisions.values()
        for part in ("validation", "test")
        for trial in division.get(part, ())
    }
    return {task: tuple(name for name in names if groups[name] not in held_out) for task, names in chosen.items()}


def write_fold_trials(
    trials_path: Path, folds_path: Path, *, trials: Sequence[Mapping[str, Any]], folds: Sequence[Mapping[str, Any]]
) -> None:
    """Write what one fold's trainings for certain tasks read of the tables of trials and folds.

    The tables of the whole corpus change with every new video; these change only when those trainings are concerned.

    Args:
        trials_path: Table of trials to write.
        folds_path: Table of folds to write.
        trials: Rows of the former.
        folds: Rows of the latter.
    """
    write_table(trials_path, pa.Table.from_pylist(list(trials), schema=TRIALS), TRIALS)
    write_table(folds_path, pa.Table.from_pylist(list(folds), schema=FOLDS), FOLDS)


def shared_groups(division: Division, groups: Mapping[str, str]) -> list[str]:
    """Source videos, or groups of videos, that one fold of one task both trains on and holds out (validation or test), sorted.

    Args:
        division: Trials by partition.
        groups: Group by trial (`groups_of`): `a_left` and `a_right` both belong to `a`.
    """
    trained = {groups[trial] for trial in division.get("train", ())}
    held_out = {groups[trial] for part in ("validation", "test") for trial in division.get(part, ())}
    return sorted(trained & held_out)


Key = TypeVar("Key", bound=Hashable)


def trial_groups(sets: Mapping[Key, Sequence[str]]) -> dict[Key, list[tuple[str, ...]]]:
    """Divide the union of sets of trials into groups, so that every set is a union of whole groups and no trial is in two.

    Jobs then name a few groups instead of hundreds of trials: the training and validation trials of six folds are six groups.

    Args:
        sets: Trials by any key.

    Returns:
        Groups of each set.

    Examples:
        >>> trial_groups({"train": ["a", "b", "c"], "held out": ["d"], "all": ["a", "b", "c", "d"]})
        {'train': [('a', 'b', 'c')], 'held out': [('d',)], 'all': [('a', 'b', 'c'), ('d',)]}
    """
    keys_of: dict[str, dict[Key, None]] = {}
    for key, trials in sets.items():
        for trial in trials:
            keys_of.setdefault(trial, {})[key] = None
    groups: dict[tuple[Key, ...], list[str]] = {}
    for trial, keys in keys_of.items():
        groups.setdefault(tuple(keys), []).append(trial)
    return {key: [tuple(trials) for keys, trials in groups.items() if key in keys] for key in sets}
