"""Blocks: the largest pieces of which all sets of trials that somebody reads are made."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def cut_blocks(sets: Mapping[Key, Sequence[str]]) -> dict[Key, list[tuple[str, ...]]]:
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
