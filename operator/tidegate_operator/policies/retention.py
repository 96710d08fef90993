"""How long a finished run stays in the cluster.

Where there is a web app its mirror deletes, and only what it has stored; else the operator does, and in namespaces that
the web app doesn't see.
"""

from tidegate_api.times import parse_time

from tidegate_operator.policies.decision import Decision, DecisionContext, DeleteRun
from tidegate_operator.records.run import RunRecord


def retain(run: RunRecord, context: DecisionContext, now: float) -> Decision:
    """Delete a finished run past its TTL, unless a run that goes on depends on it."""
    if context.has_dependents or context.held:
        return Decision()  # the end of the last dependent, or the Schedule's word, marks it again
    ttl = next((t for t in (run.ttl, run.status.ttl) if t is not None), context.default_ttl)
    due = kept_from(run) + ttl
    if due > context.deletes_due_by:
        return Decision()  # the next sweep marks it again
    return Decision([DeleteRun()]) if now >= due else Decision(wake_at=due)


def kept_from(run: RunRecord) -> float:
    """When the TTL of a finished run begins."""
    return parse_time(run.status.kept_since) or run.created
