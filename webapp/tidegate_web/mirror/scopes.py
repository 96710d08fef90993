"""What is watched: all namespaces at once, or some, which may come and go while the mirror is at work.

A scope that ends leaves nothing behind but what Postgres has. Its pods are forgotten, not taken for deleted: the logs of
one that only can't be seen any more aren't lost, and are read on when it is seen again.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tidegate_web.mirror.informer import Informer
from tidegate_web.mirror.logs.followers import Followers
from tidegate_web.mirror.pods import PodTable

ENDING_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The watches of one namespace, or of all of them (None)."""

    project: str | None
    runs: Informer
    pods: Informer
    workers: Informer
    """Pods of pools."""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def knows_pods(self) -> bool:
        """Before all pods are known, one that isn't there says nothing."""
        return self.pods.synced.is_set() and self.workers.synced.is_set()

    @property
    def informers(self) -> tuple[Informer, ...]:
        """All of them."""
        return self.runs, self.pods, self.workers

    def begin(self) -> None:
        for informer in self.informers:
            informer.start()

    def end(self) -> None:
        self.stop.set()
        for informer in self.informers:
            informer.close()

    def join(self, seconds: float) -> None:
        for informer in self.informers:
            informer.join(timeout=seconds)


class Scopes:
    """Those at work. One thread begins and ends them, others look."""

    def __init__(
        self,
        *,
        make: Callable[[str | None, threading.Event], Scope],
        followed: Sequence[tuple[PodTable, Followers]],
    ) -> None:
        """``followed``: tables of pods, each with who follows their logs."""
        self._make = make
        self._followed = followed
        self._scopes: dict[str | None, Scope] = {}
        self._lock = threading.Lock()
        self._ended = False

    def now(self) -> list[Scope]:
        with self._lock:
            return list(self._scopes.values())

    def begin(self, project: str | None) -> None:
        """Watch it, unless it is watched."""
        with self._lock:
            if self._ended or project in self._scopes:
                return
            scope = self._scopes[project] = self._make(project, threading.Event())
            scope.begin()

    def end(self, project: str) -> None:
        """Watch it no longer."""
        with self._lock:
            scope = self._scopes.pop(project, None)
        if scope is not None:
            scope.end()
            scope.join(ENDING_SECONDS)
            for pods, followers in self._followed:
                pods.forget(project)
                followers.forget(project)

    def end_all(self) -> list[Scope]:
        """The mirror stops: these are ending."""
        with self._lock:
            self._ended = True
            scopes = list(self._scopes.values())
        for scope in scopes:
            scope.end()
        return scopes
