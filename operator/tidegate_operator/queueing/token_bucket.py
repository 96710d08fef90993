"""How fast first attempts of a queue may start: a token bucket.

What it knows can be rebuilt after a restart: the bucket in the Queue's status, and the first Jobs created since.
"""

import math
from dataclasses import dataclass
from typing import Self

from tidegate_api.bodies import RateBucketBody, RateLimitBody
from tidegate_api.names import COUNT_MAX
from tidegate_api.times import parse_time

from tidegate_operator.records.lenient import bounded_or, count


@dataclass(slots=True, kw_only=True)
class TokenBucket:
    """`runs` tokens flow in evenly within `per_seconds`; at most `burst` are kept."""

    runs: int
    per_seconds: int
    burst: int
    tokens: float
    at: float
    """The moment (seconds since the epoch) that `tokens` speaks of."""

    @classmethod
    def of(cls, limit: RateLimitBody, *, tokens: float | None = None, at: float = 0.0) -> Self:
        """From a Queue's `rateLimit`; full unless `tokens` says what was left at `at`."""
        runs = count(limit.get("runs"), low=1) or 1
        burst = count(limit.get("burst"), low=1) or runs
        left = burst if tokens is None else min(max(tokens, float(-COUNT_MAX)), burst)
        return cls(
            runs=runs, per_seconds=bounded_or(1, limit.get("perSeconds"), low=1), burst=burst, tokens=left, at=at
        )

    @classmethod
    def restored(cls, limit: RateLimitBody, bucket: RateBucketBody | None) -> Self:
        """With what a Queue's status says was left. What can't be read says nothing: the bucket is full."""
        try:
            if bucket is None:
                return cls.of(limit)
            tokens, at = float(bucket["tokens"]), parse_time(bucket["at"])
        except (KeyError, TypeError, ValueError, OverflowError):
            return cls.of(limit)
        return cls.of(limit) if at is None or math.isnan(tokens) else cls.of(limit, tokens=tokens, at=at)

    @property
    def per_token(self) -> float:
        """Seconds until one more token."""
        return self.per_seconds / self.runs

    def left(self, now: float) -> float:
        """Tokens at `now`. A clock that was set back gives none twice."""
        return min(float(self.burst), self.tokens + max(0.0, now - self.at) / self.per_token)

    def take(self, now: float) -> None:
        """One run starts. The count may go below zero: what has started, has started."""
        self.tokens, self.at = self.left(now) - 1.0, max(now, self.at)

    def give_back(self, now: float) -> None:
        """A run that had taken a token didn't start after all."""
        self.tokens, self.at = min(float(self.burst), self.left(now) + 1.0), max(now, self.at)

    def next_at(self, now: float) -> float:
        """When the next run may start; `now` or before when it may start already."""
        missing = 1.0 - self.left(now)
        return now if missing <= 0 else max(now, self.at) + missing * self.per_token

    def counts(self, created: float) -> bool:
        """Whether a first Job created at `created` isn't in `tokens` yet.

        The apiserver's times are whole seconds, rounded down: in doubt it counts, so that a limit is never exceeded.
        """
        return created >= math.floor(self.at)
