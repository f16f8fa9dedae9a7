"""Prefetching: a thread that produces items before they are asked for."""

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

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
