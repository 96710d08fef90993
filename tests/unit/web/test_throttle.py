"""Attempts that a process counts by itself while Redis is away."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.servers import free_port
from tidegate_web.auth.attempt_limits import AttemptLimit
from tidegate_web.auth.throttle import MOST_LOCAL, Throttle

FIXED = AttemptLimit(key="fixed", free=2, window=900)
GROWING = AttemptLimit(key="growing", free=2, window=900, longest_wait=30, forgiven=True)


class Attempts:
    """A throttle whose Redis is away, and a clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0
        away = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
        self.throttle = Throttle(redis=away, now=lambda: self.now)

    def waits(self, limit: AttemptLimit, *, times: int) -> list[int]:
        return [self.throttle.take([limit]) for _ in range(times)]


def test_a_fixed_number_is_free_in_each_window() -> None:
    attempts = Attempts()
    for _ in range(3):
        assert attempts.waits(FIXED, times=3) == [0, 0, 900]
        attempts.now += 900


def test_a_wait_that_grew_begins_again_after_a_window_without_an_attempt() -> None:
    attempts = Attempts()
    assert attempts.waits(GROWING, times=3) == [0, 0, 1]
    attempts.now += 1
    assert attempts.waits(GROWING, times=2) == [0, 2]
    attempts.now += 900
    assert attempts.waits(GROWING, times=3) == [0, 0, 1]


def test_a_wait_that_grew_lasts_while_attempts_go_on() -> None:
    attempts = Attempts()
    assert attempts.waits(GROWING, times=2) == [0, 0]
    for wait in (2, 4, 8, 16):  # the last of them is more than a window after the first attempt
        attempts.now += 300
        assert attempts.waits(GROWING, times=2) == [0, wait]


def test_an_attempt_that_is_refused_is_counted_by_no_limit() -> None:
    attempts = Attempts()
    assert attempts.waits(FIXED, times=2) == [0, 0]
    assert [attempts.throttle.take([GROWING, FIXED]) for _ in range(5)] == [900] * 5
    assert attempts.waits(GROWING, times=3) == [0, 0, 1]


def test_a_right_password_begins_the_count_again_where_that_is_forgiven() -> None:
    attempts = Attempts()
    for limit, after in ((GROWING, [0, 0, 1]), (FIXED, [0, 900])):
        assert attempts.waits(limit, times=2) == [0, 0]
        attempts.throttle.succeeded([limit])
        assert attempts.waits(limit, times=len(after)) == after


def test_what_is_kept_is_bounded() -> None:
    attempts = Attempts()
    for number in range(MOST_LOCAL + 10):
        attempts.throttle.take([AttemptLimit(key=f"k{number}", free=2, window=900)])
    assert len(attempts.throttle._local) <= MOST_LOCAL
