"""Whose turn it is in one queue: higher priority first, keys of equal priority in turns, within a key oldest first.

Each key has its heaps, and the keys with their best entries make another. Whatever waits costs nothing; asking, taking and
changing cost O(log n). Entries are deleted lazily: one that no longer says the truth is dropped when it comes up.

First attempts may need a token of the queue's rate limit and retries never do, so both wait in lanes of their own: with no
token left, retries still go. So do runs of each WorkerPool: a full pool holds up no run that doesn't need it.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final


@dataclass(slots=True, frozen=True, kw_only=True)
class QueueEntry:
    """One run's place in a key_queue."""

    uid: str
    name: str
    namespace: str
    queue: str
    key: str
    priority: int
    queued_at: float
    number: int
    """Of the attempt that it waits to start."""
    first: bool
    """Whether that is the run's first, which a rate limit counts."""
    pool: str = ""
    """WorkerPool that it needs a slot of; empty: none, it gets a pod of its own."""

    @property
    def lane(self) -> "Lane":
        """What it needs beside its turn."""
        return self.first, self.pool

    @property
    def order(self) -> tuple[int, float, str]:
        """Smaller goes first, keys aside. Kubernetes writes times in whole seconds: within one, names are in order."""
        return (-self.priority, self.queued_at, self.name)


HeapItem = tuple[int, float, str, int, QueueEntry]
Top = tuple[int, int, str]
Lane = tuple[bool, str]
"""Whether the rate limit counts the attempt, and the WorkerPool that it needs a slot of."""
SPARE: Final = 64
"""Stale entries that a heap may hold before it is rebuilt."""


@dataclass(slots=True)
class _KeyQueue:
    turn: int
    """Which of two keys of equal priority goes first: a key that was served, or is new, goes to the end of the round."""
    waiting: int = 0
    lanes: dict[Lane, list[HeapItem]] = field(default_factory=dict)


class FairQueue:
    """The entries of one queue."""

    def __init__(self) -> None:
        self._entries: dict[str, QueueEntry] = {}
        self._keys: dict[str, _KeyQueue] = {}
        self._tops: dict[Lane, list[Top]] = {}
        """Lanes with a run that may start. Lanes of a full pool are in `_full`."""
        self._full: dict[str, dict[Lane, list[Top]]] = {}
        self.pools: Counter[str] = Counter()
        """How many wait for each WorkerPool."""
        self._ages: list[tuple[float, str]] = []
        self._rounds = count()
        self._serials = count()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[QueueEntry]:
        return iter(self._entries.values())

    def get(self, uid: str) -> QueueEntry | None:
        """The run's entry, while it waits."""
        return self._entries.get(uid)

    def put(self, entry: QueueEntry) -> None:
        """Wait, or wait otherwise than before: with another priority, or as another attempt."""
        known = self._entries.get(entry.uid)
        if known == entry:
            return
        if known is not None:
            self.drop(entry.uid)
        self._entries[entry.uid] = entry
        key_queue = self._keys.get(entry.key)
        if key_queue is None:
            key_queue = self._keys[entry.key] = _KeyQueue(turn=next(self._rounds))
        key_queue.waiting += 1
        if entry.pool:
            self.pools[entry.pool] += 1
        lane = key_queue.lanes.setdefault(entry.lane, [])
        heapq.heappush(lane, (*entry.order, next(self._serials), entry))
        heapq.heappush(self._ages, (entry.queued_at, entry.uid))
        if lane[0][4] is entry:
            self._offer(entry.key, key_queue, entry.lane)

    def drop(self, uid: str) -> QueueEntry | None:
        """Wait no more; the entry, if there was one."""
        entry = self._entries.pop(uid, None)
        if entry is None:
            return None
        key_queue = self._keys[entry.key]
        key_queue.waiting -= 1
        if entry.pool:
            self.pools[entry.pool] -= 1
            if not self.pools[entry.pool]:
                del self.pools[entry.pool]
        if not key_queue.waiting:
            del self._keys[entry.key]
        elif key_queue.lanes[entry.lane][0][4] is entry:
            self._offer(entry.key, key_queue, entry.lane)
        self._compact(key_queue, entry.lane)
        return entry

    def take(self, entry: QueueEntry) -> None:
        """Its turn has come: the key goes to the end of the round."""
        self.drop(entry.uid)
        if (key_queue := self._keys.get(entry.key)) is not None:
            key_queue.turn = next(self._rounds)
            self.reopen(entry.key)

    def best(
        self, *, with_token: bool, is_open: Callable[[str], bool], has_slot: Callable[[str], bool] = lambda _: True
    ) -> QueueEntry | None:
        """Whose turn it is. `with_token`: whether first attempts may go; `is_open`: whether a key may; `has_slot`: whether a
        WorkerPool has a slot.

        A key that isn't open is set aside until `reopen`, a pool that has no slot until `reopen_pool`.
        """
        found: tuple[Top, QueueEntry] | None = None
        for lane in list(self._tops):
            first, pool = lane
            if pool and not has_slot(pool):
                self._full.setdefault(pool, {})[lane] = self._tops.pop(lane)
                continue
            if first and not with_token:
                continue
            candidate = self._best_of(lane, is_open)
            if candidate is None:
                del self._tops[lane]
            elif found is None or _goes_before(candidate, found):
                found = candidate
        return found[1] if found else None

    @property
    def full_pools(self) -> Iterable[str]:
        """WorkerPools that had no slot when they were last asked, and are waited for."""
        return self._full.keys()

    def reopen_pool(self, pool: str) -> None:
        """The WorkerPool may have a slot again."""
        self._tops.update(self._full.pop(pool, {}))

    def reopen(self, key: str) -> None:
        """The key may have a turn again."""
        if (key_queue := self._keys.get(key)) is not None:
            for lane in key_queue.lanes:
                self._offer(key, key_queue, lane)

    def reopen_all(self) -> None:
        """The limit of keys has changed."""
        for key in self._keys:
            self.reopen(key)

    @property
    def oldest(self) -> float | None:
        """queuedAt of what has waited longest."""
        while self._ages:
            at, uid = self._ages[0]
            entry = self._entries.get(uid)
            if entry is not None and entry.queued_at == at:
                return at
            heapq.heappop(self._ages)
        return None

    def _best_of(self, lane: Lane, is_open: Callable[[str], bool]) -> tuple[Top, QueueEntry] | None:
        tops = self._tops[lane]
        while tops:
            priority, turn, key = tops[0]
            key_queue = self._keys.get(key)
            head = self._head(key_queue, lane) if key_queue is not None and key_queue.turn == turn else None
            if head is not None and -head.priority == priority and is_open(key):
                return tops[0], head
            heapq.heappop(tops)
        return None

    def _head(self, key_queue: _KeyQueue, lane: Lane) -> QueueEntry | None:
        heap = key_queue.lanes.get(lane)
        while heap:
            entry = heap[0][4]
            if self._entries.get(entry.uid) is entry:
                return entry
            heapq.heappop(heap)
        return None

    def _compact(self, key_queue: _KeyQueue, lane: Lane) -> None:
        """What is dropped lazily must not pile up behind a head that stays for days."""
        if len(key_queue.lanes[lane]) > SPARE + 2 * key_queue.waiting:
            key_queue.lanes[lane][:] = [e for e in key_queue.lanes[lane] if self._entries.get(e[4].uid) is e[4]]
            heapq.heapify(key_queue.lanes[lane])
        if len(self._ages) > SPARE + 2 * len(self._entries):
            self._ages = [(t.queued_at, t.uid) for t in self._entries.values()]
            heapq.heapify(self._ages)
        tops = self._lane(lane)
        if len(tops) > SPARE + 4 * len(self._keys):
            tops.clear()
            for key, other in self._keys.items():
                self._offer(key, other, lane)

    def _offer(self, key: str, key_queue: _KeyQueue, lane: Lane) -> None:
        if (head := self._head(key_queue, lane)) is not None:
            heapq.heappush(self._lane(lane), (-head.priority, key_queue.turn, key))

    def _lane(self, lane: Lane) -> list[Top]:
        full = self._full.get(lane[1])
        if full is not None:
            return full.setdefault(lane, [])
        return self._tops.setdefault(lane, [])


def _goes_before(one: tuple[Top, QueueEntry], other: tuple[Top, QueueEntry]) -> bool:
    """Of one key with a head in both lanes, the older one."""
    return (one[0], one[1].order) < (other[0], other[1].order)
