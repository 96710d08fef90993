"""From a TaskRun as the apiserver gives it to a row of ``runs``: pure, so that the mirror and the API, which both
write rows, can't come to different rows for one object.

What the apiserver accepts and Postgres doesn't is stored as what comes nearest: numbers and times are moved within bounds, NUL and
half characters become U+FFFD, and a field that is nested too deep is replaced by ``{NOT_STORED: why}``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from tidegate_api.names import SCHEDULE_LABEL
from tidegate_api.run_json import requested_by

from tidegate_web.shared import json_text, times
from tidegate_web.shared.times import parse_time
from tidegate_web.store.models import TERMINAL_PHASES

NOT_STORED = "tidegate.dev/not-stored"
"""The one key of what stands for a value that the archive can't take."""
LARGEST_INTEGER = 2**31 - 1
LARGEST_VERSION = 2**63 - 1
LONGEST_KEY = 512
"""Characters of a text that is in an index: a B-tree takes 2,704 bytes."""


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

    def bare(self, why: str) -> "RunRecord":
        """What is stored of a run whose row Postgres refuses: that it is there, and its phase and times. One version older,
        so that the whole one replaces it, and nothing takes the run for archived."""
        marker = {NOT_STORED: why}
        return replace(
            self,
            resource_version=max(0, self.resource_version - 1),
            message=None,
            task=None,
            queue=None,
            schedule=None,
            batch=None,
            parent_run=None,
            tags=[],
            requested_by=None,
            labels={},
            spec=marker,
            status=marker,
        )

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


def clean(value: Any) -> Any:
    """The same value without what Postgres refuses in text and jsonb: NUL and half characters become U+FFFD."""
    # Next to none has one; written out, that is told many times sooner than by a walk through it.
    written = json.dumps(value, default=str)
    cleaned = json_text.without_unstorable(written)
    return value if cleaned is written else json.loads(cleaned)


def storable(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object as the archive can take it. ValueError for one that isn't even an object with metadata."""
    try:
        written = json.dumps(resource, default=str)
    except RecursionError:
        return clean(_shallow(resource))  # type: ignore[no-any-return]
    return clean(_shallow(resource) if json_text.is_too_deep(written) else resource)  # type: ignore[no-any-return]


def _shallow(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Without the fields of spec and status that are nested too deep."""
    return {
        part: {name: _marked(value) for name, value in fields.items()} if isinstance(fields, Mapping) else fields
        for part, fields in resource.items()
    }


def _marked(value: object) -> object:
    if not json_text.value_is_too_deep(value):
        return value
    return {NOT_STORED: f"nested deeper than {json_text.MOST_DEPTH} levels"}


def is_stored_whole(value: object) -> bool:
    """Whether a field of a stored spec or status is what the object has."""
    return not (isinstance(value, Mapping) and NOT_STORED in value)


def whole_number(value: object, *, least: int = 0, most: int = LARGEST_INTEGER) -> int | None:
    """A number within bounds; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return int(min(max(value, least), most))


def objects(value: object) -> list[dict[str, Any]]:
    """The JSON objects of a list; none for what is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _key(value: object) -> str | None:
    return value[:LONGEST_KEY] if isinstance(value, str) else None


def _version(value: object) -> int:
    text = str(value or "")
    return min(int(text), LARGEST_VERSION) if text.isascii() and text.isdecimal() and len(text) <= 20 else 0


def run_record(resource: Mapping[str, Any], *, default_ttl_seconds: int) -> RunRecord:
    """The row for one TaskRun, whatever stands in its fields; ValueError where it has no identity."""
    resource = storable(resource)
    metadata, spec, status = (_object(resource.get(part)) for part in ("metadata", "spec", "status"))
    uid, project, name = (_text(metadata.get(field)) for field in ("uid", "namespace", "name"))
    created = parse_time(metadata.get("creationTimestamp"))
    if not uid or not project or not name or created is None:
        raise ValueError(f"TaskRun {name}: no uid, namespace, name or creationTimestamp")
    labels = {key: value for key, value in _object(metadata.get("labels")).items() if isinstance(value, str)}
    phase = _key(status.get("phase")) or "Pending"
    finished_at = parse_time(status.get("finishedAt"))
    if phase in TERMINAL_PHASES and finished_at is None:
        finished_at = created
    # The spec's own TTL can still be changed on a finished run, and wins.
    ttl = whole_number(spec.get("ttlSecondsAfterFinished"), most=LARGEST_VERSION)
    if ttl is None:
        ttl = whole_number(status.get("ttlSecondsAfterFinished"), most=LARGEST_VERSION)
    expires_at = None
    if finished_at is not None:
        # A time of the end before the creation is somebody's mistake, and no reason to delete the run at once.
        expires_at = times.later(max(finished_at, created), seconds=default_ttl_seconds if ttl is None else ttl)
    return RunRecord(
        uid=uid,
        project=project,
        name=name,
        created=created,
        resource_version=_version(metadata.get("resourceVersion")),
        phase=phase,
        reason=_key(status.get("reason")),
        message=_text(status.get("message")),
        task=_key(_object(spec.get("taskRef")).get("name")),
        queue=_key(status.get("queue") or spec.get("queue") or _object(spec.get("task")).get("queue")),
        schedule=_key(labels.get(SCHEDULE_LABEL)),
        batch=_key(spec.get("batch")),
        parent_run=_key(spec.get("parentRun")),
        tags=[str(tag)[:LONGEST_KEY] for tag in spec.get("tags") or []] if isinstance(spec.get("tags"), list) else [],
        attempt=max((whole_number(each.get("number")) or 0 for each in objects(status.get("attempts"))), default=0),
        queued_at=parse_time(status.get("queuedAt")),
        started_at=parse_time(status.get("startedAt")),
        finished_at=finished_at,
        expires_at=expires_at,
        requested_by=_text(requested_by(metadata)),
        labels=labels,
        spec=spec,
        status=status,
    )
