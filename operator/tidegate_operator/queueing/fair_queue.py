"""Whose turn it is in one queue: higher priority first, keys of equal priority in turns, within a key oldest first.

Each key has its heaps, and the keys with their best entries make another. Whatever waits costs nothing; asking, taking and
changing cost O(log n). Entries are deleted lazily: one that no longer says the truth is dropped when it comes up.

First attempts may need a token of the queue's rate limit and retries never do, so both wait in lanes of their own: with no
token left, retries still go.
"""

import heapq
from collections.abc import Callable, Iterator
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

    @property
    def order(self) -> tuple[int, float, str]:
        """Smaller goes first, keys aside. Kubernetes writes times in whole seconds: within one, names are in order."""
        return (-self.priority, self.queued_at, self.name)


HeapItem = tuple[int, float, str, int, QueueEntry]
Top = tuple[int, int, str]
LANES: Final = (False, True)
SPARE: Final = 64
"""Stale entries that a heap may hold before it is rebuilt."""


@dataclass(slots=True)
class _KeyQueue:
    turn: int
    """Which of two keys of equal priority goes first: a key that was served, or is new, goes to the end of the round."""
    waiting: int = 0
    lanes: tuple[list[HeapItem], list[HeapItem]] = field(default_factory=lambda: ([], []))


class FairQueue:
    """The entries of one queue."""

    def __init__(self) -> None:
        self._entries: dict[str, QueueEntry] = {}
        self._keys: dict[str, _KeyQueue] = {}
        self._tops: tuple[list[Top], list[Top]] = ([], [])
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
        lane = key_queue.lanes[entry.first]
        heapq.heappush(lane, (*entry.order, next(self._serials), entry))
        heapq.heappush(self._ages, (entry.queued_at, entry.uid))
        if lane[0][4] is entry:
            self._offer(entry.key, key_queue, entry.first)

    def drop(self, uid: str) -> QueueEntry | None:
        """Wait no more; the entry, if there was one."""
        entry = self._entries.pop(uid, None)
        if entry is None:
            return None
        key_queue = self._keys[entry.key]
        key_queue.waiting -= 1
        if not key_queue.waiting:
            del self._keys[entry.key]
        elif key_queue.lanes[entry.first][0][4] is entry:
            self._offer(entry.key, key_queue, entry.first)
        self._compact(key_queue, entry.first)
        return entry

    def take(self, entry: QueueEntry) -> None:
        """Its turn has come: the key goes to the end of the round."""
        self.drop(entry.uid)
        if (key_queue := self._keys.get(entry.key)) is not None:
            key_queue.turn = next(self._rounds)
            self.reopen(entry.key)

    def best(self, *, with_token: bool, is_open: Callable[[str], bool]) -> QueueEntry | None:
        """Whose turn it is. `with_token`: whether first attempts may go; `is_open`: whether a key may.

        A key that isn't open is set aside until `reopen`.
        """
        found: tuple[Top, QueueEntry] | None = None
        for lane in LANES if with_token else (False,):
            candidate = self._best_of(lane, is_open)
            if candidate is not None and (found is None or _goes_before(candidate, found)):
                found = candidate
        return found[1] if found else None

    def reopen(self, key: str) -> None:
        """The key may have a turn again."""
        if (key_queue := self._keys.get(key)) is not None:
            for lane in LANES:
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

    def _best_of(self, lane: bool, is_open: Callable[[str], bool]) -> tuple[Top, QueueEntry] | None:
        tops = self._tops[lane]
        while tops:
            priority, turn, key = tops[0]
            key_queue = self._keys.get(key)
            head = self._head(key_queue, lane) if key_queue is not None and key_queue.turn == turn else None
            if head is not None and -head.priority == priority and is_open(key):
                return tops[0], head
            heapq.heappop(tops)
        return None

    def _head(self, key_queue: _KeyQueue, lane: bool) -> QueueEntry | None:
        heap = key_queue.lanes[lane]
        while heap:
            entry = heap[0][4]
            if self._entries.get(entry.uid) is entry:
                return entry
            heapq.heappop(heap)
        return None

    def _compact(self, key_queue: _KeyQueue, lane: bool) -> None:
        """What is dropped lazily must not pile up behind a head that stays for days."""
        if len(key_queue.lanes[lane]) > SPARE + 2 * key_queue.waiting:
            key_queue.lanes[lane][:] = [e for e in key_queue.lanes[lane] if self._entries.get(e[4].uid) is e[4]]
            heapq.heapify(key_queue.lanes[lane])
        if len(self._ages) > SPARE + 2 * len(self._entries):
            self._ages = [(t.queued_at, t.uid) for t in self._entries.values()]
            heapq.heapify(self._ages)
        if len(self._tops[lane]) > SPARE + 4 * len(self._keys):
            self._tops[lane].clear()
            for key, other in self._keys.items():
                self._offer(key, other, lane)

    def _offer(self, key: str, key_queue: _KeyQueue, lane: bool) -> None:
        if (head := self._head(key_queue, lane)) is not None:
            heapq.heappush(self._tops[lane], (-head.priority, key_queue.turn, key))


def _goes_before(one: tuple[Top, QueueEntry], other: tuple[Top, QueueEntry]) -> bool:
    """Of one key with a head in both lanes, the older one."""
    return (one[0], one[1].order) < (other[0], other[1].order)
