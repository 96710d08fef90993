"""One door for everything that is seen: into the cache, and the keys it touches to the reconciler.

Watches, lists and the sweeper all come through here, so that none of them can update the one and forget the other.
"""

import time
from collections.abc import Callable

from tidegate_operator.cache import Cache
from tidegate_operator.reconciler import Reconciler
from tidegate_operator.records import Json


class Observer:
    """Puts what is seen into the cache and marks the runs that it concerns."""

    def __init__(
        self,
        cache: Cache,
        reconciler: Reconciler,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache, self._reconciler, self._clock = cache, reconciler, clock

    def saw(self, kind: str, body: Json) -> None:
        """An object of `kind` (a plural) is as given."""
        now = self._clock()
        if kind == "taskruns":
            self._reconciler.mark(self._cache.put_run(body, now=now))
        elif kind == "tasks":
            self._reconciler.mark(self._cache.put_task(body))
        elif kind == "jobs":
            self._reconciler.mark(self._cache.put_job(body["metadata"], now=now))
        elif kind == "pods":
            self._reconciler.mark(self._cache.put_pod(body, now=now))
        elif kind == "schedules":
            self._reconciler.mark(self._cache.schedules.put(body))
        else:
            meta = body["metadata"]
            was_there = self._cache.find_named(kind, meta["namespace"], meta["name"]) is not None
            record = self._cache.put_named(kind, body)
            if record is not None:
                # Runs that wait for a Queue to appear say so; what else changes in it, admission sees to.
                waiting = self._cache.admission.waiting_in(record.namespace, record.name)
                self._reconciler.mark(() if was_there else waiting)
                self._reconciler.wake()

    def lost(self, kind: str, body: Json) -> None:
        """An object of `kind` is gone, or has left the selector of its watch."""
        meta = body["metadata"]
        if kind == "taskruns":
            self._reconciler.mark(self._cache.drop_run(meta["uid"]))
        elif kind == "tasks":
            self._cache.drop_task(meta["namespace"], meta["name"], uid=meta["uid"])
        elif kind == "pods":
            self._reconciler.mark(self._cache.pod_deleted(body, now=self._clock()))
        elif kind == "schedules":
            self._reconciler.mark(self._cache.schedules.drop(meta["namespace"], meta["name"], uid=meta["uid"]))
        else:
            self._reconciler.mark(self._cache.drop_named(kind, meta["namespace"], meta["name"], uid=meta["uid"]))

    def listed(self, kind: str) -> None:
        """All objects of `kind` have been handed in."""
        first = not self._cache.complete
        self._cache.synced.add(kind)
        if self._cache.complete and first:
            self._reconciler.mark(self._cache.all_listed())
            self._reconciler.mark(tuple(self._cache.runs))


class PodSink:
    """An informer's view of the observer."""

    def __init__(
        self,
        cache: Cache,
        reconciler: Reconciler,
        observer: Observer,
        *,
        namespace: str | None,
        unlisted: set[str | None],
    ) -> None:
        """`namespace`: the one that the informer follows; `unlisted`: those that no informer has listed yet, this included."""
        self._cache, self._reconciler, self._observer = cache, reconciler, observer
        self._namespace, self._unlisted = namespace, unlisted

    def seen(self, body: Json) -> None:
        """A pod is as given."""
        self._observer.saw("pods", body)

    def deleted(self, body: Json) -> None:
        """A pod is gone, or no longer selected."""
        self._observer.lost("pods", body)

    def listed(self, uids: list[str], *, version: int) -> None:
        """A whole list of pods is through: those that it lacks are looked for one by one."""
        self._reconciler.mark(self._cache.unlisted_pods(uids, version=version, namespace=self._namespace))
        self._unlisted.discard(self._namespace)
        if not self._unlisted:
            self._observer.listed("pods")
