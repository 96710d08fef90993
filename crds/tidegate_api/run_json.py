"""Resources as the JSON of the HTTP API. The command writes the same where it asks the cluster itself: its output does not depend on the
way that was taken.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from tidegate_api.names import REQUESTED_BY_ANNOTATION


class Definition(TypedDict):
    """A Task, Queue or Schedule."""

    name: str
    uid: str
    project: str
    resourceVersion: str
    createdAt: str
    labels: dict[str, str]
    requestedBy: str | None
    spec: dict[str, Any]
    status: dict[str, Any]


def definition_json(resource: Mapping[str, Any]) -> Definition:
    """A Task, Queue or Schedule as the apiserver has it."""
    metadata = resource["metadata"]
    return {
        "name": metadata["name"],
        "uid": metadata["uid"],
        "project": metadata["namespace"],
        "resourceVersion": metadata["resourceVersion"],
        "createdAt": metadata["creationTimestamp"],
        "labels": metadata.get("labels") or {},
        "requestedBy": requested_by(metadata),
        "spec": resource.get("spec") or {},
        "status": resource.get("status") or {},
    }


def requested_by(metadata: Mapping[str, Any]) -> str | None:
    """Who an object says has asked for it."""
    name: str | None = (metadata.get("annotations") or {}).get(REQUESTED_BY_ANNOTATION)
    return name
