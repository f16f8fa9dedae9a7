"""Which trials of a fold belong to a partition, for one task or for several at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from wildaffect.corpus.folds import FOLDS
from wildaffect.corpus.trials import TRIALS
from wildaffect.tables import write_table

Division = Mapping[str, Sequence[str]]
"""Trials of each partition of one task in one fold."""


def members(divisions: Mapping[str, Division], partition: str, videos: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
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


def write_members(
    trials_path: Path, folds_path: Path, *, trials: Sequence[Mapping[str, Any]], folds: Sequence[Mapping[str, Any]]
) -> None:
    """Write the rows of the trials and folds tables that the trainings for certain tasks on one fold read.

    The whole tables change whenever a video is added anywhere; these change only when those trainings are concerned.
    """
    write_table(trials_path, pa.Table.from_pylist(list(trials), schema=TRIALS), TRIALS)
    write_table(folds_path, pa.Table.from_pylist(list(folds), schema=FOLDS), FOLDS)
