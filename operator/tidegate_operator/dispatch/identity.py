"""Who is at the other end: a worker is the pod that its token names, of a pool that owns it.

The token is a projected service account token of the pod, checked by TokenReview; the pod is proven to be a pool's by ownership
(ReplicaSet, Deployment, WorkerPool, by uid), never by its labels.

Reviews are few, and any pod may ask for one: a token is reviewed only if it claims to be of a worker pod that is known, and for as
long as its client waits. The server has one client a pod wait. So strangers can't fill the line that workers stand in.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tidegate_api.names import TOKEN_AUDIENCE
from tidegate_api.objects import KubeObject, ReviewedUser
from tidegate_api.ownership import controller_uid
from tidegate_api.pod_tokens import bound_pod

from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.errors import REQUEST_FAILED, KubeError
from tidegate_operator.policies.worker_pods import is_same_instance
from tidegate_operator.records.pool import WorkerPodRecord
from tidegate_operator.records.run import PoolKey
from tidegate_operator.state.pool_index import PoolIndex

REVIEWS_A_SECOND: Final = 10
LOOK_SECONDS: Final = 0.1
STATUS_SECONDS: Final = 10.0
"""How long a worker may wait until its pod's status names its container: the kubelet reports it a moment after its start."""
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class IdentityError(Exception):
    """The peer isn't a worker that is known here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A worker."""

    pod: WorkerPodRecord
    instance: str
    """Its container instance."""
    pool: PoolKey | None
    """None for a worker whose pool is gone."""


class Identifier:
    """Finds out who a worker is. One TokenReview a question, a bounded number of them a second, first come, first served."""

    def __init__(
        self, client: KubeClient, pools: PoolIndex, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._pools, self._monotonic = client, pools, monotonic
        self._line = asyncio.Lock()
        self._next_review = 0.0
        self._deployments: dict[str, str] = {}
        """Uid of the Deployment by that of its ReplicaSet."""

    def is_there(self, pod_uid: str) -> bool:
        """Whether the worker pod is known."""
        return pod_uid in self._pools.workers

    async def claimed_pod(self, token: str, *, wanted: Callable[[], bool]) -> str:
        """Uid of the pod that a token claims to be of, once that is known as a worker pod. It proves nothing. `wanted`: whether the
        client still waits. Raises IdentityError."""
        uid = bound_pod(token, audience=TOKEN_AUDIENCE)
        if uid is None:
            raise IdentityError("it is no token of a pod for Tidegate")
        until = self._monotonic() + STATUS_SECONDS
        while uid not in self._pools.workers:
            if not wanted() or self._monotonic() >= until:
                raise IdentityError("there is no such worker pod")
            await asyncio.sleep(LOOK_SECONDS)
        return uid

    async def identify(self, token: str, *, started: float, wanted: Callable[[], bool]) -> Identity:
        """The worker that shows `token` and whose process began at `started`, by its node's clock. Raises IdentityError."""
        pod_uid = await self.pod_of(token, wanted=wanted)
        pod = await self._status_of(pod_uid, started=started)
        assert pod.container is not None
        return Identity(pod=pod, instance=pod.container, pool=await self._pool_of(pod))

    async def pod_of(self, token: str, *, wanted: Callable[[], bool]) -> str:
        """Uid of the pod that a token was made for. Raises IdentityError."""
        await self._wait_for_review(wanted)
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [TOKEN_AUDIENCE]},
        }
        try:
            status = (await self._client.review(review)).get("status") or {}
        except REQUEST_FAILED as error:
            raise IdentityError(f"the token can't be reviewed now: {error!r}") from error
        if not status.get("authenticated") or TOKEN_AUDIENCE not in (status.get("audiences") or ()):
            raise IdentityError("the token is no good")
        user = status.get("user") or ReviewedUser()
        uids = (user.get("extra") or {}).get("authentication.kubernetes.io/pod-uid") or [""]
        if not uids[0]:
            raise IdentityError("the token is bound to no pod")
        return uids[0]

    async def _wait_for_review(self, wanted: Callable[[], bool]) -> None:
        """Wait for this client's turn. A client that is gone when its turn comes takes none."""
        async with self._line:
            if wanted() and (wait := self._next_review - self._monotonic()) > 0:
                await asyncio.sleep(wait)
            if not wanted():
                raise IdentityError("its client is gone")
            self._next_review = self._monotonic() + 1.0 / REVIEWS_A_SECOND

    async def _status_of(self, pod_uid: str, *, started: float) -> WorkerPodRecord:
        until = self._monotonic() + STATUS_SECONDS
        while True:
            pod = self._pools.workers.get(pod_uid)
            if pod is not None and not pod.terminal and is_same_instance(pod, started=started):
                return pod
            if self._monotonic() >= until:
                raise IdentityError(
                    "there is no such worker pod" if pod is None else f"pod {pod.name} reports another container"
                )
            await asyncio.sleep(LOOK_SECONDS)

    async def _pool_of(self, pod: WorkerPodRecord) -> PoolKey | None:
        if pod.owner is None:
            raise IdentityError(f"pod {pod.name} belongs to no ReplicaSet")
        deployment = await self._deployment_of(pod.namespace, *pod.owner)
        found = next((d for d in self._pools.deployments.values() if d.uid == deployment), None)
        if found is None:
            return None
        return next((key for key, pool in self._pools.pools.items() if pool.uid == found.pool_uid), None)

    async def _deployment_of(self, namespace: str, name: str, uid: str) -> str | None:
        """None for a ReplicaSet that was collected with its pool: its pods drain for minutes after it."""
        if (known := self._deployments.get(uid)) is not None:
            return known
        path = f"/apis/apps/v1/namespaces/{namespace}/replicasets/{name}"
        try:
            body = await self._client.get(path, KubeObject, resource="replicasets", accept=METADATA)
        except KubeError as error:
            if error.code == 404:
                return None
            raise IdentityError(f"its ReplicaSet {name} can't be read: {error}") from error
        except REQUEST_FAILED as error:
            raise IdentityError(f"its ReplicaSet {name} can't be read now: {error!r}") from error
        owner = controller_uid(body["metadata"], kind="Deployment")
        if body["metadata"]["uid"] != uid or owner is None:
            raise IdentityError(f"ReplicaSet {name} belongs to no Deployment")
        if len(self._deployments) >= 10_000:
            self._deployments.clear()
        self._deployments[uid] = owner
        return owner
