"""Which namespaces are projects: those the settings name, else those that are labelled, and how a new one is made."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tidegate_api.names import POD_SECURITY_LABEL, PROJECT_LABEL, REQUESTED_BY_ANNOTATION
from tidegate_api.projects import may_be_project

from tidegate_web.cluster.client import NAMESPACES, Cluster, queues_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject, labels_of
from tidegate_web.shared.times import parse_time

READY_SECONDS = 5.0
"""How long the creation of a project waits for the mirror to grant us our rights in it."""


class NoProjectError(Exception):
    """This can't be made a project; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """Which namespace has the name of a project at present."""

    uid: str
    created: datetime


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
        self._known: dict[str, Namespace | None] = {}
        self._until = 0.0
        self._fixed_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        return self._fixed or sorted(self._labelled())

    def namespace(self, project: str) -> Namespace | None:
        """The namespace that a project has, as it was a few seconds ago at most; None where that isn't known."""
        return self._fixed_namespace(project) if self._fixed else self._labelled().get(project)

    def _labelled(self) -> Mapping[str, Namespace | None]:
        with self._lock:
            if time.monotonic() < self._until:
                return self._known
        try:
            found = {item["metadata"]["name"]: _namespace(item) for item in self._cluster.project_namespaces()}
        except ClusterError:
            return self._known
        found = {name: namespace for name, namespace in found.items() if may_be_project(name, own=self._own)}
        with self._lock:
            self._known, self._until = found, time.monotonic() + self._seconds
            return found

    def _fixed_namespace(self, project: str) -> Namespace | None:
        if project not in self._fixed:
            return None
        with self._lock:
            if time.monotonic() < self._fixed_until.get(project, 0.0):
                return self._known.get(project)
        try:
            item = self._cluster.get_namespace(project)
        except ClusterError:
            return self._known.get(project)
        found = None if item is None else _namespace(item)
        with self._lock:
            self._known[project], self._fixed_until[project] = found, time.monotonic() + self._seconds
            return found

    def forget(self) -> None:
        """Ask again at the next question."""
        with self._lock:
            self._until = 0.0
            self._fixed_until.clear()

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
                self._cluster.write("POST", NAMESPACES, body=self._namespace(name, who=who))
            except ClusterError as error:
                # Another request was quicker.
                found = self._cluster.get_namespace(name) if error.reason == "AlreadyExists" else None
                if found is None:
                    raise
        self.forget()
        if found is None:
            return True
        metadata = found["metadata"]
        if labels_of(found).get(PROJECT_LABEL) != "true":
            raise NoProjectError(
                "There is a namespace of this name that is no project. An admin of the cluster makes it one: "
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
            self._cluster.read_list(queues_path(project), query={"limit": 1})
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


def _namespace(item: KubeObject) -> Namespace | None:
    """None for an object that lacks what the apiserver gives to each."""
    metadata = item["metadata"]
    created = parse_time(metadata.get("creationTimestamp"))
    return None if created is None else Namespace(uid=metadata["uid"], created=created)
