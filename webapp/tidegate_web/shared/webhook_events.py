"""What a webhook tells: that a run has ended, and how. Pure."""

from typing import Any

from tidegate_web.shared.run_summary import run_summary
from tidegate_web.shared.times import rfc3339

FINISHED = "run.finished"
TEST = "webhook.test"


def run_finished(row: Any) -> dict[str, Any]:
    """The body for a run that has ended: a row of ``runs``, or something with the same columns."""
    return {"type": FINISHED, "timestamp": rfc3339(row.finished_at), "data": run_summary(row)}
