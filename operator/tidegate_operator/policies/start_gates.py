"""Since when only its queue holds a run, and what else holds it before: suspend, startAfter, dependencies.

`queuedAt` is the latest of creation, `startAfter`, release from `suspend`, and the end of the dependencies. All but the
release can be read from the cluster at any time; the release is the moment it was seen, kept in `status.queuedAt`.
"""

from dataclasses import dataclass

from tidegate_api.names import Reason
from tidegate_api.times import format_time, parse_time

from tidegate_operator.policies.dependencies import Find, judge_dependencies
from tidegate_operator.records.run import Cause, RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """Either `held`, or `ended`, or neither: then the run is queued since `queued_at`."""

    held: Cause | None = None
    ended: Cause | None = None
    wake_at: float | None = None
    queued_at: float = 0.0


def clear(run: RunRecord, find: Find, *, has_dependents: bool, now: float) -> GateResult:
    """What holds a run that has not started, its queue aside."""
    if run.suspend:
        return GateResult(held=Cause(Reason.SUSPENDED, "it starts once spec.suspend is false"))
    start_after = run.start_after or 0.0
    since = 0.0
    wake_at: float | None = None
    if run.depends_on:
        verdict = judge_dependencies(run, find, has_dependents=has_dependents, now=now)
        if verdict.ended is not None:
            return GateResult(ended=verdict.ended)
        if verdict.waits is not None and now >= start_after:
            return GateResult(held=verdict.waits, wake_at=verdict.wake_at)
        since, wake_at = verdict.since, verdict.wake_at
    if now < start_after:
        at = start_after if wake_at is None else min(start_after, wake_at)
        return GateResult(held=Cause(Reason.DELAYED, f"starts after {format_time(start_after)}"), wake_at=at)
    known = parse_time(run.status.queued_at) or 0.0
    return GateResult(queued_at=max(run.created, start_after, run.tracked.released, since, known))
