"""Objects with which reading, storing or following breaks are set aside, so that they end and delay nothing else.

Each place of the mirror that handles objects of others (a *door*: informers, writers, sweeper, followers, publisher, project controller) catches
what one object raises, sets that object aside here, and goes on with the next. It says so in one log line with a trace for each
version of an object, and in the metric ``tidegate_set_aside_objects``. An object is tried again when it changes, which is nothing
special at its door, and every ``RETRY_SECONDS`` by ``Retrier``. Once it passes its door it is released.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import Gauge

from tidegate_web.shared.worker import Worker

log = structlog.stdlib.get_logger(__name__)

RETRY_SECONDS = 300.0
LOOK_SECONDS = 1.0
MOST_REMEMBERED = 10_000
"""Objects that are set aside at once. Beyond them the oldest is forgotten: it is tried again when it changes or is listed."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """One object, at one kind of door."""

    kind: str
    """As in the metric: ``TaskRun``, ``Pod``, ``Log``, ``Schedule``, ``Namespace``, ``Project``, ``Month``."""
    uid: str


@dataclass(kw_only=True)
class _Entry:
    version: str
    retry_at: float
    retry: Callable[[], None] | None


class Quarantine:
    """The objects that are set aside now, of all doors of one term."""

    def __init__(
        self,
        *,
        gauge: Gauge,
        retry_seconds: float = RETRY_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gauge = gauge
        self._retry_seconds = retry_seconds
        self._now = now
        self._entries: dict[Key, _Entry] = {}
        self._lock = threading.Lock()

    def set_aside(
        self,
        kind: str,
        uid: str,
        error: BaseException,
        *,
        name: str,
        version: str = "",
        retry: Callable[[], None] | None = None,
    ) -> None:
        """Set an object aside, or note that it failed again. ``retry`` tries it once more; without one its door does so itself."""
        key = Key(kind=kind, uid=uid)
        with self._lock:
            before = self._entries.pop(key, None)
            if len(self._entries) >= MOST_REMEMBERED:
                oldest = next(iter(self._entries))
                del self._entries[oldest]
                self._count(oldest.kind)
            self._entries[key] = _Entry(version=version, retry_at=self._now() + self._retry_seconds, retry=retry)
            self._count(kind)
        if before is None or before.version != version:
            log.error("object set aside", kind=kind, uid=uid, name=name, version=version, exc_info=error)

    def release(self, kind: str, uid: str) -> None:
        """The object has passed its door, or is gone."""
        if not self._entries:  # nearly always; a look without the lock is enough, for the next one will see it
            return
        with self._lock:
            if self._entries.pop(Key(kind=kind, uid=uid), None) is not None:
                self._count(kind)

    def holds(self, kind: str, uid: str) -> bool:
        """Whether it is set aside and its time to be tried again hasn't come."""
        with self._lock:
            entry = self._entries.get(Key(kind=kind, uid=uid))
            return entry is not None and self._now() < entry.retry_at

    def due(self) -> list[tuple[Key, Callable[[], None]]]:
        """Those to be tried again now; each is due again after the next interval."""
        found = []
        with self._lock:
            now = self._now()
            # What its door would have tried again by now is gone, or passed it unseen.
            for key in [key for key, entry in self._entries.items() if self._is_stale(entry, now)]:
                del self._entries[key]
                self._count(key.kind)
            for key, entry in self._entries.items():
                if entry.retry is not None and now >= entry.retry_at:
                    entry.retry_at = now + self._retry_seconds
                    found.append((key, entry.retry))
        return found

    def _is_stale(self, entry: _Entry, now: float) -> bool:
        return entry.retry is None and now >= entry.retry_at + 2 * self._retry_seconds

    def clear(self) -> None:
        """The term has ended: the next one finds out for itself."""
        with self._lock:
            kinds = {key.kind for key in self._entries}
            self._entries.clear()
            for kind in kinds:
                self._count(kind)

    def _count(self, kind: str) -> None:
        self._gauge.labels(kind).set(sum(key.kind == kind for key in self._entries))


class Retrier(Worker):
    """Tries the objects again whose time has come."""

    def __init__(self, *, quarantine: Quarantine, stop: threading.Event) -> None:
        super().__init__(name="retrier", stop=stop)
        self._quarantine = quarantine

    def work(self) -> None:
        while not self.stop_event.wait(LOOK_SECONDS):
            self.beat()
            for key, retry in self._quarantine.due():
                self.beat()
                try:
                    retry()
                except Exception as error:
                    # Asking for it again failed, which says nothing of the object: it stays set aside.
                    log.warning("trying again later", kind=key.kind, uid=key.uid, reason=str(error).partition("\n")[0])
