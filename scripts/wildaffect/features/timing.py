"""When in the sound the rows of the frames begin, and whether there is sound then."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from wildaffect.features.grid import Clock
from wildaffect.features.m3t_mel import LOWEST_FPS, hop_samples
from wildaffect.features.waveform import RATE


def heard(sound: Mapping[str, Any], clock: Clock) -> np.ndarray:
    """Frames whose row begins within the sound that ``sound``, the description of an ``audio.flac``, tells of -> bool (N,)."""
    if not sound["audio_valid"]:
        return np.zeros(len(clock.times), bool)
    begin = max(0.0, sound["offset_s"])
    end = begin + sound["samples"] / sound["rate"] - sound["padded_s"]
    at = instants(clock)
    return (at >= begin) & (at < end)


def instants(clock: Clock) -> np.ndarray:
    """When in the sound the rows of the frames begin by the rule of ``clock`` (up to its rounding), seconds from frame 0, float64 (N,).

    Their distance from ``clock.times`` is how far sound and picture are apart. NaN where the rule gives no row at all.
    """
    frames = np.arange(len(clock.times))
    match clock.rule:
        case "index" | "patch":
            return frames / clock.fps
        case "third":
            return np.where(clock.fps < LOWEST_FPS, np.nan, 3 * frames * hop_samples(clock.fps) / RATE)
        case _:
            return clock.times
