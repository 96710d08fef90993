"""From a TaskRun as the apiserver gives it to a row of ``runs``: pure, so that the mirror and the API, which both
write rows, can't come to different rows for one object.

What the apiserver accepts and Postgres doesn't is stored as what comes nearest: numbers and times are moved within bounds, NUL and
half characters become U+FFFD, and a field that is nested too deep is replaced by ``{NOT_STORED: why}``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeVar, cast

from tidegate_api.names import SCHEDULE_LABEL
from tidegate_api.retention import kept_since
from tidegate_api.run_json import requested_by

from tidegate_web.shared import json_text, times
from tidegate_web.shared.json_types import LARGEST_VERSION, JsonObject, as_object, as_text, whole_number
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.shared.run_status import attempts_of
from tidegate_web.shared.times import parse_time

NOT_STORED = "tidegate.dev/not-stored"
"""The one key of what stands for a value that the archive can't take."""
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
    spec: JsonObject
    status: JsonObject

    @property
    def terminal(self) -> bool:
        return self.phase in TERMINAL_PHASES

    def bare(self, why: str) -> "RunRecord":
        """What is stored of a run whose row Postgres refuses: that it is there, and its phase and times. One version older,
        so that the whole one replaces it, and nothing takes the run for archived."""
        marker: JsonObject = {NOT_STORED: why}
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

    def columns(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


class ChangedRun(Protocol):
    """What the live channel needs of a run: its record has it, and its row."""

    @property
    def uid(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def attempt(self) -> int: ...
    @property
    def tags(self) -> list[str]: ...


def event_of(run: ChangedRun) -> JsonObject:
    """What the live channel reports of a run that has changed."""
    return {
        "uid": run.uid,
        "name": run.name,
        "phase": run.phase,
        "reason": run.reason,
        "attempt": run.attempt,
        "progress": None,
        "tags": run.tags,
    }


T = TypeVar("T")


def clean(value: T) -> T:
    """The same value without what Postgres refuses in text and jsonb: NUL and half characters become U+FFFD."""
    # Next to none has one; written out, that shows many times sooner than by a walk through it.
    written = json.dumps(value, default=str)
    cleaned = json_text.without_unstorable(written)
    return value if cleaned is written else cast("T", json.loads(cleaned))


def storable(resource: Mapping[str, object]) -> Mapping[str, object]:
    """An object as the archive can take it. ValueError for one that isn't even an object with metadata."""
    try:
        written = json.dumps(resource, default=str)
    except RecursionError:
        return clean(_shallow(resource))
    return clean(_shallow(resource) if json_text.is_too_deep(written) else resource)


def _shallow(resource: Mapping[str, object]) -> JsonObject:
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


def _key(value: object) -> str | None:
    return value[:LONGEST_KEY] if isinstance(value, str) else None


def _version(value: object) -> int:
    text = str(value or "")
    return min(int(text), LARGEST_VERSION) if text.isascii() and text.isdecimal() and len(text) <= 20 else 0


def run_record(resource: Mapping[str, object], *, default_ttl_seconds: int) -> RunRecord:
    """The row for one TaskRun, whatever stands in its fields; ValueError where it has no identity."""
    resource = storable(resource)
    metadata, spec, status = (as_object(resource.get(part)) for part in ("metadata", "spec", "status"))
    uid, project, name = (as_text(metadata.get(field)) for field in ("uid", "namespace", "name"))
    created = parse_time(metadata.get("creationTimestamp"))
    if not uid or not project or not name or created is None:
        raise ValueError(f"TaskRun {name}: no uid, namespace, name or creationTimestamp")
    tags = spec.get("tags")
    labels = {key: value for key, value in as_object(metadata.get("labels")).items() if isinstance(value, str)}
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
        # A time of the end before the creation is a client's mistake, and no reason to delete the run at once.
        since = max(parse_time(kept_since(status)) or finished_at, created)
        expires_at = times.later(since, seconds=default_ttl_seconds if ttl is None else ttl)
    return RunRecord(
        uid=uid,
        project=project,
        name=name,
        created=created,
        resource_version=_version(metadata.get("resourceVersion")),
        phase=phase,
        reason=_key(status.get("reason")),
        message=as_text(status.get("message")),
        task=_key(as_object(spec.get("taskRef")).get("name")),
        queue=_key(status.get("queue") or spec.get("queue") or as_object(spec.get("task")).get("queue")),
        schedule=_key(labels.get(SCHEDULE_LABEL)),
        batch=_key(spec.get("batch")),
        parent_run=_key(spec.get("parentRun")),
        tags=[str(tag)[:LONGEST_KEY] for tag in tags] if isinstance(tags, list) else [],
        attempt=max((attempt.number for attempt in attempts_of(status)), default=0),
        queued_at=parse_time(status.get("queuedAt")),
        started_at=parse_time(status.get("startedAt")),
        finished_at=finished_at,
        expires_at=expires_at,
        requested_by=_key(requested_by(metadata)),
        labels=labels,
        spec=spec,
        status=status,
    )
