"""Which waiting runs may start now: the limits of queues, namespaces and the cluster, and whose turn it is.

Slots are held by runs, never counted up and down: a run holds one from the moment it is let in until every pod of it is
terminal or gone, and holding or freeing twice changes nothing. So no event that comes twice, late or never can leak a slot
or lend one out a second time.
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tidegate_api.bodies import QueueSpecBody, RateBucketBody
from tidegate_api.names import DEFAULT_QUEUE, Reason
from tidegate_api.times import format_time

from tidegate_operator.queueing.fair_queue import QueueEntry
from tidegate_operator.queueing.pool_slots import PoolSlots
from tidegate_operator.queueing.queue_state import Limits, QueueKey, QueueState
from tidegate_operator.queueing.token_bucket import TokenBucket
from tidegate_operator.records.faults import Fault
from tidegate_operator.records.run import Cause, PoolKey, Worker


@dataclass(slots=True, frozen=True, kw_only=True)
class Place:
    """Where a run stands in its line."""

    position: int
    """1 is next."""
    ahead_by_priority: int
    """How many of those ahead have a higher priority."""
    waiting: int
    """How many wait in the queue."""


class Admission:
    """Who holds slots, who waits, and who is next."""

    def __init__(self, *, namespace_limit: int | None = None, cluster_limit: int | None = None) -> None:
        self._namespace_limit, self._cluster_limit = namespace_limit, cluster_limit
        self.pools = PoolSlots()
        self._queues: dict[QueueKey, QueueState] = {}
        self._waits: dict[str, QueueState] = {}
        self._holds: dict[str, QueueState] = {}
        self._running: Counter[str] = Counter()
        self.changed: set[QueueKey] = set()
        """Queues whose numbers have changed since `take_changed` was last called."""
        self._ready: dict[QueueKey, None] = {}
        """Queues in which something may have changed, in turns."""
        self._held_back: dict[QueueKey, None] = {}
        """Queues that only the limit of the cluster keeps waiting, or that of their namespace did; longest first."""
        self._held_in: dict[str, dict[QueueKey, None]] = {}
        """By namespace, queues that only its limit keeps waiting."""
        self._held_for: dict[PoolKey, dict[QueueKey, None]] = {}
        """By WorkerPool, queues in which a run waits for a slot of it; longest first."""
        self._refills: list[tuple[float, QueueKey]] = []
        self._refill_at: dict[QueueKey, float] = {}
        self._faults: list[tuple[QueueKey, Fault, Exception]] = []

    # Queues

    def set_queue(self, namespace: str, name: str, *, spec: QueueSpecBody, bucket: RateBucketBody | None) -> None:
        """A Queue is there, or has changed. `bucket`: its status' rateBucket, read where ours isn't better."""
        state = self._queue(namespace, name)
        before, rate = state.bucket, spec.get("rateLimit")
        state.there = state.declared = True
        state.limits, state.fault = Limits.of(spec), None
        if not rate:
            state.bucket = None
        elif before is not None:
            state.bucket = TokenBucket.of(rate, tokens=before.tokens, at=before.at)
        else:
            state.bucket = TokenBucket.restored(rate, bucket)
        state.waiting.reopen_all()
        self._touch(state)

    def set_aside(self, namespace: str, name: str, fault: Fault, *, now: float) -> None:
        """A Queue can't be read or judged: nothing of it starts until it has changed, or `try_again` is called."""
        state = self._queue(namespace, name)
        state.there, state.fault, state.fault_at = True, fault, now
        self._touch(state)

    def try_again(self, namespace: str, name: str) -> None:
        """A Queue that was set aside may be judged again."""
        state = self._queue(namespace, name)
        state.fault = None
        state.waiting.reopen_all()
        self._touch(state)

    def take_faults(self) -> list[tuple[QueueKey, Fault, Exception]]:
        """Queues with which admission broke since the last call."""
        taken, self._faults = self._faults, []
        return taken

    def drop_queue(self, namespace: str, name: str) -> None:
        """A Queue is gone: what it named waits for another, but `default` needs none."""
        state = self._queue(namespace, name)
        state.there, state.declared, state.fault = name == DEFAULT_QUEUE, False, None
        state.limits, state.bucket = Limits(), None
        state.waiting.reopen_all()
        self._touch(state)

    def started_before(self, namespace: str, queue: str, *, created: float) -> None:
        """A first Job that this process didn't let in: it has taken a token where the bucket doesn't know it yet."""
        bucket = self._queue(namespace, queue).bucket
        if bucket is not None and bucket.counts(created):
            bucket.tokens -= 1.0

    def queue(self, namespace: str, name: str) -> QueueState | None:
        """The queue, where it exists or has runs."""
        return self._queues.get((namespace, name))

    def take_changed(self) -> set[QueueKey]:
        """Queues whose numbers have changed since the last call. Of those that are gone, and that nothing names, nothing is kept."""
        taken, self.changed = self.changed, set()
        for key in taken:
            if (state := self._queues.get(key)) is not None and state.is_idle:
                del self._queues[key]
        return taken

    def waiting_in(self, namespace: str, name: str) -> tuple[str, ...]:
        """The runs that wait in a queue."""
        state = self._queues.get((namespace, name))
        return tuple(entry.uid for entry in state.waiting) if state is not None else ()

    @property
    def queues(self) -> Iterable[QueueState]:
        """Those that exist, or that have waiting or running runs."""
        return self._queues.values()

    def _queue(self, namespace: str, name: str) -> QueueState:
        key = (namespace, name)
        if (state := self._queues.get(key)) is None:
            state = self._queues[key] = QueueState(key, there=name == DEFAULT_QUEUE)
        return state

    # Slots

    def hold(self, uid: str, *, namespace: str, queue: str, key: str, worker: Worker | None = None) -> None:
        """The run holds a slot, whatever the limits say; and one of `worker`, where it is given."""
        if worker is not None:
            self.pools.hold(uid, pod_uid=worker[1], key=worker[0])
        else:
            self.pools.free(uid)
        state = self._queue(namespace, queue)
        if (held := self._holds.get(uid)) is state and state.holders[uid] == key:
            return
        if held is not None:
            self._free(uid)
        self._holds[uid] = state
        self.changed.add(state.key)
        state.holders[uid] = key
        state.per_key[key] += 1
        self._running[namespace] += 1

    def free(self, uid: str) -> None:
        """The run holds no slot (any more)."""
        self.pools.free(uid)
        self._free(uid)

    def _free(self, uid: str) -> None:
        state = self._holds.pop(uid, None)
        if state is None:
            return
        key = state.holders.pop(uid)
        state.per_key[key] -= 1
        if not state.per_key[key]:
            del state.per_key[key]
        namespace = state.key[0]
        self._running[namespace] -= 1
        if not self._running[namespace]:
            del self._running[namespace]
        self._held_back.update(self._held_in.pop(namespace, {}))
        state.waiting.reopen(key)
        self._touch(state)

    def holds(self, uid: str) -> bool:
        """Whether the run holds a slot."""
        return uid in self._holds

    # Waiting

    def ask(self, entry: QueueEntry) -> bool:
        """The run waits for its turn. Says whether it didn't wait before."""
        state = self._queue(entry.namespace, entry.queue)
        waits = self._waits.get(entry.uid)
        if waits is not None and waits is not state:
            waits.waiting.drop(entry.uid)
        if state.waiting.get(entry.uid) != entry:
            self._waits[entry.uid] = state
            state.waiting.put(entry)
            self._touch(state)
        return waits is None

    def withdraw(self, uid: str) -> None:
        """The run waits no more for its turn."""
        if (state := self._waits.pop(uid, None)) is not None:
            state.waiting.drop(uid)
            self.changed.add(state.key)

    def admit(self, now: float) -> list[QueueEntry]:
        """Those whose turn has come: each holds its slot from now on. Queues take turns too."""
        while self._refills and self._refills[0][0] <= now:
            key = heapq.heappop(self._refills)[1]
            self._refill_at.pop(key, None)
            self._ready[key] = None
        granted = []
        while (ready := self._next_queue()) is not None:
            state = self._queues.get(ready)
            if state is None or state.fault is not None:
                continue
            try:
                entry = self._admit_next(state, now)
            except Exception as error:
                # One queue that can't be judged must not hold up the others.
                fault = Fault.of("admitting from it", error)
                self.set_aside(*ready, fault, now=now)
                self._faults.append((ready, fault, error))
                continue
            if entry is None:
                continue
            granted.append(entry)
            self._touch(state)
        return granted

    def _admit_next(self, state: QueueState, now: float) -> QueueEntry | None:
        entry = self._next(state, now)
        if entry is None:
            return None
        state.waiting.take(entry)
        del self._waits[entry.uid]
        if entry.first and state.bucket is not None:
            state.bucket.take(now)
        pool, worker = (entry.namespace, entry.pool), None
        if entry.pool:
            worker = (pool, self.pools.take(entry.uid, pool))
        self.hold(entry.uid, namespace=entry.namespace, queue=entry.queue, key=entry.key, worker=worker)
        return entry

    def refund(self, namespace: str, queue: str, now: float) -> None:
        """A first attempt that was let in didn't start: what it took of the rate is there again."""
        if (bucket := self._queue(namespace, queue).bucket) is not None:
            bucket.give_back(now)
            self.changed.add((namespace, queue))

    @property
    def wake_at(self) -> float | None:
        """When a token comes that a run waits for."""
        return self._refills[0][0] if self._refills else None

    def _touch(self, state: QueueState) -> None:
        self._ready[state.key] = None
        self.changed.add(state.key)

    def _next_queue(self) -> QueueKey | None:
        # Those that were held back look first, else a queue with a long line would take each slot again that its own run has
        # left. One at a time: the one that was held back longest may find no use for the room.
        if (held := self._next_held_for_pool()) is not None:
            return held
        waiting = self._held_back if self._held_back and self._has_room() else self._ready
        key = next(iter(waiting), None)
        if key is not None:
            del waiting[key]
        return key

    def _next_held_for_pool(self) -> QueueKey | None:
        """A queue that waits for a slot of a pool that has one, each in its turn."""
        opened = self.pools.opened
        while opened:
            pool = next(iter(opened))
            held = self._held_for.get(pool)
            if not held or not self.pools.has_room(pool):
                del opened[pool]
                continue
            key = next(iter(held))
            del held[key]
            if not held:
                del self._held_for[pool]
            if (state := self._queues.get(key)) is not None:
                state.waiting.reopen_pool(pool[1])
            return key
        return None

    def _has_room(self, namespace: str | None = None) -> bool:
        if self._cluster_limit is not None and len(self._holds) >= self._cluster_limit:
            return False
        if namespace is None or self._namespace_limit is None:
            return True
        return self._running[namespace] < self._namespace_limit

    def _next(self, state: QueueState, now: float) -> QueueEntry | None:
        if not len(state.waiting) or state.closed is not None:
            return None
        if not self._has_room():
            self._held_back[state.key] = None
            return None
        if not self._has_room(state.key[0]):
            self._held_in.setdefault(state.key[0], {})[state.key] = None
            return None
        refill = state.bucket.next_at(now) if state.bucket is not None else now
        namespace = state.key[0]
        entry = state.waiting.best(
            with_token=refill <= now,
            is_open=state.is_open,
            has_slot=lambda pool: self.pools.has_room((namespace, pool)),
        )
        for pool in state.waiting.full_pools:
            self._held_for.setdefault((namespace, pool), {}).setdefault(state.key)
        if entry is None and refill > now and refill < self._refill_at.get(state.key, float("inf")):
            self._refill_at[state.key] = refill
            heapq.heappush(self._refills, (refill, state.key))
        return entry

    # What people ask

    def why(self, uid: str, now: float) -> Cause | None:
        """What keeps a waiting run from starting right now; None for one that doesn't wait here."""
        state = self._waits.get(uid)
        entry = state.waiting.get(uid) if state is not None else None
        if state is None or entry is None:
            return None
        name = state.key[1]
        if (closed := state.closed) is not None:
            return closed
        if not state.is_open(entry.key):
            limit = f"{state.per_key[entry.key]} of {state.limits.per_key} at once"
            return Cause(Reason.CONCURRENCY_LIMIT, f"key {entry.key!r} of Queue {name} runs {limit}")
        if not self._has_room(state.key[0]):
            what = f"namespace {state.key[0]}" if self._has_room() else "the cluster"
            return Cause(Reason.CONCURRENCY_LIMIT, f"{what} runs as many at once as the operator's settings allow")
        if entry.pool and (full := self.pools.why((entry.namespace, entry.pool))) is not None:
            return full
        if entry.first and state.bucket is not None and (at := state.bucket.next_at(now)) > now:
            return Cause(Reason.RATE_LIMIT, f"Queue {name} lets the next run start at {format_time(at)}")
        return Cause(Reason.QUEUED, f"waits for its turn in Queue {name}")

    def waiting_for_pool(self, pool: PoolKey) -> int:
        """How many runs wait that need a slot of the WorkerPool."""
        return sum(state.waiting.pools[pool[1]] for key, state in self._queues.items() if key[0] == pool[0])

    def place(self, uid: str) -> Place | None:
        """Where a waiting run stands. Costs a look at every run of the queue: for people's questions only."""
        state = self._waits.get(uid)
        entry = state.waiting.get(uid) if state is not None else None
        if state is None or entry is None:
            return None
        ahead = [t for t in state.waiting if t.order < entry.order]
        higher = sum(t.priority > entry.priority for t in ahead)
        return Place(position=len(ahead) + 1, ahead_by_priority=higher, waiting=len(state.waiting))
