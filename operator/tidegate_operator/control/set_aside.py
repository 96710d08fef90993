"""The condition SetAside of an object with which reading it, deciding on it or writing it breaks.

It is written beside whatever else the status holds, so that a status that can't be understood stays as it is.
"""

from collections.abc import Callable
from typing import TypedDict

from tidegate_api.names import SET_ASIDE_CONDITION
from tidegate_api.objects import Condition, KubeObject
from tidegate_api.times import format_time

from tidegate_operator.kube.client import KubeClient
from tidegate_operator.kube.paths import own_path
from tidegate_operator.records.faults import Fault
from tidegate_operator.state.keys import names_of


class SetAsideByCondition:
    """The part of a workqueue's handler that is the same for all kinds whose objects have the condition."""

    def __init__(self, client: KubeClient, *, kind: str, clock: Callable[[], float]) -> None:
        self._client, self._kind, self._clock = client, kind, clock

    async def set_aside(self, ident: str, fault: Fault) -> float | None:
        """Set the condition. What the object has made stays as it is."""
        await self._mark(ident, fault)
        return None

    async def recovered(self, ident: str) -> None:
        """Take the condition away."""
        await self._mark(ident, None)

    def drained(self) -> None:
        """Nothing follows from it."""

    async def _mark(self, ident: str, fault: Fault | None) -> None:
        path = own_path(self._kind, *names_of(ident))
        await mark_set_aside(self._client, path, fault, resource=self._kind, now=self._clock())


class _Status(TypedDict, total=False):
    conditions: list[Condition]


class _Conditioned(KubeObject, total=False):
    status: _Status


async def mark_set_aside(client: KubeClient, path: str, fault: Fault | None, *, resource: str, now: float) -> None:
    """Write the condition; without a fault, take it away. Raises KubeError."""
    body = await client.get(path, _Conditioned, resource=resource)
    status = body.get("status") or {}
    found = status.get("conditions") or []
    others = [c for c in found if c.get("type") != SET_ASIDE_CONDITION]
    if fault is None and len(others) == len(found):
        return
    wanted = [*others, condition(fault, now=now)] if fault is not None else others
    if [_without_time(c) for c in wanted] == [_without_time(c) for c in found]:
        return
    patch = {
        "metadata": {"uid": body["metadata"]["uid"], "resourceVersion": body["metadata"]["resourceVersion"]},
        "status": {"conditions": wanted},
    }
    await client.merge_patch(f"{path}/status", patch, resource=f"{resource}/status")


def condition(fault: Fault, *, now: float) -> Condition:
    """The condition as it is written."""
    return {
        "type": SET_ASIDE_CONDITION,
        "status": "True",
        "reason": "InternalError",
        "message": fault.message,
        "lastTransitionTime": format_time(now),
    }


def _without_time(condition: Condition) -> dict[str, object]:
    return {k: v for k, v in condition.items() if k != "lastTransitionTime"}
