"""Opening media files and decoding one stream through damage.

Everything that reads a video or its sound goes through :func:`open_media` and :func:`decoded`, so the frame table,
the pictures and the audio can never disagree on what a damaged file contains.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.stream import Discard, Disposition

from wildaffect.errors import InputError

# A reader that fails this often without delivering a packet in between has reached the end of what is there.
MAX_FAILURES = 1000
# What FFmpeg takes texts for: terminal recordings, and playlists that lead to other files. Neither is a video.
NOT_MEDIA = frozenset({"tty", "bin", "xbin", "idf", "adf", "concat", "hls", "dash", "imf"})


class UnreadableError(Exception):
    """A file without usable content; the message is the reason, in words, without the file's name."""


@dataclass
class PacketCount:
    """Packets of a stream: handed to the decoder, and those that could not be read or decoded."""

    sent: int = 0
    failed: int = 0


@contextmanager
def open_media(path: str | os.PathLike) -> Iterator[av.container.InputContainer]:
    """Open a media file for reading.

    Raises :class:`InputError` where there is no such file and :class:`UnreadableError` where the file is no media.
    """
    try:
        Path(path).stat()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such media file. Check the corpus folder and the trial table.") from error
    except OSError:
        pass  # the reader will say what is wrong
    try:
        # `file:` keeps colons in names from being read as protocols; playlists may not lead elsewhere.
        container = av.open(
            f"file:{os.fspath(path)}", options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableError(_reason(path, error)) from error
    with container:
        if container.format.name in NOT_MEDIA:
            raise UnreadableError("the file is not a video")
        yield container


def _reason(path: str | os.PathLike, error: Exception) -> str:
    try:
        if Path(path).is_file() and Path(path).stat().st_size == 0:
            return "the file is empty"
    except OSError:
        pass  # the error at hand says more
    said = getattr(error, "strerror", None) or str(error)
    return f"the file cannot be opened as a video ({said[:1].lower()}{said[1:]})"


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first moving-picture stream (cover pictures do not count); :class:`UnreadableError` without one."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    moving = [stream for stream in container.streams.video if not stream.disposition & still]
    if not moving:
        raise UnreadableError("the file has no video stream")
    for stream in moving:
        if stream.codec_context is not None:
            return stream
    raise UnreadableError("the video codec is unknown to the decoder")


def sound_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The first sound stream that has a decoder; None without one."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def decoded(
    container: av.container.InputContainer, stream: av.stream.Stream, tally: PacketCount, threads: int = 1
) -> Iterator[av.frame.Frame]:
    """Decode one stream to its end in presentation order, counting packets into ``tally`` on the way.

    A packet that fails is left out and decoding goes on behind it. Damaged packets from which the decoder can still
    make a frame give that frame (its ``is_corrupt`` is set). With several threads the frames are the same as with one
    up to the first fault; behind it a decoder with frames in flight may lose others, and at the end without a word.
    """
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    stream.codec_context.thread_count = max(1, threads)
    stream.codec_context.thread_type = "AUTO" if threads > 1 else "NONE"
    packets = container.demux(stream)
    failures = 0
    while failures < MAX_FAILURES:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError):
            tally.failed += 1
            failures += 1
            packets = container.demux(stream)  # an iterator that raised is spent; a new one reads on from here
            continue
        if packet is None:
            return
        failures = 0
        tally.sent += packet.size > 0 and not packet.is_discard
        try:
            frames = packet.decode()
        except av.FFmpegError:
            tally.failed += 1
            continue
        yield from frames
