"""What Events say about a pod that has a node and doesn't run. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tidegate_api.names import Reason
from tidegate_api.objects import EventBody

from tidegate_operator.records.run import Cause

_CONTAINER = re.compile(r"spec\.(initContainers|containers)\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Said:
    """What an Event says."""

    reason: str
    message: str
    field_path: str
    """Which part of its object it is about."""


def newest_event(events: Iterable[EventBody]) -> Said | None:
    """The last Event, if it says anything."""
    newest = max(events, key=_when, default=None)
    if newest is None or not newest.get("message"):
        return None
    about = (newest.get("involvedObject") or {}).get("fieldPath") or ""
    return Said(newest.get("reason") or Reason.SCHEDULING, newest["message"], about)


def trouble_of_pod(events: Iterable[EventBody], *, node: str) -> Cause:
    """The newest warning; without one the image that is being pulled; else that the pod starts.

    While the kubelet pulls an image it posts no status, so a registry that doesn't answer shows in its Event alone.
    """
    found = list(events)
    warning = newest_event(event for event in found if event.get("type") == "Warning")
    if warning is not None:
        return Cause(warning.reason, warning.message)
    said = newest_event(found)
    if said is None or said.reason != "Pulling":
        return Cause(Reason.PULLING_IMAGE, f"starting on node {node}")
    return Cause(Reason.PULLING_IMAGE, f"{_container(said.field_path)}{said.message} on node {node}")


def _container(field_path: str) -> str:
    """`init container migrate: `, where the Event is about one."""
    match = _CONTAINER.fullmatch(field_path)
    if match is None:
        return ""
    return f"{'init container' if match[1] == 'initContainers' else 'container'} {match[2]}: "


def _when(event: EventBody) -> tuple[str, int]:
    # Events of one second are in the order in which they were written.
    at = str(event.get("lastTimestamp") or event.get("eventTime") or "")
    meta = event.get("metadata")
    version = meta["resourceVersion"] if meta else ""
    return at[:19], int(version) if version.isdecimal() else 0
