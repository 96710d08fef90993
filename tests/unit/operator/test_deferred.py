"""control/deferred: what may wait is done for a share of the time, and is never put off for long."""

from collections.abc import Callable

import pytest
from tidegate_operator.control.deferred import LONGEST_PAUSE, DeferredQueue


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answer(clock: Clock) -> Callable[[DeferredQueue[str], float], None]:
    """Take the first key, whose request is answered after some seconds."""

    def answered(queue: DeferredQueue[str], seconds: float) -> None:
        assert queue.take() is not None
        clock.now += seconds
        queue.done(seconds=seconds)

    return answered


def a_queue(clock: Clock, *keys: str) -> DeferredQueue[str]:
    queue: DeferredQueue[str] = DeferredQueue(monotonic=clock)
    for key in keys:
        queue.put(key)
    return queue


def test_the_key_that_has_waited_longest_is_first_and_there_is_one_at_a_time(clock: Clock) -> None:
    queue = a_queue(clock, "a", "b", "a")
    assert queue.take() == "a"
    assert (queue.take(), queue.pause) == (None, None)
    queue.done(seconds=0.0)
    assert queue.take() == "b"


def test_a_key_that_was_dropped_is_not_taken(clock: Clock) -> None:
    queue = a_queue(clock, "a", "b")
    queue.drop("a")
    queue.drop("a")
    assert queue.take() == "b"


def test_requests_are_under_way_for_a_quarter_of_the_time(
    clock: Clock, answer: Callable[[DeferredQueue[str], float], None]
) -> None:
    queue = a_queue(clock, "a", "b")
    answer(queue, 0.5)
    assert (queue.take(), queue.pause) == (None, 1.5)
    clock.now += 1.5
    assert queue.take() == "b"


def test_a_request_that_hung_for_a_minute_holds_up_the_next_for_seconds(
    clock: Clock, answer: Callable[[DeferredQueue[str], float], None]
) -> None:
    queue = a_queue(clock, "a", "b")
    answer(queue, 60.0)
    assert queue.pause == LONGEST_PAUSE
    clock.now += LONGEST_PAUSE
    assert queue.take() == "b"
