"""Synthetic media files whose right answer is known, written with PyAV."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

TICK = Fraction(1, 90_000)
DARK, WHITE = 20, 235


@dataclass(frozen=True)
class Sound:
    """One sound stream: ``samples`` (channels, S) in [-1, 1]; ``blocks`` of (start in s, first, last sample)."""

    samples: np.ndarray
    rate: int = 16_000
    start_s: float = 0.0
    codec: str = "pcm_s16le"
    layout: str = ""
    blocks: Sequence[tuple[float, int, int]] = ()


@dataclass(frozen=True)
class Video:
    """One video stream: ``times`` in seconds, ``picture(index)`` -> uint8 RGB (H, W, 3)."""

    times: Sequence[float]
    picture: Callable[[int], np.ndarray]
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    rotation: int = 0
    hflip: bool = False
    vflip: bool = False
    sample_aspect: Fraction | None = None
    rate: Fraction = Fraction(30)
    tick: Fraction = TICK


def flat(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    """One grey picture."""
    return np.full((height, width, 3), level, np.uint8)


def flash_at(frame: int) -> Callable[[int], np.ndarray]:
    """Dark pictures with one white one."""
    return lambda index: flat(WHITE if index == frame else DARK)


def counted(index: int) -> np.ndarray:
    """A picture whose grey level tells its index modulo 50, see :func:`count_of`."""
    return flat(20 + 4 * (index % 50))


def count_of(picture: np.ndarray) -> int:
    """Index modulo 50 of a picture by :func:`counted`."""
    return round((float(picture.mean()) - 20) / 4)


def beep(at_s: float, length_s: float, rate: int, channels: int = 1) -> np.ndarray:
    """Silence (channels, S) with a loud 1 kHz beep of 20 ms that starts at ``at_s``."""
    samples = np.zeros((channels, round(length_s * rate)))
    first = round(at_s * rate)
    count = min(round(0.02 * rate), samples.shape[1] - first)
    samples[:, first : first + count] = 0.8 * np.cos(2 * np.pi * 1000 * np.arange(count) / rate)
    return samples


def onset(samples: np.ndarray, rate: int) -> float:
    """Time in seconds at which a beep starts."""
    loud = np.abs(samples) > 0.5 * np.abs(samples).max()
    return float(np.argmax(loud)) / rate


def onsets(samples: np.ndarray, rate: int) -> list[float]:
    """Times in seconds at which beeps start that are 0.1 s apart or more."""
    loud = np.flatnonzero(np.abs(samples) > 0.3)
    first = np.append(True, np.diff(loud) > 0.1 * rate)[: len(loud)]
    return (loud[first] / rate).tolist()


def join(path: Path, parts: Iterable[Path]) -> Path:
    """One file of the bytes of several, as ``cat`` makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def write_streams(
    path: Path, videos: Sequence[Video], sounds: Sequence[Sound] = (), defaults: Sequence[int] = ()
) -> Path:
    """Write a file of several streams, videos first; ``defaults`` are the indices of those with the default flag."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Matroska guesses the flag unless told not to.
    options = {"default_mode": "passthrough"} if path.suffix == ".mkv" else {}
    with av.open(str(path), "w", options=options) as output:
        streams = [_add_video(output, video) for video in videos] + [_add_sound(output, sound) for sound in sounds]
        for index, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition.default if index in defaults else av.stream.Disposition(0)
        frames = [_pictures(video) for video in videos] + [_blocks(sound) for sound in sounds]
        packets = [packet for pair in zip(streams, frames, strict=True) for packet in _encode(*pair)]
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            output.mux(packet)
    return path


def write_media(
    path: Path, video: Video | None = None, sound: Sound | None = None, container: str | None = None, **muxer: str
) -> Path:
    """Write a media file; ``muxer`` are options of the container format (``movflags="faststart"``)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container, options=muxer) as output:
        picture_stream = _add_video(output, video) if video else None
        sound_stream = _add_sound(output, sound) if sound else None
        packets = []
        if video:
            packets += _encode(picture_stream, _pictures(video))
        if sound:
            packets += _encode(sound_stream, _blocks(sound))
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            output.mux(packet)
    return path


def _add_video(output: av.container.OutputContainer, video: Video) -> av.VideoStream:
    stream = output.add_stream(video.codec, rate=video.rate, options=dict(video.options))
    stream.height, stream.width = video.picture(0).shape[:2]
    stream.pix_fmt = video.pixel_format
    stream.codec_context.time_base = video.tick
    stream.thread_count = 1
    if video.sample_aspect:
        stream.codec_context.sample_aspect_ratio = video.sample_aspect
    if video.rotation or video.hflip or video.vflip:
        stream.set_display_rotation(video.rotation, hflip=video.hflip, vflip=video.vflip)
    return stream


def _add_sound(output: av.container.OutputContainer, sound: Sound) -> av.AudioStream:
    layout = sound.layout or {1: "mono", 2: "stereo", 6: "5.1"}[len(sound.samples)]
    return output.add_stream(sound.codec, rate=sound.rate, layout=layout)


def _pictures(video: Video) -> Iterable[av.VideoFrame]:
    for index, time in enumerate(video.times):
        frame = av.VideoFrame.from_ndarray(video.picture(index), format="rgb24")
        frame.pts, frame.time_base = round(time / video.tick), video.tick
        yield frame


def _blocks(sound: Sound) -> Iterable[av.AudioFrame]:
    layout = sound.layout or {1: "mono", 2: "stereo", 6: "5.1"}[len(sound.samples)]
    for start_s, first, last in sound.blocks or [(sound.start_s, 0, sound.samples.shape[1])]:
        for begin in range(first, last, 1024):
            part = sound.samples[:, begin : min(begin + 1024, last)]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part.T).reshape(1, -1), format="dbl", layout=layout)
            frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
            frame.pts = round(start_s * sound.rate) + begin - first
            yield frame


def _encode(stream: Any, frames: Iterable[Any]) -> list[av.Packet]:
    packets = [packet for frame in frames for packet in stream.encode(frame)]
    return packets + stream.encode(None)
