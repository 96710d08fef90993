"""The body of a webhook: that a run has ended, and how. Pure."""

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.run_summary import RunColumns, run_summary
from tidegate_web.shared.times import rfc3339

FINISHED = "run.finished"
TEST = "webhook.test"


def run_finished(run: RunColumns) -> JsonObject:
    """The body for a run that has ended."""
    return {"type": FINISHED, "timestamp": rfc3339(run.finished_at), "data": run_summary(run)}
