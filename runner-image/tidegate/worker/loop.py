"""The event loop of the worker's main process, which has one thread: calls back when descriptors are ready."""

from __future__ import annotations

import selectors
from typing import Callable, Optional

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Ready = Callable[[int], None]
"""Called with what a descriptor is ready for."""


class Loop:
    """Waits for descriptors."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, descriptor: int, events: int, ready: Ready) -> None:
        """Call ``ready`` whenever the descriptor is; with no events, never more."""
        if not events:
            self.forget(descriptor)
        elif descriptor not in self._selector.get_map():
            self._selector.register(descriptor, events, ready)
        elif self._selector.get_key(descriptor).events != events or self._selector.get_key(descriptor).data != ready:
            self._selector.modify(descriptor, events, ready)

    def watch_reading(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` whenever there is something to read."""
        self.watch(descriptor, READ, lambda _: ready())

    def forget(self, descriptor: int) -> None:
        """Wait for it no more. It has to be asked before the descriptor is closed."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def wait(self, seconds: Optional[float]) -> None:
        """Wait until something is ready, and call whom it concerns."""
        for key, events in self._selector.select(seconds):
            # What was called before may have forgotten this one, or given its number to another.
            if self._selector.get_map().get(key.fd) == key:
                ready: Ready = key.data
                ready(events)
