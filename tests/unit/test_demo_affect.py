"""The driving curves and the voice of the demo corpus."""

from dataclasses import replace

import numpy as np
import pytest

from wildaffect.demo.affect import TICKS, affect, frame_times, within
from wildaffect.demo.plan import plan
from wildaffect.demo.render import voice

SECONDS = 20.0
GRID = np.arange(0, SECONDS, 0.04)
SUBJECTS = [person.traits for video in plan() for person in video.persons]


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


def test_valence_and_arousal_are_independent_wide_and_slow():
    curves = [affect(traits, SECONDS, GRID) for traits in range(40)]
    assert max(abs(correlation(v, a)) for v, a in curves) < 0.15
    valence, arousal = (np.concatenate(c) for c in zip(*curves, strict=True))
    assert abs(correlation(valence, arousal)) < 0.03
    for curve in (*[v for v, _ in curves], *[a for _, a in curves]):
        assert np.abs(curve).max() <= 1
        assert np.ptp(curve) > 1.4
        assert np.abs(np.diff(curve)).max() < 0.25, "a jump within 40 ms"


def test_subjects_differ():
    curves = np.stack([affect(traits, SECONDS, GRID)[0] for traits in SUBJECTS])
    others = np.corrcoef(curves)[np.triu_indices(len(curves), 1)]
    assert np.abs(others).mean() < 0.5
    assert np.abs(others).max() < 0.97


def test_affect_depends_on_the_time_alone():
    whole = affect(7, SECONDS, GRID)
    part = affect(7, SECONDS, GRID[100:103])
    np.testing.assert_allclose(np.stack(part), np.stack(whole)[:, 100:103], rtol=0, atol=1e-12)


def test_constant_rate_times_are_exact():
    video = next(v for v in plan() if v.frame_rate.denominator == 1001)
    times = frame_times(video, 0)
    assert len(times) == 599
    assert times[0] == 0
    np.testing.assert_allclose(times * 30000 / 1001, np.arange(599), atol=1e-9)


def test_variable_rate_times_are_truly_irregular():
    video = next(v for v in plan() if v.variable_rate)
    times = frame_times(video, 0)
    steps = np.diff(times)
    assert times[0] == 0
    assert times[-1] < video.seconds
    assert steps.min() > 0
    assert len(np.unique(np.round(steps * TICKS))) > 20
    assert steps.std() / steps.mean() > 0.3
    assert steps.max() > 3 * np.median(steps), "dropped frames"
    np.testing.assert_allclose(times * TICKS, np.round(times * TICKS), atol=1e-9)
    assert not np.array_equal(times, frame_times(video, 1))
    regular = frame_times(replace(video, variable_rate=False), 0)
    assert np.ptp(np.diff(regular)) < 1e-9


def test_spans_are_half_open():
    assert within(np.array([0.9, 1.0, 1.5, 2.0]), ((1.0, 2.0),)).tolist() == [False, True, True, False]
    assert within(np.array([0.0, 1.0]), ()).tolist() == [False, False]


RATE, WINDOW = 16000, 0.1


def frames_of(samples):
    size = round(RATE * WINDOW)
    return samples[: len(samples) // size * size].reshape(-1, size).astype(float)


@pytest.mark.parametrize("traits", SUBJECTS[:4])
def test_voice_tells_affect(traits):
    samples = voice(traits, SECONDS, RATE, 0.0)
    frames = frames_of(samples)
    valence, arousal = affect(traits, SECONDS, WINDOW * (np.arange(len(frames)) + 0.5))
    loudness = np.log(frames.std(axis=1))
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]))) ** 2
    hertz = np.fft.rfftfreq(frames.shape[1], 1 / RATE)
    correlogram = np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * frames.shape[1])) ** 2)
    lags = np.arange(RATE // 320, RATE // 70)
    pitch = np.log(RATE / lags[correlogram[:, lags].argmax(axis=1)])
    brightness = np.log(spectrum @ hertz / spectrum.sum(axis=1))
    assert correlation(loudness, arousal) > 0.85
    assert correlation(pitch, arousal) > 0.9
    assert correlation(brightness, valence) > 0.7
    assert abs(correlation(loudness, valence)) < 0.3
    assert np.abs(samples).max() < 1, "clipped"


def test_voice_that_starts_late_still_fits_the_clock():
    whole, late = voice(5, SECONDS, RATE, 0.0), voice(5, SECONDS, RATE, 0.3)
    assert len(whole) - len(late) == round(0.3 * RATE)
    energy = np.log(frames_of(late).std(axis=1))
    times = 0.3 + WINDOW * (np.arange(len(energy)) + 0.5)
    shifts = np.arange(-0.6, 0.61, 0.1)
    fit = [correlation(energy, affect(5, SECONDS, times + shift)[1]) for shift in shifts]
    assert abs(shifts[int(np.argmax(fit))]) < 0.15


def test_voice_repeats():
    np.testing.assert_array_equal(voice(3, 2.0, RATE, 0.0), voice(3, 2.0, RATE, 0.0))
    assert not np.array_equal(voice(3, 2.0, RATE, 0.0), voice(4, 2.0, RATE, 0.0))
