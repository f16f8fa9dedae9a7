"""Choices by the score of held-out trials: of a smoothing window, of a member of an ensemble. Never on what is reported."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.errors import InputError
from wildaffect.scoring.read import read_parquet
from wildaffect.scoring.scorer import incomparable, predicted_parts, tally_task
from wildaffect.scoring.tallies import videos_of
from wildaffect.scoring.tasks import Part, Task, Tracks


def choose(
    candidates: Iterable[tuple[Hashable, pa.Table]],
    columns: Sequence[str],
    labels: Mapping[str, pa.Table],
    editions: Tracks,
    kind: str,
) -> tuple[Any, dict[str, Any]]:
    """Choose the candidate whose predictions score best, the first of equals.

    Args:
        candidates: Each with its predictions of the same held-out trials, one or more.
        columns: Predicted columns that count.
        labels: Label table per task.
        editions: Tracks by edition; the score is the ranked one of the first track that predictions and labels fit, for valence or
            arousal alone its CCC.
        kind: What a candidate is, for messages.

    Returns:
        The candidate, and a record of the choice as plain values: ``scores`` by candidate, ``score`` in words, ``trials``.

    Raises:
        InputError: If no track fits or no score is defined.
    """
    scores: dict[Any, float] = {}
    for candidate, predictions in candidates:
        if not scores:
            task, parts = _task(predictions, columns, labels, editions, kind)
            trials = pc.unique(predictions["trial"])
            truth = {
                part.name: labels[part.name].filter(pc.is_in(labels[part.name]["trial"], trials)) for part in parts
            }
            used = _weights(task, parts)
        metrics: dict[str, float] = {}
        for part in parts:
            tallies = tally_task(predictions, truth[part.name], task, [part]).trials[part.name]
            if not tallies:
                raise InputError(
                    f"no held-out frame has a label of {part.name}, so no {kind} can be chosen; give one {kind}."
                )
            metrics |= {name: float(value) for name, value in reduce(add, tallies.values()).metrics().items()}
        scores[candidate] = sum(weight * metrics[name] for name, weight in used.items())
    defined = {candidate: value for candidate, value in scores.items() if not np.isnan(value)}
    if not defined:
        raise InputError(
            f"the score of the held-out predictions is undefined for every {kind}; give one {kind} instead of several."
        )
    return max(defined, key=lambda candidate: defined[candidate]), {
        "scores": {str(candidate): None if np.isnan(value) else value for candidate, value in scores.items()},
        "score": f"{' + '.join(f'{weight:g} {name}' for name, weight in used.items())}, {task.edition}",
        "trials": sorted(trials.to_pylist()),
    }


def read_held_out(
    table: pa.Table, predictions: Path, entries: Sequence[Mapping], kind: str
) -> list[tuple[Mapping, pa.Table]]:
    """The tables that a choice is made on, each with its entry.

    Args:
        table: What is chosen for.
        predictions: Its path.
        entries: What is chosen on, mappings with the keys partition and path.
        kind: What is chosen.

    Raises:
        InputError: There is none, or one is not of validation predictions of other videos.
    """
    if not entries:
        raise InputError(f"{predictions}: no held-out predictions were given to choose a {kind} on; give one {kind}.")
    own = set(videos_of(pc.unique(table["trial"]).to_pylist()))
    found = []
    for entry in entries:
        if entry["partition"] != "validation":
            raise InputError(
                f"{entry['path']}: partition {entry['partition']}; a {kind} is chosen on validation predictions only."
            )
        read = read_parquet(entry["path"])
        if common := sorted(own & set(videos_of(pc.unique(read["trial"]).to_pylist()))):
            raise InputError(
                f"{entry['path']}: video {common[0]!r} is also among those that the {kind} is for; it is chosen on other videos only."
            )
        found.append((entry, read))
    return found


def _weights(task: Task, parts: Sequence[Part]) -> dict[str, float]:
    """Metrics of the ranked score that these parts give, with weights that add up to 1."""
    names = [
        name
        for part in parts
        for name in task.score
        if name.removeprefix("ccc_") in part.names or name.startswith(f"{part.name}_")
    ]
    return {name: task.score[name] / sum(task.score[other] for other in names) for name in names}


def _task(
    predictions: pa.Table, columns: Sequence[str], labels: Mapping[str, pa.Table], editions: Tracks, kind: str
) -> tuple[Task, list[Part]]:
    """The first track whose parts are predicted and labelled, with the parts as far as they are predicted."""
    for tasks in editions.values():
        for task in tasks.values():
            parts = predicted_parts(columns, task, labels)
            if parts and not any(incomparable(predictions, labels[part.name], part) for part in parts):
                return task, parts
    raise InputError(
        f"no task of {', '.join(editions) or 'no edition'} fits the predictions ({', '.join(columns)}) and the labels "
        f"({', '.join(labels) or 'none'}), so no {kind} can be chosen; give one {kind}."
    )
