"""WorkerPools as keys of the workqueue: each has its Deployment as its spec says, and a status that says what it does."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
from tidegate_api.bodies import JsonObject
from tidegate_api.names import Reason
from tidegate_api.pod_security import baseline_violation

from tidegate_operator.control.paced_status import PAUSE_SECONDS, PacedStatus
from tidegate_operator.control.set_aside import SetAsideByCondition
from tidegate_operator.control.workqueue import NOTHING, Work, Workqueue
from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.errors import KubeError, is_transient
from tidegate_operator.kube.namespace_labels import NamespaceLabels
from tidegate_operator.manifests.pool import PoolSpecError, WorkerDefaults, applied_digest, build_deployment
from tidegate_operator.policies.host_access import refuse_host_access
from tidegate_operator.policies.placement import refuse_namespace
from tidegate_operator.policies.pool_status import pool_status
from tidegate_operator.policies.worker_pods import pool_trouble
from tidegate_operator.records.faults import Ref
from tidegate_operator.records.pool import PoolRecord
from tidegate_operator.records.run import Cause, PoolKey
from tidegate_operator.settings import OperatorSettings
from tidegate_operator.state.cache import Cache
from tidegate_operator.state.keys import names_of, pool_key

KIND: Final = "workerpools"
RETRY_SECONDS: Final = 10.0
"""Until a Deployment that was refused is tried again: a quota, a policy or the pool's own spec may have changed."""


class PoolReconciler(SetAsideByCondition):
    """Applies Deployments and writes statuses."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        workqueue: Workqueue,
        *,
        defaults: Callable[[], WorkerDefaults],
        settings: OperatorSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(client, kind=KIND, clock=clock)
        self._cache, self._workqueue = cache, workqueue
        self._defaults, self._settings, self._labels = defaults, settings, NamespaceLabels(client)
        self._applied: dict[str, str] = {}
        """By pool uid, the digest of what this process has applied: at its start each pool is applied once more."""
        self._refused: dict[str, tuple[str, Cause, float]] = {}
        """By pool uid: digest of what was refused, why, and when it is tried again."""
        self._statuses = PacedStatus(client, cache, kind=KIND, clock=clock)
        self._waiting: dict[PoolKey, int] = {}
        self._log = structlog.get_logger(__name__)

    async def run(self) -> None:
        """Once a second, look at the pools whose numbers have changed."""
        slots = self._cache.admission.pools
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if not self._cache.complete:
                continue
            changed, slots.changed = slots.changed, set()
            for key in self._cache.pools.pools:
                waiting = self._cache.admission.waiting_for_pool(key)
                if waiting != self._waiting.get(key):
                    self._waiting[key] = waiting
                    changed.add(key)
            for key in changed:
                self._workqueue.add(pool_key(*key))

    def ref(self, ident: str) -> Ref:
        """The pool's names."""
        namespace, name = names_of(ident)
        pool = self._cache.pools.pools.get((namespace, name))
        return Ref(kind=KIND, namespace=namespace, name=name, uid=pool.uid if pool is not None else "")

    def decide(self, ident: str) -> Work:
        """Apply the Deployment if it isn't as the spec says, else write the status if it says something else."""
        pool = self._cache.pools.pools.get(names_of(ident))
        if pool is None or pool.deleting:
            self._forget(ident)
            return NOTHING
        now = self._clock()
        try:
            manifest = build_deployment(pool, defaults=self._defaults())
        except PoolSpecError as error:
            return self._report(ident, pool, Cause(Reason.INVALID_TASK, str(error)))
        digest, deployment = applied_digest(manifest), self._cache.pools.deployments.get(pool.uid)
        refused = self._refused.get(pool.uid)
        if refused is not None and (refused[0] != digest or now >= refused[2]):
            refused = None
        current = deployment is not None and deployment.applied == digest == self._applied.get(pool.uid)
        if not current and refused is None:
            return Work(partial(self._apply, ident, pool, manifest, digest))
        work = self._report(ident, pool, refused[1] if refused is not None else None)
        if refused is None:
            return work
        return Work(work.run, min(work.wake_at or refused[2], refused[2]))

    def _report(self, ident: str, pool: PoolRecord, refused: Cause | None) -> Work:
        now, slots = self._clock(), self._cache.admission.pools
        deployment = self._cache.pools.deployments.get(pool.uid)
        trouble = refused or pool_trouble(pool, deployment, self._cache.pools.workers_of(pool.key))
        waiting = self._cache.admission.waiting_for_pool(pool.key)
        status = pool_status(pool, deployment, slots.count(pool.key), waiting=waiting, trouble=trouble, now=now)
        return self._statuses.report(ident, pool, status)

    async def _apply(self, ident: str, pool: PoolRecord, manifest: JsonObject, digest: str) -> None:
        refusal = await self._refuse(pool)
        if refusal is None:
            path = f"/apis/apps/v1/namespaces/{pool.namespace}/deployments/{_name_of(manifest)}"
            try:
                made = await self._client.apply(path, manifest, resource="deployments")
            except KubeError as error:
                if error.code in (401, 404, 408, 409, 429) or error.code >= 500:
                    raise
                refusal = Cause("CreateRefused", f"its Deployment: {error.message}")
                self._log.info(
                    "deployment refused",
                    pool=pool.name,
                    namespace=pool.namespace,
                    message=error.message,
                    transient=is_transient(error),
                )
            else:
                self._applied[pool.uid] = digest
                self._refused.pop(pool.uid, None)
                self._cache.upserted("deployments", made)
        if refusal is not None:
            self._refused[pool.uid] = (digest, refusal, self._clock() + RETRY_SECONDS)
            self._cache.admission.pools.set_pool(pool.key, trouble=refusal)
        self._workqueue.add(pool_key(pool.namespace, pool.name))

    async def _refuse(self, pool: PoolRecord) -> Cause | None:
        settings = self._settings
        misplaced = refuse_namespace(pool.namespace, own=settings.release_namespace, listed=settings.namespaces)
        if misplaced is not None:
            return misplaced
        violation = baseline_violation(pool.spec.get("podTemplate")) if settings.require_baseline else None
        if violation is None:
            return None
        labels = await self._labels.read(pool.namespace)
        return refuse_host_access(violation, labels, namespace=pool.namespace)

    def _forget(self, ident: str) -> None:
        self._statuses.forget(ident)
        self._waiting.pop(names_of(ident), None)
        alive = {pool.uid for pool in self._cache.pools.pools.values()}
        for kept in (self._applied, self._refused):
            for uid in [uid for uid in kept if uid not in alive]:
                del kept[uid]


def _name_of(manifest: JsonObject) -> str:
    metadata = manifest["metadata"]
    return str(metadata["name"]) if isinstance(metadata, dict) else ""
