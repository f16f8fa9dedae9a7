"""Upright RGB pictures of a video, one per row of its frame table."""

import os
from collections.abc import Iterator
from itertools import islice

import av
import numpy as np

from wildaffect.media.container import PacketCount, UnreadableError, decoded, open_media, video_stream
from wildaffect.media.orientation import orientation


def decode(video: str | os.PathLike, threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame index from 0, upright picture uint8 RGB (H, W, 3)) for every decodable frame.

    Frames and order are those of the frame table for any number of ``threads``, also for damaged files (where only
    the decoder's patches in damaged frames may differ): none where nothing can be decoded. One picture is held
    at a time. All frames are turned as the first one asks, and a frame of another size is scaled to the first one's, so
    that all pictures share the coordinates of the table's ``width`` and ``height``; non-square pixels stay as stored.
    Raises :class:`wildaffect.errors.InputError` where there is no such file.
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
    """Frames as decoded by one thread; several threads go as far as the file is sound, one finishes what is not."""
    done = 0
    if threads > 1:
        with open_media(video) as container:
            tally = PacketCount()
            for frame in decoded(container, video_stream(container), tally, threads):
                if tally.failed:
                    break
                yield frame
                done += 1
            if not tally.failed and done >= tally.sent:
                return
    with open_media(video) as container:
        yield from islice(decoded(container, video_stream(container), PacketCount()), done, None)
