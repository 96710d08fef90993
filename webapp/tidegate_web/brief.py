"""A run in a few words, as lists and webhooks tell it. Pure."""

from typing import Any

from tidegate_web.times import rfc3339


def brief(row: Any) -> dict[str, Any]:
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
