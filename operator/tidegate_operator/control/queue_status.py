"""What goes on in each Queue, written into its status: at most once a second, and only when it has changed."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from tidegate_api.bodies import QueueStatusBody

from tidegate_operator.control.set_aside import mark_set_aside
from tidegate_operator.control.workqueue import NOTHING, Work, Workqueue
from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.paths import own_path
from tidegate_operator.policies.status import queue_status
from tidegate_operator.records.definitions import QueueRecord
from tidegate_operator.records.faults import Fault, FaultError, Ref
from tidegate_operator.state.cache import Cache
from tidegate_operator.state.keys import names_of, queue_key
from tidegate_operator.state.quarantine import RETRY_SECONDS

KIND = "queues"
PAUSE_SECONDS = 1.0

EARLY_SECONDS = 1.0
"""The workqueue comes back after RETRY_SECONDS, counted from when it saw the fault: a moment after `fault_at`, or before it."""


class QueueReporter:
    """Queues as keys of the workqueue: in which something has changed gets its status written."""

    def __init__(
        self, client: KubeClient, cache: Cache, workqueue: Workqueue, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client, self._cache, self._workqueue, self._clock = client, cache, workqueue, clock
        self._written: dict[str, float] = {}
        """When the status of a Queue was written last: its own echo, and runs that change, ask for it again at once."""

    async def run(self) -> None:
        """Once a second, look at the Queues whose numbers have changed."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if self._cache.complete:
                for key in self._cache.admission.take_changed():
                    self._workqueue.add(queue_key(*key))

    def ref(self, ident: str) -> Ref:
        """The Queue's names."""
        namespace, name = names_of(ident)
        queue = self._cache.find_queue(namespace, name)
        return Ref(kind=KIND, namespace=namespace, name=name, uid=queue.uid if queue is not None else "")

    def decide(self, ident: str) -> Work:
        """Write the status, if it says something else."""
        namespace, name = names_of(ident)
        queue, state = self._cache.find_queue(namespace, name), self._cache.admission.queue(namespace, name)
        if queue is None or state is None:
            self._written.pop(ident, None)
            return NOTHING
        if state.fault is not None:
            if self._clock() < state.fault_at + RETRY_SECONDS - EARLY_SECONDS:
                raise FaultError(state.fault)
            self._cache.admission.try_again(namespace, name)
            self._workqueue.wake()
        status = queue_status(queue, state, now=self._clock())
        if status == queue.status:
            return NOTHING
        again_at = self._written.get(ident, 0.0) + PAUSE_SECONDS
        if 0 < again_at - self._clock() <= PAUSE_SECONDS:  # further off: the clock was set back
            return Work(wake_at=again_at)
        return Work(partial(self._write, ident, queue, status))

    def drained(self) -> None:
        """Nothing follows from it."""

    async def set_aside(self, ident: str, fault: Fault) -> float | None:
        """Say so in the Queue's conditions."""
        await mark_set_aside(self._client, own_path(KIND, *names_of(ident)), fault, resource=KIND, now=self._clock())
        return None

    async def recovered(self, ident: str) -> None:
        """Take the condition away."""
        await mark_set_aside(self._client, own_path(KIND, *names_of(ident)), None, resource=KIND, now=self._clock())

    async def _write(self, ident: str, queue: QueueRecord, status: QueueStatusBody) -> None:
        self._written[ident] = self._clock()
        path = own_path(KIND, queue.namespace, queue.name)
        self._cache.upserted(KIND, await self._client.write_status(path, status, version=queue.version, resource=KIND))
