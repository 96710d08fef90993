"""From a TaskRun as the apiserver gives it to a row of ``runs``: pure, so that the mirror and the API, which both
write rows, can't come to different rows for one object.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tidegate_api.names import SCHEDULE_LABEL
from tidegate_api.told import requested_by

from tidegate_web.store.models import TERMINAL_PHASES


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """The columns of ``runs`` that come from the object itself."""

    uid: str
    project: str
    name: str
    created: datetime
    resource_version: int
    phase: str
    reason: str | None
    message: str | None
    task: str | None
    queue: str | None
    schedule: str | None
    batch: str | None
    parent_run: str | None
    tags: list[str]
    attempt: int
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    requested_by: str | None
    labels: dict[str, str]
    spec: dict[str, Any]
    status: dict[str, Any]

    @property
    def terminal(self) -> bool:
        return self.phase in TERMINAL_PHASES

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def event_of(row: Any) -> dict[str, Any]:
    """What the live channel tells of a run that has changed: of its record, or of its row."""
    return {
        "uid": row.uid,
        "name": row.name,
        "phase": row.phase,
        "reason": row.reason,
        "attempt": row.attempt,
        "progress": None,
        "tags": row.tags,
    }


RunLike = Any
"""A row of ``runs``, or something with the same columns."""


def as_row(record: RunRecord, *, submitted_by: str | None = None, in_cluster: bool = False) -> RunLike:
    """A run that isn't asked of Postgres, as its row would be. ``in_cluster``: it is all that there is of it just now."""
    return SimpleNamespace(
        **record.columns(),
        deleted_at=None,
        submitted_by=submitted_by,
        progress=None,
        progress_message=None,
        in_cluster=in_cluster,
    )


def is_from_cluster(row: RunLike) -> bool:
    """Whether a run was read from the cluster because Postgres is away."""
    return bool(getattr(row, "in_cluster", False))


def parse_time(value: object) -> datetime | None:
    """An RFC 3339 time, or None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else None


def clean(value: Any) -> Any:
    """The same value without NUL characters, which JSON has and Postgres refuses in text and jsonb."""
    # Next to none has one; written out, that is told many times sooner than by a walk through it.
    return _replaced(value) if "\\u0000" in json.dumps(value, default=str) else value


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, Mapping):
        return {_replaced(key): _replaced(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    return value


def run_record(resource: Mapping[str, Any], *, default_ttl_seconds: int) -> RunRecord:
    """The row for one TaskRun. Tolerant: an object written by hand must not stop the mirror."""
    resource = clean(resource)
    metadata: dict[str, Any] = resource["metadata"]
    spec: dict[str, Any] = resource.get("spec") or {}
    status: dict[str, Any] = resource.get("status") or {}
    labels: dict[str, str] = metadata.get("labels") or {}
    attempts = status.get("attempts") or []
    phase = str(status.get("phase") or "Pending")
    finished_at = parse_time(status.get("finishedAt"))
    created = parse_time(metadata.get("creationTimestamp"))
    if created is None:
        raise ValueError(f"TaskRun {metadata.get('name')}: no creationTimestamp")
    if phase in TERMINAL_PHASES and finished_at is None:
        finished_at = created
    ttl = status.get("ttlSecondsAfterFinished", spec.get("ttlSecondsAfterFinished"))
    # The spec's own TTL can still be changed on a finished run, and wins.
    if isinstance(spec.get("ttlSecondsAfterFinished"), int):
        ttl = spec["ttlSecondsAfterFinished"]
    return RunRecord(
        uid=metadata["uid"],
        project=metadata["namespace"],
        name=metadata["name"],
        created=created,
        resource_version=int(metadata.get("resourceVersion") or 0),
        phase=phase,
        reason=status.get("reason"),
        message=status.get("message"),
        task=(spec.get("taskRef") or {}).get("name"),
        queue=status.get("queue") or spec.get("queue") or (spec.get("task") or {}).get("queue"),
        schedule=labels.get(SCHEDULE_LABEL),
        batch=spec.get("batch"),
        parent_run=spec.get("parentRun"),
        tags=[str(tag) for tag in spec.get("tags") or []],
        attempt=max((int(attempt.get("number") or 0) for attempt in attempts), default=0),
        queued_at=parse_time(status.get("queuedAt")),
        started_at=parse_time(status.get("startedAt")),
        finished_at=finished_at,
        expires_at=None
        if finished_at is None
        else finished_at + timedelta(seconds=ttl if isinstance(ttl, int) else default_ttl_seconds),
        requested_by=requested_by(metadata),
        labels=labels,
        spec=spec,
        status=status,
    )
