"""What goes on in each Queue, written into its status: at most once a second, and only when it has changed."""

import asyncio
import math
import time
from collections.abc import Callable

import aiohttp
import structlog
from tidegate_api.names import GROUP, VERSION

from tidegate_operator.cache import Cache
from tidegate_operator.kube import KubeClient, KubeError, NotLeadingError
from tidegate_operator.observer import Observer
from tidegate_operator.policies.admission import QueueState
from tidegate_operator.records import Json, NamedRecord
from tidegate_operator.timestamps import format_time

PAUSE_SECONDS = 1.0


class QueueReporter:
    """Writes the status of Queues in which something has changed."""

    def __init__(
        self, client: KubeClient, cache: Cache, observer: Observer, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client, self._cache, self._observer, self._clock = client, cache, observer, clock
        self._log = structlog.get_logger(__name__)

    async def run(self) -> None:
        """Report for ever."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if not self._cache.complete:
                continue
            admission = self._cache.admission
            for key in admission.take_changed():
                queue, state = self._cache.find_named("queues", *key), admission.queue(*key)
                if queue is not None and state is not None and not await self._report(queue, state):
                    admission.changed.add(key)

    async def _report(self, queue: NamedRecord, state: QueueState) -> bool:
        status = queue_status(queue, state, now=self._clock())
        if status == queue.status:
            return True
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{queue.namespace}/queues/{queue.name}/status"
        patch: list[Json] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": str(queue.version)},
            {"op": "add", "path": "/status", "value": status},
        ]
        try:
            self._observer.saw("queues", await self._client.json_patch(path, patch, resource="queues/status"))
        except (KubeError, NotLeadingError, aiohttp.ClientError, TimeoutError, OSError) as error:
            if not (isinstance(error, KubeError) and error.code in (404, 409)):  # gone, or seen anew in a moment
                self._log.warning("queue not reported", queue=queue.name, error=str(error) or repr(error))
            return False
        return True


def queue_status(queue: NamedRecord, state: QueueState, *, now: float) -> Json:
    """The status of a Queue, built on what stands there."""
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "its limits are kept",
        "observedGeneration": queue.generation,
    }
    before: Json = next((c for c in queue.status.get("conditions") or () if c["type"] == "Ready"), {})
    since = before.get("lastTransitionTime") if before.get("status") == "True" else None
    status: Json = {
        "observedGeneration": queue.generation,
        "pending": len(state.line),
        "running": len(state.holders),
        "conditions": [{**ready, "lastTransitionTime": since or format_time(now)}],
    }
    if (oldest := state.line.oldest) is not None:
        status["oldestPendingAt"] = format_time(oldest)
    if (bucket := state.bucket) is not None:
        # Rounded down: read back after a restart, it must never say that more is left.
        tokens = math.floor(bucket.tokens * 1000) / 1000
        status["rateBucket"] = {"tokens": f"{tokens:.3f}", "at": format_time(bucket.at)}
    return status
