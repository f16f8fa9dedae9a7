"""A producer in another thread: order, bounds, errors, early ends."""

import threading
import time

import pytest

from wildaffect.media.decode import prefetch


def test_same_items_in_order():
    assert list(prefetch(iter(range(100)), 3)) == list(range(100))
    assert list(prefetch(iter(()), 3)) == []


def test_producer_stays_within_its_bound():
    produced = []

    def items():
        for number in range(50):
            produced.append(number)
            yield number

    for number in prefetch(items(), 2):
        time.sleep(0.002)
        # Two wait in the queue, one in the producer's hand, one is being worked on.
        assert len(produced) <= number + 4
    assert len(produced) == 50


def test_both_work_at_the_same_time():
    """The producer cannot go on before the consumer has the first item: a serial loop would never end."""
    received = threading.Event()

    def items():
        yield 1
        assert received.wait(10)
        yield 2

    seen = []
    for item in prefetch(items(), 1):
        seen.append(item)
        received.set()
    assert seen == [1, 2]


def test_errors_of_the_producer_are_raised():
    def items():
        yield 1
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"):
        seen.extend(prefetch(items(), 2))


def test_a_consumer_that_stops_ends_the_producer():
    before = threading.active_count()
    produced = []

    def items():
        for number in range(10**6):
            produced.append(number)
            yield number

    source = prefetch(items(), 2)
    assert next(source) == 0
    source.close()
    assert threading.active_count() == before
    assert len(produced) < 10
