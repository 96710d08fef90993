"""One leading replica, by a Lease, and a clock that every write asks first.

The Lease is renewed by a thread with an event loop of its own: a main loop that is stuck must not keep a Lease that it does
no work under, and a busy one must not lose it. Another's Lease is judged by how long *we* have seen it unchanged, never by
the times that it carries: clocks differ.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

import structlog
from tidegate_api.objects import LeaseBody, LeaseSpec
from tidegate_api.times import format_micro

from tidegate_operator.kube.client import WRITE_TIMEOUT, Cluster, KubeClient
from tidegate_operator.kube.errors import REQUEST_FAILED, KubeError, NotLeadingError
from tidegate_operator.metrics import Metrics

STUCK_SECONDS: Final = 5.0
"""A main loop that hasn't ticked for so long doesn't lead any more."""


class State(Enum):
    """How this replica stands."""

    STANDBY = "standby"
    LEADING = "leading"
    LOST = "lost"


class Lease:
    """Acquires, renews and releases the Lease; answers whether a write is allowed right now."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration: float,
        renew_deadline: float,
        retry: float,
        metrics: Metrics,
        annotations: Callable[[], Mapping[str, str]] = dict,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`annotations`: what the Lease says about its holder beside its name; asked at each renewal."""
        self._cluster, self._metrics, self._monotonic = cluster, metrics, monotonic
        self._annotations = annotations
        self._namespace, self._name, self.identity = namespace, name, identity
        self._duration, self._renew_deadline, self._retry = duration, renew_deadline, retry
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._state = State.STANDBY
        self._renewed = float("-inf")
        self._ticked = monotonic()
        self._observed: tuple[str, float] = ("", 0.0)
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._keep()), name="lease", daemon=True)
        self._log = structlog.get_logger(__name__).bind(lease=f"{namespace}/{name}", identity=identity)

    @property
    def state(self) -> State:
        """How this replica stands."""
        return self._state

    def start(self) -> None:
        """Begin to try for the Lease."""
        self._thread.start()

    def tick(self) -> None:
        """The main loop is alive. Called by it about once a second."""
        self._ticked = self._monotonic()

    def guard(self) -> None:
        """Raise NotLeadingError unless this replica leads beyond doubt, for as long as one write may take."""
        if self._state is not State.LEADING:
            raise NotLeadingError("this replica does not hold the Lease")
        if self._monotonic() > self._renewed + self._renew_deadline:
            raise NotLeadingError("the Lease has not been renewed in time; the write is tried again once it is")

    async def wait_for(self, *states: State) -> State:
        """Until this replica stands in one of `states`."""
        while self._state not in states:
            await asyncio.to_thread(self._wait_changed)
        return self._state

    def release(self) -> None:
        """Stop renewing and let another take over at once. Blocks for a moment."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _wait_changed(self) -> None:
        with self._changed:
            self._changed.wait(timeout=0.5)

    def _set(self, state: State) -> None:
        if state is not self._state:
            self._log.info("lease", state=state.value)
            self._state = state
            self._metrics.leader.set(1 if state is State.LEADING else 0)
        with self._changed:
            self._changed.notify_all()

    async def _keep(self) -> None:
        async with KubeClient(self._cluster, metrics=self._metrics, limit=2) as client:
            while not self._stop.is_set() and self._state is not State.LOST:
                try:
                    await self._step(client)
                except Exception as error:
                    # The apiserver may be away: writes are refused by the clock, the replica stays. Whatever else it is,
                    # a thread that ended of it would have all writes refused for ever.
                    self._log.warning("lease not renewed", error=str(error) or repr(error))
                await asyncio.to_thread(self._stop.wait, self._retry)
            if self._state is State.LEADING:
                await self._give_up(client)

    async def _step(self, client: KubeClient) -> None:
        if self._state is State.LEADING and self._monotonic() - self._ticked > STUCK_SECONDS:
            return
        begin = self._monotonic()
        lease = await self._read(client)
        if lease is None:
            await client.create(self._path, self._body(None), resource="leases")
            self._lead(begin)
            return
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        version = lease["metadata"]["resourceVersion"]
        if version != self._observed[0]:
            self._observed = (version, begin)
        if self._state is State.LEADING and holder != self.identity:
            # Also when it is free now: another replica held it, and may have acted on the same runs.
            self._set(State.LOST)
            return
        if holder and holder != self.identity:
            length = float(spec.get("leaseDurationSeconds") or self._duration)
            if self._monotonic() - self._observed[1] < length:
                return
        try:
            await client.replace(f"{self._path}/{self._name}", self._body(lease), resource="leases")
        except KubeError as error:
            if not error.conflict:
                raise
            return  # another was quicker: the next step reads what it wrote
        self._lead(begin)

    def _lead(self, begin: float) -> None:
        # Counted from before the request: it may have been served long before its answer came.
        self._renewed = begin
        self._set(State.LEADING)

    async def _read(self, client: KubeClient) -> LeaseBody | None:
        try:
            # An answer that doesn't come must not cost the Lease.
            return await client.get(f"{self._path}/{self._name}", LeaseBody, resource="leases", seconds=WRITE_TIMEOUT)
        except KubeError as error:
            if error.code == 404:
                return None
            raise

    async def _give_up(self, client: KubeClient) -> None:
        self._set(State.LOST)
        try:
            lease = await self._read(client)
            if lease and (lease.get("spec") or {}).get("holderIdentity") == self.identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await client.replace(f"{self._path}/{self._name}", lease, resource="leases")
        except REQUEST_FAILED as error:
            self._log.warning("lease not released", error=str(error) or repr(error))

    def _body(self, before: LeaseBody | None) -> dict[str, object]:
        now = format_micro(time.time())
        spec: LeaseSpec = {**((before.get("spec") if before is not None else None) or {})}
        if spec.get("holderIdentity") != self.identity:
            spec["leaseTransitions"] = spec.get("leaseTransitions", 0) + (1 if before else 0)
            spec["acquireTime"] = now
        spec |= {"holderIdentity": self.identity, "leaseDurationSeconds": round(self._duration) or 1, "renewTime": now}
        annotations = (before["metadata"].get("annotations") if before is not None else None) or {}
        meta: dict[str, object] = {
            **(before["metadata"] if before is not None else {"name": self._name, "namespace": self._namespace}),
            "annotations": {**annotations, **self._annotations()},
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
