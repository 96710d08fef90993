"""Rows of ``runs``, from a summary to the whole: what lists read, what a parent reads of a child, and what a page of one run shows.

Each shape has the columns of the one before it, so that what needs a summary takes any of them.
"""

from dataclasses import dataclass
from datetime import datetime

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.store.models import Run
from tidegate_web.store.records import RunRecord

SUMMARY = (
    Run.uid, Run.project, Run.name, Run.created, Run.phase, Run.reason, Run.message, Run.task, Run.queue,
    Run.schedule, Run.batch, Run.parent_run, Run.tags, Run.attempt, Run.queued_at, Run.started_at, Run.finished_at, Run.deleted_at,
    Run.requested_by, Run.submitted_by,
)  # fmt: skip
WITH_STATUS = (*SUMMARY, Run.status)
WHOLE = (
    *WITH_STATUS, Run.spec, Run.labels, Run.resource_version, Run.expires_at, Run.pods_removed_at,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunSummaryRow:
    """A run in a list."""

    uid: str
    project: str
    name: str
    created: datetime
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
    deleted_at: datetime | None
    requested_by: str | None
    submitted_by: str | None


@dataclass(frozen=True, slots=True)
class ListedRunRow(RunSummaryRow):
    """A run in a list, with the progress of its last attempt."""

    progress: float | None
    progress_message: str | None
    priority: str | None = None
    key: str | None = None
    """These two of a list that was asked for them alone: they are read of the spec."""


@dataclass(frozen=True, slots=True)
class RunStatusRow(RunSummaryRow):
    """A run with its status."""

    status: JsonObject


@dataclass(frozen=True, slots=True)
class RunRow(RunStatusRow):
    """A run, whole."""

    spec: JsonObject
    labels: dict[str, str]
    resource_version: int
    expires_at: datetime | None
    pods_removed_at: datetime | None
    from_cluster: bool = False
    """Whether it was read from the cluster because Postgres is away: it is all that there is of it just now."""

    def listed(self) -> ListedRunRow:
        """The same in a list. What the cluster says has no progress."""
        columns = {name: getattr(self, name) for name in RunSummaryRow.__slots__}
        priority, key = (self.spec.get(name) for name in ("priority", "concurrencyKey"))
        return ListedRunRow(
            **columns,
            progress=None,
            progress_message=None,
            priority=None if priority is None else str(priority),
            key=None if key is None else str(key),
        )


def as_row(record: RunRecord, *, submitted_by: str | None = None, from_cluster: bool = False) -> RunRow:
    """A run that isn't asked of Postgres, as its row would be."""
    return RunRow(
        uid=record.uid,
        project=record.project,
        name=record.name,
        created=record.created,
        phase=record.phase,
        reason=record.reason,
        message=record.message,
        task=record.task,
        queue=record.queue,
        schedule=record.schedule,
        batch=record.batch,
        parent_run=record.parent_run,
        tags=record.tags,
        attempt=record.attempt,
        queued_at=record.queued_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        deleted_at=None,
        requested_by=record.requested_by,
        submitted_by=submitted_by,
        status=record.status,
        spec=record.spec,
        labels=record.labels,
        resource_version=record.resource_version,
        expires_at=record.expires_at,
        pods_removed_at=None,
        from_cluster=from_cluster,
    )
