"""Schedules are not carried out by this version: each is told so by its condition Ready, never met with silence."""

import asyncio
import time
from collections.abc import Callable

import aiohttp
import structlog
from tidegate_api.names import GROUP, VERSION, Reason

from tidegate_operator.kube import KubeClient, KubeError, NotLeadingError
from tidegate_operator.records import Json, NamedRecord
from tidegate_operator.timestamps import format_time

RETRY_SECONDS = 2.0


class ScheduleAnswers:
    """Writes the condition, once a generation."""

    def __init__(self, client: KubeClient, *, clock: Callable[[], float] = time.time) -> None:
        self._client, self._clock = client, clock
        self._queue: asyncio.Queue[NamedRecord] = asyncio.Queue()
        self._log = structlog.get_logger(__name__)

    def offer(self, schedule: NamedRecord) -> None:
        """A Schedule was seen."""
        if not any(c.get("observedGeneration") == schedule.generation for c in schedule.status.get("conditions") or ()):
            self._queue.put_nowait(schedule)

    async def run(self) -> None:
        """Answer what was offered, for ever."""
        while True:
            schedule = await self._queue.get()
            try:
                await self._answer(schedule)
            except (KubeError, NotLeadingError, aiohttp.ClientError, TimeoutError, OSError) as error:
                if isinstance(error, KubeError) and error.code in (404, 409):
                    continue  # gone, or changed: it is offered again
                self._log.warning("schedule not answered", schedule=schedule.name, error=str(error) or repr(error))
                await asyncio.sleep(RETRY_SECONDS)
                self._queue.put_nowait(schedule)

    async def _answer(self, schedule: NamedRecord) -> None:
        condition = {
            "type": "Ready",
            "status": "False",
            "reason": str(Reason.NOT_SUPPORTED),
            "message": "schedules are not supported by this version of Tidegate: no runs are created",
            "observedGeneration": schedule.generation,
            "lastTransitionTime": format_time(self._clock()),
        }
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{schedule.namespace}/schedules/{schedule.name}/status"
        patch: list[Json] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": str(schedule.version)},
            {"op": "add", "path": "/status", "value": {"conditions": [condition]}},
        ]
        await self._client.json_patch(path, patch, resource="schedules/status")
