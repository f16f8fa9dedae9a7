"""Folds: which trials each task trains on, validates on and tests, and the groups of trials that folds are made of."""

import random
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from wildaffect.corpus.trials import TASKS, TRIALS, Trial
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


def make_folds(trials: Sequence[Trial], scheme: str, count: int, seed: int) -> pa.Table:
    """Table of :func:`fold_rows`."""
    return pa.Table.from_pylist(fold_rows(trials, scheme, count, seed), schema=FOLDS)


def fold_rows(trials: Sequence[Trial], scheme: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of ``FOLDS`` for every task; within a fold they are in the order a system trains in.

    ``official``: fold 0 only. ``lfan``: the training list cut into five runs of neighbours, the official validation list is the sixth
    part, and fold k validates on part (5 - k) mod 6 (LFAN spec 4.1). ``grouped``: the same rotation with ``count`` parts, the training
    videos first shuffled by ``seed``; a corpus without official validation trials is cut into ``count`` parts altogether. There the
    videos that any task trains on are cut once for all tasks, so that models of several tasks lose no training video to another's fold.
    """
    learnt = [trial for trial in trials if "train" in map(trial.partition, TASKS)]
    rows = []
    for task in TASKS:
        train = [trial for trial in trials if trial.partition(task) == "train"]
        validation = [trial for trial in trials if trial.partition(task) == "validation"]
        test = [trial.trial for trial in trials if trial.partition(task) == "test"]
        divisions = _divisions(train, validation, learnt, scheme, count, seed, task)
        for fold, (training, held_out) in enumerate(divisions):
            for partition, names in (("train", training), ("validation", held_out), ("test", test)):
                rows += [
                    {"task": task, "fold": fold, "trial": name, "partition": partition, "scheme": scheme}
                    for name in names
                ]
    return rows


def _divisions(
    train: Sequence[Trial],
    validation: Sequence[Trial],
    learnt: Sequence[Trial],
    scheme: str,
    count: int,
    seed: int,
    task: str,
) -> list[tuple[list[str], list[str]]]:
    """``(training names, validation names)`` of each fold of one task; ``learnt``: what any task trains on."""
    if scheme == "official" or not train:
        return [([trial.trial for trial in train], [trial.trial for trial in validation])]
    groups = _by_video(learnt if scheme == "grouped" else train)
    if scheme == "grouped":
        random.Random(seed).shuffle(groups)
    own = {trial.trial for trial in train}
    parts_of_train = (LFAN_FOLDS if scheme == "lfan" else count) - bool(validation)
    parts = [[name for name in part if name in own] for part in _cut(groups, parts_of_train)]
    if not all(parts):
        raise InputError(
            f"folds: {len(_by_video(train))} training videos of task {task} do not fill {parts_of_train} parts; lower folds.count "
            "or use folds.scheme: official."
        )
    parts += [[trial.trial for trial in validation]] if validation else []
    folds = []
    for k in range(len(parts)):
        rotated = parts[len(parts) - k :] + parts[: len(parts) - k]
        folds.append(([name for part in rotated[:-1] for name in part], rotated[-1]))
    return folds


def _by_video(trials: Sequence[Trial]) -> list[list[str]]:
    """Trial names grouped by source video, groups in order of first appearance."""
    groups: dict[str, list[str]] = {}
    for trial in trials:
        groups.setdefault(trial.video, []).append(trial.trial)
    return list(groups.values())


def _cut(groups: list[list[str]], parts: int) -> list[list[str]]:
    """Cut into ``parts`` runs of neighbours of n // parts trials, the last takes the rest; a group is never cut.

    351 trials in five parts give 70, 70, 70, 70, 71 (LFAN spec 4.1).
    """
    size = sum(map(len, groups)) // parts
    cut: list[list[str]] = [[] for _ in range(parts)]
    at = 0
    for index, group in enumerate(groups):
        waiting = parts - 1 - at
        if cut[at] and waiting and (len(cut[at]) + len(group) > size or len(groups) - index <= waiting):
            at += 1
        cut[at] += group
    return cut


Division = Mapping[str, Sequence[str]]
"""Trials of each partition of one task in one fold."""


def fold_trials(
    divisions: Mapping[str, Division], partition: str, videos: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Trials of ``partition`` for every task of ``divisions``; ``videos`` gives the source video of each trial.

    The official divisions of the tasks disagree: a video may be there to learn one task from and to test another with. A model that
    learns several tasks would then be tested on what it has seen, so it is not trained on any video that one of them holds out.
    A single task keeps its division as it is.
    """
    chosen = {task: tuple(division.get(partition, ())) for task, division in divisions.items()}
    if partition != "train" or len(divisions) == 1:
        return chosen
    held_out = {
        videos[trial]
        for division in divisions.values()
        for part in ("validation", "test")
        for trial in division.get(part, ())
    }
    return {task: tuple(name for name in names if videos[name] not in held_out) for task, names in chosen.items()}


def write_fold_trials(
    trials_path: Path, folds_path: Path, *, trials: Sequence[Mapping[str, Any]], folds: Sequence[Mapping[str, Any]]
) -> None:
    """Write the rows of the trials and folds tables that the trainings for certain tasks on one fold read.

    The whole tables change whenever a video is added anywhere; these change only when those trainings are concerned.
    """
    write_table(trials_path, pa.Table.from_pylist(list(trials), schema=TRIALS), TRIALS)
    write_table(folds_path, pa.Table.from_pylist(list(folds), schema=FOLDS), FOLDS)


def shared_videos(division: Division, videos: Mapping[str, str]) -> list[str]:
    """Source videos that one fold of one task both trains on and holds out (validation or test), sorted.

    ``videos`` gives the source video of each trial: ``a_left`` to learn from and ``a_right`` to test with share ``a``.
    """
    learnt = {videos[trial] for trial in division.get("train", ())}
    held_out = {videos[trial] for part in ("validation", "test") for trial in division.get(part, ())}
    return sorted(learnt & held_out)


Key = TypeVar("Key", bound=Hashable)


def trial_groups(sets: Mapping[Key, Sequence[str]]) -> dict[Key, list[tuple[str, ...]]]:
    """Cut the union of ``sets`` so that every set is a number of whole blocks and every trial is in one block.

    Six folds of training and validation trials have six blocks, and each fold names all of them in place of some hundred trials.

    >>> cut_blocks({"train": ["a", "b", "c"], "held out": ["d"], "all": ["a", "b", "c", "d"]})
    {'train': [('a', 'b', 'c')], 'held out': [('d',)], 'all': [('a', 'b', 'c'), ('d',)]}
    """
    homes: dict[str, dict[Key, None]] = {}
    for key, trials in sets.items():
        for trial in trials:
            homes.setdefault(trial, {})[key] = None
    blocks: dict[tuple[Key, ...], list[str]] = {}
    for trial, keys in homes.items():
        blocks.setdefault(tuple(keys), []).append(trial)
    return {key: [tuple(trials) for keys, trials in blocks.items() if key in keys] for key in sets}
