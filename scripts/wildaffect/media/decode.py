"""Upright RGB images of a video, one per row of its frame table, and a thread that decodes ahead."""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from queue import Empty, Full, Queue
from typing import Any, TypeVar

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter

from wildaffect.media.container import (
    HDR,
    Orientation,
    PacketCount,
    UnreadableError,
    decoded,
    open_media,
    oriented,
    video_stream,
)


def decode(
    video: str | os.PathLike, threads: int = 1, view: Mapping[str, Any] | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the image of every decodable frame.

    Frames and order are those of the frame table for any number of `threads`, also for damaged files (where only the concealed parts of
    damaged frames may differ); an unreadable file yields nothing. One image is held at a time. Frames are turned upright; one of another
    size is fitted into the size of all images with its aspect kept, centred, black beside it, so that all share the coordinates of the
    table's `width` and `height`. Non-square pixels stay as stored. Frames of high dynamic range (PQ, HLG) are tone-mapped to BT.709 by
    libswscale's relative colorimetric intent.

    Args:
        video: Path of the video.
        threads: Threads of the decoder and the colour conversion.
        view: The frame table's metadata `view`: stream, and size of the images. Without it the stream is chosen again, and the size is
            that of the first frame.

    Yields:
        Frame index from 0, and the upright image, uint8 RGB (H, W, 3). Rows may have padding between them, as libswscale writes them; a
        copy without it would take a tenth as long as decoding.

    Raises:
        InputError: There is no such file.
    """
    view = view or {}
    size = (view["width"], view["height"]) if "width" in view else None
    mapper = VideoReformatter()  # tables of tone mapping take seconds to compute, and it keeps them
    try:
        for index, (frame, turn) in enumerate(_frames(video, threads, view.get("stream"))):
            upright = turn.upright(frame.width, frame.height)
            size = size or upright
            if upright == size:
                image = turn.apply(_rgb(frame, frame.width, frame.height, threads, mapper))
            else:
                image = _fitted(frame, turn, size, threads, mapper)
            yield index, image
    except UnreadableError:
        return


def _rgb(frame: av.VideoFrame, width: int, height: int, threads: int, mapper: VideoReformatter) -> np.ndarray:
    """The stored image, uint8 RGB, scaled."""
    if int(frame.color_trc) not in HDR:
        return frame.to_ndarray(format="rgb24", width=width, height=height, threads=threads)
    mapped = mapper.reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        threads=threads,
        dst_color_trc=ColorTrc.BT709,
        dst_color_primaries=ColorPrimaries.BT709,
    )
    return mapped.to_ndarray()


def _fitted(
    frame: av.VideoFrame, turn: Orientation, size: tuple[int, int], threads: int, mapper: VideoReformatter
) -> np.ndarray:
    """The upright image within one of another size."""
    wide, high = turn.upright(frame.width, frame.height)
    scale = min(size[0] / wide, size[1] / high)
    wide, high = max(1, round(scale * wide)), max(1, round(scale * high))
    image = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - wide) // 2, (size[1] - high) // 2
    image[top : top + high, left : left + wide] = turn.apply(
        _rgb(frame, *turn.upright(wide, high), threads=threads, mapper=mapper)
    )
    return image


def _frames(video: str | os.PathLike, threads: int, stream: int | None) -> Iterator[tuple[av.VideoFrame, Orientation]]:
    """The frames that one thread decodes. Several threads go up to the first fault, then one thread decodes the rest."""
    done = 0
    if threads > 1:
        with open_media(video) as container:
            count = PacketCount()
            for frame in oriented(decoded(container, video_stream(container, stream)[0], count, threads)):
                if count.failed:
                    break
                yield frame
                done += 1
            if not count.failed and done >= count.sent:
                return
    with open_media(video) as container:
        frames = oriented(decoded(container, video_stream(container, stream)[0], PacketCount()))
        yield from islice(frames, done, None)


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
