"""What a webhook tells: that a run has ended, and how. Pure."""

from typing import Any

from tidegate_web.times import rfc3339

FINISHED = "run.finished"
TEST = "webhook.test"


def run_finished(row: Any) -> dict[str, Any]:
    """The body for a run that has ended: a row of ``runs``, or something with the same columns."""
    return {
        "type": FINISHED,
        "timestamp": rfc3339(row.finished_at),
        "data": {
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
        },
    }
