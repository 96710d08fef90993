"""A run in a few words, as lists and webhooks tell it. Pure."""

from typing import Any, TypedDict

from tidegate_api.names import Phase

from tidegate_web.times import rfc3339


class Brief(TypedDict):
    """What lists and webhooks have in common."""

    uid: str
    name: str
    project: str
    phase: Phase
    reason: str | None
    message: str | None
    task: str | None
    queue: str | None
    schedule: str | None
    batch: str | None
    tags: list[str]
    attempt: int
    createdAt: str
    startedAt: str | None
    finishedAt: str | None


def brief(row: Any) -> Brief:
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
