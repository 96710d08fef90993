"""Queue: how many runs may go at once, how fast, and in which order."""

from typing import Annotated

from pydantic import Field

from tidegate_api.base import ApiModel, Conditions, Quantity, Time
from tidegate_api.names import COUNT_MAX, SECONDS_MAX


class RateLimit(ApiModel):
    """A token bucket: `runs` in `perSeconds`, at most `burst` at once."""

    runs: Annotated[int, Field(ge=1, le=COUNT_MAX, description="Runs that may start in `perSeconds`.")]
    per_seconds: Annotated[int, Field(ge=1, le=SECONDS_MAX, description="The period, in seconds.")]
    burst: Annotated[
        int | None, Field(ge=1, le=COUNT_MAX, description="Runs that may start at once; default: `runs`.")
    ] = None


class QueueSpec(ApiModel):
    """The limits."""

    concurrency_limit: Annotated[
        int | None, Field(ge=0, le=COUNT_MAX, description="Runs at once; absent: no limit.")
    ] = None
    concurrency_limit_per_key: Annotated[
        int | None,
        Field(
            ge=1, le=COUNT_MAX, description="Runs at once of each concurrencyKey; keys of equal priority take turns."
        ),
    ] = None
    rate_limit: Annotated[RateLimit | None, Field(description="How fast first attempts may start.")] = None
    paused: Annotated[bool, Field(description="While true nothing starts; running ones go on.")] = False
    max_pending: Annotated[
        int | None,
        Field(ge=0, le=COUNT_MAX, description="More waiting runs than this are refused by the HTTP API with 429."),
    ] = None


class RateBucket(ApiModel):
    """The state of the rate limit: with it, first Jobs created after `at` count."""

    tokens: Annotated[Quantity, Field(description="Tokens left, as a decimal.")]
    at: Annotated[Time, Field(description="The moment `tokens` speaks of.")]


class QueueStatus(ApiModel):
    """What goes on in the queue; written at most once a second."""

    observed_generation: Annotated[int | None, Field(ge=0, description="The generation this status speaks of.")] = None
    pending: Annotated[int | None, Field(ge=0, description="Runs that wait.")] = None
    running: Annotated[int | None, Field(ge=0, description="Slots held.")] = None
    oldest_pending_at: Annotated[Time | None, Field(description="queuedAt of the run that has waited longest.")] = None
    rate_bucket: Annotated[RateBucket | None, Field(description="State of the rate limit.")] = None
    conditions: Annotated[Conditions | None, Field(description="Ready.")] = None


class Queue(ApiModel):
    """How many runs may go at once, how fast, and in which order."""

    spec: Annotated[QueueSpec, Field(description="The limits.")]
    status: Annotated[QueueStatus | None, Field(description="What goes on in the queue.")] = None
