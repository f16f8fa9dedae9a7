"""Writes the demo corpus in the layout of Aff-Wild2: media files, annotation files, the list of test trials.

The test trials' annotations go to a folder of their own, so that the pipeline cannot read them by accident.
"""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.corpus.trials import TASKS
from wildaffect.demo.affect import EXPRESSIONS, TICKS, UNITS, affect, expressions, frame_times, units, within
from wildaffect.demo.corpus import annotation_path
from wildaffect.demo.plan import SIZE, DemoVideo
from wildaffect.demo.subject import draw_subject, frames
from wildaffect.files import atomic

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


TEST_LISTS = {
    "va": "Valence_Arousal_Estimation_Challenge_test_set_release.txt",
    "expr": "Expression_Recognition_Challenge_test_set_release.txt",
    "au": "Action_Unit_Detection_Challenge_test_set_release.txt",
}
UNLABELLED = {"va": "-5,-5", "expr": "-1", "au": ",".join(["-1"] * len(UNITS))}
"""The row of a frame without a label."""

# Without mbtree=0, x264 reads memory that it never wrote and the bytes of narrow frames differ from run to run.
_VIDEO_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "20", "x264-params": "mbtree=0"},
    "mpeg4": {"qscale": "3"},
}
_AUDIO_BLOCK = 1152  # samples handed to the encoder at a time


def render_video(video: DemoVideo, seed: int, output: Path) -> None:
    """Render ``video`` to the media file ``output``, frames and audio interleaved.

    ``seed`` is the plan's. The frames come from a function of the frame times and one encoder thread writes them,
    so the same arguments give the same bytes on one machine.
    """
    times = frame_times(video, seed)
    with atomic(output) as partial, av.open(str(partial), "w", container_options={"fflags": "+bitexact"}) as container:
        picture_stream = _add_video_stream(container, video)
        packets = [_video_packets(picture_stream, video, times)]
        if video.audio_codec:
            sound_stream = container.add_stream(video.audio_codec, rate=video.audio_rate)
            sound_stream.layout = "stereo" if len(video.persons) == 2 else "mono"
            packets.append(_audio_packets(sound_stream, video))
        for packet in _interleave(packets):
            container.mux(packet)


def write_annotations(videos: list[DemoVideo], seed: int, root: Path) -> None:
    """Write one annotation file per trial and task under ``root``, and for every task the list of the test trials.

    First row the header of the edition's files, then one row per frame in presentation order; -5 (valence and arousal)
    or -1 where unlabelled. Trials for training and validation lie under ``annotations``, test trials under ``truth``,
    where only a self-check looks.
    """
    root = Path(root)
    persons = [(video, person) for video in videos for person in video.persons]
    for video, person in persons:
        times = frame_times(video, seed)
        hidden = within(times, video.unlabelled)
        curves = affect(person.traits, video.seconds, times)
        for task in (task for task in TASKS if task != person.unannotated):
            rows = np.where(hidden, UNLABELLED[task], _rows(task, *curves))
            with atomic(root / annotation_path(person, task)) as partial:
                partial.write_text("\n".join([_header(task), *rows]) + "\n", encoding="ascii")
    tests = [person.trial for _, person in persons if person.partition == "test"]
    for name in TEST_LISTS.values():
        with atomic(root / name) as partial:
            partial.write_text("\n".join(tests) + "\n", encoding="ascii")


def _header(task: str) -> str:
    return ",".join({"va": VALENCE_AROUSAL, "expr": EXPRESSIONS, "au": UNITS}[task])


def _rows(task: str, valence: np.ndarray, arousal: np.ndarray) -> list[str]:
    """The rows of one annotation file as if every frame were labelled."""
    if task == "va":
        return [f"{v:.4f},{a:.4f}" for v, a in zip(valence, arousal, strict=True)]
    if task == "expr":
        return [str(number) for number in expressions(valence, arousal)]
    return [",".join(map(str, row)) for row in units(valence, arousal)]


def _add_video_stream(container: av.container.OutputContainer, video: DemoVideo) -> av.VideoStream:
    """A video stream whose clock can express every frame time exactly."""
    stream = container.add_stream(
        video.video_codec, rate=video.frame_rate, options={**_VIDEO_OPTIONS[video.video_codec], "threads": "1"}
    )
    stream.width, stream.height, stream.pix_fmt = SIZE * len(video.persons), SIZE, "yuv420p"
    stream.codec_context.thread_count = 1
    stream.codec_context.time_base = Fraction(1, TICKS) if video.variable_rate else 1 / video.frame_rate
    return stream


def _video_packets(stream: av.VideoStream, video: DemoVideo, times: np.ndarray) -> Iterator[av.Packet]:
    """Draw and encode the frames, each person's part beside the other's."""
    present = ~within(times, video.absent)
    parts = [frames(draw_subject(person.traits), video.seconds, times, present) for person in video.persons]
    clock = stream.codec_context.time_base
    for time, pieces in zip(times, zip(*parts, strict=True), strict=True):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.hstack(pieces)), format="rgb24")
        frame.pts, frame.time_base = round(time / clock), clock
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _audio_packets(stream: av.AudioStream, video: DemoVideo) -> Iterator[av.Packet]:
    """Synthesise and encode the audio, one channel per person."""
    voices = [voice(person.traits, video.seconds, video.audio_rate, video.audio_start) for person in video.persons]
    samples = np.stack(voices)
    first = round(video.audio_start * video.audio_rate)
    for start in range(0, samples.shape[1], _AUDIO_BLOCK):
        block = np.ascontiguousarray(samples[:, start : start + _AUDIO_BLOCK])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = video.audio_rate, first + start, Fraction(1, video.audio_rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _interleave(streams: list[Iterator[av.Packet]]) -> Iterator[av.Packet]:
    """Packets of all streams in decoding order, so that no stream waits in memory for another."""
    return heapq.merge(*streams, key=lambda packet: packet.dts * packet.time_base)
