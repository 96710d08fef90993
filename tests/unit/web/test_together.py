"""Questions of many threads, asked in one: never before its asker has come, and no fault is another's."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from support.servers import wait_until
from tidegate_web.shared.batcher import Batcher


class Slow:
    """Answers each question with its double, when it is asked to; a question below 0 is an error."""

    def __init__(self, *, most: int = 100) -> None:
        self.asked: list[list[int]] = []
        self.go = threading.Semaphore(0)
        self.together = Batcher(self._answer, all_alike=lambda error: isinstance(error, OSError), most=most)

    def _answer(self, questions: Sequence[int]) -> list[int]:
        self.asked.append(list(questions))
        assert self.go.acquire(timeout=10)
        if -1 in questions:
            raise ValueError("below 0")
        if -2 in questions:
            raise OSError("away")
        return [2 * question for question in questions]


def waiting(slow: Slow, count: int) -> None:
    wait_until(lambda: len(slow.together._waiting) == count, what=f"{count} to wait")


def begun(pool: ThreadPoolExecutor, slow: Slow, questions: Sequence[int]) -> list[Future[int]]:
    """The first is under way, and the others wait in this order."""
    asked = []
    for number, question in enumerate(questions):
        asked.append(pool.submit(slow.together, question))
        if number == 0:
            wait_until(lambda: bool(slow.asked), what="the first question")
        waiting(slow, number)
    return asked


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=20)


def test_one_that_comes_alone_is_asked_alone(pool: ThreadPoolExecutor) -> None:
    slow = Slow()
    for question in (1, 2):
        slow.go.release()
        assert slow.together(question) == 2 * question
    assert slow.asked == [[1], [2]]


def test_those_that_come_meanwhile_go_together_in_the_next(pool: ThreadPoolExecutor) -> None:
    slow = Slow()
    asked = begun(pool, slow, [1, 2, 3, 4])
    slow.go.release(2)
    assert [one.result(timeout=10) for one in asked] == [2, 4, 6, 8]
    assert slow.asked == [[1], [2, 3, 4]]


def test_no_more_than_so_many_go_together(pool: ThreadPoolExecutor) -> None:
    slow = Slow(most=2)
    asked = begun(pool, slow, [1, 2, 3, 4, 5, 6])
    slow.go.release(4)
    assert [one.result(timeout=10) for one in asked] == [2, 4, 6, 8, 10, 12]
    assert slow.asked == [[1], [2, 3], [4, 5], [6]]


def test_the_fault_of_one_is_no_other_s(pool: ThreadPoolExecutor) -> None:
    slow = Slow()
    asked = begun(pool, slow, [1, 2, -1, 3])
    slow.go.release(5)
    assert [one.result(timeout=10) for one in (asked[0], asked[1], asked[3])] == [2, 4, 6]
    with pytest.raises(ValueError, match="below 0"):
        asked[2].result(timeout=10)


def test_what_fails_alike_for_all_is_asked_once(pool: ThreadPoolExecutor) -> None:
    slow = Slow()
    asked = begun(pool, slow, [1, -2, 3])
    slow.go.release(2)
    assert asked[0].result(timeout=10) == 2
    for one in asked[1:]:
        with pytest.raises(OSError, match="away"):
            one.result(timeout=10)
    slow.go.release()
    assert slow.together(4) == 8


def test_many_at_once_all_get_their_own_answer(pool: ThreadPoolExecutor) -> None:
    def double(questions: Sequence[int]) -> list[int]:
        return [2 * question for question in questions]

    never: Callable[[BaseException], bool] = lambda _: False  # noqa: E731
    together = Batcher(double, all_alike=never)
    assert list(pool.map(together, range(5000))) == [2 * number for number in range(5000)]
