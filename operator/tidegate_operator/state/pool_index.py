"""WorkerPools, their Deployments and their worker pods, and what these say about the attempts that were given to them."""

from collections.abc import Callable, Iterable
from typing import Final, cast

from tidegate_api.bodies import WorkerPoolBody
from tidegate_api.objects import DeploymentBody, KubeObject, PodBody

from tidegate_operator.policies.worker_pods import instance_is_over, pool_trouble
from tidegate_operator.queueing.pool_slots import PoolSlots
from tidegate_operator.records.lenient import bounded_or
from tidegate_operator.records.pool import DeploymentRecord, PoolRecord, WorkerPodRecord
from tidegate_operator.records.pool_parsing import parse_deployment, parse_worker_pod
from tidegate_operator.records.run import PoolKey

GONE_KEPT: Final = 10_000


class PoolIndex:
    """Records by name, owner and uid."""

    def __init__(self, slots: PoolSlots, *, on_change: Callable[[PoolKey], None]) -> None:
        """`on_change` is called with the key of a pool of which anything has changed."""
        self.pools: dict[PoolKey, PoolRecord] = {}
        self.deployments: dict[str, DeploymentRecord] = {}
        """By the uid of their pool."""
        self.workers: dict[str, WorkerPodRecord] = {}
        """Pods with the label of a pool, by uid."""
        self.gone: set[str] = set()
        """Uids of worker pods that were there and are not."""
        self.on_change = on_change
        self.on_worker: Callable[[str], None] = lambda _: None
        """Called with the uid of a worker pod that was seen, or is gone."""
        self._slots = slots

    # Pools

    def put_pool(self, body: WorkerPoolBody) -> bool:
        """A WorkerPool was seen. Says whether that is news."""
        meta = body["metadata"]
        key, version = (meta["namespace"], meta["name"]), int(meta["resourceVersion"])
        known = self.pools.get(key)
        if known is not None and known.version >= version:
            return False
        self.pools[key] = PoolRecord(
            uid=meta["uid"],
            namespace=key[0],
            name=key[1],
            version=version,
            generation=meta.get("generation", 1),
            deleting="deletionTimestamp" in meta,
            spec=body["spec"],
            status=body.get("status") or {},
        )
        self._changed(key)
        return known is None or known.uid != meta["uid"]

    def drop_pool(self, namespace: str, name: str, *, uid: str) -> bool:
        """A WorkerPool is gone. Says whether it was known."""
        key = (namespace, name)
        if (known := self.pools.get(key)) is None or known.uid != uid:
            return False
        del self.pools[key]
        self._slots.drop_pool(key)
        self.on_change(key)
        return True

    def look_at_all(self) -> None:
        """Every pool has to be decided on."""
        for key in self.pools:
            self.on_change(key)

    def slots_of(self, key: PoolKey) -> int:
        """Runs at once in one worker of the pool, by its spec."""
        pool = self.pools.get(key)
        return bounded_or(4, pool.spec.get("slots"), low=1, high=256) if pool is not None else 0

    # Deployments

    def put_deployment(self, body: DeploymentBody) -> None:
        """A Deployment was seen."""
        made = parse_deployment(body)
        if made is None:
            return
        known = self.deployments.get(made.pool_uid)
        if known is not None and known.uid == made.uid and known.version >= made.version:
            return
        self.deployments[made.pool_uid] = made
        self._owner_changed(made)

    def drop_deployment(self, uid: str) -> None:
        """A Deployment is gone."""
        found = next((d for d in self.deployments.values() if d.uid == uid), None)
        if found is not None:
            del self.deployments[found.pool_uid]
            self._owner_changed(found)

    def _owner_changed(self, deployment: DeploymentRecord) -> None:
        for key, pool in self.pools.items():
            if pool.uid == deployment.pool_uid:
                self._changed(key)
                return

    # Worker pods

    def put_worker(self, body: PodBody) -> None:
        """A pod with the label of a pool was seen."""
        made = parse_worker_pod(body)
        known = self.workers.get(made.uid)
        if known is not None and known.version >= made.version:
            return
        self.workers[made.uid] = made
        self._changed((made.namespace, made.pool))
        self.on_worker(made.uid)

    def drop_worker(self, uid: str) -> None:
        """A worker pod is gone."""
        known = self.workers.pop(uid, None)
        if len(self.gone) >= GONE_KEPT:
            self.gone.clear()  # one that is asked for later is looked for in the cluster
        self.gone.add(uid)
        if known is not None:
            self._changed((known.namespace, known.pool))
        self.on_worker(uid)

    def listed_workers(self, uids: Iterable[str], *, version: int, namespace: str | None) -> None:
        """A whole list of worker pods is through: those that it lacks are gone."""
        listed = set(uids)
        for worker in list(self.workers.values()):
            if worker.uid in listed or worker.version > version or namespace not in (None, worker.namespace):
                continue
            self.drop_worker(worker.uid)

    def listed_deployments(self, uids: Iterable[str], *, version: int, namespace: str | None) -> None:
        """A whole list of Deployments is through: those that it lacks are gone."""
        listed = set(uids)
        for found in list(self.deployments.values()):
            if found.uid in listed or found.version > version or namespace not in (None, found.namespace):
                continue
            self.drop_deployment(found.uid)

    def is_over(self, pod_uid: str, instance: str) -> WorkerPodRecord | bool:
        """Whether a container instance of a worker pod runs no more: its pod's record where it says so, True for a pod that is
        gone, False where it may run."""
        pod = self.workers.get(pod_uid)
        if pod is None:
            return pod_uid in self.gone
        return pod if instance_is_over(pod, instance) else False

    def workers_of(self, key: PoolKey) -> list[WorkerPodRecord]:
        """Pods that carry the label of the pool."""
        return [w for w in self.workers.values() if (w.namespace, w.pool) == key]

    def upserted(self, kind: str, body: KubeObject) -> None:
        """A Deployment or a worker pod is as given."""
        if kind == "deployments":
            self.put_deployment(cast("DeploymentBody", body))
        else:
            self.put_worker(cast("PodBody", body))

    def _changed(self, key: PoolKey) -> None:
        pool = self.pools.get(key)
        if pool is not None:
            deployment = self.deployments.get(pool.uid)
            self._slots.set_pool(key, trouble=pool_trouble(pool, deployment, self.workers_of(key)))
        self.on_change(key)
