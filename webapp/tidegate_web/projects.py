"""Which namespaces are projects: those the settings name, else those a cluster admin has labelled."""

import threading
import time

from tidegate_web.kubernetes import Cluster, ClusterError


class Projects:
    """The projects there are; asked of the cluster at most every few seconds, the last answer kept while it's away."""

    def __init__(self, *, cluster: Cluster, namespaces: list[str], seconds: float = 5) -> None:
        self._cluster = cluster
        self._fixed = sorted(namespaces)
        self._seconds = seconds
        self._known: list[str] = []
        self._until = 0.0
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        if self._fixed:
            return self._fixed
        with self._lock:
            if time.monotonic() < self._until:
                return self._known
        try:
            found = self._cluster.project_namespaces()
        except ClusterError:
            return self._known
        with self._lock:
            self._known, self._until = found, time.monotonic() + self._seconds
            return found

    def forget(self) -> None:
        """Ask again at the next question."""
        with self._lock:
            self._until = 0.0

    def __contains__(self, project: str) -> bool:
        if project in self.names():
            return True
        # Labelled just now? Ask again before saying no.
        self.forget()
        return project in self.names()
