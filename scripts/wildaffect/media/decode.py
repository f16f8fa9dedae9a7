"""Upright RGB pictures of a video, one per row of its frame table."""

import os
from collections.abc import Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from wildaffect.media.container import Faults, UnreadableError, decoded, open_media, video_stream
from wildaffect.media.orientation import orientation


def decode(video: str | os.PathLike, threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame index from 0, upright picture uint8 RGB (H, W, 3)) for every decodable frame.

    Frames and order are those of the frame table, also for damaged files: none where nothing can be decoded. One
    picture is held at a time. A frame of another size than the first is scaled to it, so that all pictures
    share the coordinates of the table's ``width`` and ``height``; non-square pixels stay as stored.
    Raises :class:`wildaffect.errors.InputError` where there is no such file.
    """
    try:
        with open_media(video) as container:
            frames = decoded(container, video_stream(container), Faults(), threads)
            converter = VideoReformatter()  # kept: setting one up for every frame costs more than the conversion
            size = None
            for index, frame in enumerate(frames):
                size = size or upright_size(frame)
                yield index, _picture(frame, size, converter, threads)
    except UnreadableError:
        return


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """(width, height) of the frame as shown."""
    return (frame.height, frame.width) if orientation(frame).transpose else (frame.width, frame.height)


def _picture(frame: av.VideoFrame, size: tuple[int, int], converter: VideoReformatter, threads: int) -> np.ndarray:
    turn = orientation(frame)
    width, height = size[::-1] if turn.transpose else size
    stored = converter.reformat(frame, width=width, height=height, format="rgb24", threads=threads)
    return turn.apply(stored.to_ndarray())
