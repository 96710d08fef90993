"""The end of a run, as a status that is written once and never changes."""

from tidegate_api.names import Phase

from tidegate_operator.policies.decision import Decision, World, WriteStatus
from tidegate_operator.policies.outcome import End
from tidegate_operator.records import Json, RunRecord
from tidegate_operator.status import build_status


def finish(
    run: RunRecord,
    world: World,
    now: float,
    *,
    phase: Phase,
    reason: str | None,
    message: str | None,
    attempts: list[Json] | None = None,
    end: End | None = None,
    disruptions: int | None = None,
) -> Decision:
    """End the run as `phase`; with the `end` of its last attempt where that is what ends it."""
    plan = world.attempt.plan if world.attempt is not None else run.plan
    task_ttl = plan.ttl if plan is not None else None
    ttl = next((t for t in (run.ttl, task_ttl) if t is not None), world.default_ttl)
    result = (
        {"result": end.result, "result_ref": end.result_ref} if end is not None and phase is Phase.SUCCEEDED else {}
    )
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
        **result,
    )
    return Decision([WriteStatus(status, run.version)])
