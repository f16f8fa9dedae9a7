"""Damaged copies of files: what disks, cables and interrupted copies do to bytes, and what editors do to texts."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wildaffect.errors import InputError

BLOCK = 64


def cut_copies(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """``count`` beginnings of ``content``."""
    rng = np.random.default_rng(seed)
    return (content[: int(length)] for length in rng.integers(len(content), size=count))


def damaged_copies(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """``count`` copies of ``content`` that differ from it: flipped bits most of all, which are the hardest to notice."""
    rng = np.random.default_rng(seed)
    kinds = (_flip, _flip, _flip, _flip, _overwrite, _blank, _cut, _insert, _repeat, _swap)
    made = 0
    while made < count:
        copy = kinds[made % len(kinds)](bytearray(content), rng)
        if copy != content:
            made += 1
            yield bytes(copy)


def _flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    # Heads and footers decide what the rest means, so half of the flips are there.
    edge = min(len(data), 4 * BLOCK)
    position = int(rng.choice((rng.integers(len(data)), rng.integers(edge), len(data) - 1 - rng.integers(edge))))
    data[position] ^= 1 << int(rng.integers(8))
    return data


def _overwrite(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(data)))
    size = min(len(data) - start, int(rng.integers(1, BLOCK)))
    data[start : start + size] = rng.bytes(size)
    return data


def _blank(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(data)))
    size = min(len(data) - start, int(rng.integers(1, 4 * BLOCK)))
    data[start : start + size] = bytes(size)
    return data


def _cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(len(data)))]


def _insert(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(data)))
    data[start:start] = rng.bytes(int(rng.integers(1, BLOCK)))
    return data


def _repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(data)))
    return data + data[start : start + BLOCK]


def _swap(data: bytearray, rng: np.random.Generator) -> bytearray:
    first, second = (int(value) for value in rng.integers(len(data), size=2))
    size = min(BLOCK, len(data) - max(first, second))
    one, other = bytes(data[first : first + size]), bytes(data[second : second + size])
    data[first : first + size], data[second : second + size] = other, one
    return data


def outcomes(
    read: Callable[[Path], Any],
    path: Path,
    copies: Iterator[bytes],
    accept: Callable[[Any], bool],
) -> Counter:
    """Read each of ``copies`` in the place of ``path``; how many were refused and how many read.

    Raises:
        AssertionError: A refusal does not name the file, an accepted result is wrong, or another exception came.
    """
    counts: Counter = Counter()
    for number, copy in enumerate(copies):
        path.write_bytes(copy)
        try:
            result = read(path)
        except InputError as error:
            assert path.name in str(error), f"copy {number}: {error}"
            assert "weights_only" not in str(error)
            counts["refused"] += 1
        except Exception as error:
            raise AssertionError(f"copy {number} of {path.name}: {type(error).__name__}: {error}") from error
        else:
            assert accept(result), f"copy {number} of {path.name} was read as something else"
            counts["read"] += 1
    return counts
