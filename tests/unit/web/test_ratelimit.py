"""Rate limits: a bucket in Redis, and one in the process while Redis is away."""

import itertools
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.servers import free_port
from tidegate_web.auth.rate_limit import AWAY_SECONDS, MOST_LOCAL, Bucket, Limit, RateLimiter


class Now:
    """A clock that is set."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def limiter(now: Now, *, requests: int = 3, seconds: int = 6) -> RateLimiter:
    """One whose Redis is away."""
    away = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    return RateLimiter(redis=away, limit=Limit(requests=requests, seconds=seconds), now=now)


def taken(limits: RateLimiter, subject: str = "a", *, times: int = 1) -> list[bool]:
    buckets = [limits.take(subject) for _ in range(times)]
    assert all(bucket is not None for bucket in buckets)
    return [bucket.taken for bucket in buckets if bucket is not None]


def test_without_redis_the_process_counts_for_itself() -> None:
    now = Now()
    limits = limiter(now)
    assert taken(limits, times=5) == [True, True, True, False, False]
    assert taken(limits, "b") == [True]
    now.seconds += 2
    assert taken(limits, times=2) == [True, False]
    now.seconds += 1000
    assert taken(limits, times=4) == [True, True, True, False]


def test_redis_is_not_asked_at_every_call_while_it_is_away() -> None:
    now = Now()
    limits = limiter(now)
    script, asked = limits._script, itertools.count()

    def counted(**arguments: Any) -> Any:
        next(asked)
        return script(**arguments)

    limits._script = counted  # type: ignore[assignment]
    taken(limits, times=3)
    assert next(asked) == 1
    now.seconds += AWAY_SECONDS
    taken(limits)
    assert next(asked) == 3


def test_zero_is_no_limit() -> None:
    assert limiter(Now(), requests=0).take("a") is None


def test_the_headers_say_what_is_left_and_when_all_is_back() -> None:
    limit = Limit(requests=100, seconds=50)
    bucket = Bucket(limit=limit, taken=True, tokens=39.5)
    assert bucket.headers() == {"RateLimit-Policy": '"default";q=100;w=50', "RateLimit": '"default";r=39;t=31'}
    empty = Bucket(limit=limit, taken=False, tokens=0.2)
    assert empty.retry_after == 1
    assert Bucket(limit=Limit(requests=1, seconds=60), taken=False, tokens=0.5).retry_after == 30
    assert empty.refusal().headers == {"Retry-After": "1"}


def test_what_is_kept_in_the_process_is_bounded() -> None:
    limits = limiter(Now())
    for number in range(MOST_LOCAL + 10):
        limits.take(str(number))
    assert len(limits._local) <= MOST_LOCAL
