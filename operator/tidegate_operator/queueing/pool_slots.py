"""Slots of warm workers: how many a worker has, which runs hold them, and whether a pool has one to spare.

As with the slots of queues they are held by runs, never counted up and down: holding or freeing twice changes nothing, and a
run holds its worker's slot also while that worker is not connected.
"""

import heapq
from dataclasses import dataclass, field
from itertools import count

from tidegate_api.names import Reason

from tidegate_operator.records.run import Cause, PoolKey

KEPT_PER_SLOT = 2
"""So many runs and outcomes that no leader has written a worker keeps for each of its slots. Beyond them it takes no run."""


@dataclass(slots=True)
class WorkerSlots:
    """One worker pod."""

    pod_uid: str
    pool: PoolKey
    slots: int = 0
    accepting: bool = False
    """Connected, and willing to take more."""
    holders: set[str] = field(default_factory=set)
    unwritten: set[str] = field(default_factory=set)
    """Hand-overs that have ended and of which it keeps the outcome until that is written."""
    serial: int = 0
    """Of its entry in the heap that is not stale."""

    @property
    def free(self) -> int:
        """Slots for which it takes a run; below 0 where a worker came back with fewer."""
        return min(self.slots, KEPT_PER_SLOT * self.slots - len(self.unwritten)) - len(self.holders)


@dataclass(slots=True, frozen=True)
class PoolCount:
    """A pool in numbers."""

    workers: int
    slots: int
    busy: int


@dataclass(slots=True)
class _Pool:
    there: bool = False
    trouble: Cause | None = None
    workers: dict[str, WorkerSlots] = field(default_factory=dict)
    heap: list[tuple[int, int, str]] = field(default_factory=list)


class PoolSlots:
    """Workers by pool, and who holds their slots."""

    def __init__(self) -> None:
        self._pools: dict[PoolKey, _Pool] = {}
        self._workers: dict[str, WorkerSlots] = {}
        self._held: dict[str, WorkerSlots] = {}
        self._serials = count(1)
        self.opened: dict[PoolKey, None] = {}
        """Pools in which a slot may have become free since admission last looked."""
        self.changed: set[PoolKey] = set()
        """Pools whose numbers have changed since they were last looked at."""

    # Pools and workers

    def set_pool(self, key: PoolKey, *, trouble: Cause | None) -> None:
        """A WorkerPool is there. `trouble`: why no worker comes, where none does."""
        pool = self._pool(key)
        pool.there, pool.trouble = True, trouble
        self.changed.add(key)

    def drop_pool(self, key: PoolKey) -> None:
        """A WorkerPool is gone. Its workers may report what they run, and get nothing more."""
        pool = self._pool(key)
        pool.there, pool.trouble = False, None
        for worker in pool.workers.values():
            worker.accepting = False
        self._tidy(key)
        self.changed.add(key)

    def connected(self, pod_uid: str, key: PoolKey, *, slots: int, accepting: bool) -> None:
        """A worker has shown who it is. `accepting`: it takes runs."""
        worker = self._worker(pod_uid, key)
        worker.slots, worker.accepting = slots, accepting and self._pool(key).there
        self._offer(worker)

    def left(self, pod_uid: str) -> None:
        """A worker takes no more: it drains, or its connection is gone."""
        if (worker := self._workers.get(pod_uid)) is None:
            return
        worker.accepting = False
        worker.unwritten.clear()  # it names them again when it is back
        self.changed.add(worker.pool)
        self._forget(worker)

    # Slots

    def has_room(self, key: PoolKey) -> bool:
        """Whether a worker of the pool has a slot to spare."""
        return self._best(key) is not None

    def take(self, uid: str, key: PoolKey) -> str:
        """Hold a slot of the worker with the most to spare, for the run; the uid of its pod. There has to be room."""
        worker = self._best(key)
        if worker is None:
            raise LookupError(f"WorkerPool {key[1]} has no free slot")
        self._hold(uid, worker)
        return worker.pod_uid

    def hold(self, uid: str, *, pod_uid: str, key: PoolKey) -> None:
        """The run holds a slot of this worker, whatever its number of slots says."""
        held = self._held.get(uid)
        if held is not None and held.pod_uid == pod_uid:
            return
        if held is not None:
            self.free(uid)
        self._hold(uid, self._worker(pod_uid, key))

    def free(self, uid: str) -> None:
        """The run holds no slot of a worker (any more)."""
        worker = self._held.pop(uid, None)
        if worker is None:
            return
        worker.holders.discard(uid)
        self._offer(worker)
        self._forget(worker)

    def keeps(self, pod_uid: str, handover: str) -> None:
        """The worker has reported an outcome, which it keeps until it is written."""
        if (worker := self._workers.get(pod_uid)) is not None:
            worker.unwritten.add(handover)

    def wrote(self, pod_uid: str, handover: str) -> None:
        """The outcome is written, or of no account."""
        worker = self._workers.get(pod_uid)
        if worker is not None and handover in worker.unwritten:
            worker.unwritten.discard(handover)
            self._offer(worker)

    def holder_of(self, uid: str) -> str | None:
        """Uid of the worker pod of which the run holds a slot."""
        worker = self._held.get(uid)
        return worker.pod_uid if worker is not None else None

    # What people ask

    def why(self, key: PoolKey) -> Cause | None:
        """Why the pool takes no run now; None while it has room."""
        pool, name = self._pools.get(key), key[1]
        if pool is None or not pool.there:
            return Cause(Reason.POOL_NOT_FOUND, f"there is no WorkerPool {name} in namespace {key[0]}")
        accepting = [w for w in pool.workers.values() if w.accepting]
        if not accepting:
            said = f": {pool.trouble.message}" if pool.trouble is not None else ""
            return Cause(Reason.POOL_NOT_READY, f"no worker of WorkerPool {name} is connected{said}")
        if self._best(key) is None:
            slots = sum(w.slots for w in accepting)
            if any(w.slots > len(w.holders) for w in accepting):
                return Cause(Reason.POOL_FULL, f"outcomes of WorkerPool {name} wait to be written")
            return Cause(Reason.POOL_FULL, f"all {slots} slots of WorkerPool {name} are taken")
        return None

    def count(self, key: PoolKey) -> PoolCount:
        """The pool in numbers: workers that take runs, their slots, and slots held anywhere in it."""
        pool = self._pools.get(key)
        if pool is None:
            return PoolCount(0, 0, 0)
        accepting = [w for w in pool.workers.values() if w.accepting]
        busy = sum(len(w.holders) for w in pool.workers.values())
        return PoolCount(len(accepting), sum(w.slots for w in accepting), busy)

    def _pool(self, key: PoolKey) -> _Pool:
        return self._pools.setdefault(key, _Pool())

    def _worker(self, pod_uid: str, key: PoolKey) -> WorkerSlots:
        worker = self._workers.get(pod_uid)
        if worker is None:
            worker = self._workers[pod_uid] = WorkerSlots(pod_uid, key)
            self._pool(key).workers[pod_uid] = worker
        return worker

    def _hold(self, uid: str, worker: WorkerSlots) -> None:
        self._held[uid] = worker
        worker.holders.add(uid)
        self._offer(worker)

    def _offer(self, worker: WorkerSlots) -> None:
        self.changed.add(worker.pool)
        if not worker.accepting or worker.free <= 0:
            return
        self.opened[worker.pool] = None
        worker.serial = next(self._serials)
        heapq.heappush(self._pool(worker.pool).heap, (-worker.free, worker.serial, worker.pod_uid))

    def _best(self, key: PoolKey) -> WorkerSlots | None:
        """The worker with the most free slots. Entries are deleted lazily."""
        pool = self._pools.get(key)
        if pool is None:
            return None
        while pool.heap:
            free, serial, pod_uid = pool.heap[0]
            worker = pool.workers.get(pod_uid)
            if worker is not None and worker.accepting and worker.serial == serial and worker.free == -free:
                return worker
            heapq.heappop(pool.heap)
        return None

    def _forget(self, worker: WorkerSlots) -> None:
        if worker.accepting or worker.holders:
            return
        self._workers.pop(worker.pod_uid, None)
        self._pool(worker.pool).workers.pop(worker.pod_uid, None)
        self._tidy(worker.pool)

    def _tidy(self, key: PoolKey) -> None:
        pool = self._pools.get(key)
        if pool is not None and not pool.there and not pool.workers:
            del self._pools[key]
