"""What a run waits for right now, computed on request. Nothing is written for it: the answer changes with every other run."""

from tidegate_api.names import Phase, Reason
from tidegate_api.times import format_time

from tidegate_operator.policies.decision import DecisionContext
from tidegate_operator.policies.start_gates import clear
from tidegate_operator.records.run import Cause, RunRecord


def explain(run: RunRecord, context: DecisionContext, now: float) -> Cause:
    """Reason and message; of a run that doesn't wait, what its status says."""
    status, attempt = run.status, context.attempt
    reported = Cause(status.reason or str(status.phase), status.message or "")
    if status.phase.terminal:
        return reported
    if attempt is not None and not status.ended(attempt.number):
        pod = attempt.pod
        if pod is not None and pod.running:
            silent = Reason.NODE_UNREACHABLE if attempt.handover is None else Reason.WORKER_UNREACHABLE
            return Cause(silent if pod.unreachable else str(Phase.RUNNING), reported.message)
        return attempt.trouble or Cause(Reason.SCHEDULING, "its pod has not started yet")
    if run.tracked.starting:
        return Cause(Reason.SCHEDULING, "its turn has come: it is being started")
    if context.queue_cause is not None:
        return context.queue_cause
    if run.tracked.refused is not None and now < run.tracked.retry_at:
        return run.tracked.refused
    if status.attempts:
        if run.suspend:
            return Cause(Reason.SUSPENDED, "its next attempt starts once spec.suspend is false")
        at = format_time(status.next_attempt_at or now)
        return Cause(Reason.BACK_OFF, f"its next attempt starts at {at}")
    held = clear(run, context.find, has_dependents=context.has_dependents, now=now).held
    if held is None and run.task_ref is not None and context.task is None:
        held = Cause(Reason.TASK_NOT_FOUND, f"there is no Task {run.task_ref} in namespace {run.namespace}")
    return held or reported
