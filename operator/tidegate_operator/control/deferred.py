"""When what may wait is done: one thing at a time, and only for a share of the time.

A long answer means a busy apiserver, and makes the pause after it longer, up to LONGEST_PAUSE. So when a thousand runs start at once, telling that
they are starting doesn't keep them from it; on an idle cluster everything is reported at once.
"""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

SHARE = 0.25
"""Part of the time that one request may be under way for what can wait."""
LONGEST_PAUSE = 5.0
"""Seconds. A request whose connection hung for a minute says nothing about how busy the apiserver is now."""


class DeferredQueue(Generic[K]):
    """Work that may wait: its keys, oldest first, and when the next may be taken."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._keys: dict[K, None] = {}
        self._free_at = 0.0
        self._under_way = False

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, key: K) -> None:
        """There is something to do for `key` that may wait."""
        self._keys[key] = None

    def drop(self, key: K) -> None:
        """There isn't any more, or it is done with something that doesn't wait."""
        self._keys.pop(key, None)

    @property
    def first(self) -> K | None:
        """The key that has waited longest."""
        return next(iter(self._keys), None)

    def take(self) -> K | None:
        """The key whose time has come, if any. Until `done` there is no other."""
        if self._under_way or not self._keys or self._monotonic() < self._free_at:
            return None
        key = next(iter(self._keys))
        del self._keys[key]
        self._under_way = True
        return key

    def done(self, *, seconds: float) -> None:
        """What was taken is done, and took so long."""
        self._under_way = False
        self._free_at = self._monotonic() + min(LONGEST_PAUSE, seconds * (1 / SHARE - 1))

    @property
    def pause(self) -> float | None:
        """Seconds until something can be taken; None while that isn't a matter of time."""
        if self._under_way or not self._keys:
            return None
        return max(0.0, self._free_at - self._monotonic())
