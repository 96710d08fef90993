"""When which key has to be looked at again: a heap in which a key that is set again leaves its old entry behind, to be skipped."""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K", str, tuple[str, str])


class Timers(Generic[K]):
    """One moment a key, the soonest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, K]] = []
        self._at: dict[K, float] = {}

    def set(self, key: K, at: float | None) -> None:
        """Wake `key` at `at`, and not at the time given before; None: not at all."""
        if at is None:
            self._at.pop(key, None)
        elif self._at.get(key) != at:
            self._at[key] = at
            heapq.heappush(self._heap, (at, key))

    def due(self, now: float) -> Iterator[K]:
        """The keys whose moment has come, each once."""
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                yield key

    @property
    def next_at(self) -> float | None:
        """The soonest moment; one that was set again since may stand for nothing."""
        return self._heap[0][0] if self._heap else None
