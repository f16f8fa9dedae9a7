"""A synthetic voice whose pitch and loudness follow arousal and whose timbre follows valence.

Source-filter synthesis in its additive form: a glottal pulse train is a sum of harmonics of the pitch; the vocal
tract (three formants) and the spectral tilt set their amplitudes. No filter runs, so nothing is delayed and the
sample at time t expresses exactly the affect at time t.
"""

import numpy as np

from wildaffect.demo.affect import affect

CONTROL_RATE = 100
"""Harmonic amplitudes are computed this many times per second and interpolated."""

HIGHEST_HARMONIC = 4000.0  # hertz
NOISE = 0.001  # root mean square of the recording's noise floor


def voice(traits: int, seconds: float, rate: int, start: float) -> np.ndarray:
    """The voice of one subject from ``start`` to the end of a video of ``seconds``: float32 (S,) within [-1, 1]."""
    rng = np.random.default_rng([traits, 2])
    pitch = rng.uniform(105, 210)  # hertz
    tract = rng.uniform(0.9, 1.1)  # a shorter vocal tract raises all formants
    syllables = rng.uniform(3.0, 4.5)  # hertz
    times = start + np.arange(round((seconds - start) * rate)) / rate
    ticks = start + np.arange(int((seconds - start) * CONTROL_RATE) + 2) / CONTROL_RATE
    valence, arousal = affect(traits, seconds, ticks)

    fundamental = pitch * 2 ** (0.45 * arousal)
    syllable = 0.65 + 0.35 * np.sin(2 * np.pi * syllables * ticks + rng.uniform(0, 2 * np.pi))
    loudness = 10 ** ((-24 + 8 * arousal) / 20) * syllable
    harmonics = np.arange(1, int(HIGHEST_HARMONIC / pitch * 2**0.45) + 1)
    amplitudes = _timbre(np.outer(harmonics, fundamental), valence, tract)
    amplitudes *= loudness

    phase = 2 * np.pi * np.cumsum(np.interp(times, ticks, fundamental)) / rate
    samples = rng.normal(0, NOISE, len(times))
    for harmonic, amplitude in zip(harmonics, amplitudes, strict=True):
        samples += np.interp(times, ticks, amplitude) * np.sin(harmonic * phase)
    return np.clip(samples, -1, 1).astype(np.float32)


def _timbre(frequencies: np.ndarray, valence: np.ndarray, tract: float) -> np.ndarray:
    """Amplitudes (harmonics, ticks) with unit power at every tick: brighter and with higher formants when pleased.

    Unit power keeps loudness a function of arousal alone.
    """
    response = np.zeros_like(frequencies)
    for centre, shift, width in ((500, 0.15, 90), (1500, 0.20, 130), (2500, 0.10, 180)):
        formant = centre * tract * (1 + shift * valence)
        response += 1 / (1 + ((frequencies - formant) / width) ** 2)
    tilt = -9 + 6 * valence  # decibels per octave
    response *= 10 ** (tilt * np.log2(frequencies / 200) / 20)
    response[frequencies > HIGHEST_HARMONIC] = 0
    return response / np.sqrt(np.sum(response**2, axis=0) / 2)
