"""Opening media files: streams, orientation, and errors in words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.stream import Discard, Disposition

from wildaffect.errors import InputError


@dataclass(frozen=True)
class Orientation:
    """The way from the stored to the upright image: transpose, then mirror left-right, then mirror top-bottom.

    Attributes:
        transpose: Exchange rows and columns.
        mirror_x: Mirror left-right.
        mirror_y: Mirror top-bottom.
    """

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def rotation(self) -> int:
        """Counterclockwise rotation in degrees: 0, 90, 180 or 270 (of a mirrored image: after mirroring left-right)."""
        if self.transpose:
            return 270 if self.mirror_x else 90
        return 180 if self.mirror_y else 0

    @property
    def mirrored(self) -> bool:
        """Whether the image is also mirrored, which no rotation alone can do."""
        return self.transpose ^ self.mirror_x ^ self.mirror_y

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The upright image, contiguous, of a stored image (H, W, 3)."""
        if self.transpose:
            image = image.transpose(1, 0, 2)
        if self.mirror_x:
            image = image[:, ::-1]
        if self.mirror_y:
            image = image[::-1]
        return np.ascontiguousarray(image)


def from_matrix(matrix: np.ndarray) -> Orientation:
    """Orientation of a display matrix (ISO/IEC 14496-12, 6.2.2).

    The matrix maps a stored position (p, q) to x = a p + c q, y = b p + d q. Rotations that are no multiple of 90 degrees are rounded to
    the nearest one.

    Args:
        matrix: 9 numbers, row by row.

    Examples:
        >>> from_matrix(np.array([0, 65536, 0, -65536, 0, 0, 0, 0, 1])).rotation
        270
    """
    a, b, _, c, d = (int(value) for value in np.ravel(matrix)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(transpose=False, mirror_x=a < 0, mirror_y=d < 0)


def orientation(frame: av.VideoFrame) -> Orientation:
    """The orientation that a decoded frame asks for; the stored one where it asks for none."""
    try:
        matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV cannot list side data with a kind it has no name for; the angle is still available
        return _ROTATIONS[round(frame.rotation / 90) % 4]
    return from_matrix(np.frombuffer(bytes(matrix), np.int32)) if matrix is not None else Orientation()


_ROTATIONS = (
    Orientation(),
    Orientation(transpose=True, mirror_y=True),
    Orientation(transpose=False, mirror_x=True, mirror_y=True),
    Orientation(transpose=True, mirror_x=True),
)


# A demuxer that fails this often without delivering a packet in between has reached the end of the readable part.
MAX_FAILURES = 1000
# Formats that FFmpeg detects in text files: terminal recordings, and playlists that lead to other files.
NOT_MEDIA = frozenset({"tty", "bin", "xbin", "idf", "adf", "concat", "hls", "dash", "imf"})


class UnreadableError(Exception):
    """A file without usable content; the message is the reason, without the file's name."""


@dataclass
class PacketCount:
    """Packets of a stream.

    Attributes:
        sent: Packets passed to the decoder.
        failed: Packets that could not be read or decoded.
    """

    sent: int = 0
    failed: int = 0


@contextmanager
def open_media(path: str | os.PathLike) -> Iterator[av.container.InputContainer]:
    """Open a media file for reading.

    Raises:
        InputError: There is no such file.
        UnreadableError: The file is not a media file.
    """
    try:
        Path(path).stat()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such media file. Check the corpus folder and the trial table.") from error
    except OSError:
        pass  # opening the file gives a better message
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
    text = getattr(error, "strerror", None) or str(error)
    return f"the file cannot be opened as a video ({text[:1].lower()}{text[1:]})"


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first video stream; cover images and thumbnails do not count.

    Raises:
        UnreadableError: There is no video stream, or no decoder for any.
    """
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & still]
    if not streams:
        raise UnreadableError("the file has no video stream")
    for stream in streams:
        if stream.codec_context is not None:
            return stream
    raise UnreadableError("the video codec is unknown to the decoder")


def audio_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The first audio stream that has a decoder; None without one."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def decoded(
    container: av.container.InputContainer, stream: av.stream.Stream, count: PacketCount, threads: int = 1
) -> Iterator[av.frame.Frame]:
    """Decode one stream to its end in presentation order.

    A packet that fails is skipped and decoding continues behind it. A damaged packet from which the decoder can still make a frame gives
    that frame (its `is_corrupt` is set). With several threads the frames are those of one thread up to the first fault; behind it a
    decoder with frames in flight may lose others, at the end of the file without reporting it.

    Args:
        container: The open file; its other streams are discarded.
        stream: The stream to decode.
        count: Is updated with every packet.
        threads: Threads of the decoder.

    Yields:
        Decoded frames (of video or audio).
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
            count.failed += 1
            failures += 1
            packets = container.demux(stream)  # an iterator that raised is exhausted; a new one continues from here
            continue
        if packet is None:
            return
        failures = 0
        count.sent += packet.size > 0 and not packet.is_discard
        try:
            frames = packet.decode()
        except av.FFmpegError:
            count.failed += 1
            continue
        yield from frames
