"""What a run waits for right now, for whoever asks. Nothing is written for it: the answer changes with every other run."""

from tidegate_api.names import Phase, Reason

from tidegate_operator.policies.decision import World
from tidegate_operator.policies.suspension import clear
from tidegate_operator.records import Refusal, RunRecord
from tidegate_operator.timestamps import format_time


def explain(run: RunRecord, world: World, now: float) -> Refusal:
    """Reason and message; of a run that doesn't wait, what its status says."""
    status, attempt = run.status, world.attempt
    told = Refusal(status.reason or str(status.phase), status.message or "")
    if status.phase.terminal:
        return told
    if attempt is not None and not status.ended(attempt.number):
        pod = attempt.pod
        if pod is not None and pod.running:
            return Refusal(Reason.NODE_UNREACHABLE if pod.unreachable else str(Phase.RUNNING), told.message)
        return attempt.trouble or Refusal(Reason.SCHEDULING, "its pod has not started yet")
    if run.starting:
        return Refusal(Reason.SCHEDULING, "its turn has come: its Job is being created")
    if world.line is not None:
        return world.line
    if run.refused is not None and now < run.retry_at:
        return run.refused
    if status.attempts:
        if run.suspend:
            return Refusal(Reason.SUSPENDED, "its next attempt starts once spec.suspend is false")
        at = format_time(status.next_attempt_at or now)
        return Refusal(Reason.BACK_OFF, f"its next attempt starts at {at}")
    held = clear(run, world.find, has_dependents=world.has_dependents, now=now).held
    if held is None and run.task_ref is not None and world.task is None:
        held = Refusal(Reason.TASK_NOT_FOUND, f"there is no Task {run.task_ref} in namespace {run.namespace}")
    return held or told
