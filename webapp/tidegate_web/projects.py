"""Which namespaces are projects: those the settings name, else those that are labelled, and how a new one is made."""

import threading
import time

from tidegate_api.names import POD_SECURITY_LABEL, PROJECT_LABEL, REQUESTED_BY_ANNOTATION
from tidegate_api.projects import may_be_project

from tidegate_web.kubernetes import NAMESPACES, Cluster, ClusterError, queues_path

READY_SECONDS = 5.0
"""How long whoever makes a project waits for the mirror to grant us our rights in it."""


class NoProjectError(Exception):
    """This can't be made a project; the message says why, and what to do."""


class Projects:
    """The projects there are; asked of the cluster at most every few seconds, the last answer kept while it's away."""

    def __init__(
        self, *, cluster: Cluster, namespaces: list[str], own_namespace: str, pod_security: str, seconds: float = 5
    ) -> None:
        self._cluster = cluster
        self._fixed = sorted(namespaces)
        self._own = own_namespace
        self._pod_security = pod_security
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
            found = [name for name in self._cluster.project_namespaces() if may_be_project(name, own=self._own)]
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

    @property
    def are_fixed(self) -> bool:
        """Whether the settings name them all."""
        return bool(self._fixed)

    def make(self, name: str, *, who: str) -> bool:
        """Make a namespace that is a project; False when there is one already. One without the label is its owners', and
        becomes a project by their hand alone."""
        if self._fixed:
            if name in self._fixed:
                return False
            raise NoProjectError(
                "The installation names its projects in its settings (TIDEGATE_NAMESPACES); add it there."
            )
        if not may_be_project(name, own=self._own):
            raise NoProjectError("The namespaces of Kubernetes and of Tidegate itself can't be projects.")
        found = self._cluster.get_namespace(name)
        if found is None:
            try:
                self._cluster.request("POST", NAMESPACES, body=self._namespace(name, who=who))
            except ClusterError as error:
                # Somebody was quicker.
                found = self._cluster.get_namespace(name) if error.reason == "AlreadyExists" else None
                if found is None:
                    raise
        self.forget()
        if found is None:
            return True
        metadata = found["metadata"]
        if (metadata.get("labels") or {}).get(PROJECT_LABEL) != "true":
            raise NoProjectError(
                "There is a namespace of this name that is no project. Whoever administers the cluster makes it one: "
                f"kubectl label namespace {name} {PROJECT_LABEL}=true {POD_SECURITY_LABEL}=baseline"
            )
        if metadata.get("deletionTimestamp"):
            raise NoProjectError("The namespace of this name is being deleted. Try again when it is gone.")
        return False

    def _namespace(self, name: str, *, who: str) -> dict[str, object]:
        labels = {PROJECT_LABEL: "true", POD_SECURITY_LABEL: self._pod_security}
        return {"metadata": {"name": name, "labels": labels, "annotations": {REQUESTED_BY_ANNOTATION: who}}}

    def is_ready(self, project: str) -> bool:
        """Whether we have our rights in it."""
        try:
            self._cluster.request("GET", queues_path(project), query={"limit": 1})
        except ClusterError as error:
            if error.status == 403:
                return False
            raise
        return True

    def gets_ready(self, project: str) -> bool:
        """Wait a moment for that."""
        until = time.monotonic() + READY_SECONDS
        while not (ready := self.is_ready(project)) and time.monotonic() < until:
            time.sleep(0.1)
        return ready
