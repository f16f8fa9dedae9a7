"""Opening media files: streams, orientation, and errors in words."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

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

    def upright(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the upright image of a stored one."""
        return (height, width) if self.transpose else (width, height)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The upright image of a stored image (H, W, 3): this one where nothing is turned, else a contiguous copy."""
        if self == Orientation():
            return image
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


# Transfer characteristics of high dynamic range, by their code (ITU-T H.273, table 3).
HDR = {16: "PQ", 18: "HLG"}


def oriented(frames: Iterable[av.VideoFrame]) -> Iterator[tuple[av.VideoFrame, Orientation]]:
    """Decoded frames with their orientations.

    An encoder may state the orientation with some frames only; it holds until another one is stated or a keyframe states none.
    """
    turn, angle = None, 0
    for frame in frames:
        # Side data keep their frame until the next collection of garbage, so they are looked at where the angle says that they differ.
        if turn is None or (frame.rotation != angle and (frame.rotation or frame.key_frame)):
            turn, angle = orientation(frame), frame.rotation
        yield frame, turn


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
        first: Presentation and decoding time of the first packet, in ticks; None where it has none.
    """

    sent: int = 0
    failed: int = 0
    first: tuple[int | None, int | None] | None = None


@contextmanager
def open_media(path: str | os.PathLike) -> Iterator[av.container.InputContainer]:
    """Open a media file for reading.

    Raises:
        InputError: There is no such file.
        UnreadableError: The file is not a media file.
    """
    _check_kind(Path(path))
    try:
        # `file:` keeps colons in names from being read as protocols.
        container = _open(f"file:{os.fspath(path)}")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableError(_reason(path, error)) from error
    with container:
        if container.format.name in NOT_MEDIA:
            raise UnreadableError("the file is not a video")
        yield container


def _open(name: str) -> av.container.InputContainer:
    # Playlists may not lead elsewhere.
    return av.open(name, options={"protocol_whitelist": "file"}, metadata_errors="replace")


def _check_kind(path: Path) -> None:
    """Refuse what is no file before it is opened: opening a pipe would wait for somebody to write into it."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        if path.is_symlink():
            raise UnreadableError("the file is a link that leads nowhere") from error
        raise InputError(f"{path}: no such media file. Check the corpus folder and the trial table.") from error
    except OSError:
        return  # opening the file gives a better message
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnreadableError("the file is a pipe, a socket or a device")


def _reason(path: str | os.PathLike, error: Exception) -> str:
    try:
        if Path(path).is_file() and Path(path).stat().st_size == 0:
            return "the file is empty"
    except OSError:
        pass  # the error at hand says more
    text = getattr(error, "strerror", None) or str(error)
    return f"the file cannot be opened as a video ({text[:1].lower()}{text[1:]})"


STILL = Disposition.attached_pic | Disposition.timed_thumbnails
# Of two streams that differ by less than this fraction in length, neither is the longer one.
SAME_LENGTH = 0.1

# Extent of a stream: packets, and seconds by their durations.
Extent = tuple[int, float]


def video_stream(
    container: av.container.InputContainer, wanted: int | None = None
) -> tuple[av.VideoStream, dict[str, Any]]:
    """The video stream to use; cover images and thumbnails do not count.

    Of several the first of: more than one picture, the default flag, most frames (within a tenth), most pixels, the first in the file.

    Args:
        container: The open file.
        wanted: Index of the stream among all streams of the file, as `ffprobe` counts; None: by the rules above.

    Returns:
        The stream, and where there was a choice `{"kind": "video", "used": index, "of": indices, "reason": words}`, else nothing.

    Raises:
        UnreadableError: There is no video stream, not the one wanted, or no decoder for any.
    """
    streams = [stream for stream in container.streams.video if wanted is not None or not stream.disposition & STILL]
    if not streams:
        raise UnreadableError("the file has no video stream")
    chosen = _choose(container, streams, wanted, _rank_videos)
    if chosen is None:
        raise UnreadableError(
            "the video codec is unknown to the decoder" if wanted is None else f"stream {wanted} is no video stream"
        )
    return chosen


def stated_rate(stream: av.VideoStream) -> Fraction:
    """Frames per second as the container states them, and as OpenCV reports them (`CAP_PROP_FPS`), whatever the frames do.

    That is the average that the header states; else the lowest rate that fits all time stamps, else the ticks per second.
    """
    return stream.average_rate or stream.base_rate or 1 / stream.time_base


def audio_stream(
    container: av.container.InputContainer, wanted: int | None = None
) -> tuple[av.AudioStream, dict[str, Any]] | None:
    """The audio stream to use: the first that has a decoder and the default flag, then the longest (within a tenth).

    Args:
        container: The open file.
        wanted: As for `video_stream`.

    Returns:
        As `video_stream`; None without a stream that has a decoder, or without the one wanted.
    """
    return _choose(container, list(container.streams.audio), wanted, _rank_audios)


def _choose(
    container: av.container.InputContainer,
    streams: Sequence[Any],
    wanted: int | None,
    ranks: Callable[[Sequence[Any], dict[int, Extent]], list[tuple[tuple, Any]]],
) -> tuple[Any, dict[str, Any]] | None:
    usable = [stream for stream in streams if stream.codec_context is not None]
    if wanted is not None:
        usable = [stream for stream in usable if stream.index == wanted]
    if not usable:
        return None
    note = {"kind": usable[0].type, "used": usable[0].index, "of": [stream.index for stream in streams]}
    if wanted is not None:
        return usable[0], note | {"reason": "as the table of trials says"}
    if len(usable) == 1:
        return usable[0], (note | {"reason": "the only one with a decoder"} if len(streams) > 1 else {})
    ranked = sorted(ranks(usable, _extents(container, usable)), key=lambda pair: pair[0], reverse=True)
    (best, stream), (second, _) = ranked[:2]
    reason = next((why for (why, one), (_, other) in zip(best, second, strict=True) if one != other), "the first one")
    return stream, note | {"used": stream.index, "reason": reason}


def _rank_videos(streams: Sequence[av.VideoStream], extents: dict[int, Extent]) -> list[tuple[tuple, av.VideoStream]]:
    frames = {stream.index: extents[stream.index][0] for stream in streams}
    many = (1 - SAME_LENGTH) * max(frames.values())
    return [
        (
            (
                ("more than one picture", frames[stream.index] > 1),
                ("default", bool(stream.disposition & Disposition.default)),
                ("most frames", frames[stream.index] >= many),
                ("most pixels", stream.width * stream.height),
            ),
            stream,
        )
        for stream in streams
    ]


def _rank_audios(streams: Sequence[av.AudioStream], extents: dict[int, Extent]) -> list[tuple[tuple, av.AudioStream]]:
    long = (1 - SAME_LENGTH) * max(extents[stream.index][1] for stream in streams)
    return [
        (
            (
                ("default", bool(stream.disposition & Disposition.default)),
                ("longest", extents[stream.index][1] >= long),
            ),
            stream,
        )
        for stream in streams
    ]


def _extents(container: av.container.InputContainer, streams: Sequence[Any]) -> dict[int, Extent]:
    """Extents of some streams, as the headers state them or counted in a pass over the file that decodes nothing."""
    if all(stream.frames and stream.duration for stream in streams):
        return {stream.index: (stream.frames, float(stream.duration * stream.time_base)) for stream in streams}
    found = {stream.index: (0, 0.0) for stream in streams}
    with _open(container.name) as again:
        for stream in again.streams:
            if stream.index not in found:
                stream.discard = Discard.all
        try:
            for packet in again.demux():
                if packet.size and packet.stream.index in found:
                    packets, seconds = found[packet.stream.index]
                    length = float((packet.duration or 0) * packet.time_base)
                    found[packet.stream.index] = packets + 1, seconds + length
        except (av.FFmpegError, OSError):
            pass  # what can be read decides
    return found


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
        if count.first is None and packet.size:
            count.first = packet.pts, packet.dts
        try:
            frames = packet.decode()
        except av.FFmpegError:
            count.failed += 1
            continue
        yield from frames
