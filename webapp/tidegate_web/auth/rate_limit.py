"""How often a key may call and a session may write: one bucket of tokens each, shared by all processes through Redis.

While Redis is away each process counts for itself: a limit that is a few times too wide for a while is better than a door
that is shut. The headers are those of draft-ietf-httpapi-ratelimit-headers.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from tidegate_web.shared.problems import Problem

POLICY = "default"
AWAY_SECONDS = 2.0
"""So long Redis isn't asked again after it didn't answer."""
MOST_LOCAL = 10_000

_TAKE = """
local quota, rate, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(kept[1]) or quota, tonumber(kept[2]) or now
tokens = math.min(quota, tokens + math.max(0, now - at) * rate)
local taken = 0
if tokens >= 1 then
  tokens = tokens - cost
  taken = 1
end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], math.ceil(quota / rate) + 1)
return {taken, string.format('%.6f', tokens)}
"""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """So many calls in so many seconds; as many at once after a pause of that length."""

    requests: int
    seconds: int

    @property
    def rate(self) -> float:
        """Tokens that come back in a second."""
        return self.requests / self.seconds


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """What is left of a limit after one more call was asked for."""

    limit: Limit
    taken: bool
    tokens: float

    @property
    def retry_after(self) -> int:
        """Whole seconds until one more call is let through."""
        return max(1, math.ceil((1 - self.tokens) / self.limit.rate))

    def headers(self) -> dict[str, str]:
        """What is left, and when all of it will be there again."""
        full_in = math.ceil((self.limit.requests - self.tokens) / self.limit.rate)
        return {
            "RateLimit-Policy": f'"{POLICY}";q={self.limit.requests};w={self.limit.seconds}',
            "RateLimit": f'"{POLICY}";r={math.floor(self.tokens)};t={full_in}',
        }

    def refusal(self) -> Problem:
        """The answer to a caller who asked for too much."""
        return Problem(
            429,
            f"More than {self.limit.requests} calls in {self.limit.seconds} s. Wait a moment.",
            headers={"Retry-After": str(self.retry_after)},
        )


class RateLimiter:
    """Takes a token for each call."""

    def __init__(self, *, redis: Redis, limit: Limit, now: Callable[[], float] = time.monotonic) -> None:
        self._script = redis.register_script(_TAKE)
        self._limit = limit
        self._now = now
        self._lock = threading.Lock()
        self._local: dict[str, tuple[float, float]] = {}
        self._away_until = -math.inf

    def take(self, subject: str) -> Bucket | None:
        """One call of this subject; None where there is no limit."""
        return self._take(subject, cost=1)

    def look(self, subject: str) -> Bucket | None:
        """Whether a call would be let through now, without counting one: ``taken`` says so."""
        return self._take(subject, cost=0)

    def _take(self, subject: str, *, cost: int) -> Bucket | None:
        if self._limit.requests == 0:
            return None
        if self._now() >= self._away_until:
            try:
                taken, tokens = self._script(
                    keys=[f"tg:rate:{subject}"], args=[self._limit.requests, self._limit.rate, cost]
                )
                return Bucket(limit=self._limit, taken=bool(taken), tokens=float(tokens))
            except RedisError:
                self._away_until = self._now() + AWAY_SECONDS
        return self._take_here(subject, cost=cost)

    def _take_here(self, subject: str, *, cost: int) -> Bucket:
        now, quota = self._now(), float(self._limit.requests)
        with self._lock:
            if len(self._local) >= MOST_LOCAL and subject not in self._local:
                self._local.clear()
            tokens, at = self._local.get(subject, (quota, now))
            tokens = min(quota, tokens + (now - at) * self._limit.rate)
            taken = tokens >= 1
            self._local[subject] = (tokens - taken * cost, now)
        return Bucket(limit=self._limit, taken=taken, tokens=tokens - taken * cost)
