"""List everything: at the start, so that nothing is decided on half a picture, and then now and again.

Watches lose things: after a re-list kopf never reports what was deleted meanwhile, and every restart of the apiserver causes
one. A sweep finds what no event reported. It lists consistently and never replaces a newer record with an older one.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from tidegate_api.names import MANAGED_BY, MANAGED_BY_LABEL
from tidegate_api.objects import KubeObject
from tidegate_api.projects import PROJECT_SELECTOR, may_be_project

from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.errors import REQUEST_FAILED
from tidegate_operator.kube.paths import OWN_GROUP
from tidegate_operator.memory import give_back
from tidegate_operator.metrics import Metrics
from tidegate_operator.records.run import Projects
from tidegate_operator.state.cache import Cache
from tidegate_operator.state.keys import Key, run_key

METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
RUNNING: Final = "status.phase!=Pending,status.phase!=Succeeded,status.phase!=Failed"
OURS: Final = {"labelSelector": f"{MANAGED_BY_LABEL}={MANAGED_BY}"}
# What a run refers to comes first, so that no run is judged by a Task that only wasn't read yet.
OWN_KINDS: Final = ("workerpools", "tasks", "queues", "schedules", "taskruns")
RETRY_SECONDS: Final = 1.0
BROKEN_SECONDS: Final = 30.0
GIVE_BACK_SECONDS: Final = 3.0
"""After a sweep: kopf lists beside the first one, and has worked through it by then."""

SETTLE_SECONDS: Final = 0.2
"""Where one watch starts again, others do too: one sweep does for all."""


class SteppedBackError(Exception):
    """The cluster is older than what was seen of it: its etcd was restored from a backup."""


class Sweeper:
    """Lists every kind; of pods, those that run: their informer lists the others too, once and after 410."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        is_busy: Callable[[Key], bool],
        *,
        namespaces: list[str],
        own_namespace: str | None,
        seconds: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
        give_back: Callable[[], None] = give_back,
    ) -> None:
        """``is_busy``: whether the workqueue works on a key right now. ``own_namespace``: where it has to be known which namespaces are projects, that which never is one.
        ``give_back`` is called a moment after each sweep."""
        self._clock, self._give_back = clock, give_back
        self._client, self._cache, self._key_is_busy = client, cache, is_busy
        self._namespaces, self._seconds, self._metrics = namespaces, seconds, metrics
        self._own_namespace = own_namespace
        self._wanted = asyncio.Event()
        self.swept = asyncio.Event()
        """Set with the end of the first sweep."""
        self._lists = frozenset(path for kind in OWN_KINDS for path in self._paths(OWN_GROUP, kind))
        self._unlisted = set(self._lists)
        """Lists that kopf hasn't made yet."""
        for kind in OWN_KINDS:
            metrics.corrections.labels(
                kind
            )  # first seen with its first count, it would look as if nothing had happened
        self._log = structlog.get_logger(__name__)

    def listed_by_watch(self, path: str) -> None:
        """kopf has made a list, to watch from there on: what was deleted before, only a later sweep finds."""
        self._unlisted.discard(path)
        if path in self._lists and not self._unlisted:
            self._wanted.set()

    async def run(self) -> None:
        """Sweep for ever. The first sweep is tried until it succeeds, quickly.

        Raises SteppedBackError: nothing that is known holds any more, and only a new start gets rid of all of it.
        """
        while True:
            try:
                await self.sweep()
                self._metrics.sweeps.labels("ok").inc()
                self.swept.set()
                asyncio.get_running_loop().call_later(GIVE_BACK_SECONDS, self._give_back)
                pause = self._seconds
            except REQUEST_FAILED as error:
                self._metrics.sweeps.labels("failed").inc()
                self._log.warning("sweep failed", error=str(error) or repr(error))
                pause = RETRY_SECONDS
            except SteppedBackError:
                raise
            except Exception:
                # A list that can't be processed says nothing about events: those are still handled.
                self._metrics.sweeps.labels("broken").inc()
                self._log.exception("sweep broke")
                pause = min(self._seconds, BROKEN_SECONDS) if self._cache.complete else RETRY_SECONDS
            await self._wait_wanted(pause)

    async def _wait_wanted(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
                if self._cache.complete:
                    await asyncio.sleep(SETTLE_SECONDS)
        except TimeoutError:
            pass

    async def sweep(self) -> None:
        """One full list of our kinds and of our Jobs."""
        self._wanted.clear()
        await self._list_projects()
        for kind in OWN_KINDS:
            await self._list_own(kind)
        await self._list_jobs()
        if self._cache.complete:
            await self._list_running_pods()
            self._cache.look_at_all()

    async def _list_projects(self) -> None:
        """Before the runs, which are marked at the end: a namespace that is a project no longer leaves its runs to us."""
        if self._own_namespace is None:
            return
        query, names, at = {"labelSelector": PROJECT_SELECTOR}, set[str](), self._clock()
        async for items, _ in self._client.pages(
            "/api/v1/namespaces", KubeObject, resource="namespaces", params=query, accept=METADATA_LIST
        ):
            names.update(item["metadata"]["name"] for item in items)
        own = self._own_namespace
        self._cache.projects = Projects(names=frozenset(n for n in names if may_be_project(n, own=own)), at=at)

    async def _list_own(self, kind: str) -> None:
        for path in self._paths(OWN_GROUP, kind):
            before = {record.uid: record.version for record in self._cache.records(kind)}
            newest = max(before.values(), default=0)
            seen: set[str] = set()
            version = 0
            async for items, text in self._client.pages(path, KubeObject, resource=kind):
                version = int(text)
                if version < newest:
                    raise SteppedBackError(f"{kind} were seen at version {newest}, the cluster is at {version}")
                for item in items:
                    uid = item["metadata"]["uid"]
                    seen.add(uid)
                    if int(item["metadata"]["resourceVersion"]) < before.get(uid, 0):
                        raise SteppedBackError(f"one of the {kind} is older than it was: {item['metadata']['name']}")
                    self._cache.upserted(kind, item)
            self._drop_ghosts(kind, before.keys() - seen, version=version, path=path)
        self._cache.synced(kind)

    async def _list_jobs(self) -> None:
        seen: set[str] = set()
        started = {a.job_uid for a in self._cache.attempts.all() if a.handover is None}
        for path in self._paths("/apis/batch/v1", "jobs"):
            async for items, _ in self._client.pages(
                path, KubeObject, resource="jobs", params=OURS, accept=METADATA_LIST
            ):
                for item in items:
                    seen.add(item["metadata"]["uid"])
                    self._cache.upserted("jobs", item)
        for attempt in self._cache.attempts.all():
            # A Job made while we listed isn't in the list, and isn't missing either.
            if attempt.job_uid in started - seen and not attempt.job_gone:
                self._cache.attempts.inspect_soon(attempt)
        if not self._cache.is_synced("jobs"):
            await self._list_pending_pods()
        self._cache.synced("jobs")

    async def _list_pending_pods(self) -> None:
        """Once, at the start: the informer doesn't follow pods that don't run yet, and their Job may be gone already."""
        query = {**OURS, "fieldSelector": "status.phase=Pending"}
        for path in self._paths("/api/v1", "pods"):
            async for items, _ in self._client.pages(
                path, KubeObject, resource="pods", params=query, accept=METADATA_LIST
            ):
                for item in items:
                    self._cache.upserted("pods", item)

    async def _list_running_pods(self) -> None:
        """Which pods run: the event of one that no longer does may have been lost."""
        query = {**OURS, "fieldSelector": RUNNING}
        for path in self._paths("/api/v1", "pods"):
            listed: list[str] = []
            version = 0
            async for items, text in self._client.pages(
                path, KubeObject, resource="pods", params=query, accept=METADATA_LIST
            ):
                version = int(text)
                listed += [item["metadata"]["uid"] for item in items]
            namespace = path.split("/")[4] if "/namespaces/" in path else None
            self._cache.missing_pods(listed, version=version, namespace=namespace)

    def _drop_ghosts(self, kind: str, missing: set[str], *, version: int, path: str) -> None:
        """Forget what the list at `version` didn't have, unless it was seen later or is being written right now."""
        for record in self._cache.records(kind):
            if record.uid not in missing or record.version > version or self._is_busy(kind, record.uid):
                continue
            if "/namespaces/" in path and f"/namespaces/{record.namespace}/" not in path:
                continue
            self._metrics.corrections.labels(kind).inc()
            self._cache.forget(kind, namespace=record.namespace, name=record.name, uid=record.uid)

    def _is_busy(self, kind: str, uid: str) -> bool:
        return kind == "taskruns" and self._key_is_busy(run_key(uid))

    def _paths(self, prefix: str, plural: str) -> list[str]:
        return [f"{prefix}/namespaces/{n}/{plural}" for n in self._namespaces] or [f"{prefix}/{plural}"]
