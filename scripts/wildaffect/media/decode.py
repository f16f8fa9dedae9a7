"""Upright RGB pictures of a video, one per row of its frame table."""

import os
from collections.abc import Iterator
from itertools import islice

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from wildaffect.media.container import Tally, UnreadableError, decoded, open_media, video_stream
from wildaffect.media.orientation import orientation


def decode(video: str | os.PathLike, threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame index from 0, upright picture uint8 RGB (H, W, 3)) for every decodable frame.

    Frames and order are those of the frame table for any number of ``threads``, also for damaged files (where only
    the decoder's patches in damaged frames may differ): none where nothing can be decoded. One picture is held
    at a time. A frame of another size than the first is scaled to it, so that all pictures share the coordinates of
    the table's ``width`` and ``height``; non-square pixels stay as stored.
    Raises :class:`wildaffect.errors.InputError` where there is no such file.
    """
    converter = VideoReformatter()  # kept: setting one up for every frame costs more than the conversion
    size = None
    try:
        for index, frame in enumerate(_frames(video, threads)):
            size = size or upright_size(frame)
            yield index, _picture(frame, size, converter, threads)
    except UnreadableError:
        return


def _frames(video: str | os.PathLike, threads: int) -> Iterator[av.VideoFrame]:
    """Frames as decoded by one thread; several threads go as far as the file is sound, one finishes what is not."""
    done = 0
    if threads > 1:
        with open_media(video) as container:
            tally = Tally()
            for frame in decoded(container, video_stream(container), tally, threads):
                if tally.failed:
                    break
                yield frame
                done += 1
            if not tally.failed and done >= tally.sent:
                return
    with open_media(video) as container:
        yield from islice(decoded(container, video_stream(container), Tally()), done, None)


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """(width, height) of the frame as shown."""
    return (frame.height, frame.width) if orientation(frame).transpose else (frame.width, frame.height)


def _picture(frame: av.VideoFrame, size: tuple[int, int], converter: VideoReformatter, threads: int) -> np.ndarray:
    turn = orientation(frame)
    width, height = size[::-1] if turn.transpose else size
    stored = converter.reformat(frame, width=width, height=height, format="rgb24", threads=threads)
    return turn.apply(stored.to_ndarray())
