"""Whether somebody speaks, by Silero VAD 6.2: a probability every 32 ms and, made from it, turns of speech."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from wildaffect.features.frames import Clock, Rule
from wildaffect.features.signal import RATE, piece
from wildaffect.features.spec import per_frame
from wildaffect.features.store import Rows

CHUNK, CONTEXT = 512, 64
"""Samples of a row, and samples before it that the network sees as well."""
CHUNK_S = CHUNK / RATE
BLOCK = 512
"""Rows per call of the network."""
UNITS = 128
ON, OFF = 0.5, 0.35
"""A turn begins at the first of these probabilities and ends below the second ..."""
SILENCE_S, SHORTEST_S, AROUND_S = 0.1, 0.25, 0.03
"""... if it stays so for the first of these times; shorter turns than the second are none; the third is added at both ends."""


def by_chunk(times: np.ndarray, fps: float, rows: int) -> np.ndarray:
    """The row that a timestamp lies in."""
    return np.clip(np.floor(times / CHUNK_S + 1e-6), 0, rows - 1).astype(np.int64)


FEATURES = (
    per_frame(
        __name__,
        columns=("speech_probability", "speech"),
        rule=Rule("chunk", "the 32 ms that the frame's own timestamp lies in", by_chunk),
        source="Silero VAD",
        description="probability of speech, and 1 within a turn of speech, else 0, at the frames' true timestamps",
        notice="Silero VAD, MIT.",
        weights="silero_vad",
    ),
)


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    return {
        "rate_hz": RATE,
        "row_s": CHUNK_S,
        "context_s": CONTEXT / RATE,
        "turn": {
            "begins_at": ON,
            "ends_below": OFF,
            "silence_s": SILENCE_S,
            "shortest_s": SHORTEST_S,
            "around_s": AROUND_S,
        },
    }


def frame_values(
    speech: Rows, clock: Clock, *, weights: str, models_dir: str | os.PathLike, device: str, threads: int
) -> Iterator[np.ndarray]:
    """Probability and turn of each frame, float32 (frames, 2). The network runs on the CPU; an hour has 112,500 probabilities."""
    probability = probabilities(speech, weights, models_dir, threads)
    inside = np.zeros(len(clock.times), np.float32)
    for start, stop in turns(probability):
        inside[(clock.times >= start) & (clock.times < stop)] = 1
    yield np.stack([probability[clock.rows(len(probability))], inside], axis=1)


def probabilities(speech: Rows, weights: str, models_dir: str | os.PathLike, threads: int = 1) -> np.ndarray:
    """Probability of speech in every row, float32 (R,); silence is added to the last row, and an empty signal has one.

    Args:
        speech: int16 (S,) at 16 kHz.
        weights: A name in the manifest or a path.
        models_dir: Folder of model files.
        threads: Bound of the network's threads.
    """
    from wildaffect.models import resolve
    from wildaffect.sessions import bind_session

    path = resolve(weights, models_dir).path
    session = bind_session(path, path, "cpu", threads)
    count, found = max(1, -(-len(speech) // CHUNK)), []
    state = {name: np.zeros((1, 1, UNITS), np.float32) for name in ("h", "c")}
    for first in range(0, count, BLOCK):
        size = min(BLOCK, count - first)
        start = first * CHUNK - CONTEXT
        signal = piece(speech, start, start + CONTEXT + size * CHUNK).astype(np.float32)
        rows = np.lib.stride_tricks.sliding_window_view(signal, CONTEXT + CHUNK)[::CHUNK]
        block, h, c = session.run(["speech_probs", "hn", "cn"], {"input": np.ascontiguousarray(rows), **state})
        state = {"h": h, "c": c}
        found.append(block)
    return np.concatenate(found)


def turns(probability: np.ndarray) -> list[tuple[float, float]]:
    """Turns of speech in seconds, half open, in order: Silero's rule with its defaults.

    Args:
        probability: Of every row (R,).
    """
    found: list[tuple[float, float]] = []
    begin: float | None = None
    fell: float | None = None
    for row, value in enumerate(probability.tolist()):
        at = row * CHUNK_S
        if value >= ON:
            begin, fell = (at if begin is None else begin), None
        elif value < OFF and begin is not None:
            fell = at if fell is None else fell
            if at - fell >= SILENCE_S:
                found.append((begin, fell))
                begin = fell = None
    if begin is not None:
        found.append((begin, len(probability) * CHUNK_S))
    found = [(start, stop) for start, stop in found if stop - start > SHORTEST_S]
    return [
        (
            max(start - AROUND_S, (found[k - 1][1] + start) / 2 if k else 0.0),
            min(stop + AROUND_S, (stop + found[k + 1][0]) / 2 if k + 1 < len(found) else np.inf),
        )
        for k, (start, stop) in enumerate(found)
    ]


def describe_weights(weights: str, models_dir: str | os.PathLike) -> dict[str, Any]:
    """What ``weights`` are: name, hash, whether verified, licence."""
    from wildaffect.models import resolve

    file = resolve(weights, models_dir)
    about = {name: getattr(file, name) for name in ("name", "sha256", "verified", "licence", "citation")}
    return about | {"trained": True}
