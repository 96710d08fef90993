"""The pods of runs, as far as their logs need it: whether the container ``task`` has started and ended, and whose
pod it is. Labels only select; a pod is a run's when its Job is, by name and uid, that run's attempt.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from tidegate_api.job_names import attempt_of_job
from tidegate_api.names import POOL_LABEL, WORKER_CONTAINER

from tidegate_web.cluster.client import Cluster, jobs_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject, controller_of, labels_of
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.mirror.specs import SpecKeeper
from tidegate_web.shared.json_types import as_object, as_objects

CONTAINER = "task"
KIND = "Pod"
SELECTOR = "app.kubernetes.io/managed-by=tidegate"
OF_POOLS = POOL_LABEL
"""Selects the worker pods of pools: those that have the label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """A pod, reduced."""

    uid: str
    name: str
    project: str
    job: tuple[str, str] | None
    """(name, uid) of its controller."""
    claimed_run: str
    """What its label says; believed only where the run is asked about, never written."""
    started: bool
    ended: bool
    gone: bool = False
    container: str = ""
    """Of a worker of a pool: the id of the container that runs, or has run last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Whose pod it is."""

    run_uid: str
    run_name: str
    attempt: int


def reduce_pod(item: KubeObject) -> Pod:
    """What is kept of a pod."""
    metadata, status = item["metadata"], item.get("status") or {}
    started = ended = False
    for container in as_objects(status.get("containerStatuses")):
        if container.get("name") == CONTAINER:
            state = as_object(container.get("state"))
            ended = "terminated" in state
            started = ended or "running" in state or "terminated" in as_object(container.get("lastState"))
    if status.get("phase") in ("Succeeded", "Failed"):
        ended = True
    return Pod(
        uid=metadata["uid"],
        name=metadata["name"],
        project=metadata["namespace"],
        job=controller_of(item, kind="Job"),
        claimed_run=labels_of(item).get("tidegate.dev/run-uid", ""),
        started=started,
        ended=ended,
    )


def reduce_worker(item: KubeObject) -> Pod:
    """What is kept of a worker pod of a pool."""
    metadata, status = item["metadata"], item.get("status") or {}
    container = next((c for c in as_objects(status.get("containerStatuses")) if c.get("name") == WORKER_CONTAINER), {})
    states = (as_object(container.get("state")), as_object(container.get("lastState")))
    return Pod(
        uid=metadata["uid"],
        name=metadata["name"],
        project=metadata["namespace"],
        job=None,
        claimed_run="",
        started=any("running" in state or "terminated" in state for state in states),
        ended=status.get("phase") in ("Succeeded", "Failed"),
        container=str(container.get("containerID") or ""),
    )


class PodTable:
    """The pods there are, fed by an informer; calls a listener on every change."""

    def __init__(self, *, changed: Callable[[Pod], None]) -> None:
        self._changed = changed
        self._pods: dict[str, Pod] = {}
        self._lock = threading.Lock()

    def get(self, uid: str) -> Pod | None:
        with self._lock:
            return self._pods.get(uid)

    def of_run(self, run_uid: str) -> list[Pod]:
        """Pods that say they are of this run: enough to wait for them, not to believe them."""
        with self._lock:
            return [pod for pod in self._pods.values() if pod.claimed_run == run_uid]

    def names(self, project: str) -> set[str]:
        with self._lock:
            return {pod.name for pod in self._pods.values() if pod.project == project}

    def keep_only(self, uids: set[str], *, project: str | None) -> None:
        """A re-list of a scope: what it hasn't is gone."""
        with self._lock:
            missing = [pod for uid, pod in self._pods.items() if uid not in uids and project in (None, pod.project)]
        for pod in missing:
            self.remove(pod)

    def forget(self, project: str) -> None:
        """A namespace is watched no longer; what became of its pods isn't known."""
        with self._lock:
            self._pods = {uid: pod for uid, pod in self._pods.items() if pod.project != project}

    def put(self, pod: Pod) -> None:
        with self._lock:
            self._pods[pod.uid] = pod
        self._changed(pod)

    def remove(self, pod: Pod) -> None:
        with self._lock:
            self._pods.pop(pod.uid, None)
        self._changed(replace(pod, gone=True))


class PodHandler:
    """The handler of one scope's informer: it fills the table."""

    def __init__(
        self,
        *,
        table: PodTable,
        quarantine: Quarantine,
        project: str | None,
        reduce: Callable[[KubeObject], Pod] = reduce_pod,
    ) -> None:
        self._table = table
        self._reduce = reduce
        self._quarantine = quarantine
        self._project = project

    def put(self, item: KubeObject, *, listed: bool, retry: Callable[[], None]) -> None:
        del listed, retry
        pod = self._reduce(item)
        self._table.put(pod)
        self._quarantine.release(KIND, pod.uid)

    def deleted(self, item: KubeObject) -> None:
        pod = self._reduce(item)
        self._table.remove(pod)
        self._quarantine.release(KIND, pod.uid)

    def listed(self, uids: set[str], resource_version: int) -> None:
        del resource_version
        self._table.keep_only(uids, project=self._project)


class Owners:
    """Finds out whose a pod is: one GET a Job, remembered by its uid. The spec that the Job carries is kept."""

    def __init__(self, cluster: Cluster, *, specs: SpecKeeper, remember: int = 50_000) -> None:
        self._cluster = cluster
        self._specs = specs
        self._remember = remember
        self._jobs: dict[str, Owner | None] = {}
        self._lock = threading.Lock()

    def of(self, pod: Pod) -> Owner | None:
        """The run and attempt of a pod, None when it is of no run (or its Job is gone). ClusterError and SQLAlchemyError to ask again."""
        if pod.job is None:
            return None
        name, uid = pod.job
        with self._lock:
            if uid in self._jobs:
                return self._jobs[uid]
        try:
            job = self._cluster.get(f"{jobs_path(pod.project)}/{name}")
        except ClusterError as error:
            if error.not_found:
                return None
            raise
        owner = None
        run = controller_of(job, kind="TaskRun")
        if job["metadata"]["uid"] == uid and run is not None:
            attempt = attempt_of_job(name, run=run[0], run_uid=run[1])
            owner = None if attempt is None else Owner(run_uid=run[1], run_name=run[0], attempt=attempt)
            if owner is not None:
                self._specs.keep(job)
        with self._lock:
            if len(self._jobs) >= self._remember:
                self._jobs.clear()
            self._jobs[uid] = owner
        return owner
