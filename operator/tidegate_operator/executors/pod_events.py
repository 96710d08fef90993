"""What Events say about a pod that has a node and doesn't run. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tidegate_api.names import Reason

from tidegate_operator.json_codec import Json
from tidegate_operator.records.run import Cause

_CONTAINER = re.compile(r"spec\.(initContainers|containers)\{([^{}]+)\}")


def newest_event(events: Iterable[Mapping[str, Any]]) -> Json | None:
    """The last Event, if it says anything: {reason, message, object}."""
    newest = max(events, key=_when, default=None)
    if newest is None or not newest.get("message"):
        return None
    about = (newest.get("involvedObject") or {}).get("fieldPath") or ""
    return {"reason": newest.get("reason") or Reason.SCHEDULING, "message": newest["message"], "object": about}


def trouble_of_pod(events: Iterable[Mapping[str, Any]], *, node: str) -> Cause:
    """The newest warning; without one the image that is being pulled; else that the pod starts.

    While the kubelet pulls an image it posts no status, so a registry that doesn't answer shows in its Event alone.
    """
    found = list(events)
    warning = newest_event(event for event in found if event.get("type") == "Warning")
    if warning is not None:
        return Cause(warning["reason"], warning["message"])
    said = newest_event(found)
    if said is None or said["reason"] != "Pulling":
        return Cause(Reason.PULLING_IMAGE, f"starting on node {node}")
    return Cause(Reason.PULLING_IMAGE, f"{_container(said['object'])}{said['message']} on node {node}")


def _container(field_path: str) -> str:
    """`init container migrate: `, where the Event is about one."""
    match = _CONTAINER.fullmatch(field_path)
    if match is None:
        return ""
    return f"{'init container' if match[1] == 'initContainers' else 'container'} {match[2]}: "


def _when(event: Mapping[str, Any]) -> tuple[str, int]:
    # Events of one second are in the order in which they were written.
    at = str(event.get("lastTimestamp") or event.get("eventTime") or "")
    version = str((event.get("metadata") or {}).get("resourceVersion") or "")
    return at[:19], int(version) if version.isdecimal() else 0
