"""What goes on in each Queue, written into its status: at most once a second, and only when it has changed."""

import asyncio
import time
from collections.abc import Callable

from tidegate_operator.control.paced_status import PAUSE_SECONDS, PacedStatus
from tidegate_operator.control.set_aside import SetAsideByCondition
from tidegate_operator.control.workqueue import NOTHING, Work, Workqueue
from tidegate_operator.kube.client import KubeClient
from tidegate_operator.policies.status import queue_status
from tidegate_operator.records.faults import FaultError, Ref
from tidegate_operator.state.cache import Cache
from tidegate_operator.state.keys import names_of, queue_key
from tidegate_operator.state.quarantine import RETRY_SECONDS

KIND = "queues"

EARLY_SECONDS = 1.0
"""The workqueue comes back after RETRY_SECONDS, counted from when it saw the fault: a moment after `fault_at`, or before it."""


class QueueReporter(SetAsideByCondition):
    """Queues as keys of the workqueue: in which something has changed gets its status written."""

    def __init__(
        self, client: KubeClient, cache: Cache, workqueue: Workqueue, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(client, kind=KIND, clock=clock)
        self._cache, self._workqueue = cache, workqueue
        self._statuses = PacedStatus(client, cache, kind=KIND, clock=clock)

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
            self._statuses.forget(ident)
            return NOTHING
        if state.fault is not None:
            if self._clock() < state.fault_at + RETRY_SECONDS - EARLY_SECONDS:
                raise FaultError(state.fault)
            self._cache.admission.try_again(namespace, name)
            self._workqueue.wake()
        return self._statuses.report(ident, queue, queue_status(queue, state, now=self._clock()))
