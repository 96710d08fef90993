"""Whose turn it is in one queue: higher priority first, keys of equal priority in turns, within a key oldest first.

Each key has its heaps, and the keys with their best tickets make another. Whatever waits costs nothing; asking, taking and
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
class Ticket:
    """One run's place in a line."""

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
        """Smaller goes first, keys aside. Kubernetes tells times in whole seconds: within one, names are in order."""
        return (-self.priority, self.queued_at, self.name)


Entry = tuple[int, float, str, int, Ticket]
Top = tuple[int, int, str]
LANES: Final = (False, True)
SPARE: Final = 64
"""Entries that no longer say the truth and may be left in a heap before it is built anew."""


@dataclass(slots=True)
class _KeyLine:
    turn: int
    """Which of two keys of equal priority goes first: a key that was served, or is new, goes to the end of the round."""
    waiting: int = 0
    lanes: tuple[list[Entry], list[Entry]] = field(default_factory=lambda: ([], []))


class Line:
    """The tickets of one queue."""

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}
        self._keys: dict[str, _KeyLine] = {}
        self._tops: tuple[list[Top], list[Top]] = ([], [])
        self._ages: list[tuple[float, str]] = []
        self._rounds = count()
        self._entries = count()

    def __len__(self) -> int:
        return len(self._tickets)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self._tickets.values())

    def get(self, uid: str) -> Ticket | None:
        """The run's ticket, while it waits."""
        return self._tickets.get(uid)

    def put(self, ticket: Ticket) -> None:
        """Wait, or wait otherwise than before: with another priority, or as another attempt."""
        known = self._tickets.get(ticket.uid)
        if known == ticket:
            return
        if known is not None:
            self.drop(ticket.uid)
        self._tickets[ticket.uid] = ticket
        line = self._keys.get(ticket.key)
        if line is None:
            line = self._keys[ticket.key] = _KeyLine(turn=next(self._rounds))
        line.waiting += 1
        lane = line.lanes[ticket.first]
        heapq.heappush(lane, (*ticket.order, next(self._entries), ticket))
        heapq.heappush(self._ages, (ticket.queued_at, ticket.uid))
        if lane[0][4] is ticket:
            self._offer(ticket.key, line, ticket.first)

    def drop(self, uid: str) -> Ticket | None:
        """Wait no more; the ticket, if there was one."""
        ticket = self._tickets.pop(uid, None)
        if ticket is None:
            return None
        line = self._keys[ticket.key]
        line.waiting -= 1
        if not line.waiting:
            del self._keys[ticket.key]
        elif line.lanes[ticket.first][0][4] is ticket:
            self._offer(ticket.key, line, ticket.first)
        self._compact(line, ticket.first)
        return ticket

    def take(self, ticket: Ticket) -> None:
        """Its turn has come: the key goes to the end of the round."""
        self.drop(ticket.uid)
        if (line := self._keys.get(ticket.key)) is not None:
            line.turn = next(self._rounds)
            self.reopen(ticket.key)

    def best(self, *, with_token: bool, is_open: Callable[[str], bool]) -> Ticket | None:
        """Whose turn it is. `with_token`: whether first attempts may go; `is_open`: whether a key may.

        A key that isn't open is set aside until `reopen`.
        """
        found: tuple[Top, Ticket] | None = None
        for lane in LANES if with_token else (False,):
            candidate = self._best_of(lane, is_open)
            if candidate is not None and (found is None or _goes_before(candidate, found)):
                found = candidate
        return found[1] if found else None

    def reopen(self, key: str) -> None:
        """The key may have a turn again."""
        if (line := self._keys.get(key)) is not None:
            for lane in LANES:
                self._offer(key, line, lane)

    def reopen_all(self) -> None:
        """The limit of keys has changed."""
        for key in self._keys:
            self.reopen(key)

    @property
    def oldest(self) -> float | None:
        """queuedAt of what has waited longest."""
        while self._ages:
            at, uid = self._ages[0]
            ticket = self._tickets.get(uid)
            if ticket is not None and ticket.queued_at == at:
                return at
            heapq.heappop(self._ages)
        return None

    def _best_of(self, lane: bool, is_open: Callable[[str], bool]) -> tuple[Top, Ticket] | None:
        tops = self._tops[lane]
        while tops:
            priority, turn, key = tops[0]
            line = self._keys.get(key)
            head = self._head(line, lane) if line is not None and line.turn == turn else None
            if head is not None and -head.priority == priority and is_open(key):
                return tops[0], head
            heapq.heappop(tops)
        return None

    def _head(self, line: _KeyLine, lane: bool) -> Ticket | None:
        heap = line.lanes[lane]
        while heap:
            ticket = heap[0][4]
            if self._tickets.get(ticket.uid) is ticket:
                return ticket
            heapq.heappop(heap)
        return None

    def _compact(self, line: _KeyLine, lane: bool) -> None:
        """What is dropped lazily must not pile up behind a head that stays for days."""
        if len(line.lanes[lane]) > SPARE + 2 * line.waiting:
            line.lanes[lane][:] = [e for e in line.lanes[lane] if self._tickets.get(e[4].uid) is e[4]]
            heapq.heapify(line.lanes[lane])
        if len(self._ages) > SPARE + 2 * len(self._tickets):
            self._ages = [(t.queued_at, t.uid) for t in self._tickets.values()]
            heapq.heapify(self._ages)
        if len(self._tops[lane]) > SPARE + 4 * len(self._keys):
            self._tops[lane].clear()
            for key, other in self._keys.items():
                self._offer(key, other, lane)

    def _offer(self, key: str, line: _KeyLine, lane: bool) -> None:
        if (head := self._head(line, lane)) is not None:
            heapq.heappush(self._tops[lane], (-head.priority, line.turn, key))


def _goes_before(one: tuple[Top, Ticket], other: tuple[Top, Ticket]) -> bool:
    """Of one key with a head in both lanes, the older one."""
    return (one[0], one[1].order) < (other[0], other[1].order)
