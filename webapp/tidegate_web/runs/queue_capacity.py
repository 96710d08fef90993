"""Whether a queue takes more runs: its ``maxPending`` against what its status says waits.

The status is written once a second and remembered here for another or two, so a burst may overshoot. It is a brake for
callers, no lock: clients of the apiserver aren't held by it, and where the apiserver doesn't answer, no caller is.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tidegate_api.names import DEFAULT_QUEUE

from tidegate_web.cluster.client import Cluster, queues_path, tasks_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.shared.json_types import JsonObject, whole_number
from tidegate_web.shared.permissions import is_dns_label

REMEMBERED_SECONDS = 1.0
MOST_REMEMBERED = 10_000
PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class FullQueue:
    """A queue that takes no more for now."""

    name: str
    pending: int
    most: int


class Queues:
    """Queues, and the Tasks that name them, as they were a moment ago."""

    def __init__(self, *, cluster: Cluster, now: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, KubeObject | None]] = {}

    def full(self, project: str, specs: Sequence[Mapping[str, object]]) -> FullQueue | None:
        """The first queue that hasn't room for all runs of these specs that would wait in it."""
        coming: Counter[str] = Counter()
        for spec in specs:
            try:
                name = self._queue_of(project, spec)
                found = self._get(f"{queues_path(project)}/{name}") if is_dns_label(name) else None
            except ClusterError:
                continue
            coming[name] += 1
            if found is None:
                continue
            most = whole_number(found.get("spec", {}).get("maxPending"))
            pending = whole_number(found.get("status", {}).get("pending")) or 0
            if most is not None and pending + coming[name] > most:
                return FullQueue(name=name, pending=pending, most=most)
        return None

    def task_spec(self, project: str, spec: Mapping[str, object]) -> JsonObject:
        """What a run of this spec would run, as far as it is known here: its inline task, or its Task."""
        task, reference = spec.get("task"), spec.get("taskRef")
        if isinstance(task, dict):
            return task
        if not isinstance(reference, dict) or not is_dns_label(str(reference.get("name"))):
            return {}
        found = self._get(f"{tasks_path(project)}/{reference['name']}")
        return {} if found is None else dict(found.get("spec") or {})

    def _queue_of(self, project: str, spec: Mapping[str, object]) -> str:
        """The spec is the caller's, not checked yet."""
        name = spec.get("queue") or self.task_spec(project, spec).get("queue")
        return str(name or DEFAULT_QUEUE)

    def _get(self, path: str) -> KubeObject | None:
        """An object; None when there is none."""
        now = self._now()
        with self._lock:
            until, found = self._known.get(path, (-math.inf, None))
            if now < until:
                return found
            if now < until + REMEMBERED_SECONDS:
                # Who comes while it is asked again does with what there was.
                self._known[path] = (now + REMEMBERED_SECONDS, found)
        try:
            found = self._cluster.get(path, timeout=PATIENCE_SECONDS)
        except ClusterError as error:
            if not error.not_found:
                self._known.pop(path, None)
                raise
            found = None
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[path] = (now + REMEMBERED_SECONDS, found)
        return found
