"""Resources as the JSON of the HTTP API. The command writes the same where it asks the cluster itself: its output does not depend on the
way that was taken.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from tidegate_api.bodies import JsonObject, TaskRunSpecBody, TaskRunStatusBody
from tidegate_api.names import REQUESTED_BY_ANNOTATION
from tidegate_api.objects import ObjectMeta


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


class Requester(TypedDict):
    """Who asked for a run."""

    name: str
    verified: bool


class ListedRun(TypedDict):
    """A run in a list."""

    uid: str
    name: str
    project: str
    phase: str
    reason: str | None
    message: str | None
    task: str | None
    queue: str | None
    schedule: str | None
    batch: str | None
    tags: list[str]
    attempt: int
    createdAt: str | None
    startedAt: str | None
    finishedAt: str | None
    parent: str | None
    queuedAt: str | None
    deletedAt: str | None
    requestedBy: Requester | None
    progress: float | None
    progressMessage: str | None


class RunJson(ListedRun):
    """A run by itself."""

    metadata: JsonObject
    labels: dict[str, str]
    spec: TaskRunSpecBody
    status: TaskRunStatusBody


class Why(TypedDict, total=False):
    """What a run waits for, and its place in line where that is known."""

    reason: str | None
    message: str | None
    position: int | None


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


def requested_by(metadata: Mapping[str, Any] | ObjectMeta) -> str | None:
    """Who an object says has asked for it."""
    name: str | None = (metadata.get("annotations") or {}).get(REQUESTED_BY_ANNOTATION)
    return name
