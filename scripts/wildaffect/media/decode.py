"""Upright RGB images of a video, one per row of its frame table."""

import os
from collections.abc import Iterator
from itertools import islice

import av
import numpy as np

from wildaffect.media.container import PacketCount, UnreadableError, decoded, open_media, orientation, video_stream


def decode(video: str | os.PathLike, threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the image of every decodable frame.

    Frames and order are those of the frame table for any number of `threads`, also for damaged files (where only the concealed parts of
    damaged frames may differ); an unreadable file yields nothing. One image is held at a time. All frames are rotated as the first one
    asks, and a frame of another size is scaled to that of the first, so that all images share the coordinates of the table's `width`
    and `height`; non-square pixels stay as stored.

    Args:
        video: Path of the video.
        threads: Threads of the decoder and the colour conversion.

    Yields:
        Frame index from 0, and the upright image, uint8 RGB (H, W, 3).

    Raises:
        InputError: There is no such file.
    """
    turn = None
    try:
        for index, frame in enumerate(_frames(video, threads)):
            if turn is None:
                turn, width, height = orientation(frame), frame.width, frame.height
            stored = frame.to_ndarray(format="rgb24", width=width, height=height, threads=threads)
            yield index, turn.apply(stored)
    except UnreadableError:
        return


def _frames(video: str | os.PathLike, threads: int) -> Iterator[av.VideoFrame]:
    """The frames that one thread decodes. Several threads go up to the first fault, then one thread decodes the rest."""
    done = 0
    if threads > 1:
        with open_media(video) as container:
            count = PacketCount()
            for frame in decoded(container, video_stream(container), count, threads):
                if count.failed:
                    break
                yield frame
                done += 1
            if not count.failed and done >= count.sent:
                return
    with open_media(video) as container:
        yield from islice(decoded(container, video_stream(container), PacketCount()), done, None)
