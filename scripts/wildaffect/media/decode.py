"""Upright RGB images of a video, one per row of its frame table, and a thread that decodes ahead."""

import os
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from queue import Empty, Full, Queue
from typing import TypeVar

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


Item = TypeVar("Item")
WAIT_S = 0.1


def prefetch(items: Iterable[Item], size: int) -> Iterator[Item]:
    """Yield the same items in the same order, produced by a thread that is at most `size` items ahead.

    Useful where producer and consumer spend their time in libraries that release Python's lock (video decoders, neural networks). An
    exception of the producer is raised here; a consumer that stops early (`close`) stops the producer.

    Examples:
        >>> list(prefetch(range(3), size=1))
        [0, 1, 2]
    """
    queue: Queue = Queue(size)
    stopped = threading.Event()

    def put(entry) -> bool:
        while not stopped.is_set():
            try:
                queue.put(entry, timeout=WAIT_S)
                return True
            except Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            item, error = queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
            del item  # not held while waiting for the next one
    finally:
        stopped.set()
        while thread.is_alive():
            _drain(queue)
            thread.join(WAIT_S)


def _drain(queue: Queue) -> None:
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
