"""A run in a few words, as lists and webhooks tell it. Pure."""

from typing import Annotated, Any

from pydantic import Field
from tidegate_api.names import Phase
from typing_extensions import TypedDict

from tidegate_web.shared.times import Time, rfc3339


class Brief(TypedDict):
    """What lists and webhooks have in common."""

    uid: str
    name: str
    project: str
    phase: Phase
    reason: str | None
    message: str | None
    task: Annotated[str | None, Field(description="The Task; null for an inline one.")]
    queue: str | None
    schedule: str | None
    batch: str | None
    tags: list[str]
    attempt: Annotated[int, Field(description="Number of the last attempt; 0 before the first.")]
    createdAt: Time
    startedAt: Time | None
    finishedAt: Time | None


def run_summary(row: Any) -> Brief:
    """Of a row of ``runs``, or something with the same columns."""
    return {
        "uid": row.uid,
        "name": row.name,
        "project": row.project,
        "phase": row.phase,
        "reason": row.reason,
        "message": row.message,
        "task": row.task,
        "queue": row.queue,
        "schedule": row.schedule,
        "batch": row.batch,
        "tags": row.tags,
        "attempt": row.attempt,
        "createdAt": rfc3339(row.created),
        "startedAt": rfc3339(row.started_at),
        "finishedAt": rfc3339(row.finished_at),
    }
