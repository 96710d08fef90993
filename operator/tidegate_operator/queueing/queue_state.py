"""One queue as admission sees it: what it allows, who waits in it, and who holds a slot of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Self

from tidegate_api.bodies import QueueSpecBody
from tidegate_api.names import Reason

from tidegate_operator.queueing.fair_queue import FairQueue
from tidegate_operator.queueing.token_bucket import TokenBucket
from tidegate_operator.records.faults import Fault
from tidegate_operator.records.lenient import count
from tidegate_operator.records.run import Cause

QueueKey = tuple[str, str]
"""Namespace and name."""


@dataclass(slots=True, frozen=True)
class Limits:
    """What a Queue allows; absent limits are None."""

    runs: int | None = None
    per_key: int | None = None
    paused: bool = False

    @classmethod
    def of(cls, spec: QueueSpecBody) -> Self:
        """From a Queue's spec."""
        return cls(
            runs=count(spec.get("concurrencyLimit")),
            per_key=count(spec.get("concurrencyLimitPerKey"), low=1),
            paused=bool(spec.get("paused")),
        )


@dataclass(slots=True)
class QueueState:
    """One queue: its limits, who waits and who holds a slot."""

    key: QueueKey
    there: bool
    """Whether such a Queue exists; `default` needs none."""
    declared: bool = False
    """Whether there is an object of it."""
    limits: Limits = Limits()
    bucket: TokenBucket | None = None
    waiting: FairQueue = field(default_factory=FairQueue)
    holders: dict[str, str] = field(default_factory=dict)
    """Runs that hold a slot, each with its concurrencyKey."""
    per_key: Counter[str] = field(default_factory=Counter)
    fault: Fault | None = None
    """Why it can't be judged; nothing of it starts meanwhile."""
    fault_at: float = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is known of it: it has no object, and no run waits or runs in it."""
        return not (self.declared or self.fault or len(self.waiting) or self.holders)

    def is_open(self, key: str) -> bool:
        """Whether one more run of the key may start."""
        return self.limits.per_key is None or self.per_key[key] < self.limits.per_key

    @property
    def closed(self) -> Cause | None:
        """Why nothing of it starts, whatever the time and the key."""
        if self.fault is not None:
            return Cause(Reason.QUEUE_PAUSED, f"Queue {self.key[1]} is set aside: {self.fault.message}")
        if not self.there:
            return Cause(Reason.QUEUE_NOT_FOUND, f"there is no Queue {self.key[1]} in namespace {self.key[0]}")
        if self.limits.paused:
            return Cause(Reason.QUEUE_PAUSED, f"Queue {self.key[1]} is paused")
        if self.limits.runs is not None and len(self.holders) >= self.limits.runs:
            return Cause(
                Reason.CONCURRENCY_LIMIT, f"Queue {self.key[1]} runs {len(self.holders)} of {self.limits.runs} at once"
            )
        return None
