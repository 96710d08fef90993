"""Runs in the cluster as the HTTP API describes them (`docs/reference/http.md`)."""

from typing import Final, cast

from tidegate_api.bodies import TaskRunBody
from tidegate_api.names import SCHEDULE_LABEL
from tidegate_api.objects import ObjectMeta
from tidegate_api.run_json import ListedRun, Requester, RunJson, requested_by
from tidegate_api.times import rfc3339

from tidegate_cli.times import parse

_ONLY_WHOLE: Final = ("metadata", "labels", "spec", "status")


def run_of(resource: TaskRunBody) -> RunJson:
    """A TaskRun. What only the web app knows, such as progress, is null."""
    metadata, spec, status = resource["metadata"], resource.get("spec") or {}, resource.get("status") or {}
    labels, attempts = metadata.get("labels") or {}, status.get("attempts") or []
    return {
        "uid": metadata["uid"],
        "name": metadata["name"],
        "project": metadata["namespace"],
        "phase": status.get("phase") or "Pending",
        "reason": status.get("reason"),
        "message": status.get("message"),
        "task": (spec.get("taskRef") or {}).get("name"),
        "queue": status.get("queue") or spec.get("queue") or (spec.get("task") or {}).get("queue"),
        "schedule": labels.get(SCHEDULE_LABEL),
        "batch": spec.get("batch"),
        "tags": spec.get("tags") or [],
        "attempt": max((int(attempt.get("number") or 0) for attempt in attempts), default=0),
        "createdAt": _time(metadata["creationTimestamp"]),
        "startedAt": _time(status.get("startedAt")),
        "finishedAt": _time(status.get("finishedAt")),
        "parent": spec.get("parentRun"),
        "queuedAt": _time(status.get("queuedAt")),
        "deletedAt": None,
        "requestedBy": _requester(metadata),
        "progress": None,
        "progressMessage": None,
        "metadata": {},
        "labels": labels,
        "spec": spec,
        "status": status,
    }


def listed(run: RunJson) -> ListedRun:
    """A run in a list."""
    return cast("ListedRun", {name: value for name, value in run.items() if name not in _ONLY_WHOLE})


def _time(text: str | None) -> str | None:
    time = parse(text)
    return text if time is None else rfc3339(time)


def _requester(metadata: ObjectMeta) -> Requester | None:
    name = requested_by(metadata)
    return {"name": name, "verified": False} if name else None
