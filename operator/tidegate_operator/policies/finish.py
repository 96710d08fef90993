"""The end of a run, as a status that is written once and never changes."""

from tidegate_api.bodies import AttemptBody
from tidegate_api.names import Phase

from tidegate_operator.policies.decision import Decision, DecisionContext, WriteStatus
from tidegate_operator.policies.outcome import ABSENT, End
from tidegate_operator.policies.status import build_status
from tidegate_operator.records.run import RunRecord


def finish(
    run: RunRecord,
    context: DecisionContext,
    now: float,
    *,
    phase: Phase,
    reason: str | None,
    message: str | None,
    attempts: list[AttemptBody] | None = None,
    end: End | None = None,
    disruptions: int | None = None,
) -> Decision:
    """End the run as `phase`; with the `end` of its last attempt where that is what ends it."""
    plan = context.attempt.plan if context.attempt is not None else run.plan
    task_ttl = plan.ttl if plan is not None else None
    ttl = next((t for t in (run.ttl, task_ttl) if t is not None), context.default_ttl)
    success = end if phase is Phase.SUCCEEDED else None
    status = build_status(
        run,
        phase=phase,
        reason=reason,
        message=message,
        attempts=attempts,
        started=end.started if end is not None else None,
        finished=end.finished if end is not None else now,
        disruptions=disruptions,
        ttl=ttl,
        now=now,
        result=success.result if success is not None else ABSENT,
        result_ref=success.result_ref if success is not None else None,
    )
    return Decision([WriteStatus(status, run.version)])
