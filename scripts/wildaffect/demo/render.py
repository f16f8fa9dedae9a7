"""Writes the demo corpus in the layout of Aff-Wild2: media files, annotation files, the list of test trials.

The test trials' annotations go to a folder of their own, so that the pipeline cannot read them by accident.
"""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from wildaffect.demo.affect import TICKS, affect, frame_times, within
from wildaffect.demo.plan import SIZE, DemoPerson, DemoVideo
from wildaffect.demo.subject import draw_subject, pictures
from wildaffect.demo.voice import voice
from wildaffect.files import atomic

ANNOTATIONS = Path("annotations/VA_Estimation_Challenge")
TRUTH = Path("truth/VA_Estimation_Challenge")
TEST_LIST = Path("Valence_Arousal_Estimation_Challenge_test_set_release.txt")
SETS = {"train": ANNOTATIONS / "Train_Set", "validation": ANNOTATIONS / "Validation_Set", "test": TRUTH / "Test_Set"}
HEADER = "valence,arousal"
INVALID = "-5,-5"

# Without mbtree=0, x264 reads memory that it never wrote and the bytes of narrow pictures differ from run to run.
_VIDEO_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "20", "x264-params": "mbtree=0"},
    "mpeg4": {"qscale": "3"},
}
_AUDIO_BLOCK = 1152  # samples handed to the encoder at a time


def render_video(video: DemoVideo, seed: int, output: Path) -> None:
    """Render ``video`` to the media file ``output``, pictures and sound interleaved.

    ``seed`` is the plan's. The pictures come from a function of the frame times and one encoder thread writes them,
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
    """Write one annotation file per trial under ``root`` and the list of the test trials.

    First row ``valence,arousal``, then one row per frame in presentation order; ``-5,-5`` where unlabelled. Trials
    for training and validation lie under ``annotations``, test trials under ``truth``, where only a self-check looks.
    """
    root = Path(root)
    for video in videos:
        times = frame_times(video, seed)
        for person in video.persons:
            with atomic(root / SETS[person.partition] / f"{person.trial}.txt") as partial:
                partial.write_text("\n".join([HEADER, *_rows(video, person, times)]) + "\n", encoding="ascii")
    tests = [person.trial for video in videos for person in video.persons if person.partition == "test"]
    with atomic(root / TEST_LIST) as partial:
        partial.write_text("\n".join(tests) + "\n", encoding="ascii")


def _rows(video: DemoVideo, person: DemoPerson, times: np.ndarray) -> Iterator[str]:
    """The rows of one annotation file."""
    valence, arousal = affect(person.traits, video.seconds, times)
    for invalid, v, a in zip(within(times, video.unlabelled), valence, arousal, strict=True):
        yield INVALID if invalid else f"{v:.4f},{a:.4f}"


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
    parts = [pictures(draw_subject(person.traits), video.seconds, times, present) for person in video.persons]
    clock = stream.codec_context.time_base
    for time, pieces in zip(times, zip(*parts, strict=True), strict=True):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.hstack(pieces)), format="rgb24")
        frame.pts, frame.time_base = round(time / clock), clock
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _audio_packets(stream: av.AudioStream, video: DemoVideo) -> Iterator[av.Packet]:
    """Synthesise and encode the sound, one channel per person."""
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
