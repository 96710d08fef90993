"""Warning Events on our objects, for people who ask kubectl what went wrong. What goes well posts none: each is a write."""

import time
from collections.abc import Callable
from typing import Final

import structlog
from tidegate_api.names import API_VERSION
from tidegate_api.times import format_second

from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.errors import KubeError
from tidegate_operator.records.definitions import ScheduleRecord
from tidegate_operator.records.run import RunRecord

MESSAGE_MOST: Final = 1024
"""Characters that the apiserver takes."""

REASON_MOST: Final = 128
NAME_MOST: Final = 50
"""Of an Event's own name, before what the apiserver adds to make it unique."""


class Warnings:
    """Posts them. One that is refused is no fault of what it is about: that is logged."""

    def __init__(self, client: KubeClient, *, clock: Callable[[], float] = time.time) -> None:
        self._client, self._clock = client, clock
        self._log = structlog.get_logger(__name__)

    async def post(self, about: RunRecord | ScheduleRecord, *, reason: str, message: str) -> None:
        """One Warning."""
        event = build_warning(about, reason=reason, message=message, now=self._clock())
        try:
            await self._client.create(f"/api/v1/namespaces/{about.namespace}/events", event, resource="events")
        except KubeError as error:
            self._log.warning("event refused", about=about.name, namespace=about.namespace, error=str(error))


def build_warning(about: RunRecord | ScheduleRecord, *, reason: str, message: str, now: float) -> dict[str, object]:
    """The Event."""
    at = format_second(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{about.name[:NAME_MOST]}.", "namespace": about.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "TaskRun" if isinstance(about, RunRecord) else "Schedule",
            "name": about.name,
            "namespace": about.namespace,
            "uid": about.uid,
        },
        "type": "Warning",
        "reason": reason[:REASON_MOST],
        "message": message[:MESSAGE_MOST],
        "source": {"component": "tidegate-operator"},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
