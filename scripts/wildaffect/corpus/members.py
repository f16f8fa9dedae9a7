"""Which trials of a fold belong to a partition, for one task or for several at once."""

from collections.abc import Mapping, Sequence

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
