"""Whether a project's pod templates may go beyond the Pod Security level `baseline`: its namespace's labels say.

They are asked for only when a template does. What allows is remembered for a moment; what refuses never is, so that a label
counts at once.
"""

import threading
import time
from collections.abc import Callable

from tidegate_api.pod_security import Violation, baseline_violation, decides_itself

from tidegate_web.cluster.client import Cluster
from tidegate_web.cluster.objects import labels_of

REMEMBERED_SECONDS = 5.0


class HostAccess:
    """The projects in which a template beyond `baseline` may run."""

    def __init__(self, *, cluster: Cluster, required: bool, now: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._required = required
        self._now = now
        self._lock = threading.Lock()
        self._allowing: dict[str, float] = {}

    def violation(self, project: str, template: object) -> Violation | None:
        """What of the template may not be in the project. Raises ClusterError where that can't be known."""
        violation = baseline_violation(template) if self._required else None
        if violation is None or self._is_allowed(project):
            return None
        return violation

    def _is_allowed(self, project: str) -> bool:
        now = self._now()
        with self._lock:
            if now < self._allowing.get(project, 0.0):
                return True
        namespace = self._cluster.get_namespace(project)
        if namespace is None or not decides_itself(labels_of(namespace)):
            return False
        with self._lock:
            self._allowing = {name: until for name, until in self._allowing.items() if now < until}
            self._allowing[project] = now + REMEMBERED_SECONDS
        return True
